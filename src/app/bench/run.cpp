#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "app/bench/probe.hpp"
#include "app/bench/replay.hpp"
#include "app/bench/run.hpp"
#include "app/bench/saturation.hpp"
#include "base/prng.hpp"
#include "simulate/report/html.hpp"
#include "simulate/report/run_json.hpp"
#include "simulate/report/text.hpp"
#include "simulate/workload/recipe.hpp"

namespace qlm::bench {
namespace {

enum Exit { done = 0, failed = 1, wrong_usage = 2, not_whole = 3, interrupted = 130 };

struct Arguments {
  std::string url, trace, label, models, class_map, endpoint = "chat", api_key_file, lengths = "sharegpt";
  std::string json, html, csv, title = "QLM bench", default_class, timeout = "2m", duration, step = "4s", warm_up;
  std::vector<std::string> slos, busy_from, compare;
  double speed = 1, rate_factor = 1, bytes_per_token = 4;
  int concurrency = 1024, fixed_concurrency = 0;
  std::uint64_t seed = 1;
  bool slo_headers = false, keep_eos = false, hide_lengths = false, strict = false, quiet = false;
};

// The arguments as values, checked before anything is sent.
struct Plan {
  Target target;
  PromptStyle style;
  http::Fields fields;
  std::map<std::string, Slo> slos;
  std::map<std::string, std::string> class_map;
  std::vector<Target> engines;
  std::vector<workload::WeightedModel> models;
  Duration timeout{}, measure{}, warm_up{};
  workload::Trace trace;
};

int complain(const Error& error, int code) {
  fmt::print(stderr, "qlm bench: {}\n", error.message);
  return code;
}

Result<workload::Trace> load_trace(const Arguments& a) {
  auto trace = workload::read_trace_file(a.trace);
  if (!trace) return trace;
  for (auto& request : *trace) {
    request.arrival = duration_from_seconds(seconds(request.arrival) / a.rate_factor);
    if (request.slo_class.empty()) request.slo_class = a.default_class;
  }
  if (!a.duration.empty()) {
    const auto end = workload::parse_duration(a.duration);
    if (!end) return std::unexpected(end.error());
    std::erase_if(*trace, [&](const auto& request) { return request.arrival >= *end; });
  }
  if (trace->empty()) return fail(fmt::format("{} holds no request to send", a.trace));
  return trace;
}

Result<Plan> plan_of(const Arguments& a) {
  Plan plan;
  for (const auto& text : a.slos) {  // first: a URL may stand there, and is not missed then
    auto slo = parse_slo(text);
    if (!slo) return std::unexpected(slo.error());
    plan.slos.insert_or_assign(slo->first, slo->second);
  }
  if (a.url.empty()) return fail("no URL given; qlm bench --help tells more");
  auto target = parse_target(a.url);
  if (!target) return std::unexpected(target.error());
  plan.target = std::move(*target);
  plan.style = {a.endpoint == "chat" ? Endpoint::chat : Endpoint::completions, a.bytes_per_token, !a.keep_eos, a.hide_lengths};
  auto map = parse_map(a.class_map);
  if (!map) return fail("--class-map " + map.error().message);
  plan.class_map = std::move(*map);
  for (const auto& url : a.busy_from) {
    auto engine = parse_target(url);
    if (!engine) return std::unexpected(engine.error());
    plan.engines.push_back(std::move(*engine));
  }
  if (!a.models.empty()) {
    auto models = workload::parse_models(a.models);
    if (!models) return std::unexpected(models.error());
    plan.models = std::move(*models);
  }
  for (const auto& [text, into] : {std::pair(&a.timeout, &plan.timeout), std::pair(&a.step, &plan.measure),
                                   std::pair(&a.warm_up, &plan.warm_up)}) {
    if (text->empty()) continue;
    const auto duration = workload::parse_duration(*text);
    if (!duration) return std::unexpected(duration.error());
    *into = *duration;
  }
  if (a.warm_up.empty()) plan.warm_up = plan.measure / 2;
  if (!a.api_key_file.empty()) {
    std::ifstream file(a.api_key_file);
    std::string api_key;
    if (!(file >> api_key)) return fail(fmt::format("no key in {}", a.api_key_file));
    plan.fields.set("Authorization", "Bearer " + api_key);
  }
  if (!a.trace.empty()) {
    auto trace = load_trace(a);
    if (!trace) return std::unexpected(trace.error());
    plan.trace = std::move(*trace);
  }
  return plan;
}

bool write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return std::fflush(stdout) == 0;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) fmt::print(stderr, "qlm bench: cannot write {}\n", path);
  return static_cast<bool>(file);
}

// Standard output belongs to the JSON where it was asked for.
std::FILE* people(const Arguments& a) { return a.json == "-" || a.csv == "-" || a.html == "-" ? stderr : stdout; }

// Fills models the trace leaves open: from --models by weight, else the first one the server lists.
Result<void> name_models(net::Loop& loop, net::HttpClient& client, const Arguments& a, Plan& plan) {
  const bool open = plan.trace.empty() || std::any_of(plan.trace.begin(), plan.trace.end(), [](const auto& r) { return r.model.empty(); });
  if (!open) return {};
  if (plan.models.empty()) {
    const auto names = list_models(loop, client, plan.target, plan.fields);
    if (!names) return std::unexpected(names.error());
    if (names->empty()) return fail(fmt::format("{} lists no model; name one with --models", plan.target.text));
    plan.models = {{names->front(), 1}};
  }
  double total = 0;
  for (const auto& model : plan.models) total += model.weight;
  Prng prng(a.seed);
  for (auto& request : plan.trace) {
    if (!request.model.empty()) continue;
    double at = prng.uniform() * total;
    for (const auto& model : plan.models) {
      request.model = model.name;
      if ((at -= model.weight) < 0) break;
    }
  }
  return {};
}

class ProgressLine {
 public:
  ProgressLine(net::Loop& loop, const Replay& replay, bool wanted) : replay_(replay), timer_(loop) {
    if (wanted && isatty(STDERR_FILENO)) show();
  }
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }

 private:
  void show() {
    const auto p = replay_.progress();
    const auto left = std::max(Duration{}, p.length - p.elapsed);
    fmt::print(stderr, "\r\033[K{} of {} sent, {} done, {} refused, {} in flight{}; arrivals end in {:.0f} s", p.offered, p.total,
               p.completed, p.refused, p.in_flight, p.late > 0 ? fmt::format(", {} late", p.late) : "", seconds(left));
    std::fflush(stderr);
    shown_ = true;
    timer_.after(500ms, [this] { show(); });
  }

  const Replay& replay_;
  net::Timer timer_;
  bool shown_ = false;
};

int replay_trace(const Arguments& a, Plan plan) {
  const auto descriptors = net::raise_descriptor_limit();
  net::Loop loop;
  const auto client = net::HttpClient::create(loop);
  if (const auto named = name_models(loop, *client, a, plan); !named) return complain(named.error(), failed);

  ReplayOptions options{plan.target, plan.style, plan.fields, a.speed, plan.timeout, 10ms, plan.slos, plan.class_map,
                        a.slo_headers, a.seed, descriptors > 128 ? descriptors - 64 : 64};
  if (plan.trace.size() > options.most_in_flight) {
    fmt::print(stderr, "qlm bench: at most {} requests can be in flight (ulimit -n is {}); any beyond count as failed\n",
               options.most_in_flight, descriptors);
  }
  const auto busy_before = busy_seconds(loop, *client, plan.engines);
  if (!busy_before) return complain(busy_before.error(), failed);
  const Instant began = loop.now();
  Replay replay(loop, *client, plan.trace, std::move(options));
  bool stopped = false;
  loop.on_signals({SIGINT, SIGTERM}, [&](int) {
    stopped = true;
    replay.stop();
  });
  {
    const ProgressLine progress(loop, replay, !a.quiet);
    replay.start([&] { loop.stop(); });
    loop.run();
  }
  const double elapsed = seconds(loop.now() - began);
  auto run = replay.take_run();
  run.label = a.label.empty() ? plan.target.text : a.label;
  if (!plan.engines.empty()) {
    if (const auto after = busy_seconds(loop, *client, plan.engines)) {
      double busy = 0;
      for (std::size_t i = 0; i < after->size(); ++i) busy += (*after)[i] - (*busy_before)[i];
      run.busy_share = busy / elapsed / static_cast<double>(after->size());
    } else {
      complain(after.error(), failed);
    }
  }

  fmt::print(people(a), "{}", report::to_table({run}));
  for (const auto& [problem, count] : replay.problems()) fmt::print(people(a), "  {} x {}\n", count, problem);
  if (run.late_sends > 0) {
    fmt::print(people(a), "  {} requests left more than 10 ms after they were due, the worst {}: this machine, or the server accepting connections, could not keep up\n",
               run.late_sends, report::readable(run.worst_lateness));
  }
  const bool written = write_file(a.json, report::to_json(run)) && write_file(a.csv, report::requests_csv(run)) &&
                       (a.html.empty() || write_file(a.html, report::to_html({run}, a.title)));
  if (!written) return failed;
  if (stopped) return interrupted;
  const bool whole = std::all_of(run.requests.begin(), run.requests.end(), [](const auto& r) {
    return r.outcome == report::Outcome::completed && r.received == r.asked;
  });
  if (a.strict && (!whole || run.duplicates > 0)) return not_whole;
  const bool any = std::any_of(run.requests.begin(), run.requests.end(), [](const auto& r) { return r.outcome == report::Outcome::completed; });
  return any ? done : complain({"no request was completed"}, failed);
}

int measure_engine(const Arguments& a, Plan plan) {
  net::raise_descriptor_limit();
  const auto lengths = workload::LengthDistribution::parse(a.lengths);
  if (!lengths) return complain(lengths.error(), wrong_usage);
  net::Loop loop;
  const auto client = net::HttpClient::create(loop);
  if (const auto named = name_models(loop, *client, a, plan); !named) return complain(named.error(), failed);
  const auto& model = plan.models.front().name;
  auto* out = people(a);
  fmt::print(out, "measuring {} at {}, {} requests; {}\n\nconcurrency  output tokens/s  failed\n", model, plan.target.text,
             a.lengths, a.fixed_concurrency > 0 ? "one load" : "the load doubles until throughput stops growing");
  const int first = a.fixed_concurrency > 0 ? a.fixed_concurrency : std::min(8, a.concurrency);
  const int most = a.fixed_concurrency > 0 ? a.fixed_concurrency : a.concurrency;
  Saturation saturation(loop, *client,
                        {plan.target, model, plan.style, plan.fields, *lengths, a.speed, first, most,
                         plan.warm_up, plan.measure, 0.03, a.seed});
  bool stopped = false;
  loop.on_signals({SIGINT, SIGTERM}, [&](int) {
    stopped = true;
    saturation.stop();
  });
  saturation.start(
      [&](const SaturationStep& step) {
        fmt::print(out, "{:>11}  {:>15}  {:>6}\n", step.concurrency, report::thousands(step.tokens_per_second), step.failed);
        std::fflush(out);
      },
      [&] { loop.stop(); });
  loop.run();
  if (saturation.best() <= 0) {
    const auto why = saturation.problem();
    return complain({fmt::format("no tokens came{}", why.empty() ? "" : "; the last failure: " + why)}, failed);
  }
  fmt::print(out, "\nFor the configuration:\n  models:\n    {}: {{prior: {{token_throughput: {:.0f}/s}}}}\n", model, saturation.best());
  if (!a.json.empty()) {
    write_file(a.json, fmt::format("{{\"format\":\"qlm-saturation/1\",\"token_throughput_per_s\":{:.1f}}}\n", saturation.best()));
  }
  return stopped ? interrupted : done;
}

int compare_runs(const Arguments& a) {
  std::vector<report::Run> runs;
  for (const auto& path : a.compare) {
    auto run = report::read_run_file(path);
    if (!run) return complain(run.error(), wrong_usage);
    runs.push_back(std::move(*run));
  }
  fmt::print(people(a), "{}", report::to_table(runs));
  return a.html.empty() || write_file(a.html, report::to_html(runs, a.title)) ? done : failed;
}

constexpr const char* footer = R"(What it does:
  qlm bench --trace FILE URL        replays a trace, open loop: each request leaves at its instant
  qlm bench URL                     measures the tokens a second an engine can give, and prints the line to configure it
  qlm bench --compare A.json B.json puts runs side by side

Every request offered is counted: refused, failed, cut and unanswered ones are misses of their class. TTFT and E2E
count from the instant a request was due, not from when it left. docs/bench.md describes the figures and the JSON.

Examples:
  qlm bench --trace trace.csv --slo interactive=ttft:2s,tpot:200ms --slo batch=e2e:60s \
            --label fcfs --json fcfs.json http://localhost:8080
  qlm bench --compare fcfs.json edf.json --html report.html
  qlm bench --trace azure2023_conv.csv --class interactive --models mistral-7b --duration 10m http://localhost:8080

Exit codes: 0 done, 1 failed or no request was completed, 2 wrong usage, 3 --strict and not every request was answered whole, 130 interrupted.)";

}  // namespace

int run(int argc, char** argv) {
  Arguments a;
  CLI::App app("Replays a trace against any OpenAI endpoint, or measures an engine.", "qlm bench");
  app.add_option("url", a.url, "the endpoint, QLM or an engine");
  app.add_option("--trace", a.trace, "CSV of arrival_s,prompt_tokens,output_tokens,model,class")->group("What to send");
  app.add_option("--duration", a.duration, "only what arrives before this (10m)")->group("What to send");
  app.add_option("--rate-factor", a.rate_factor, "arrivals this many times as dense")->check(CLI::PositiveNumber)->group("What to send");
  app.add_option("--speed", a.speed, "for emulated engines faster than life: divides arrivals and SLOs; results are in life's time")
      ->check(CLI::PositiveNumber)->group("What to send");
  app.add_option("--models", a.models, "models where the trace names none: a,b:2 (default: the first the server lists)")->group("What to send");
  app.add_option("--class", a.default_class, "class where the trace names none")->group("What to send");
  app.add_option("--class-map", a.class_map, "what x-slo-class says for the trace's classes: FROM=TO,...")->group("What to send");
  app.add_flag("--slo-headers", a.slo_headers, "send the objectives of --slo as x-slo-...-ms, too")->group("What to send");
  app.add_option("--endpoint", a.endpoint, "chat or completions")->check(CLI::IsMember({"chat", "completions"}))->group("What to send");
  app.add_option("--bytes-per-token", a.bytes_per_token, "bytes of prompt text for a token")->check(CLI::Range(0.1, 100.0))
      ->capture_default_str()->group("What to send");
  auto* keep_eos = app.add_flag("--keep-eos", a.keep_eos, "do not send ignore_eos; for servers that refuse unknown fields")->group("What to send");
  app.add_flag("--hide-lengths", a.hide_lengths, "state no max_tokens, so that nobody on the way knows an output's length; for emulated engines")
      ->excludes(keep_eos)->group("What to send");
  app.add_option("--api-key-file", a.api_key_file, "file with the key to send")->group("What to send");
  app.add_option("--seed", a.seed, "of the prompts' text")->capture_default_str()->group("What to send");
  app.add_option("--slo", a.slos, "CLASS=ttft:2s,tpot:200ms,e2e:60s; may be repeated")
      ->allow_extra_args(false)->group("How to judge");
  app.add_option("--timeout", a.timeout, "after the last arrival, what is unanswered is given up")->capture_default_str()->group("How to judge");
  app.add_flag("--strict", a.strict, "exit with 3 unless every request was answered once, whole, at the length asked")->group("How to judge");
  app.add_option("--label", a.label, "name of this run in tables and reports (default: the URL)")->group("What to write");
  app.add_option("--json", a.json, "the result, - for standard output")->group("What to write");
  app.add_option("--html", a.html, "a report that needs nothing else")->group("What to write");
  app.add_option("--title", a.title, "of the report")->group("What to write");
  app.add_option("--requests-csv", a.csv, "one line for each request")->group("What to write");
  app.add_option("--busy-from", a.busy_from, "emulated engines whose busy share to report; may be repeated")
      ->allow_extra_args(false)->group("What to write");
  app.add_flag("--quiet", a.quiet, "no progress line")->group("What to write");
  app.add_option("--compare", a.compare, "results (--json) to put side by side")->group("What to write");
  app.add_option("--lengths", a.lengths, "of the requests: a table of qlm workload, or PROMPT/OUTPUT")->capture_default_str()->group("Measuring an engine");
  app.add_option("--max-concurrency", a.concurrency, "go no further")->check(CLI::Range(1, 100'000))->capture_default_str()->group("Measuring an engine");
  app.add_option("--concurrency", a.fixed_concurrency, "measure at this one only")->check(CLI::Range(1, 100'000))->group("Measuring an engine");
  app.add_option("--warm-up", a.warm_up, "before each step is measured (default: half of --step)")->group("Measuring an engine");
  app.add_option("--step", a.step, "how long each step is measured")->capture_default_str()->group("Measuring an engine");
  app.footer(footer);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? done : wrong_usage;
  }
  if (!a.compare.empty()) {
    if (!a.url.empty() || !a.trace.empty()) return complain({"--compare takes results only, no URL and no trace"}, wrong_usage);
    return compare_runs(a);
  }
  auto plan = plan_of(a);
  if (!plan) return complain(plan.error(), wrong_usage);
  return a.trace.empty() ? measure_engine(a, std::move(*plan)) : replay_trace(a, std::move(*plan));
}

}  // namespace qlm::bench

#include "simulate/report/run_json.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "simulate/report/escape.hpp"
#include "simulate/report/summary.hpp"

namespace qlm::report {
namespace {

constexpr std::string_view format_name = "qlm-run/1";

std::string number_of(std::optional<double> value) { return value ? fmt::format("{:.6g}", *value) : "null"; }

// Microseconds as milliseconds with three decimals: written exactly, read back exactly.
std::string ms_of(std::optional<Duration> value) {
  if (!value) return "null";
  const auto us = std::chrono::round<std::chrono::microseconds>(*value).count();
  const auto size = us < 0 ? -us : us;
  return fmt::format("{}{}.{:03}", us < 0 ? "-" : "", size / 1000, size % 1000);
}

std::string slo_json(const Slo& slo) {
  return fmt::format(R"({{"ttft_ms":{},"tpot_ms":{},"e2e_ms":{}}})", ms_of(slo.ttft), ms_of(slo.tpot), ms_of(slo.e2e));
}

std::string percentiles_json(const Percentiles& p) {
  return fmt::format(R"({{"count":{},"p50":{},"p90":{},"p99":{}}})", p.count, ms_of(p.p50), ms_of(p.p90), ms_of(p.p99));
}

std::string counts_json(const ClassSummary& c) {
  std::string out = fmt::format(R"("offered":{})", c.offered);
  for (std::size_t i = 0; i < outcome_names.size(); ++i) {
    out += fmt::format(R"(,"{}":{})", outcome_names[i], c.outcomes[i]);
  }
  return out + fmt::format(R"(,"on_time":{},"attainment":{})", c.on_time, number_of(c.attainment));
}

std::string latencies_json(const ClassSummary& c) {
  return fmt::format(R"("ttft_ms":{},"tpot_ms":{},"e2e_ms":{})", percentiles_json(c.ttft), percentiles_json(c.tpot),
                     percentiles_json(c.e2e));
}

template <class Value>
std::string column(const Run& run, std::string_view name, Value&& value) {
  std::string out = fmt::format(R"(,
    "{}":[)", name);
  for (std::size_t i = 0; i < run.requests.size(); ++i) {
    if (i > 0) out += ',';
    out += value(run.requests[i]);
  }
  return out + ']';
}

template <class Item, class Text>
std::string list(const std::vector<Item>& items, Text&& text) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ",") + text(item);
  return out;
}

// simdjson reports errors as values; a file that is not what to_json wrote ends the reading at the first of them.
struct Reader {
  std::string problem;

  template <class T>
  T get(simdjson::dom::element parent, std::string_view key) {
    T value{};
    if (problem.empty() && parent[key].get(value) != simdjson::SUCCESS) {
      problem = fmt::format("'{}' is missing or of another type", key);
    }
    return value;
  }

  std::optional<Duration> duration(simdjson::dom::element ms) {
    if (!problem.empty() || ms.is_null()) return std::nullopt;
    double value = 0;
    if (ms.get(value) != simdjson::SUCCESS || !(std::abs(value) < 1e12)) {
      problem = "a time is no number";
      return std::nullopt;
    }
    return std::chrono::microseconds{std::llround(value * 1000)};
  }

  // Calls put(request, element) for each request; a column that is absent or of another length is a problem.
  template <class Put>
  void column(Run& run, simdjson::dom::element requests, std::string_view key, Put&& put) {
    const auto values = get<simdjson::dom::array>(requests, key);
    if (!problem.empty()) return;
    std::size_t i = 0;
    for (const auto value : values) {
      if (i < run.requests.size()) put(run.requests[i], value);
      ++i;
    }
    if (i != run.requests.size()) problem = fmt::format("column '{}' has {} values, not {}", key, i, run.requests.size());
  }

  std::int64_t integer(simdjson::dom::element value, std::int64_t bound) {
    std::int64_t number = 0;
    if (value.get(number) != simdjson::SUCCESS || number < 0 || number >= bound) problem = "a number is out of range";
    return problem.empty() ? number : 0;
  }
};

}  // namespace

std::string to_json(const Run& run) {
  const auto s = summarize(run);
  std::string worst = "null";
  if (s.worst_class) {
    const auto& c = s.classes[*s.worst_class];
    worst = fmt::format(R"({{"class":{},"attainment":{}}})", json_quoted(c.name), number_of(c.attainment));
  }
  std::string out = fmt::format(R"({{"format":"{}",
  "label":{},"target":{},"speed":{},
  {},
  {},
  "worst_class":{},
  "span_s":{},"throughput_tokens_per_s":{},"goodput_tokens_per_s":{},"goodput_requests_per_s":{},
  "late_sends":{},"worst_lateness_ms":{},"duplicates":{},"wrong_length":{},"busy_share":{},
  "classes":{{)",
                                format_name, json_quoted(run.label), json_quoted(run.target), number_of(run.speed),
                                counts_json(s.all), latencies_json(s.all), worst, number_of(seconds(s.span)),
                                number_of(s.throughput_tokens), number_of(s.goodput_tokens),
                                number_of(s.goodput_requests), run.late_sends, ms_of(run.worst_lateness),
                                run.duplicates, s.wrong_length, number_of(run.busy_share));
  out += list(s.classes, [](const ClassSummary& c) {
    return fmt::format("\n    {}:{{\"slo\":{},{},{}}}", json_quoted(c.name), slo_json(c.slo), counts_json(c),
                       latencies_json(c));
  });
  out += fmt::format(R"(}},
  "requests":{{
    "class_names":[{}],
    "model_names":[{}])",
                     list(run.classes, [](const ClassInfo& c) { return json_quoted(c.name); }),
                     list(run.models, [](const std::string& m) { return json_quoted(m); }));
  out += column(run, "class", [](const auto& r) { return std::to_string(r.slo_class); });
  out += column(run, "model", [](const auto& r) { return std::to_string(r.model); });
  out += column(run, "outcome", [](const auto& r) { return std::to_string(static_cast<int>(r.outcome)); });
  out += column(run, "status", [](const auto& r) { return std::to_string(r.status); });
  out += column(run, "arrival_ms", [](const auto& r) { return ms_of(r.arrival); });
  out += column(run, "sent_ms", [](const auto& r) { return ms_of(r.sent); });
  out += column(run, "first_token_ms", [](const auto& r) { return ms_of(r.first_token); });
  out += column(run, "last_token_ms", [](const auto& r) { return ms_of(r.last_token); });
  out += column(run, "ended_ms", [](const auto& r) { return ms_of(r.ended); });
  out += column(run, "prompt_tokens", [](const auto& r) { return std::to_string(r.prompt.count); });
  out += column(run, "output_tokens_asked", [](const auto& r) { return std::to_string(r.asked.count); });
  out += column(run, "output_tokens", [](const auto& r) { return std::to_string(r.received.count); });
  return out + "\n  }\n}\n";
}

Result<Run> parse_run(std::string_view json) {
  namespace dom = simdjson::dom;
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root); error != simdjson::SUCCESS) {
    return fail(fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  std::string_view format;
  if (root["format"].get(format) != simdjson::SUCCESS || format != format_name) {
    return fail(fmt::format("not the result of a run: expected \"format\":\"{}\"", format_name));
  }
  Reader read;
  Run run;
  run.label = read.get<std::string_view>(root, "label");
  run.target = read.get<std::string_view>(root, "target");
  run.speed = read.get<double>(root, "speed");
  run.late_sends = read.get<std::int64_t>(root, "late_sends");
  run.duplicates = read.get<std::int64_t>(root, "duplicates");
  run.worst_lateness = read.duration(read.get<dom::element>(root, "worst_lateness_ms")).value_or(Duration{});
  const auto busy = read.get<dom::element>(root, "busy_share");
  if (double share = 0; read.problem.empty() && busy.get(share) == simdjson::SUCCESS) run.busy_share = share;
  const auto classes = read.get<dom::element>(root, "classes");
  const auto requests = read.get<dom::element>(root, "requests");
  if (!read.problem.empty()) return fail(read.problem);

  for (const auto element : read.get<dom::array>(requests, "class_names")) {
    std::string_view name;
    if (element.get(name) != simdjson::SUCCESS) return fail("a class name is no string");
    dom::element info;
    // at_key, not the pointer syntax of []: a class may be named "a/b".
    if (classes.at_key(name).get(info) != simdjson::SUCCESS) return fail(fmt::format("class '{}' has no summary", name));
    const auto slo = read.get<dom::element>(info, "slo");
    if (!read.problem.empty()) return fail(read.problem);
    run.classes.push_back({std::string(name),
                           {read.duration(read.get<dom::element>(slo, "ttft_ms")),
                            read.duration(read.get<dom::element>(slo, "tpot_ms")),
                            read.duration(read.get<dom::element>(slo, "e2e_ms"))}});
  }
  for (const auto element : read.get<dom::array>(requests, "model_names")) {
    std::string_view name;
    if (element.get(name) != simdjson::SUCCESS) return fail("a model name is no string");
    run.models.emplace_back(name);
  }
  const auto arrivals = read.get<dom::array>(requests, "arrival_ms");
  if (!read.problem.empty()) return fail(read.problem);
  std::size_t count = 0;
  for ([[maybe_unused]] const auto arrival : arrivals) ++count;
  run.requests.resize(count);

  constexpr std::int64_t many = 1'000'000'000'000;
  const auto class_count = static_cast<std::int64_t>(run.classes.size());
  const auto model_count = static_cast<std::int64_t>(run.models.size());
  read.column(run, requests, "class", [&](auto& r, auto v) {
    r.slo_class = static_cast<std::uint32_t>(read.integer(v, class_count));
  });
  read.column(run, requests, "model", [&](auto& r, auto v) {
    r.model = static_cast<std::uint32_t>(read.integer(v, model_count));
  });
  read.column(run, requests, "outcome", [&](auto& r, auto v) {
    r.outcome = static_cast<Outcome>(read.integer(v, static_cast<std::int64_t>(outcome_names.size())));
  });
  read.column(run, requests, "status", [&](auto& r, auto v) { r.status = static_cast<int>(read.integer(v, 1000)); });
  read.column(run, requests, "arrival_ms", [&](auto& r, auto v) { r.arrival = read.duration(v).value_or(Duration{}); });
  read.column(run, requests, "sent_ms", [&](auto& r, auto v) { r.sent = read.duration(v); });
  read.column(run, requests, "first_token_ms", [&](auto& r, auto v) { r.first_token = read.duration(v); });
  read.column(run, requests, "last_token_ms", [&](auto& r, auto v) { r.last_token = read.duration(v); });
  read.column(run, requests, "ended_ms", [&](auto& r, auto v) { r.ended = read.duration(v); });
  read.column(run, requests, "prompt_tokens", [&](auto& r, auto v) { r.prompt = Tokens{read.integer(v, many)}; });
  read.column(run, requests, "output_tokens_asked", [&](auto& r, auto v) { r.asked = Tokens{read.integer(v, many)}; });
  read.column(run, requests, "output_tokens", [&](auto& r, auto v) { r.received = Tokens{read.integer(v, many)}; });
  if (!read.problem.empty()) return fail(read.problem);
  return run;
}

Result<Run> read_run_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(fmt::format("cannot read {}", path));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto run = parse_run(text);
  if (!run) return fail(fmt::format("{}: {}", path, run.error().message));
  return run;
}

std::string requests_csv(const Run& run) {
  const auto cell = [](std::optional<Duration> value) { return value ? ms_of(value) : std::string(); };
  // Names came from a trace, whose cells hold neither commas nor quotes.
  std::string out =
      "arrival_ms,class,model,outcome,status,lateness_ms,ttft_ms,tpot_ms,e2e_ms,prompt_tokens,output_tokens_asked,"
      "output_tokens,on_time\n";
  for (const auto& r : run.requests) {
    const auto& info = run.classes[r.slo_class];
    const auto lateness = r.sent ? std::optional(*r.sent - r.arrival) : std::nullopt;
    const auto met = info.slo == Slo{} ? "" : on_time(r, info.slo) ? "1" : "0";
    fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{},{},{},{},{}\n", ms_of(r.arrival), info.name,
                   run.models[r.model], name(r.outcome), r.status, cell(lateness), cell(ttft(r)), cell(tpot(r)),
                   cell(e2e(r)), r.prompt.count, r.asked.count, r.received.count, met);
  }
  return out;
}

}  // namespace qlm::report

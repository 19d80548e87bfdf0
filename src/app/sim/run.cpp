#include "app/sim/run.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "app/sim/own_case.hpp"
#include "core/domain/names.hpp"
#include "core/plan/order.hpp"
#include "runtime/solver/solver.hpp"
#include "simulate/suite/suite_report.hpp"

namespace qlm::sim {
namespace {

constexpr int failed = 1, wrong_usage = 2;
constexpr Duration longest_backlog = 10'000h;
// What a run depends on is counted in nodes; the clock ends what hangs.
constexpr std::int64_t solver_nodes = 1'000;
constexpr Duration solver_patience = 60s;

struct Arguments {
  std::string suite, trace, configuration, json, html, requests;
  std::string policies, loads, only, duration, print_plan, without, solver;
  std::vector<std::string> values;
  int seeds = 0;
  std::uint64_t first_seed = 101;  // the first hundred are for tuning
  unsigned jobs = 0;
  bool state_lengths = false;
};

std::string footer() {
  std::string text = "Suites (--suite):\n";
  for (const auto& s : suite::suite_names()) text += fmt::format("  {:<8} {}\n", s.name, s.description);
  text += "\nPolicies (--policy, a list):\n ";
  for (const Policy policy : all_policies) text += fmt::format(" {}", name(policy));
  text += "\n\nComponents (--without, a list; tools/ablations tries each):\n ";
  for (const Component component : all_components) text += fmt::format(" {}", name(component));
  return text +
         "\n\nLoad is the offered rate over the capacity, which is measured for each case: a backlog's requests over the time in\n"
         "which it is served first come, first served. Seeds are paired: each policy sees the same arrivals. All arrivals\n"
         "count; after the last one everything that still waits is served to its end.\n\n"
         "Examples:\n"
         "  qlm sim --suite smoke\n"
         "  qlm sim --suite steady --case w_a --load 1.2,1.5 --json steady.json --html steady.html\n"
         "  qlm workload --recipe w_a --rate 40 --duration 10m -o trace.csv\n"
         "  qlm sim --trace trace.csv --config qlm.yaml --policy qlm,edf,fcfs\n\n"
         "The configuration of --config must name a profile for each model (`prior: {profile: a100-80/mistral-7b}`): what an\n"
         "emulated engine follows. Models that take turns on a GPU stand in `pools`. Its classes' max_wait (10 min unless stated)\n"
         "and when_late give requests up as they do live, and its limits (limits.queued, limits.tenant_share, tenants' own, models'\n"
         "max_output_tokens with --state-lengths) refuse them; a refused request is a miss. What of it cannot be simulated is said on\n"
         "standard error. Suites refuse nobody.\n"
         "Same arguments, same figures and digests, on every machine.\n"
         "Exit codes: 0 done, 1 failed, 2 wrong usage, trace or configuration.";
}

Result<std::vector<Policy>> parse_policies(const std::string& text) {
  std::vector<Policy> policies;
  std::istringstream list(text);
  for (std::string word; std::getline(list, word, ',');) {
    const auto found = std::ranges::find_if(all_policies, [&](Policy p) { return name(p) == word; });
    if (found == all_policies.end()) return fail(fmt::format("--policy: there is no policy '{}'", word));
    if (std::ranges::find(policies, *found) != policies.end()) return fail(fmt::format("--policy: '{}' is named twice", word));
    policies.push_back(*found);
  }
  return policies;
}

Result<std::vector<Component>> parse_components(const std::string& text) {
  std::vector<Component> components;
  std::istringstream list(text);
  for (std::string word; std::getline(list, word, ',');) {
    const auto found = std::ranges::find_if(all_components, [&](Component c) { return name(c) == word; });
    if (found == all_components.end()) return fail(fmt::format("--without: there is no component '{}'", word));
    components.push_back(*found);
  }
  return components;
}

Result<std::vector<double>> parse_loads(const std::string& text) {
  std::vector<double> loads;
  std::istringstream list(text);
  for (std::string word; std::getline(list, word, ',');) {
    char* end = nullptr;
    const double load = std::strtod(word.c_str(), &end);
    if (word.empty() || *end != '\0' || !(load > 0 && load <= 100)) return fail(fmt::format("--load: '{}' is no number above 0", word));
    loads.push_back(load);
  }
  return loads;
}

Result<std::vector<std::vector<double>>> parse_values(const std::vector<std::string>& given) {
  std::vector<std::vector<double>> all;
  for (const std::string& text : given) {
    std::vector<double>& values = all.emplace_back();
    std::istringstream list(text);
    for (std::string word; std::getline(list, word, ',');) {
      char* end = nullptr;
      values.push_back(std::strtod(word.c_str(), &end));
      if (word.empty() || *end != '\0' || !(values.back() > 0 && values.back() <= 1e6)) return fail(fmt::format("--values: '{}' is no number above 0", word));
    }
  }
  return all;
}

// Tried once, so that a command that cannot work is a mistake and no failed cell.
Result<lp::Solve> solver_of(const std::string& text, Duration patience) {
  auto command = text == "cbc" ? Result<solver::Command>(solver::cbc(solver_nodes, patience)) : solver::command_from(text, patience);
  if (!command) return std::unexpected(command.error());
  lp::Solve solve = solver::solver(std::move(*command));
  lp::Program least;
  least.add({.cost = 1, .upper = 1, .integer = true});
  least.rows.push_back({.lower = 1, .terms = {{0, 1}}});
  const auto one = solve(least);
  if (!one) return std::unexpected(one.error());
  if (one->status != lp::Status::optimal && one->status != lp::Status::feasible) return fail("the solver finds no solution of x = 1");
  return solve;
}

// One simulation, and its places in the results: where values change nothing but the judgement, one serves several.
struct Job {
  std::vector<std::size_t> cells;
  std::optional<std::size_t> policy;  // none: the limits of the cells
};

class Progress {
 public:
  Progress(std::string_view what, std::size_t all) : what_(what), all_(all), terminal_(isatty(STDERR_FILENO) != 0) {}
  ~Progress() {
    if (terminal_ && done_ > 0) fmt::print(stderr, "\n");
  }
  void one_done() {
    const std::scoped_lock lock(mutex_);
    ++done_;
    if (terminal_) fmt::print(stderr, "\rqlm sim: {} {} of {} ", what_, done_, all_);
    else if (done_ == all_ || done_ % std::max<std::size_t>(1, all_ / 10) == 0) fmt::print(stderr, "qlm sim: {} {} of {}\n", what_, done_, all_);
  }

 private:
  std::string_view what_;
  std::size_t all_, done_ = 0;
  bool terminal_;
  std::mutex mutex_;
};

template <class Work>
void in_parallel(unsigned threads, std::size_t count, Work&& work) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> pool;
  for (unsigned t = 0; t < std::max(1u, threads); ++t) {
    pool.emplace_back([&] {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    });
  }
}

std::vector<std::pair<std::string, double>> values_of(const suite::Case& of) {
  std::vector<std::pair<std::string, double>> values;
  for (const ServiceClass& c : of.classes) values.emplace_back(c.name, c.value);
  return values;
}

// What --print-plan asks for, simulation by simulation.
struct Pictures {
  std::optional<Duration> at;
  std::vector<std::string> of;

  fleet::FleetSpec asked(fleet::FleetSpec spec) const {
    spec.picture_at = at;
    return spec;
  }
  void keep(std::size_t k, const suite::CellResult& cell, Policy policy, const std::string& picture) {
    if (!picture.empty()) of[k] = fmt::format("-- {}, load {}, seed {}, {}, at {:.0f} s\n{}\n", cell.name, cell.load ? fmt::format("{:.2f}", *cell.load) : "-", cell.seed, name(policy), seconds(*at), picture);
  }
};

// The case whose engines can do the same and which sees the same arrivals, but for when they come.
std::optional<std::size_t> twin_of(const std::vector<suite::Case>& cases, std::size_t i) {
  const bool slow_from_the_start = std::ranges::any_of(cases[i].changes, [](const fleet::SpeedChange& c) { return c.at == Duration{}; });
  const auto at = std::ranges::find(cases, cases[i].undisturbed, &suite::Case::name);
  if (cases[i].undisturbed.empty() || slow_from_the_start || at == cases.end()) return std::nullopt;
  return static_cast<std::size_t>(at - cases.begin());
}

// The lines of simulations that end in any order, in one order: the same on every machine.
class RequestsFile {
 public:
  explicit RequestsFile(const std::string& path) : wanted_(!path.empty()) {
    if (!wanted_) return;
    file_.open(path, std::ios::binary);
    file_ << suite::requests_header();
  }
  bool wanted() const { return wanted_; }
  void write(std::size_t turn, std::string lines) {
    const std::scoped_lock lock(mutex_);
    early_[turn] = std::move(lines);
    for (auto next = early_.begin(); next != early_.end() && next->first == turn_; next = early_.erase(next), ++turn_) file_ << next->second;
  }
  bool close() {
    if (wanted_) file_.close();
    return !wanted_ || !file_.fail();
  }

 private:
  bool wanted_;
  std::ofstream file_;
  std::mutex mutex_;
  std::map<std::size_t, std::string> early_;
  std::size_t turn_ = 0;
};

std::vector<suite::CellResult> run_suite(const suite::Suite& s, unsigned threads, std::uint64_t first_seed, const lp::Solve& solve, Pictures& pictures, RequestsFile& requests) {
  const auto twin = [&](std::size_t i) { return twin_of(s.cases, i); };
  std::vector<double> capacities(s.cases.size());
  std::vector<std::size_t> measured;
  for (std::size_t i = 0; i < s.cases.size(); ++i) {
    if (!twin(i)) measured.push_back(i);
  }
  {
    Progress progress("measuring capacities,", measured.size());
    in_parallel(threads, measured.size(), [&](std::size_t k) {
      const suite::Case& of = s.cases[measured[k]];
      capacities[measured[k]] = suite::measured_capacity(of, std::max(s.backlog, of.backlog));
      progress.one_done();
    });
  }
  for (std::size_t i = 0; i < s.cases.size(); ++i) {
    if (const auto same = twin(i)) capacities[i] = capacities[*same];
  }
  std::vector<suite::CellResult> cells;
  std::vector<suite::Case> cases;  // of each cell
  std::vector<Job> jobs;
  for (std::size_t c = 0; c < s.cases.size(); ++c) {
    for (const double load : s.loads) {
      for (int seed = 0; seed < s.seeds; ++seed) {
        std::vector<std::size_t> alike;
        for (const std::vector<double>& values : s.values) {
          suite::Case of = suite::with_values(s.cases[c], values).value();
          of.without = s.without;
          of.solve = solve;
          alike.push_back(cells.size());
          suite::CellResult cell{.name = of.name, .undisturbed = of.undisturbed, .load = load, .seed = first_seed + static_cast<std::uint64_t>(seed), .capacity = capacities[c],
                                 .values = values_of(of), .limits = {}, .policies = {}};
          for (const Policy policy : s.policies) cell.policies.emplace_back(policy, suite::Figures{});
          cells.push_back(std::move(cell));
          cases.push_back(std::move(of));
        }
        for (std::size_t p = 0; p < s.policies.size(); ++p) {
          if (!heeds_values(s.policies[p])) {
            jobs.push_back({alike, p});
          } else {
            for (const std::size_t cell : alike) jobs.push_back({{cell}, p});
          }
        }
        jobs.push_back({alike, std::nullopt});
      }
    }
  }
  // The longest first, so that the last to end is a short one.
  std::ranges::stable_sort(jobs, std::greater<>{}, [&](const Job& job) { return cells[job.cells.front()].load; });
  pictures.of.resize(jobs.size());
  Progress progress("simulations,", jobs.size());
  in_parallel(threads, jobs.size(), [&](std::size_t i) {
    const Job& job = jobs[i];
    const suite::CellResult& first = cells[job.cells.front()];
    const suite::Case& of = cases[job.cells.front()];
    const double rate = *first.load * first.capacity;
    const Duration duration = s.requests > 0 ? duration_from_seconds(2 * static_cast<double>(s.requests) / rate) : s.duration;
    workload::Trace trace = of.arrivals(rate, duration, first.seed);
    if (s.requests > 0) trace.resize(std::min(trace.size(), static_cast<std::size_t>(s.requests)));
    const auto arrivals = suite::to_arrivals(of, trace).value();
    if (job.policy) {
      const Policy policy = s.policies[*job.policy];
      const fleet::FleetResult result = fleet::simulate(pictures.asked(suite::fleet_spec(of, policy, first.seed)), arrivals);
      pictures.keep(i, first, policy, result.picture);
      std::string lines;
      for (const std::size_t cell : job.cells) {
        cells[cell].policies[*job.policy].second = suite::figures(cases[cell], result);
        if (requests.wanted()) lines += suite::requests_csv(cells[cell], policy, cases[cell], result);
      }
      requests.write(i, std::move(lines));
    } else {
      requests.write(i, "");
      const suite::Limits* known = nullptr;
      for (const std::size_t cell : job.cells) {
        cells[cell].limits = suite::limits_of(cases[cell], arrivals, known);
        known = &cells[cell].limits;
      }
    }
    progress.one_done();
  });
  return cells;
}

std::vector<suite::CellResult> run_own(const OwnCase& own, const std::vector<Policy>& policies, bool state_lengths, unsigned threads,
                                       Pictures& pictures, RequestsFile& requests) {
  auto arrivals = suite::to_arrivals(own.of, own.trace).value();
  if (state_lengths) {
    for (fleet::Arrival& each : arrivals) {
      each.max_output = each.output;
      const auto longest = own.longest_outputs[each.model.index()];
      each.turned_away = longest && *each.max_output > *longest;
    }
  }
  const double lasted = seconds(own.trace.back().arrival - own.trace.front().arrival);
  // The trace's own mix, all there at once, and nobody given up however long that takes.
  suite::Case same = own.of;
  for (ServiceClass& each : same.classes) {
    each.max_wait = longest_backlog;
    each.when_late = WhenLate::serve;
  }
  for (Tenant& each : same.tenants) each.limits = {};
  same.queue.reset();
  same.arrivals = [&own](double, Duration, std::uint64_t) { return own.trace; };
  const double capacity = suite::measured_capacity(same, 10'000);
  suite::CellResult cell{.name = own.of.name, .undisturbed = {}, .load = std::nullopt, .seed = 0, .capacity = capacity,
                         .values = values_of(own.of), .limits = suite::limits_of(own.of, arrivals), .policies = {}};
  if (lasted > 0 && capacity > 0) cell.load = static_cast<double>(own.trace.size()) / lasted / capacity;  // all at once is no rate
  for (const Policy policy : policies) cell.policies.emplace_back(policy, suite::Figures{});
  pictures.of.resize(policies.size());
  Progress progress("simulations,", policies.size());
  in_parallel(threads, policies.size(), [&](std::size_t i) {
    auto& [policy, figures] = cell.policies[i];
    const fleet::FleetResult result = fleet::simulate(pictures.asked(suite::fleet_spec(own.of, policy)), arrivals);
    figures = suite::figures(own.of, result);
    requests.write(i, requests.wanted() ? suite::requests_csv(cell, policy, own.of, result) : "");
    pictures.keep(i, cell, policy, result.picture);
    progress.one_done();
  });
  return {cell};
}

int complain(const std::string& message) {
  fmt::print(stderr, "qlm sim: {}\n", message);
  return wrong_usage;
}

bool written(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) fmt::print(stderr, "qlm sim: cannot write {}\n", path);
  return static_cast<bool>(file);
}

int report(const std::string& name, const std::vector<suite::CellResult>& cells, const Pictures& pictures, const Arguments& a, RequestsFile& requests) {
  const bool to_output = a.json == "-";
  for (const std::string& picture : pictures.of) fmt::print(to_output ? stderr : stdout, "{}", picture);
  if (!to_output) fmt::print("{}\n{}", suite::to_table(cells), suite::waits_table(cells));
  for (const std::string& more : {suite::losses_table(cells), suite::exact_table(cells)}) {
    if (!to_output && !more.empty()) fmt::print("\n{}", more);
  }
  bool all = requests.close();
  if (!all) fmt::print(stderr, "qlm sim: cannot write {}\n", a.requests);
  if (!a.html.empty()) all = written(a.html, suite::to_html(name, cells)) && all;
  if (to_output) {
    const std::string text = suite::to_json(name, cells);
    std::fwrite(text.data(), 1, text.size(), stdout);
    all = std::fflush(stdout) == 0 && all;
  } else if (!a.json.empty()) {
    all = written(a.json, suite::to_json(name, cells)) && all;
  }
  const std::string failed_cells = suite::failures(cells);
  fmt::print(stderr, "{}", failed_cells);
  return all && failed_cells.empty() ? 0 : failed;
}

int execute(const Arguments& a) {
  const unsigned threads = a.jobs > 0 ? a.jobs : std::max(1u, std::thread::hardware_concurrency());
  const auto policies = parse_policies(a.policies);
  if (!policies) return complain(policies.error().message);
  Pictures pictures;
  if (!a.print_plan.empty()) {
    const auto at = workload::parse_duration(a.print_plan);
    if (!at) return complain("--print-plan: " + at.error().message);
    pictures.at = *at;
  }
  if (a.suite.empty() == a.trace.empty()) return complain("give either --suite, or --trace and --config");
  if (!a.trace.empty()) {
    if (a.configuration.empty()) return complain("--trace needs --config: the fleet that serves it");
    auto own = own_case(a.trace, a.configuration);
    if (!own) return complain(own.error().message);
    if (!a.loads.empty() || a.seeds > 0 || !a.duration.empty() || !a.only.empty() || !a.values.empty() || !a.without.empty()) {
      return complain("--load, --seeds, --duration, --case, --values and --without choose within a --suite; a trace is taken as it is");
    }
    if (const std::string& command = a.solver.empty() ? own->solver : a.solver; !command.empty()) {
      auto solve = solver_of(command, own->solver_timeout);
      if (!solve) return complain((a.solver.empty() ? a.configuration + ": planning.solver.command: " : "--solver: ") + solve.error().message);
      own->of.solve = std::move(*solve);
    }
    if (own->trace.empty()) return complain(a.trace + ": holds no request");
    for (const std::string& each : own->not_simulated) fmt::print(stderr, "qlm sim: not simulated: {}\n", each);
    RequestsFile requests(a.requests);
    return report(a.trace, run_own(*own, policies->empty() ? std::vector{own->policy} : *policies, a.state_lengths, threads, pictures, requests), pictures, a, requests);
  }
  auto s = suite::suite(a.suite);
  if (!s) return complain(s.error().message);
  lp::Solve solve;
  if (!a.solver.empty()) {
    auto made = solver_of(a.solver, solver_patience);
    if (!made) return complain("--solver: " + made.error().message);
    solve = std::move(*made);
  }
  if (!policies->empty()) s->policies = *policies;
  const auto without = parse_components(a.without);
  if (!without) return complain(without.error().message);
  s->without = *without;
  const auto loads = parse_loads(a.loads);
  if (!loads) return complain(loads.error().message);
  if (!loads->empty()) s->loads = *loads;
  if (a.seeds > 0) s->seeds = a.seeds;
  if (!a.duration.empty()) {
    const auto duration = workload::parse_duration(a.duration);
    if (!duration) return complain("--duration: " + duration.error().message);
    s->duration = *duration;
    s->requests = 0;
  }
  // What is compared with another case brings that with it.
  const std::vector<suite::Case> all = s->cases;
  const auto asked = [&](const suite::Case& c) { return c.name.find(a.only) != std::string::npos; };
  std::erase_if(s->cases, [&](const suite::Case& c) {
    return !asked(c) && std::ranges::none_of(all, [&](const suite::Case& other) { return asked(other) && other.undisturbed == c.name; });
  });
  if (s->cases.empty()) return complain(fmt::format("--case: no case of {} has '{}' in its name", a.suite, a.only));
  const auto values = parse_values(a.values);
  if (!values) return complain(values.error().message);
  if (!values->empty()) s->values = *values;
  for (const suite::Case& c : s->cases) {
    for (const std::vector<double>& each : s->values) {
      if (const auto fits = suite::with_values(c, each); !fits) return complain("--values: " + fits.error().message);
    }
  }
  RequestsFile requests(a.requests);
  return report(a.suite, run_suite(*s, threads, a.first_seed, solve, pictures, requests), pictures, a, requests);
}

}  // namespace

int run(int argc, char** argv) {
  Arguments a;
  CLI::App app("Runs QLM's own controller on a virtual clock over emulated engines, under several policies.", "qlm sim");
  app.add_option("--suite", a.suite, "a suite of cases, see below");
  auto* trace = app.add_option("--trace", a.trace, "a trace of your own (see qlm workload)");
  app.add_option("--config", a.configuration, "the configuration whose fleet serves it");
  app.add_flag("--state-lengths", a.state_lengths, "a trace's clients state its lengths as max_tokens, as those of qlm bench do without --hide-lengths")
      ->needs(trace);
  app.add_option("--policy", a.policies, "compared policies: qlm,edf,...; otherwise the suite's, or the configuration's");
  app.add_option("--load", a.loads, "loads instead of the suite's: 0.8,1.2");
  app.add_option("--values", a.values, "class values instead of the suite's, urgent first: 10,3,1; twice: each case with each")->allow_extra_args(false);
  app.add_option("--case", a.only, "only cases with this in their name");
  app.add_option("--without", a.without, "leaves components of qlm out, to see what they are worth: price,plan,...");
  app.add_option("--solver", a.solver,
                 "qlm-lp and qlm-lp-expire: programs of at most 192 binary variables are solved exactly: cbc (at most 1,000 nodes each), or a\n"
                 "command with {lp} and {solution}; what fails, or is killed after 60 s, fails the cell");
  app.add_option("--duration", a.duration, "how long requests arrive, instead of the suite's (20m)");
  app.add_option("--seeds", a.seeds, "how many seeds, instead of the suite's")->check(CLI::Range(1, 1000));
  app.add_option("--first-seed", a.first_seed, "the first of them")->capture_default_str();
  app.add_option("--jobs", a.jobs, "simulations at once; otherwise one a core")->check(CLI::Range(1, 1024));
  app.add_option("--print-plan", a.print_plan, "prints the queue and the plan in force at that time of each simulation (90s)");
  app.add_option("--json", a.json, "a file for all figures, - for standard output instead of the table");
  app.add_option("--html", a.html, "a file for one page of drawings: on time over load, worst classes, waits told against waits");
  app.add_option("--requests", a.requests, "a file for every request of every policy and cell, a CSV line each");
  app.footer(footer());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : wrong_usage;
  }
  return execute(a);
}

}  // namespace qlm::sim

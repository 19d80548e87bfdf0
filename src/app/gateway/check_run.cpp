// `qlm check`: what is wrong with a configuration, and what its engines say when they are asked.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <list>
#include <memory>
#include <string>

#include "app/gateway/ask_engine.hpp"
#include "app/gateway/priors.hpp"
#include "app/gateway/run.hpp"
#include "runtime/observe/access_log.hpp"

namespace qlm::gateway {
namespace {

enum Exit { good = 0, problems = 1, wrong_usage = 2 };

// One engine's probe, from its first question to its result.
struct Trial {
  Trial(net::Loop& l, net::HttpClient& c, const config::Instance& i) : loop(l), client(c), instance(i) {
    if (const auto kind = configured_kind(i.engine)) probe = engines::Probe(*kind);
  }

  void go_on() {
    const auto question = probe.next();
    if (!question) return done();
    call = ask_engine(loop, client, instance, *question, [this](const Result<net::WholeResponse>& answer) {
      if (answer) probe.answered(answer->head.status, answer->head.fields, answer->body);
      else probe.failed(answer.error().message);
      go_on();
    });
  }

  net::Loop& loop;
  net::HttpClient& client;
  const config::Instance& instance;
  engines::Probe probe;
  std::unique_ptr<net::Call> call;
  std::function<void()> done;
};

// What only the program can tell of a configuration, and no key by itself.
void look_beyond(const config::Configuration& configuration, const config::Complain& complain) {
  check_live(configuration, complain);
  if (configuration.log.access.empty()) return;
  const auto log = observe::AccessLog::try_open(configuration.log.access);
  if (!log) complain("log.access", log.error().message);
}

void try_engines(const config::Configuration& configuration) {
  net::Loop loop;
  const auto client = net::HttpClient::create(loop);
  std::list<Trial> trials;
  std::size_t left = configuration.instances.size();
  for (const config::Instance& instance : configuration.instances) {
    Trial& trial = trials.emplace_back(loop, *client, instance);
    trial.done = [&] {
      if (--left == 0) loop.stop();
    };
    trial.go_on();
  }
  if (left > 0) loop.run();
  for (const Trial& trial : trials) {
    const engines::ProbeResult& found = trial.probe.result();
    const bool ready = found.health.readiness == engines::Readiness::ready;
    fmt::print("  {} at {}: {}\n", trial.instance.name, config::to_string(trial.instance.url),
               ready ? to_text(found, trial.instance.max_in_flight) : "not ready: " + found.health.reason);
  }
}

}  // namespace

int check_run(int argc, char** argv) {
  std::string file;
  bool offline = false;
  CLI::App app{"Reads a configuration and says everything that is wrong with it: line, column, key, what was expected and the\n"
               "nearest right key. Warns of what is no mistake and still may not be meant. Then asks the engines it names what\n"
               "they are and shows what they said; one that does not answer is shown, and is no error: it may come later.\n\n"
               "Exit codes: 0 good, 1 problems found, 2 wrong usage."};
  app.name("qlm check");
  app.add_option("FILE", file, "the configuration (YAML)")->required();
  app.add_flag("--offline", offline, "ask no engine");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? good : wrong_usage;
  }
  const auto loaded = config::load(file, {}, look_beyond);
  if (!loaded) {
    for (const config::Problem& problem : loaded.error()) fmt::print("{}\n", config::to_string(problem));
    fmt::print("{} problem{}\n", loaded.error().size(), loaded.error().size() == 1 ? "" : "s");
    return problems;
  }
  for (const std::string& warning : config::warnings(*loaded)) fmt::print("{}: warning: {}\n", file, warning);
  std::size_t gpus = 0;
  for (const config::Pool& pool : loaded->pools) gpus += pool.gpus.size();
  fmt::print("{} is good: {} instances, {} GPUs in pools, {} models, {} classes, {} tenants; listens on {}, admin on {}\n", file,
             loaded->instances.size(), gpus, loaded->models.size(), loaded->classes.size(), loaded->tenants.size(),
             config::to_string(loaded->listen), config::to_string(loaded->admin));
  if (!offline) try_engines(*loaded);
  return good;
}

}  // namespace qlm::gateway

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "app/gateway/gateway.hpp"
#include "app/gateway/priors.hpp"
#include "app/gateway/run.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/net/socket.hpp"
#include "runtime/observe/log.hpp"

namespace qlm::gateway {
namespace {

enum Exit { drained = 0, cannot_start = 1, wrong_usage = 2, requests_lost = 3 };

constexpr std::int64_t own_descriptors = 64;  // listeners, logs, probes, a look at the metrics

void say(const std::string& line) { log::info(line); }

void set_log_level(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::debug: return log::set_level(log::Level::debug);
    case config::LogLevel::info: return log::set_level(log::Level::info);
    case config::LogLevel::warn: return log::set_level(log::Level::warn);
    case config::LogLevel::error: return log::set_level(log::Level::error);
  }
}

struct Arguments {
  std::vector<std::string> urls;
  std::string file;
  config::Overrides overrides;
};

config::Loaded load(const Arguments& arguments) {
  return arguments.file.empty() ? config::defaults_for_urls(arguments.urls, arguments.overrides)
                                : config::load(arguments.file, arguments.overrides, check_live);
}

// What the system allows decides: each request may take a connection on either side, beside what QLM needs for itself.
void fit_to_descriptors(config::Configuration& configuration) {
  const auto descriptors = static_cast<std::int64_t>(std::min<std::uint64_t>(net::raise_descriptor_limit(), 1 << 30));
  const std::int64_t most = std::max<std::int64_t>(1, (descriptors - own_descriptors) / 2);
  if (configuration.limits.connections <= most) return;
  say(fmt::format("{} open files are allowed, so at most {} client connections are taken (limits.connections is {})", descriptors,
                  most, configuration.limits.connections));
  configuration.limits.connections = most;
}

void say_problems(const std::vector<config::Problem>& problems) {
  for (const config::Problem& problem : problems) log::error(config::to_string(problem));
}

// Serves until a signal ends it.
class Server {
 public:
  Server(Arguments arguments, config::Configuration configuration)
      : arguments_(std::move(arguments)), configuration_(std::move(configuration)), report_(loop_) {}

  int run() {
    // First: whoever reads that it serves may signal it at once.
    loop_.on_signals({SIGHUP, SIGTERM, SIGINT}, [this](int signal) { on_signal(signal); });
    auto started = Gateway::start(loop_, configuration_, log::write);
    if (!started) {
      log::error(started.error().message);
      return cannot_start;
    }
    gateway_ = std::move(*started);
    const auto listening = [](std::string_view what, config::ListenAddress at, std::uint16_t port) {
      at.port = port;
      say(fmt::format("{} on http://{}", what, config::to_string(at)));
    };
    listening("serving the OpenAI API", configuration_.listen, gateway_->port());
    listening("admin and metrics", configuration_.admin, gateway_->admin_port());
    gateway_->on_reload([this] { return reload(); });
    loop_.run();
    gateway_.reset();
    return exit_;
  }

 private:
  void on_signal(int signal) {
    if (signal == SIGHUP) return void(reload());
    if (draining_) {
      say("told twice: stopping now, with " + gateway_->waiting_for());
      stops_engines_ = stops_engines_ || signal == SIGINT;
      if (parting_) return gateway_->kill_engines();
      return gateway_->hurry();
    }
    draining_ = true;
    stops_engines_ = signal == SIGINT;  // a person's Ctrl-C; a service that is restarted leaves them
    const Duration at_most = configuration_.drain_timeout;
    say(fmt::format("draining for at most {:.0f} s: {}; once more to stop at once", seconds(at_most), gateway_->waiting_for()));
    gateway_->drain(at_most, [this] {
      const bool all = gateway_->idle();
      say(all ? "drained" : "out of time, with " + gateway_->waiting_for());
      exit_ = all ? drained : requests_lost;
      part_with_engines();
    });
    report_later();
  }

  void part_with_engines() {
    report_.cancel();
    const std::size_t running = gateway_->engines_running();
    if (running == 0) return loop_.stop();
    if (!stops_engines_) {
      say(fmt::format("{} engine{} left running, for the next start to find", running, running == 1 ? " is" : "s are"));
      return loop_.stop();
    }
    parting_ = true;
    say(fmt::format("stopping {} engine{}; once more to kill what is left", running, running == 1 ? "" : "s"));
    gateway_->stop_engines([this] { loop_.stop(); });
  }

  void report_later() {
    report_.after(5s, [this] {
      say("waiting for " + gateway_->waiting_for());
      report_later();
    });
  }

  // The log says what came of it, whoever asked.
  Result<void> reload() {
    if (arguments_.file.empty()) {
      say("nothing to reload: there is no configuration file");
      return fail("there is no configuration file");
    }
    auto next = load(arguments_);
    if (!next) {
      say_problems(next.error());
      gateway_->reload_failed();
      log::error(fmt::format("{} is not used: the former configuration stays in force", arguments_.file));
      return fail(config::to_string(next.error().front()));
    }
    fit_to_descriptors(*next);
    if (const auto done = gateway_->reload(*next); !done) {
      log::error(fmt::format("{} is not used: {}", arguments_.file, done.error().message));
      return done;
    }
    configuration_ = *next;
    set_log_level(configuration_.log.level);
    say(fmt::format("{} is in force", arguments_.file));
    return {};
  }

  Arguments arguments_;
  config::Configuration configuration_;
  net::Loop loop_;
  net::Timer report_;
  std::unique_ptr<Gateway> gateway_;
  bool draining_ = false;
  bool stops_engines_ = false;
  bool parting_ = false;  // engines are being stopped
  int exit_ = drained;
};

}  // namespace

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Serves the OpenAI API from a queue in front of LLM serving engines.\n\n"
               "  qlm serve http://localhost:8000          one engine, no configuration\n"
               "  qlm serve --config qlm.yaml              classes, tenants, several engines\n\n"
               "Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT drain; a second one stops at once. Engines of pools\n"
               "go on after SIGTERM, for the next start to find, and are stopped after SIGINT.\n"
               "Exit codes: 0 drained, 1 cannot start, 2 wrong usage or configuration, 3 stopped with requests unanswered."};
  app.name("qlm serve");
  app.add_option("URL", arguments.urls, "engines to serve, such as http://gpu1:8000");
  app.add_option("--config", arguments.file, "the configuration (YAML)")->excludes("URL");
  app.add_option("--listen", arguments.overrides.listen, "where clients come (default 127.0.0.1:8080)");
  app.add_option("--admin", arguments.overrides.admin, "health and metrics (default 127.0.0.1:8081)");
  app.add_option("--policy", arguments.overrides.policy, "order of the queue: fcfs, priority, edf, edf-expire, sjf, greedy, shepherd, qlm-lp,\nqlm-lp-expire, qlm-sp or qlm");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : wrong_usage;
  }
  if (arguments.urls.empty() && arguments.file.empty()) {
    fmt::print(stderr, "qlm serve: name an engine's URL or a --config file; qlm serve --help tells more\n");
    return wrong_usage;
  }
  auto configuration = load(arguments);
  if (!configuration) {
    for (const config::Problem& problem : configuration.error()) fmt::print(stderr, "{}\n", config::to_string(problem));
    return wrong_usage;
  }
  set_log_level(configuration->log.level);
  for (const std::string& warning : config::warnings(*configuration)) log::warn(warning);
  fit_to_descriptors(*configuration);
  return Server(std::move(arguments), std::move(*configuration)).run();
}

}  // namespace qlm::gateway

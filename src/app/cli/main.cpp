// The program `qlm`: each subcommand is one app's run().
#include <array>
#include <cstdio>
#include <string_view>

#include "app/bench/run.hpp"
#include "app/emulator/run.hpp"
#include "app/gateway/run.hpp"
#include "app/operator/run.hpp"
#include "app/sim/run.hpp"

namespace {

constexpr int wrong_usage = 2;

struct Command {
  std::string_view name;
  int (*run)(int argc, char** argv);
  std::string_view summary;
};

int version(int, char**) {
  std::printf("qlm %s\n", QLM_VERSION);
  return 0;
}

int help(int, char**);

constexpr auto commands = std::to_array<Command>({
    {"serve", qlm::gateway::run, "serve the OpenAI API from a queue in front of engines"},
    {"check", qlm::gateway::check_run, "say what is wrong with a configuration, and what its engines are"},
    {"emulate", qlm::emulator::run, "an emulated engine, for when no GPU is at hand"},
    {"bench", qlm::bench::run, "replay a trace against an OpenAI endpoint, or measure an engine"},
    {"workload", qlm::bench::workload_run, "write a trace of requests"},
    {"sim", qlm::sim::run, "run the controller on a virtual clock over emulated engines, and compare policies"},
    {"get", qlm::operators::run, "of a running QLM: list instances, queue, requests or tenants"},
    {"describe", qlm::operators::run, "of a running QLM: all about a request or an instance"},
    {"cordon", qlm::operators::run, "give an instance no new work"},
    {"uncordon", qlm::operators::run, "give it work again"},
    {"drain", qlm::operators::run, "give it no new work, and wait until nothing runs there"},
    {"swap", qlm::operators::run, "bring a model in on an instance, and pin it there"},
    {"cancel", qlm::operators::run, "end a request"},
    {"reload", qlm::operators::run, "have the configuration read again"},
    {"version", version, "print the version"},
    {"help", help, "print this"},
});

int help(int, char**) {
  std::printf(
      "qlm - SLO-aware queue management for LLM serving engines\n\n"
      "Usage: qlm COMMAND [OPTIONS]      qlm COMMAND --help tells the rest\n\n");
  for (const Command& command : commands) {
    std::printf("  %-10.*s %.*s\n", static_cast<int>(command.name.size()), command.name.data(),
                static_cast<int>(command.summary.size()), command.summary.data());
  }
  std::printf(
      "\nOne engine running, no configuration:\n"
      "  qlm serve http://localhost:8000\n"
      "  curl http://localhost:8080/v1/models\n"
      "\nExit codes: 0 done, 1 failed, 2 wrong usage or configuration; a command may name more.\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    help(argc, argv);
    return wrong_usage;
  }
  std::string_view name = argv[1];
  if (name == "--help" || name == "-h") name = "help";
  if (name == "--version" || name == "-V") name = "version";
  for (const Command& command : commands) {
    if (command.name == name) return command.run(argc - 1, argv + 1);
  }
  std::fprintf(stderr, "qlm: there is no command '%.*s'; qlm help lists them\n", static_cast<int>(name.size()), name.data());
  return wrong_usage;
}

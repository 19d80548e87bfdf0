#include "app/cli/check_run.hpp"

#include <cstdio>
#include <string_view>

#include "runtime/config/configuration.hpp"

namespace qlm::cli {

int check_run(int argc, char** argv) {
  const bool asks_help = argc == 2 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h");
  if (argc != 2 || asks_help) {
    std::fprintf(asks_help ? stdout : stderr,
                 "Usage: qlm check FILE\n\nReads a configuration and says everything that is wrong with it, each with its line,\n"
                 "its key, what was expected and the nearest right key.\n\nExit codes: 0 good, 1 problems found, 2 wrong usage.\n");
    return asks_help ? 0 : 2;
  }
  const auto loaded = config::load(argv[1]);
  if (!loaded) {
    for (const config::Problem& problem : loaded.error()) std::printf("%s\n", config::to_string(problem).c_str());
    std::printf("%zu problem%s\n", loaded.error().size(), loaded.error().size() == 1 ? "" : "s");
    return 1;
  }
  std::printf("%s is good: %zu instances, %zu models, %zu classes, %zu tenants; listens on %s, admin on %s\n", argv[1],
              loaded->instances.size(), loaded->models.size(), loaded->classes.size(), loaded->tenants.size(),
              config::to_string(loaded->listen).c_str(), config::to_string(loaded->admin).c_str());
  return 0;
}

}  // namespace qlm::cli

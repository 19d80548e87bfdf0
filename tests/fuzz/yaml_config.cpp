// Bytes as a configuration file: whatever they are, there is an answer. One that was taken means the same when read
// again; one that was refused says why, on one line.
#include <cstdint>
#include <string>
#include <string_view>

#include "require.hpp"
#include "runtime/config/configuration.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qlm::config;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto no_disk = [](const std::string& path) -> qlm::Result<std::string> {
    if (path.find('k') != path.npos) return "sk-1\n";
    return qlm::fail("no such file");
  };
  const Loaded loaded = parse(text, "qlm.yaml", {}, no_disk);
  if (loaded) {
    REQUIRE(loaded == parse(text, "qlm.yaml", {}, no_disk));
    REQUIRE(compare(*loaded, *loaded).changed.empty());
    REQUIRE(!loaded->instances.empty());
    REQUIRE(loaded->classes.front().name == "standard" && loaded->tenants.front().name == "anonymous");
    for (const Instance& instance : loaded->instances) REQUIRE(!instance.name.empty() && instance.url.port != 0);
    return 0;
  }
  REQUIRE(!loaded.error().empty());
  for (const Problem& problem : loaded.error()) {
    REQUIRE(!problem.message.empty());
    REQUIRE(to_string(problem).find('\n') == std::string::npos);
  }
  return 0;
}

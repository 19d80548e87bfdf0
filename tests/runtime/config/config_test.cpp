#include <gtest/gtest.h>

#include "runtime/config/configuration.hpp"

namespace qlm::config {
namespace {

std::string problems(const Loaded& loaded) {
  std::string out;
  if (!loaded) {
    for (const Problem& problem : loaded.error()) out += to_string(problem) + "\n";
  }
  return out;
}

TEST(Configuration, OneUrlIsEnough) {
  const auto loaded = parse("instances:\n  - url: http://gpu1:8000\n", "qlm.yaml");
  ASSERT_TRUE(loaded) << problems(loaded);
  ASSERT_EQ(loaded->instances.size(), 1U);
  EXPECT_EQ(loaded->instances[0].name, "gpu1:8000");
  EXPECT_EQ(loaded->listen, (ListenAddress{"127.0.0.1", 8080}));
}

}  // namespace
}  // namespace qlm::config

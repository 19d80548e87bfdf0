#include "core/enginemodel/profiles.hpp"

#include <gtest/gtest.h>

#include <set>

namespace qlm {
namespace {

TEST(Profiles, NamesAreUnique) {
  std::set<std::string> names;
  for (const auto& profile : builtin_profiles())
    EXPECT_TRUE(names.insert(profile.name()).second) << profile.name();
}

TEST(Profiles, TheNewestEraIsTheDefault) {
  EXPECT_EQ(find_profile("a100-80", "mistral-7b").value().name(), "a100-80/mistral-7b@2026");
  EXPECT_EQ(find_profile("a100-80/mistral-7b").value().step.kind, StepTimeModel::Kind::knee);
  EXPECT_EQ(find_profile("a10-24", "mistral-7b").value().era, 2024);
}

TEST(Profiles, AnEraCanBeAskedFor) {
  EXPECT_EQ(find_profile("a100-80", "mistral-7b@2024").value().step.kind, StepTimeModel::Kind::separate);
  EXPECT_EQ(find_profile("a100-80/vicuna-13b@2024").value().name(), "a100-80/vicuna-13b@2024");
}

TEST(Profiles, AnUnknownNameNamesItsNeighbours) {
  const auto missing = find_profile("a100-80", "mistral7b");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message.find(
                "no engine profile \"a100-80/mistral7b\"; the nearest are a100-80/mistral-7b@2024"),
            0U)
      << missing.error().message;
  EXPECT_FALSE(find_profile("a100-80/mistral-7b@1999"));
  EXPECT_FALSE(find_profile(""));
}

// Mistakes in a table of figures show as times no such GPU has.
TEST(Profiles, AreTheSpeedOfRealHardware) {
  for (const auto& profile : builtin_profiles()) {
    SCOPED_TRACE(profile.name());
    const Duration one = profile.step({.decoding = 1, .context_tokens = 500});
    EXPECT_GT(one, 4ms);
    EXPECT_LT(one, 60ms);
    const Duration full = profile.step({.decoding = 64, .context_tokens = 64 * 800});
    EXPECT_GT(full, one);
    EXPECT_LT(full, 6 * one);
    const Duration prompt = profile.step({.prefill_tokens = 2048, .attention = 2048.0 * 1024});
    EXPECT_GT(prompt, 30ms);
    EXPECT_LT(prompt, 600ms);
    EXPECT_GE(profile.kv_tokens, Tokens{10'000});
    EXPECT_GT(profile.max_model_len, Tokens{0});
  }
}

}  // namespace
}  // namespace qlm

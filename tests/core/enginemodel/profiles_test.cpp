#include "core/enginemodel/profiles.hpp"

#include "core/enginemodel/swap_times.hpp"

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

// 14.5 GB of weights by hand: 0.69 s over the link, 4.26 s from the disk.
TEST(SwapTimes, FollowTheWeightsAndTheWayTheyCome) {
  const SwapTimes warm = swap_times(SwapPreset::warm, "mistral-7b").value();
  EXPECT_NEAR(seconds(warm.bring_in), 0.990, 0.001);
  EXPECT_NEAR(seconds(warm.put_away), 0.690, 0.001);
  const SwapTimes nvme = swap_times(SwapPreset::nvme, "mistral-7b").value();
  EXPECT_NEAR(seconds(nvme.bring_in), 22.265, 0.001);
  EXPECT_EQ(nvme.put_away, Duration{});
  EXPECT_GT(swap_times(SwapPreset::warm, "vicuna-13b").value().bring_in, warm.bring_in);
  EXPECT_EQ(swap_times(SwapPreset::cold2024, "whatever").value().bring_in, 80s);
}

TEST(SwapTimes, AreUnknownForAModelOverSeveralGpus) { EXPECT_FALSE(swap_times(SwapPreset::warm, "llama-2-70b")); }

}  // namespace
}  // namespace qlm

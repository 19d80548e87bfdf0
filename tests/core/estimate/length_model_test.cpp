#include "core/estimate/length_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/prng.hpp"
#include "simulate/workload/lengths.hpp"

namespace qlm {
namespace {

LengthKey key(std::int64_t prompt = 100, std::optional<Tokens> cap = {}) { return {ModelId{0}, Tokens{prompt}, cap}; }

void finished(LengthModel& model, const LengthKey& k, double tokens) {
  model.observe(k, Tokens{0}, Tokens{std::llround(tokens)}, true);
}

TEST(LengthModel, BeforeAnythingWasSeenATypicalLengthIsExpectedAndNeverMoreThanTheCap) {
  const LengthModel model;
  EXPECT_EQ(model.mean(key()), typical_output);
  EXPECT_EQ(model.mean(key(100, Tokens{16})), 16);
}

TEST(LengthModel, RecoversMeanQuantilesAndResidualsOfAKnownDistribution) {
  LengthModel model;
  Prng prng(1);
  for (int i = 0; i < 20'000; ++i) finished(model, key(), prng.exponential(400));
  EXPECT_NEAR(model.mean(key()), 400, 20);
  EXPECT_NEAR(static_cast<double>(model.quantile(key(), 0.5).count), 400 * 0.693, 20);
  EXPECT_NEAR(static_cast<double>(model.quantile(key(), 0.95).count), 400 * 2.996, 80);
  // An exponential one has no memory, however long it has run.
  for (const int so_far : {1, 50, 300, 900}) EXPECT_NEAR(model.residual(key(), Tokens{so_far}), 400, 40) << so_far;
  EXPECT_NEAR(static_cast<double>(model.quantile(key(), 0.5, Tokens{500}).count), 500 + 400 * 0.693, 40);
}

TEST(LengthModel, LengthsAllAlikeAreKnownExactlyNotOnlyToTheirBin) {
  LengthModel model;
  for (int i = 0; i < 3000; ++i) finished(model, key(), 200);
  EXPECT_NEAR(model.mean(key()), 200, 2);
}

TEST(LengthModel, APromptsOwnSizeTellsItsOutput) {
  LengthModel model;
  for (int i = 0; i < 2000; ++i) {
    finished(model, key(50), 100);
    finished(model, key(2000), 700);
  }
  EXPECT_NEAR(model.mean(key(50)), 100, 10);
  EXPECT_NEAR(model.mean(key(2000)), 700, 20);
  EXPECT_NEAR(model.mean(ModelId{0}), 400, 20);
}

// Half the requests are cancelled at a time that has nothing to do with their length.
TEST(LengthModel, WhatWasCancelledCountsAsFarAsItWasSeenAndDoesNotBias) {
  LengthModel model;
  Prng prng(2);
  double of_finished = 0, count = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double length = prng.exponential(400), patience = prng.exponential(400);
    if (patience < length) {
      model.observe(key(), Tokens{0}, Tokens{std::llround(patience)}, false);
    } else {
      finished(model, key(), length);
      of_finished += length;
      count += 1;
    }
  }
  EXPECT_LT(of_finished / count, 220);  // what finished alone would say
  EXPECT_NEAR(model.mean(key()), 400, 25);
}

// 1,000 start together and grow by a token a time unit; after 100 units only the short ones have finished.
TEST(LengthModel, WhatStillRunsCountsSoThatAStartDoesNotLookShort) {
  LengthModel model;
  Prng prng(3);
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < 1000; ++i) lengths.push_back(std::llround(prng.exponential(400)) + 1);
  for (int now = 10; now <= 400; now += 10) {
    for (const std::int64_t length : lengths) {
      if (length <= now - 10) continue;
      model.observe(key(), Tokens{now - 10}, Tokens{std::min<std::int64_t>(length, now)}, length <= now);
    }
  }
  EXPECT_GT(model.mean(key()), 300);
  EXPECT_EQ(model.drifts(ModelId{0}), 0);
}

TEST(LengthModel, ANewBucketStartsFromItsModelAndAnewModelFromAllRequests) {
  LengthModel model;
  for (int i = 0; i < 2000; ++i) finished(model, key(50), 100);
  EXPECT_NEAR(model.mean(key(3000)), 100, 5);
  EXPECT_NEAR(model.mean({ModelId{7}, Tokens{50}, {}}), 100, 5);
  for (int i = 0; i < 5; ++i) finished(model, key(3000), 400);
  EXPECT_LT(model.mean(key(3000)), 200);  // five do not outweigh them
  for (int i = 0; i < 500; ++i) finished(model, key(3000), 400);
  EXPECT_GT(model.mean(key(3000)), 350);
}

TEST(LengthModel, WhatIsCutAtItsOwnCapSaysOnlyThatItWouldHaveRunOn) {
  LengthModel model;
  Prng prng(4);
  for (int i = 0; i < 10'000; ++i) {
    const double length = prng.exponential(400);
    if (i % 2 == 0) finished(model, key(), length);
    else finished(model, key(100, Tokens{200}), std::min(length, 200.0));
  }
  EXPECT_NEAR(model.mean(key()), 400, 30);
  EXPECT_NEAR(model.mean(key(100, Tokens{200})), 400 * (1 - std::exp(-0.5)), 10);
  EXPECT_LE(model.quantile(key(100, Tokens{200}), 0.99).count, 200);
  EXPECT_NEAR(model.residual(key(100, Tokens{200}), Tokens{150}), 47, 5);
  EXPECT_EQ(model.residual(key(100, Tokens{200}), Tokens{200}), 0);
}

TEST(LengthModel, ADriftIsFoundAndFollowedWithinSomeHundredCompletions) {
  LengthModel model;
  Prng prng(5);
  for (int i = 0; i < 20'000; ++i) finished(model, key(), prng.exponential(200));
  EXPECT_EQ(model.drifts(ModelId{0}), 0);
  for (int i = 0; i < 1000; ++i) finished(model, key(), prng.exponential(400));
  EXPECT_GE(model.drifts(ModelId{0}), 1);
  EXPECT_GT(model.mean(key()), 350);
  for (int i = 0; i < 1500; ++i) finished(model, key(), prng.exponential(400));
  EXPECT_NEAR(model.mean(key()), 400, 40);
}

TEST(LengthModel, RealLengthsAreNoDriftAndTheirMeanIsKnownWithinAFewHundredths) {
  LengthModel model;
  Prng prng(6);
  const auto sharegpt = *workload::LengthDistribution::parse("sharegpt");
  double sum = 0, expected = 0;
  for (int i = 0; i < 30'000; ++i) {
    const workload::Lengths lengths = sharegpt.sample(prng);
    if (i >= 10'000) {
      sum += static_cast<double>(lengths.output.count);
      expected += model.mean(key(lengths.prompt.count));
    }
    finished(model, key(lengths.prompt.count), static_cast<double>(lengths.output.count));
  }
  EXPECT_EQ(model.drifts(ModelId{0}), 0);
  EXPECT_NEAR(expected / sum, 1, 0.02);
}

TEST(LengthModel, NoLengthIsTooLongOrTooShort) {
  LengthModel model;
  for (const std::int64_t tokens : {0LL, 1LL, 7LL, 8LL, 131'071LL, 131'072LL, 10'000'000LL}) {
    for (int i = 0; i < 100; ++i) finished(model, key(tokens), static_cast<double>(tokens));
    EXPECT_GE(model.mean(key(tokens)), 0);
    EXPECT_GE(model.residual(key(tokens), Tokens{20'000'000}), 0);
    EXPECT_GE(model.quantile(key(tokens), 0.9).count, 0);
  }
}

}  // namespace
}  // namespace qlm

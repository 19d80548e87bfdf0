#include "core/estimate/wait_calibration.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "base/prng.hpp"

namespace qlm {
namespace {

constexpr ClassId chat{0}, batch{1};
using End = WaitCalibration::End;

// Waits of `expected` seconds whose errors are drawn by `factor`, each scored when its wait is over.
double covered(WaitCalibration& calibration, Prng& prng, int count, double expected, const std::function<double(Prng&)>& factor,
               Instant& now) {
  struct Waiting {
    Instant over;
    Duration bound, waited;
  };
  std::deque<Waiting> waiting;
  const WaitExpectation wait{duration_from_seconds(expected), 100ms};
  double within = 0;
  for (int i = 0; i < count; ++i) {
    now += 100ms;
    const Duration waited = duration_from_seconds(expected * factor(prng));
    const Duration bound = calibration.bound(chat, wait).bound;
    within += waited <= bound ? 1 : 0;
    waiting.push_back({now + waited, bound, waited});
    while (!waiting.empty() && waiting.front().over <= now) {
      calibration.score(now, chat, wait, waiting.front().bound, waiting.front().waited, End::dispatched);
      waiting.pop_front();
    }
  }
  return within / count;
}

TEST(WaitCalibration, WithoutScoresABoundIsTwiceTheExpectationAndProvisional) {
  const WaitCalibration calibration;
  const WaitEstimate told = calibration.bound(chat, {10s, 100ms});
  EXPECT_EQ(told.bound, 20s);
  EXPECT_TRUE(told.provisional);
}

TEST(WaitCalibration, NineteenOfTwentyStayWithinTheBoundWhateverTheErrorsAre) {
  const std::function<double(Prng&)> shapes[] = {
      [](Prng& p) { return 0.9 + 0.2 * p.uniform(); },
      [](Prng& p) { return p.exponential(1); },
      [](Prng& p) { return 1.3 + 0.05 * p.normal(); },  // always too low
      [](Prng& p) { return 0.8 + 0.05 * p.normal(); },  // and too high
  };
  for (const auto& shape : shapes) {
    WaitCalibration calibration;
    Prng prng(1);
    Instant now{};
    covered(calibration, prng, 10'000, 20, shape, now);
    const double share = covered(calibration, prng, 20'000, 20, shape, now);
    EXPECT_GE(share, 0.93);
    EXPECT_FALSE(calibration.bound(chat, {20s, 100ms}).provisional);
  }
}

TEST(WaitCalibration, AnotherClassLeansOnAllUntilItHasScoresOfItsOwn) {
  WaitCalibration calibration;
  Prng prng(2);
  Instant now{};
  covered(calibration, prng, 5'000, 20, [](Prng& p) { return 1.5 + 0.1 * p.normal(); }, now);
  const WaitEstimate told = calibration.bound(batch, {20s, 100ms});
  EXPECT_TRUE(told.provisional);
  EXPECT_GT(told.bound, 30s);
  EXPECT_LT(told.bound, 40s);
}

TEST(WaitCalibration, WhatWasGivenUpMissedItsBoundAndWhoLeftEarlySaysNothing) {
  WaitCalibration calibration;
  const WaitExpectation wait{20s, 100ms};
  calibration.score(Instant{}, chat, wait, 30s, 10s, End::cancelled);
  EXPECT_EQ(calibration.coverage(chat, 1).scores, 0);
  calibration.score(Instant{}, chat, wait, 30s, 31s, End::cancelled);
  calibration.score(Instant{}, chat, wait, 30s, 10s, End::given_up);
  calibration.score(Instant{}, chat, wait, 30s, 10s, End::dispatched);
  EXPECT_EQ(calibration.coverage(chat, 1).scores, 3);
  EXPECT_EQ(calibration.coverage(chat, 1).within, 1);
}

TEST(WaitCalibration, NoBoundIsBelowWhatIsExpectedNorBeyondAllReason) {
  WaitCalibration calibration;
  Prng prng(3);
  Instant now{};
  covered(calibration, prng, 5'000, 20, [](Prng&) { return 0.01; }, now);
  EXPECT_GE(calibration.bound(chat, {20s, 100ms}).bound, 20s);
  covered(calibration, prng, 50'000, 20, [](Prng&) { return 100.0; }, now);
  EXPECT_LE(calibration.bound(chat, {20s, 100ms}).bound, 100s);
}

}  // namespace
}  // namespace qlm

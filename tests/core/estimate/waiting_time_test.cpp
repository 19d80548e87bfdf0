#include "core/estimate/waiting_time.hpp"

#include <gtest/gtest.h>

namespace qlm {
namespace {

Instant at(double s) { return Instant{} + duration_from_seconds(s); }

TEST(QueuePace, IsTheWorkDoneWhileSomebodyWaited) {
  QueuePace pace;
  pace.presume(1, 5);
  pace.pass(at(0), 1, false);
  pace.did(1000);  // nobody waits: an idle engine's pace says nothing about a full one's
  pace.pass(at(100), 1, true);
  for (int s = 101; s <= 200; ++s) {
    pace.pass(at(s), 1, true);
    pace.did(0.5);
  }
  EXPECT_NEAR(pace.rate(), 0.5, 0.05);
}

TEST(QueuePace, FollowsItsCapacityAtOnce) {
  QueuePace pace;
  pace.pass(at(0), 2, true);
  for (int s = 1; s <= 100; ++s) {
    pace.pass(at(s), 2, true);
    pace.did(1.8);
  }
  EXPECT_NEAR(pace.rate(), 1.8, 0.05);
  pace.pass(at(101), 1, true);  // one of two engines is gone
  EXPECT_NEAR(pace.rate(), 0.9, 0.05);
}

constexpr std::int64_t ns = 1'000'000'000;

TEST(Overtaking, NobodyOvertakesInTheOrderOfArrival) {
  Overtaking overtaking;
  overtaking.came(at(0), 5, 100);
  EXPECT_EQ(overtaking.seconds_until(at(1), 30, 10, 2), 15);
}

// Half of what comes does so with 20 s to go. One with 60 s to go is overtaken for 40 s, and no longer.
TEST(Overtaking, WhoIsDueLaterIsOvertakenUntilNobodyNewIsDueBefore) {
  Overtaking overtaking(Overtaking::Kind::by_time);
  for (int s = 0; s < 300; ++s) {
    overtaking.came(at(s), 20 * ns, 0.5);
    overtaking.came(at(s), 600 * ns, 0.5);
  }
  EXPECT_NEAR(overtaking.seconds_until(at(300), 10, 20 * ns, 1), 10, 0.1);   // its equals come behind it
  EXPECT_NEAR(overtaking.seconds_until(at(300), 10, 60 * ns, 1), 20, 0.5);   // served within the 40 s, at half the rate
  EXPECT_NEAR(overtaking.seconds_until(at(300), 50, 60 * ns, 1), 70, 0.5);   // 20 of the 40 s go to others
}

TEST(Overtaking, ByRankTheBetterOnesOvertakeForEver) {
  Overtaking overtaking(Overtaking::Kind::by_rank);
  for (int s = 0; s < 300; ++s) {
    overtaking.came(at(s), -2000 * ns, 0.75);
    overtaking.came(at(s), 1000 * ns, 0.25);
  }
  EXPECT_NEAR(overtaking.seconds_until(at(300), 10, 1000 * ns, 1), 40, 2);
  EXPECT_NEAR(overtaking.seconds_until(at(300), 10, -2000 * ns, 1), 10, 0.1);
}

// Five minutes of every twenty are busy: what comes is 0.9 of the rate then, and nothing in between.
TEST(Overtaking, AShortWaitIsForetoldByTheLastMinutesAndALongOneByAsLongATime) {
  Overtaking overtaking(Overtaking::Kind::by_time);
  for (int s = 0; s < 6300; ++s) {
    if (s % 1200 < 300) overtaking.came(at(s), 20 * ns, 0.9);
  }
  EXPECT_GT(overtaking.seconds_until(at(6300), 2, 3600 * ns, 1), 10) << "the busy period goes on";
  EXPECT_LT(overtaking.seconds_until(at(6300), 1000, 3600 * ns, 1), 2000) << "if it went on so long, it would take 3,160 s";
  EXPECT_GT(overtaking.seconds_until(at(6300), 1000, 3600 * ns, 1), 1200) << "a quarter of the time is busy";
}

TEST(Overtaking, TimeInWhichNobodyComesCountsWithoutAnybodySayingSo) {
  Overtaking overtaking(Overtaking::Kind::by_time);
  for (int s = 0; s < 300; ++s) overtaking.came(at(s), 20 * ns, 0.9);
  EXPECT_GT(overtaking.seconds_until(at(300), 10, 60 * ns, 1), 40);
  EXPECT_NEAR(overtaking.seconds_until(at(900), 10, 60 * ns, 1), 10, 0.1);
}

TEST(Overtaking, WhatOvertookLongAgoIsForgotten) {
  Overtaking overtaking(Overtaking::Kind::by_time);
  for (int s = 0; s < 300; ++s) overtaking.came(at(s), 20 * ns, 0.9);
  for (int s = 300; s < 900; ++s) overtaking.came(at(s), 600 * ns, 0.9);
  EXPECT_NEAR(overtaking.seconds_until(at(900), 10, 60 * ns, 1), 10, 0.1);
}

}  // namespace
}  // namespace qlm

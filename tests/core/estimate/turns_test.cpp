#include "core/estimate/turns.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace qlm {
namespace {

Instant at(double s) { return Instant{} + duration_from_seconds(s); }

// Served for 30 s of every 100.
Turns a_third() {
  Turns turns;
  for (int k = 0; k < 10; ++k) {
    turns.is(at(k * 100), true, true);
    turns.is(at(k * 100 + 30), false, true);
  }
  turns.is(at(1000), true, true);
  return turns;
}

TEST(Turns, OneThatWasNeverLeftIsServedFromNowOn) {
  Turns turns;
  turns.is(at(0), true, true);
  EXPECT_EQ(turns.seconds_until(at(50), 20, {}, 2), 10);
}

TEST(Turns, AVisitThatIsTooShortIsFollowedByAnAbsenceAsLongAsTheyUsuallyAre) {
  const Turns turns = a_third();
  EXPECT_NEAR(turns.seconds_until(at(1010), 15, {}, 1), 15, 1e-6) << "20 s are left";
  EXPECT_NEAR(turns.seconds_until(at(1010), 25, {}, 1), 20 + 70 + 5, 1e-6);
  EXPECT_NEAR(turns.seconds_until(at(1010), 25 + 60, {}, 1), 20 + 70 + 5 + 200, 1e-6) << "two visits more";
}

TEST(Turns, WhoComesWhileItIsAwayWaitsForTheRestOfTheAbsence) {
  Turns turns = a_third();
  turns.is(at(1030), false, true);
  EXPECT_NEAR(turns.seconds_until(at(1050), 5, {}, 1), 50 + 5, 1e-6);
  EXPECT_NEAR(turns.seconds_until(at(1300), 5, {}, 1), 70 * 0.25 + 5, 1e-6) << "overdue, and not there";
}

TEST(Turns, AnAbsenceInWhichNobodyWaitsSaysNothing) {
  Turns turns = a_third();
  turns.is(at(1030), false, false);
  turns.is(at(5000), false, true);  // the first one comes
  turns.is(at(5070), true, true);
  EXPECT_NEAR(seconds(turns.absence()), 70, 1e-6);
}

TEST(Turns, AVisitBeginsWithAllSlotsFree) {
  Turns turns = a_third();
  EXPECT_NEAR(turns.seconds_until(at(1010), 25, {}, 1, 4), 20 + 70 + 1, 1e-6) << "4 of the 5 s are begun at once; those running now were";
  EXPECT_NEAR(turns.seconds_until(at(1010), 22, {}, 1, 4), 20 + 70, 1e-6);
  EXPECT_NEAR(turns.seconds_until(at(1010), 20 + 34 + 10, {}, 1, 4), 20 + 70 + 100 + 6, 1e-6);
  const std::vector<Turns::Visit> planned = {{10s, 20s, 1}};
  EXPECT_NEAR(turns.seconds_until(at(1010), 3, planned, 1, 4), 10, 1e-6);
  EXPECT_NEAR(turns.seconds_until(at(1010), 6, planned, 1, 4), 12, 1e-6);
}

TEST(Turns, AVisitOfNoLengthDoesNotMakeWaitsEndless) {
  Turns turns;
  turns.is(at(0), true, false);
  turns.is(at(0), false, true);
  turns.is(at(100), true, true);
  EXPECT_LT(turns.seconds_until(at(100), 50, {}, 1), 2000);
}

TEST(Turns, WhatIsPlannedCountsBeforeWhatIsUsual) {
  const Turns turns = a_third();
  const std::vector<Turns::Visit> planned = {{10s, 20s, 1}, {15s, 40s, 1}};
  EXPECT_NEAR(turns.seconds_until(at(1010), 4, planned, 1), 14, 1e-6);
  EXPECT_NEAR(turns.seconds_until(at(1010), 9, planned, 1), 17, 1e-6) << "5 s of one, then both";
  EXPECT_NEAR(turns.seconds_until(at(1010), 34, planned, 1), 39, 1e-6);
  EXPECT_NEAR(turns.seconds_until(at(1010), 40, planned, 1), 40 + 70 + 5, 1e-6);
}

}  // namespace
}  // namespace qlm

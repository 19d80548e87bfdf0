#include "core/plan/on_time_set.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/prng.hpp"

namespace qlm {
namespace {

std::int64_t total(const std::vector<std::int64_t>& counts) { return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}); }

TEST(OnTimeSet, KeepsAllWhenAllFit) {
  EXPECT_EQ(total(give_up({{.group = 0, .due = 10s, .work = 1s, .count = 5}, {.group = 1, .due = 20s, .work = 5s, .count = 3}}, 1)), 0);
}

TEST(OnTimeSet, GivesUpTheLongestFirst) {
  const auto given_up = give_up({{.group = 0, .due = 10s, .work = 1s, .count = 6}, {.group = 1, .due = 10s, .work = 5s, .count = 1}}, 1);
  EXPECT_EQ(given_up, (std::vector<std::int64_t>{0, 1}));
}

TEST(OnTimeSet, MoreEnginesServeMore) {
  const std::vector<OnTimeCell> cells{{.group = 0, .due = 10s, .work = 1s, .count = 30}};
  EXPECT_EQ(total(give_up(cells, 1)), 20);
  EXPECT_EQ(total(give_up(cells, 2)), 10);
  EXPECT_EQ(total(give_up(cells, 0)), 30);
}

TEST(OnTimeSet, WhatIsOverdueIsGivenUp) {
  EXPECT_EQ(total(give_up({{.group = 0, .due = -1s, .work = 1s, .count = 2}}, 1)), 2);
}

TEST(OnTimeSet, AMoreValuableRequestIsKeptBeforeAnAlikeOne) {
  const auto given_up = give_up({{.group = 0, .due = 1s, .work = 1s, .value = 1, .count = 1},
                                 {.group = 1, .due = 1s, .work = 1s, .value = 10, .count = 1}}, 1);
  EXPECT_EQ(given_up, (std::vector<std::int64_t>{1, 0}));
}

TEST(OnTimeSet, APartyKeepsItsFloorThoughOthersAreWorthMore) {
  const std::vector<OnTimeCell> cells{{.group = 0, .due = 10s, .work = 1s, .value = 10, .count = 20, .party = 0},
                                      {.group = 1, .due = 10s, .work = 1s, .value = 1, .count = 20, .party = 1}};
  EXPECT_EQ(give_up(cells, 1), (std::vector<std::int64_t>{10, 20})) << "without a floor the cheap ones go";
  EXPECT_EQ(give_up(cells, 1, {0, 0.3}), (std::vector<std::int64_t>{13, 17}));
  EXPECT_EQ(give_up(cells, 1, {0.7, 0.3}), (std::vector<std::int64_t>{13, 17}));
}

TEST(OnTimeSet, FloorsThatDoNotFitAreNoReasonToKeepMoreThanFits) {
  const std::vector<OnTimeCell> cells{{.group = 0, .due = 10s, .work = 1s, .value = 10, .count = 20, .party = 0},
                                      {.group = 1, .due = 10s, .work = 1s, .value = 1, .count = 20, .party = 1}};
  EXPECT_EQ(total(give_up(cells, 1, {0.9, 0.9})), 30);
}

TEST(OnTimeSet, AFloorIsOfTheTimeUntilThen) {
  // Ten seconds of the cheap are due late: nothing of them is needed for their floor by the time the dear ones are due.
  const auto given_up = give_up({{.group = 0, .due = 10s, .work = 1s, .value = 10, .count = 10, .party = 0},
                                 {.group = 1, .due = 20s, .work = 1s, .value = 1, .count = 20, .party = 1}}, 1, {0, 0.5});
  EXPECT_EQ(given_up, (std::vector<std::int64_t>{0, 10}));
}

// Every subset tried: it can be on time exactly when its members, by due date, each end by theirs.
std::int64_t most_on_time(const std::vector<OnTimeCell>& jobs) {
  std::int64_t best = 0;
  for (unsigned subset = 0; subset < 1U << jobs.size(); ++subset) {
    std::vector<OnTimeCell> chosen;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (subset >> i & 1U) chosen.push_back(jobs[i]);
    }
    std::ranges::sort(chosen, {}, &OnTimeCell::due);
    Duration at{};
    const bool fits = std::ranges::all_of(chosen, [&](const OnTimeCell& job) { return (at += job.work) <= job.due; });
    if (fits) best = std::max(best, static_cast<std::int64_t>(chosen.size()));
  }
  return best;
}

TEST(OnTimeSet, IsTheLargestPossibleForRequestsOfAnySize) {
  Prng prng(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<OnTimeCell> jobs;
    for (std::uint32_t i = 0; i < 9; ++i) {
      jobs.push_back({.group = i, .due = 1ms * static_cast<int>(1 + prng.below(3000)), .work = 1ms * static_cast<int>(1 + prng.below(900)), .count = 1});
    }
    EXPECT_EQ(static_cast<std::int64_t>(jobs.size()) - total(give_up(jobs, 1)), most_on_time(jobs));
  }
}

}  // namespace
}  // namespace qlm

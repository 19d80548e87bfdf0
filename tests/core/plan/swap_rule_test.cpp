#include "core/plan/swap_rule.hpp"

#include <gtest/gtest.h>

namespace qlm::swap_rule {
namespace {

constexpr ModelId a{0}, b{1}, c{2};

// Ten requests a second, a second to come and one to go, four to drain.
std::vector<ResidentSummary> holds(std::initializer_list<ModelId> models) {
  std::vector<ResidentSummary> all;
  for (const ModelId m : models) all.push_back({.model = m, .per_second = 10, .drain = 4s, .put_away = 1s, .bring_in = 1s, .residence = 2s});
  return all;
}

Demand demand(int order, std::vector<std::pair<Duration, std::int64_t>> live, int serving = 0, std::int64_t late = 0) {
  Demand d{.waiting = late, .order = order, .live = {}, .serving = serving};
  for (const auto& [due, count] : live) {
    d.live.push_back({.requests = count, .due = due});
    d.live_requests += count;
    d.waiting += count;
  }
  if (d.waiting == 0) d.order = nobody;
  return d;
}

struct Rule : ::testing::Test {
  std::vector<ResidentSummary> of_three = holds({a, b, c});
  Instance at_a{.resident = a, .here = 100s, .holds = of_three};
};

TEST_F(Rule, StartsAreThoseThatCanBeOnTimeEarliestFirst) {
  const auto with = of_three[0];
  const std::vector<GroupSummary> live = {{.requests = 1000, .due = 12s}};
  const Starts s = starts(live, with, 2s, 100s);
  EXPECT_DOUBLE_EQ(s.value, 20 + 100);  // a batch at once, then ten a second for ten seconds
  EXPECT_EQ(s.until, 12s);
  EXPECT_EQ(starts(live, with, 20s, 100s).value, 0);
}

TEST_F(Rule, TheOrderSendsAnInstanceToWhoIsFirst) {
  const std::vector<Demand> d = {demand(5, {{50s, 3}}, 1), demand(2, {{90s, 3}}), demand(7, {})};
  EXPECT_EQ(next_model(Policy::fcfs, d, at_a), b);
}

TEST_F(Rule, WhoIsServedElsewhereNeedsNoSwap) {
  const std::vector<Demand> d = {demand(5, {{50s, 3}}, 1), demand(2, {{90s, 3}}, 1), demand(7, {})};
  EXPECT_EQ(next_model(Policy::fcfs, d, at_a), std::nullopt);
}

TEST_F(Rule, GreedyStaysWhileSomebodyHereCanBeOnTime) {
  std::vector<Demand> d = {demand(5, {{50s, 1}}, 1), demand(2, {{90s, 300}}), demand(1, {{90s, 400}})};
  EXPECT_EQ(next_model(Policy::greedy, d, at_a), std::nullopt);
  d[0] = demand(5, {}, 1, 20);
  EXPECT_EQ(next_model(Policy::greedy, d, at_a), c);
}

TEST_F(Rule, OursLeavesAnEmptyModelForTheMostOnTimeASecond) {
  const std::vector<Demand> d = {demand(0, {}, 1), demand(2, {{7s, 300}}), demand(1, {{90s, 300}})};
  EXPECT_EQ(next_model(Policy::qlm, d, at_a), c);  // b's are due before its set-up is over
}

TEST_F(Rule, OursStaysUntilAnothersLastChanceHasComeAndIsWorthIt) {
  std::vector<Demand> d = {demand(0, {{40s, 20}}, 1), demand(2, {{60s, 300}}), demand(1, {})};
  EXPECT_EQ(next_model(Policy::qlm, d, at_a), std::nullopt);  // there is time
  d[1] = demand(2, {{7s, 30}, {20s, 200}});
  EXPECT_EQ(next_model(Policy::qlm, d, at_a), b);
  Instance just_came = at_a;
  just_came.here = 5s;
  EXPECT_EQ(next_model(Policy::qlm, d, just_came), std::nullopt);
  d[0] = demand(0, {{8s, 2000}}, 1);
  d[1] = demand(2, {{7s, 30}});
  EXPECT_EQ(next_model(Policy::qlm, d, at_a), std::nullopt);  // more would be lost here
}

TEST_F(Rule, ASecondInstanceOfAModelNeedsMuchWork) {
  std::vector<Demand> d = {demand(0, {}, 1), demand(2, {{100s, 50}}, 1), demand(1, {})};
  EXPECT_EQ(next_model(Policy::qlm, d, at_a), std::nullopt);
  d[1] = demand(2, {{100s, 5000}}, 1);
  EXPECT_EQ(next_model(Policy::qlm, d, at_a), b);
}

TEST_F(Rule, ShepherdLeavesABatchThatRunsForOneThreeTimesAsLargeOnly) {
  std::vector<Demand> d = {demand(0, {{90s, 5}}, 1), demand(2, {{90s, 15}}), demand(1, {})};
  EXPECT_EQ(next_model(Policy::shepherd, d, at_a), std::nullopt);
  d[1] = demand(2, {{90s, 16}});
  EXPECT_EQ(next_model(Policy::shepherd, d, at_a), b);
  d[1] = demand(2, {{5s, 16}});
  EXPECT_EQ(next_model(Policy::shepherd, d, at_a), std::nullopt);  // late before it can be brought in
}

TEST_F(Rule, ShepherdChoosesTheLargestBatchWhereNothingRuns) {
  at_a.idle = true;
  std::vector<Demand> d = {demand(0, {{90s, 5}}, 1), demand(2, {{90s, 6}}), demand(1, {{90s, 7}})};
  EXPECT_EQ(next_model(Policy::shepherd, d, at_a), c);
  d[0] = demand(0, {{90s, 300}}, 1);
  d[1] = demand(2, {{90s, 3000}});
  EXPECT_EQ(next_model(Policy::shepherd, d, at_a), std::nullopt);  // no batch is larger than the engine
}

TEST_F(Rule, NobodyWaitingMeansNoSwap) {
  const std::vector<Demand> d = {demand(0, {}, 1), demand(0, {}), demand(0, {})};
  for (const Policy policy : all_policies) EXPECT_EQ(next_model(policy, d, at_a), std::nullopt);
}

}  // namespace
}  // namespace qlm::swap_rule

// What the paper's scheduler decides, in cases a reader can follow. A request takes a second unless said otherwise.
#include "core/plan/paper_lp.hpp"

#include <gtest/gtest.h>

#include "paper_cases.hpp"

namespace qlm::paper {
namespace {

using planner::VirtualQueues;

constexpr ModelId a{0};
constexpr ModelId b{1};
const Options options{.search = {.seed = 1, .positions = 5'000}};

VirtualQueues planned(const Problem& problem) {
  const Plan plan = lp_plan(problem, options);
  EXPECT_EQ(wrong(problem, plan.queues), "");
  return plan.queues;
}

TEST(PaperLp, ModelsAreNotChangedMoreOftenThanDeadlinesWant) {
  // By deadline: a b a b, three swaps. All are in time with one.
  Maker one(2, 10s);
  one.instance(a);
  const auto a_first = one.group(a, 5, 20s);
  const auto b_first = one.group(b, 5, 30s);
  const auto a_second = one.group(a, 6, 100s);
  const auto b_second = one.group(b, 6, 110s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{a_first, 5}, {a_second, 6}, {b_first, 5}, {b_second, 6}}}));
}

TEST(PaperLp, TheShorterGroupGoesFirstForItIsTheGroupsThatCount) {
  // The sum of p has a term for each group, however many requests that is.
  Maker one(1, 0s);
  one.instance(a);
  const auto large = one.group(a, 100, 300s);
  const auto small = one.group(a, 10, 300s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{small, 10}, {large, 100}}}));
}

TEST(PaperLp, UnlessTheLargerOneWouldBeLate) {
  Maker one(1, 0s);
  one.instance(a);
  const auto large = one.group(a, 100, 105s);
  const auto small = one.group(a, 10, 300s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{large, 100}, {small, 10}}}));
}

TEST(PaperLp, TheFirstSwapAndWhatStillRunsCount) {
  Maker two(2, 5s);
  two.instance(a);
  two.instance(b);
  const auto group = two.group(b, 10, 20s);
  EXPECT_EQ(planned(two.problem), (VirtualQueues{{}, {{group, 10}}}));
  two.problem.instances[1].free_at = 6s;
  EXPECT_EQ(planned(two.problem), (VirtualQueues{{{group, 10}}, {}})) << "a swap of 5 s is sooner than 6 s";
  two.problem.instances[0].drain = 2s;
  EXPECT_EQ(planned(two.problem), (VirtualQueues{{}, {{group, 10}}})) << "not with 2 s until the engine is empty";
}

TEST(PaperLp, WithASwapTheGroupBeforeIsWaitedForUntilItHasLeft) {
  Maker one(2, 5s, 7s);
  one.instance(a);
  one.group(a, 10, 100s);
  one.group(b, 1, 21s);
  one.group(a, 3, 24s);
  const auto table = timetable(one.problem, {{{0, 10}, {1, 1}, {2, 3}}});
  EXPECT_EQ(table[0][1].start, 10s + 7s + 5s);
  EXPECT_EQ(table[0][2].start, 22s + 1s + 7s + 5s);
  EXPECT_EQ(table[0][2].start_by, 24s - 2s) << "so that the last of three starts in time";
}

TEST(PaperLp, AGroupLargerThanTheCapIsCutAndMayRunOnSeveralInstances) {
  Maker two(1, 0s);
  two.instance(a);
  two.instance(a);
  two.group(a, 100, 60s);
  Options cut = options;
  cut.group_cap = 50;
  EXPECT_EQ(lp_plan(two.problem, cut).queues, (VirtualQueues{{{0, 50}}, {{0, 50}}}));
  EXPECT_EQ(lp_plan(two.problem, cut).searched, 1);
  EXPECT_EQ(lp_plan(two.problem, options).edf, 1) << "whole, it cannot be on time";
}

TEST(PaperLp, TheDeadlinesOfACutGroupLieBetweenItsFirstAndItsLast) {
  Maker one(1, 0s);
  one.instance(a);
  one.group(a, 101, 10s);
  one.problem.groups[0].last_due = 110s;
  Options cut = options;
  cut.group_cap = 25;
  const Plan plan = lp_plan(one.problem, cut);
  EXPECT_EQ(plan.queues, (VirtualQueues{{{0, 101}}}));
  EXPECT_EQ(plan.edf, 0) << "a request a second, due one a second from 10 s on";
}

TEST(PaperLp, TheCentralLimitTheoremsBoundWidensWithTheVariance) {
  Maker one(1, 0s);
  one.instance(a);
  one.group(a, 100, 200s, 0);
  one.group(a, 100, 205s, 0);
  EXPECT_EQ(lp_plan(one.problem, options).edf, 0);
  // The last of the second group starts after 199 requests; 1.645 x 10 x 50 tokens are 8.2 s more for each.
  one.problem.groups[0].output_deviation = 50;
  one.problem.groups[1].output_deviation = 50;
  EXPECT_EQ(lp_plan(one.problem, options).edf, 1);
}

TEST(PaperLp, WhereNotAllCanBeOnTimeTheOrderIsByDeadline) {
  Maker one(2, 10s);
  one.instance(a);
  const auto first = one.group(a, 10, 10s);
  const auto second = one.group(b, 10, 15s);
  const auto third = one.group(a, 10, 100s);
  const Plan plan = lp_plan(one.problem, options);
  EXPECT_EQ(plan.queues, (VirtualQueues{{{first, 10}, {second, 10}, {third, 10}}}));
  EXPECT_EQ(plan.edf, 1);
  EXPECT_EQ(plan.broken, 1);
  EXPECT_NEAR(plan.late, 20 + 9 - 15, 1e-9);
}

TEST(PaperLp, OrAsLittleLateAsCanBeWhereThatIsAskedFor) {
  Maker one(1, 0s);
  one.instance(a);
  const auto long_ago = one.group(a, 50, 10s);
  const auto soon = one.group(a, 10, 11s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{long_ago, 50}, {soon, 10}}}));
  Options least = options;
  least.edf_when_infeasible = false;
  const Plan plan = lp_plan(one.problem, least);
  EXPECT_EQ(plan.queues, (VirtualQueues{{{soon, 10}, {long_ago, 50}}}));
  EXPECT_EQ(plan.searched, 1);
}

TEST(PaperLp, OneFleetsTroubleIsNotAnothers) {
  Maker two(2, 5s);
  two.instance(a);
  two.instance(b);
  two.problem.instances[0].services[b.index()] = {};
  two.problem.instances[1].services[a.index()] = {};
  two.group(a, 50, 10s);
  two.group(b, 100, 300s);
  two.group(b, 10, 300s);
  const Plan plan = lp_plan(two.problem, options);
  EXPECT_EQ(plan.queues, (VirtualQueues{{{0, 50}}, {{2, 10}, {1, 100}}}));
  EXPECT_EQ(plan.edf, 1);
  EXPECT_EQ(plan.searched, 1);
}

TEST(PaperLp, WhatCannotRunAnywhereStandsNowhere) {
  Maker one(2, 5s);
  one.instance(a);
  one.problem.instances[0].services[b.index()] = {};
  one.group(b, 5, 10s);
  const auto here = one.group(a, 5, 10s);
  one.group(a, 0, 10s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{here, 5}}}));
  EXPECT_EQ(planned({.models = 1, .groups = {{a, 5, 100, 0, 1s, 1s}}}), VirtualQueues{});
}

TEST(PaperLp, WhoIsInNoHurryIsNoTrouble) {
  Maker one(1, 0s);
  one.instance(a);
  one.group(a, 10, Duration::max());
  const auto soon = one.group(a, 20, 25s);
  EXPECT_EQ(planned(one.problem).at(0).front(), (planner::Part{soon, 20}));
}

TEST(PaperLp, ASolversWordCounts) {
  Maker one(1, 0s);
  one.instance(a);
  one.group(a, 10, 300s);
  one.group(a, 100, 300s);
  const auto answer = [](lp::Status status) {
    return [status](const lp::Program&) -> Result<lp::Solution> { return lp::Solution{.status = status}; };
  };
  EXPECT_EQ(lp_plan(one.problem, options, answer(lp::Status::infeasible)).edf, 1);
  EXPECT_EQ(lp_plan(one.problem, options, answer(lp::Status::stopped)).searched, 1);
  const Plan failed = lp_plan(one.problem, options, [](const lp::Program&) { return fail("no licence"); });
  EXPECT_EQ(failed.searched, 1);
  EXPECT_EQ(failed.trouble, "no licence");
  const Plan wrong_values = lp_plan(one.problem, options, [](const lp::Program& program) -> Result<lp::Solution> {
    return lp::Solution{lp::Status::optimal, 0, std::vector<double>(program.variables.size(), 1)};
  });
  EXPECT_EQ(wrong_values.searched, 1);
  EXPECT_NE(wrong_values.trouble, "");
}

TEST(PaperLp, OnlySmallProgramsAreHandedOver) {
  Maker one(1, 0s);
  one.instance(a);
  for (int g = 0; g < 13; ++g) one.group(a, 10 + g, 3000s);
  int asked = 0;
  std::size_t whole = 0;
  const auto count = [&](const lp::Program& program) -> Result<lp::Solution> {
    ++asked;
    for (const auto& variable : program.variables) whole += variable.integer ? 1 : 0;
    return lp::Solution{};
  };
  lp_plan(one.problem, options, count);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(whole, 169U);
  one.group(a, 30, 3000s);
  lp_plan(one.problem, options, count);
  EXPECT_EQ(asked, 1);
}

TEST(PaperLp, TheSearchFindsTheBestOfAllOrders) {
  int feasible = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Problem problem = random_problem(seed, {3, 2, 5});
    const auto best = exhaustive(problem, options.deviations);
    const Plan plan = lp_plan(problem, options);
    ASSERT_EQ(wrong(problem, plan.queues), "") << seed;
    ASSERT_EQ(plan.edf, best ? 0 : 1) << seed;
    if (!best) continue;
    ++feasible;
    EXPECT_NEAR(plan.objective, *best, 1e-4) << seed;
    const Judged judge = judged(problem, plan.queues, options.deviations);
    EXPECT_NEAR(judge.sum, plan.objective, 1e-4) << seed;
    EXPECT_TRUE(judge.on_time()) << seed;
  }
  EXPECT_GT(feasible, 60);
  EXPECT_LT(feasible, 190);
}

TEST(PaperLp, TheSameQuestionHasTheSameAnswer) {
  const Problem problem = random_problem(7, {4, 4, 40});
  EXPECT_EQ(lp_plan(problem, options).queues, lp_plan(problem, options).queues);
  EXPECT_EQ(sp_plan(problem, options).queues, sp_plan(problem, options).queues);
}

TEST(PaperLp, ManyGroupsAreAllPlanned) {
  Options hurried = options;
  for (const std::int64_t positions : {0, 1, 50, 3000}) {
    hurried.search.positions = positions;
    const Problem problem = random_problem(11, {6, 20, 300});
    EXPECT_EQ(wrong(problem, lp_plan(problem, hurried).queues), "") << positions;
    EXPECT_EQ(wrong(problem, sp_plan(problem, hurried).queues), "") << positions;
  }
}

// One instance, two groups of 100. `short_one` goes first for the lesser sum, unless its length is so uncertain that
// the other would too often be late.
Problem uncertain(double deviation) {
  Maker one(1, 0s);
  one.instance(a);
  one.group(a, 100, 400s);
  one.group(a, 90, 400s, deviation);
  one.problem.groups[0].first_due = 110s;
  return one.problem;
}

TEST(PaperSp, MoreVarianceAloneChangesTheOrder) {
  EXPECT_EQ(sp_plan(uncertain(10), options).queues, (VirtualQueues{{{1, 90}, {0, 100}}}));
  EXPECT_EQ(sp_plan(uncertain(200), options).queues, (VirtualQueues{{{0, 100}, {1, 90}}}));
  EXPECT_EQ(sp_plan(uncertain(200), options).broken, 0);
}

TEST(PaperSp, MoreMissesAllowedChangeItBack) {
  Options lax = options;
  lax.delta = 0.8;
  EXPECT_EQ(sp_plan(uncertain(200), lax).queues, (VirtualQueues{{{1, 90}, {0, 100}}})) << "one in seven is late";
}

TEST(PaperSp, WhereAConstraintMustBreakAsFewDoAsCan) {
  // Nothing helps the long one, which would make the others late.
  Maker one(1, 0s);
  one.instance(a);
  const auto endless = one.group(a, 1000, 20s);
  one.problem.groups[0].last_due = 30s;
  const auto second = one.group(a, 10, 25s);
  const auto third = one.group(a, 12, 30s);
  Options whole = options;
  whole.group_cap = 1000;
  const Plan plan = sp_plan(one.problem, whole);
  EXPECT_EQ(plan.queues, (VirtualQueues{{{second, 10}, {third, 12}, {endless, 1000}}}));
  EXPECT_EQ(plan.broken, 1);
}

}  // namespace
}  // namespace qlm::paper

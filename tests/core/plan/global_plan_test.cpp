// What a plan does, in cases a reader can follow. Times are seconds, a request is worth 1 unless said otherwise.
#include "core/plan/global_plan.hpp"

#include <gtest/gtest.h>

#include "plan_cases.hpp"

namespace qlm::planner {
namespace {

constexpr ModelId a{0};
constexpr ModelId b{1};
constexpr SearchBudget search{.seed = 1, .positions = 20'000};

VirtualQueues planned(const Problem& problem) { return improved_plan(problem, greedy_plan(problem), search); }

Outcome outcome(const Problem& problem, const VirtualQueues& plan) {
  EXPECT_EQ(serve(problem, plan).wrong, "");
  const auto result = evaluate(problem, plan);
  EXPECT_TRUE(result) << result.error().message;
  return result.value_or(Outcome{});
}

TEST(GlobalPlan, ASwapIsWorthItWhenBothModelsCanBeOnTime) {
  Maker one(2, 5s);
  one.instance(a, {a, b});
  const auto here = one.group(a, 10, 1s, 30s);
  const auto other = one.group(b, 10, 1s, 30s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{here, 10}, {other, 10}}}));
}

TEST(GlobalPlan, ASwapIsNotWorthItWhenTheModelHereHasWorkForAllTheTime) {
  Maker one(2, 5s);
  one.instance(a, {a, b});
  const auto here = one.group(a, 20, 1s, 20s);
  one.group(b, 10, 1s, 20s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{here, 20}}}));
}

TEST(GlobalPlan, ASwapIsWorthItForWhoIsWorthMore) {
  Maker one(2, 5s);
  one.instance(a, {a, b});
  const auto here = one.group(a, 20, 1s, 20s);
  const auto other = one.group(b, 10, 1s, 20s, 3);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{here, 5}, {other, 10}}}));
}

TEST(GlobalPlan, ASwapThatCostsMoreThanItBringsIsLeft) {
  Maker one(2, 5s);
  one.instance(a, {a, b});
  const auto here = one.group(a, 10, 1s, 60s);
  const auto other = one.group(b, 10, 1s, 60s);
  one.problem.setup_cost = 1.9;
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{here, 10}, {other, 10}}}));
  one.problem.setup_cost = 2.1;
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{here, 10}}}));
}

TEST(GlobalPlan, AFamilyIsServedToExhaustionWhenNobodyIsUrgent) {
  Maker one(2, 5s);
  one.instance(a, {a, b});
  const auto a_soon = one.group(a, 5, 1s, 10s);
  const auto b_soon = one.group(b, 5, 1s, 25s);
  const auto a_later = one.group(a, 10, 1s, 40s);
  const auto b_later = one.group(b, 10, 1s, 40s);
  // By due date it would be four families and the last one late: 5, 5+5, 5+10, 5+10 are 45.
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{a_soon, 5}, {a_later, 10}, {b_soon, 5}, {b_later, 10}}}));
}

TEST(GlobalPlan, AnUrgentGroupBreaksAFamily) {
  Maker one(2, 2s);
  one.instance(a, {a, b});
  const auto soon = one.group(a, 5, 1s, 10s);
  const auto later = one.group(a, 10, 1s, 40s);
  const auto urgent = one.group(b, 2, 1s, 9s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{soon, 5}, {urgent, 2}, {later, 10}}}));
}

TEST(GlobalPlan, AGroupIsDividedOverInstances) {
  Maker two(1, 5s);
  two.instance(a, {a});
  two.instance(a, {a}, 4s);
  const auto group = two.group(a, 20, 1s, 10s);
  EXPECT_EQ(planned(two.problem), (VirtualQueues{{{group, 10}}, {{group, 6}}}));
}

TEST(GlobalPlan, AModelGoesOnlyWhereItMayBeBroughtIn) {
  Maker two(2, 5s);
  two.instance(a, {a});
  two.instance(a, {a, b}, 3s);
  two.group(a, 10, 1s, 12s);
  const auto group = two.group(b, 4, 1s, 12s);
  const auto plan = planned(two.problem);
  EXPECT_EQ(plan[1], (std::vector<Part>{{group, 4}}));
  EXPECT_EQ(outcome(two.problem, plan).on_time, 14);
}

TEST(GlobalPlan, EachKindGetsWhatItIsGoodAt) {
  Maker two(2, 1s);
  two.instance(a, {a, b});
  two.instance(b, {a, b});
  two.problem.instances[1].kind = 1;
  two.problem.kinds = 2;
  two.problem.groups = {{a, 10, 1, 12s}, {b, 10, 1, 12s}};
  two.problem.work = {2s, 1s, 1s, 2s};  // a is faster on the second, where b is loaded, and the other way round
  EXPECT_EQ(planned(two.problem), (VirtualQueues{{{1, 10}}, {{0, 10}}}));
}

TEST(GlobalPlan, NothingIsPlannedThatCannotBeOnTime) {
  Maker one(1, 5s);
  one.instance(a, {a}, 9s);
  one.group(a, 5, 2s, 10s);
  one.group(a, 5, 2s, -1s);
  EXPECT_EQ(planned(one.problem), VirtualQueues{{}});
}

TEST(GlobalPlan, NoInstancesAndNoGroupsAreNoPlan) {
  Maker none(1, 1s);
  EXPECT_TRUE(planned(none.problem).empty());
  none.group(a, 5, 1s, 10s);
  EXPECT_TRUE(planned(none.problem).empty());
  Maker idle(1, 1s);
  idle.instance(a, {a});
  EXPECT_EQ(planned(idle.problem), VirtualQueues{{}});
}

TEST(GlobalPlan, FarDueDatesAndLargeGroupsDoNotOverflow) {
  Maker one(1, 5s);
  one.instance(a, {a});
  const auto group = one.group(a, std::int64_t{1} << 60, 1h, Duration::max());
  const auto soon = one.group(a, 1, 1s, 1s);
  const auto plan = planned(one.problem);
  ASSERT_EQ(plan[0].size(), 2U);
  EXPECT_EQ(plan[0][0], (Part{soon, 1}));
  EXPECT_EQ(plan[0][1].group, group);
}

TEST(GlobalPlan, ADetourOverAnotherModelIsTakenWhereItIsShorter) {
  Maker one(3, 30s);
  const ModelId c{2};
  one.instance(a, {a, b, c});
  auto& times = one.problem.setups[0].times;
  times[3 + b.index()] = 1s;      // from a to b
  times[2 * 3 + c.index()] = 1s;  // from b to c
  const auto between = one.group(b, 1, 1s, 10s);
  const auto far = one.group(c, 5, 1s, 10s);
  EXPECT_EQ(planned(one.problem), (VirtualQueues{{{between, 1}, {far, 5}}}));
}

// Stability.

TEST(GlobalPlan, StaysWithTheIncumbentWhereAnotherPlanIsNoBetter) {
  Maker two(2, 5s);
  two.instance(std::nullopt, {a, b});
  two.instance(std::nullopt, {a, b});
  const auto first = two.group(a, 10, 1s, 20s);
  const auto second = two.group(b, 10, 1s, 20s);
  two.problem.move_cost = 0.1;
  for (const VirtualQueues& incumbent :
       {VirtualQueues{{{first, 10}}, {{second, 10}}}, VirtualQueues{{{second, 10}}, {{first, 10}}}}) {
    two.problem.incumbent = incumbent;
    EXPECT_EQ(planned(two.problem), incumbent);
  }
}

TEST(GlobalPlan, LeavesTheIncumbentWhereThatIsWorthTheMoves) {
  Maker two(1, 5s);
  two.instance(a, {a});
  two.instance(a, {a});
  const auto group = two.group(a, 20, 1s, 10s);
  two.problem.incumbent = {{{group, 20}}, {}};  // it was due later when that was planned
  two.problem.move_cost = 0.1;
  const auto moved = planned(two.problem);
  EXPECT_EQ(moved, (VirtualQueues{{{group, 10}}, {{group, 10}}}));
  EXPECT_EQ(outcome(two.problem, moved).moved, 10);
}

// Repair.

TEST(GlobalPlan, RepairKeepsWhatStandsAndAddsWhatCame) {
  Maker two(2, 5s);
  two.instance(a, {a, b});
  two.instance(b, {a, b});
  const auto first = two.group(a, 6, 1s, 30s);  // four of ten are done
  const auto second = two.group(b, 10, 1s, 30s);
  const auto fresh = two.group(a, 3, 1s, 5s);
  two.problem.incumbent = {{{first, 10}}, {{second, 10}}};
  EXPECT_EQ(repaired_plan(two.problem), (VirtualQueues{{{fresh, 3}, {first, 6}}, {{second, 10}}}));
}

TEST(GlobalPlan, RepairTakesOutWhatBecameLateAndPutsItWhereItCanBeOnTime) {
  Maker two(1, 5s);
  two.instance(a, {a}, 8s);  // busy for longer than was thought
  two.instance(a, {a});
  const auto group = two.group(a, 10, 1s, 10s);
  two.problem.incumbent = {{{group, 10}}, {}};
  EXPECT_EQ(repaired_plan(two.problem), (VirtualQueues{{{group, 2}}, {{group, 8}}}));
}

TEST(GlobalPlan, ReplacesAnInstanceThatIsGone) {
  Maker two(1, 5s);
  two.instance(std::nullopt, {});
  two.instance(a, {a});
  const auto group = two.group(a, 10, 1s, 10s);
  two.problem.incumbent = {{{group, 10}}, {}};
  EXPECT_EQ(repaired_plan(two.problem), (VirtualQueues{{}, {{group, 10}}}));
}

// Evaluation.

TEST(GlobalPlan, APlanThatCannotBeCarriedOutIsNoPlan) {
  Maker one(2, 5s);
  one.instance(a, {a});
  one.group(a, 5, 1s, 10s);
  one.group(b, 5, 1s, 10s);
  EXPECT_TRUE(evaluate(one.problem, {{{0, 5}}}));
  EXPECT_FALSE(evaluate(one.problem, {{{0, 6}}}));
  EXPECT_FALSE(evaluate(one.problem, {{{0, 3}, {0, 3}}}));
  EXPECT_FALSE(evaluate(one.problem, {{{0, 0}}}));
  EXPECT_FALSE(evaluate(one.problem, {{{1, 1}}}));
  EXPECT_FALSE(evaluate(one.problem, {{{2, 1}}}));
  EXPECT_FALSE(evaluate(one.problem, {{}, {}}));
}

TEST(GlobalPlan, WhatIsLateCountsNothingAndDelaysTheRest) {
  Maker one(2, 5s);
  one.instance(a, {a, b});
  one.group(a, 8, 1s, 5s);
  one.group(b, 2, 1s, 14s, 7);
  const auto result = evaluate(one.problem, {{{0, 8}, {1, 2}}});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->on_time, 6);
  EXPECT_EQ(result->late, 4);
  EXPECT_DOUBLE_EQ(result->value, 5 + 7);
  EXPECT_EQ(result->setup, 5s);
}

// Components.

TEST(GlobalPlan, WhatSharesNoInstanceIsDecidedApart) {
  Maker three(3, 5s);
  three.instance(a, {a});
  three.instance(b, {b, ModelId{2}});
  three.instance(a, {a, ModelId{2}});  // nobody waits for the third model: it joins nothing
  three.group(b, 1, 1s, 10s);
  three.group(a, 1, 1s, 10s);
  auto parts = components(three.problem);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].groups, std::vector<std::uint32_t>{1});
  EXPECT_EQ(parts[0].instances, (std::vector<std::uint32_t>{0, 2}));
  EXPECT_EQ(parts[1].groups, std::vector<std::uint32_t>{0});
  EXPECT_EQ(parts[1].instances, std::vector<std::uint32_t>{1});

  three.group(ModelId{2}, 1, 1s, 10s);
  EXPECT_EQ(components(three.problem).size(), 1U);
}

}  // namespace
}  // namespace qlm::planner

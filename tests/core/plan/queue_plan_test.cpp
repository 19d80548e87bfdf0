#include "core/plan/queue_plan.hpp"

#include <gtest/gtest.h>

#include "core/plan/fleet_plan.hpp"

namespace qlm::queue_plan {
namespace {

constexpr ModelId a{0}, b{1};
constexpr ClassId hurried{0}, patient{1};
constexpr Instant now{Duration{1'000s}};
constexpr planner::SearchBudget budget{1, 20'000};

// Ten requests a second of either model; two seconds to drain, two to change.
InstanceSummary instance(std::uint32_t id, ModelId resident) {
  InstanceSummary i{.instance = InstanceId{id}, .in_flight = 20, .limit = 20, .available = true, .resident = resident, .free_at = {}, .holds = {}};
  for (const ModelId m : {a, b}) i.holds.push_back({.model = m, .per_second = 10, .drain = 2s, .put_away = 1s, .bring_in = 1s, .residence = 2s});
  return i;
}

GroupSummary group(ModelId model, ClassId service_class, std::int64_t requests, Duration due) {
  return {.model = model, .service_class = service_class, .value = 1, .requests = requests, .due = due, .first = due};
}

Snapshot snapshot(std::vector<GroupSummary> groups, std::vector<InstanceSummary> instances) {
  return {.version = SnapshotVersion{7}, .taken = now, .policy = Policy::qlm, .models = 2, .groups = std::move(groups), .streams = {},
          .outputs = {{100, 0}, {100, 0}}, .instances = std::move(instances)};
}

TEST(QueuePlan, NeighboursOfOneModelAndClassAreOneGroupUpToTheCapAndDueWhenTheFirstIs) {
  const planner::Problem problem = problem_of(
      snapshot({group(a, hurried, 40, 6s), group(a, hurried, 20, 8s), group(a, hurried, 20, 10s), group(a, patient, 5, 300s), group(b, hurried, 6, 9s)}, {instance(0, a)}), {});
  ASSERT_EQ(problem.groups.size(), 4u);
  EXPECT_EQ(problem.groups[0].count, 60);
  EXPECT_EQ(problem.groups[0].due, 6s + 100ms) << "a latest start is kept by who has ended one request's work after it";
  EXPECT_EQ(problem.groups[1].count, 20);
  EXPECT_EQ(problem.groups[3].model, b);
}

TEST(QueuePlan, ASwapTakesHalfADrainAndItsSetUp) {
  const planner::Problem problem = problem_of(snapshot({group(b, hurried, 1, 5s)}, {instance(0, a)}), {});
  EXPECT_EQ(problem.setups[0].of(a, b), 3s);
  EXPECT_EQ(problem.setups[0].of(std::nullopt, b), 1s);
}

TEST(QueuePlan, AnInstanceTakesAsLongAsItIsSlow) {
  InstanceSummary slow = instance(1, a);
  for (ResidentSummary& r : slow.holds) r.per_second = 5;
  const planner::Problem problem = problem_of(snapshot({group(a, hurried, 1, 5s)}, {instance(0, a), slow}), {});
  EXPECT_EQ(problem.work_of(0, problem.instances[0]), 100ms);
  EXPECT_EQ(problem.work_of(0, problem.instances[1]), 200ms);
}

TEST(QueuePlan, WhoCannotWaitGoesFirstThoughItCostsASwap) {
  const auto plan = made(snapshot({group(a, patient, 60, 600s), group(b, hurried, 20, 4900ms)}, {instance(0, a)}), {}, budget, 1);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->made_from, SnapshotVersion{7});
  const auto& visits = plan->instances.at(0).visits;
  ASSERT_EQ(visits.size(), 2u);
  EXPECT_EQ(visits[0].model, b);
  EXPECT_EQ(visits[0].until, now + 5s) << "three seconds to come, two to serve";
  EXPECT_EQ(visits[1].model, a);
  EXPECT_EQ(visits[1].until, never);
}

TEST(QueuePlan, WhoCanWaitIsServedInOneVisit) {
  const auto plan = made(snapshot({group(a, hurried, 60, 30s), group(a, patient, 60, 300s), group(b, patient, 60, 300s)}, {instance(0, a)}), {}, budget, 1);
  ASSERT_TRUE(plan);
  const auto& visits = plan->instances.at(0).visits;
  ASSERT_EQ(visits.size(), 2u);
  EXPECT_EQ(visits[0].until, now + 12s);
}

// When the plan is done with b, if it ever is.
Duration done_with_b(const Plan& plan) {
  for (const Plan::Visit& v : plan.instances.at(0).visits) {
    if (v.model == b) return v.until == never ? Duration::max() : v.until - now;
  }
  return Duration::max();
}

// a's ten seconds and then b's five would end in time, but only just: b goes between.
TEST(QueuePlan, ThereIsTimeInHandWhereItCostsNobodyHis) {
  const auto plan = made(snapshot({group(a, patient, 100, 100s), group(b, hurried, 20, 16s)}, {instance(0, a)}), {}, budget, 1);
  ASSERT_TRUE(plan);
  EXPECT_LE(done_with_b(*plan), 12s);
}

TEST(QueuePlan, WhereTimeInHandWouldCostSomebodyHisThereIsNone) {
  EXPECT_TRUE(made(snapshot({group(a, hurried, 100, 10s), group(b, hurried, 20, 16s)}, {instance(0, a)}), {}, budget, 1));
}

TEST(QueuePlan, ASetUpIsWorthATenthWhereThereIsTimeToSpare) {
  Snapshot s = snapshot({group(a, patient, 60, 600s)}, {instance(0, a)});
  const auto cost_at = [&](double load) {
    s.streams = {{.model = a, .service_class = patient, .per_second = load * 4}, {.model = b, .service_class = patient, .per_second = load * 6}};
    return problem_of(s, {}).setup_cost;
  };
  const double scarce = cost_at(0.95);
  EXPECT_GT(scarce, 0);
  EXPECT_NEAR(cost_at(0.5), scarce / 10, scarce * 1e-9);
  EXPECT_NEAR(cost_at(0.85), scarce / 2, scarce * 1e-9);
  EXPECT_NEAR(cost_at(1.5), scarce, scarce * 1e-9);
}

TEST(QueuePlan, WhereTooManyMustBeGivenUpThereIsNoneAndTheVisitsServe) {
  const Snapshot overload = snapshot({group(a, patient, 60, 600s), group(b, hurried, 2000, 20s)}, {instance(0, a)});
  EXPECT_FALSE(made(overload, {}, budget, 0.99)) << "200 seconds of work, due within 20";
  EXPECT_TRUE(made(overload, {}, budget, 0.05));
  EXPECT_FALSE(plan_fleet(overload, {}, {}).instances.at(0).visits.empty());
}

TEST(QueuePlan, AmongEqualsThePlanInForceStays) {
  // Both have been left: either may be taken up by either.
  InstanceSummary one = instance(0, a), other = instance(1, a);
  one.resident = other.resident = std::nullopt;
  const Snapshot two = snapshot({group(a, patient, 60, 600s), group(b, patient, 60, 600s)}, {one, other});
  for (const ModelId first : {a, b}) {
    const ModelId second = first == a ? b : a;
    const Plan in_force{.version = {}, .made_from = {}, .instances = {{InstanceId{0}, {{first, never}}}, {InstanceId{1}, {{second, never}}}}};
    const auto plan = made(two, in_force, budget, 1);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->instances.at(0).visits.at(0).model, first);
    EXPECT_EQ(plan->instances.at(1).visits.at(0).model, second);
  }
}

TEST(QueuePlan, AVisitOfThePlanInForceHasAsManyAsItLastsFor) {
  const Plan in_force{.version = {}, .made_from = {}, .instances = {{InstanceId{0}, {{a, now + 2s}, {b, now + 8s}, {a, never}}}}};
  const planner::Problem problem = problem_of(snapshot({group(a, patient, 60, 600s), group(b, patient, 60, 600s)}, {instance(0, a)}), in_force);
  const planner::VirtualQueues expected{{{0, 20}, {1, 30}, {0, 40}}};
  EXPECT_EQ(problem.incumbent, expected);
}

TEST(QueuePlan, OnlyInstancesThatAreAvailableHaveVisits) {
  InstanceSummary gone = instance(0, a);
  gone.available = false;
  const auto plan = made(snapshot({group(a, hurried, 20, 10s)}, {gone, instance(1, a)}), {}, budget, 1);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->instances.size(), 1u);
  EXPECT_EQ(plan->instances[0].instance, InstanceId{1});
}

TEST(QueuePlan, NobodyWaitingIsAPlanOfNothing) {
  const auto plan = made(snapshot({}, {instance(0, a)}), {}, budget, 0.99);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->instances.at(0).visits.empty());
}

}  // namespace
}  // namespace qlm::queue_plan

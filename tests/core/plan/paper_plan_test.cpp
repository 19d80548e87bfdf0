#include "core/plan/paper_plan.hpp"

#include <gtest/gtest.h>

#include "core/plan/fleet_plan.hpp"

namespace qlm::paper {
namespace {

constexpr ModelId a{0}, b{1};
constexpr ClassId hurried{0}, patient{1};
constexpr Instant now{Duration{1'000s}};

// Ten requests of 100 tokens a second of either model; three seconds to drain, two to change.
InstanceSummary instance(std::uint32_t id, ModelId resident) {
  InstanceSummary i{.instance = InstanceId{id}, .in_flight = 20, .limit = 20, .available = true, .resident = resident, .free_at = {}, .holds = {}};
  for (const ModelId m : {a, b}) i.holds.push_back({.model = m, .per_second = 10, .drain = 3s, .put_away = 1s, .bring_in = 1s, .residence = 2s});
  return i;
}

GroupSummary group(ModelId model, ClassId service_class, std::int64_t requests, Duration first, Duration due) {
  return {.model = model, .service_class = service_class, .requests = requests, .due = due, .first = first};
}

Snapshot snapshot(Policy policy, std::vector<GroupSummary> groups, std::vector<InstanceSummary> instances) {
  return {.version = SnapshotVersion{7}, .taken = now, .policy = policy, .models = 2, .groups = std::move(groups), .streams = {},
          .outputs = {{100, 0}, {100, 0}}, .instances = std::move(instances)};
}

qlm::Plan plan_of(const Snapshot& from) { return plan_fleet(from, {}, {}); }

TEST(PaperPlan, WhatWaitsOfOneModelAndClassIsOneGroup) {
  const Problem problem = problem_of(snapshot(
      Policy::qlm_lp, {group(a, hurried, 3, -5s, -4s), group(a, hurried, 4, 6s, 8s), group(a, patient, 5, 300s, 301s), group(b, hurried, 6, 9s, 10s)},
      {instance(0, a)}));
  ASSERT_EQ(problem.groups.size(), 3u);
  EXPECT_EQ(problem.groups[0].count, 7);
  EXPECT_EQ(problem.groups[0].first_due, -5s);
  EXPECT_EQ(problem.groups[0].last_due, 8s);
  EXPECT_EQ(problem.groups[1].count, 5);
  EXPECT_EQ(problem.groups[2].model, b);
}

TEST(PaperPlan, ThroughputSetupsAndDrainsAreTheSnapshots) {
  InstanceSummary idle = instance(0, a), swapping = instance(1, b);
  idle.in_flight = 0;
  swapping.free_at = 2s;
  const Problem problem = problem_of(snapshot(Policy::qlm_lp, {group(a, hurried, 1, 5s, 5s)}, {idle, instance(2, a), swapping}));
  ASSERT_EQ(problem.instances.size(), 3u);
  EXPECT_DOUBLE_EQ(problem.instances[0].services[0].tokens_per_second, 1000);
  EXPECT_EQ(problem.instances[0].drain, Duration{});
  EXPECT_EQ(problem.instances[1].drain, 3s);
  EXPECT_EQ(problem.instances[2].drain, Duration{}) << "the swap's end has it";
  EXPECT_EQ(problem.setups[problem.instances[0].setups].of(a, b), 2s);
  EXPECT_EQ(problem.setups[problem.instances[0].setups].of(std::nullopt, b), 1s);
}

TEST(PaperPlan, GroupsOfOneModelInARowAreOneVisitUntilAllAreTaken) {
  const qlm::Plan plan = plan_of(snapshot(
      Policy::qlm_lp, {group(a, hurried, 20, 10s, 20s), group(a, patient, 30, 20s, 30s), group(b, patient, 500, 600s, 700s)}, {instance(0, a)}));
  EXPECT_EQ(plan.made_from, SnapshotVersion{7});
  ASSERT_EQ(plan.instances.size(), 1u);
  const auto& visits = plan.instances[0].visits;
  ASSERT_EQ(visits.size(), 2u);
  EXPECT_EQ(visits[0].model, a);
  EXPECT_EQ(visits[0].until, now + 5s);
  EXPECT_EQ(visits[1].model, b);
  EXPECT_EQ(visits[1].until, never);
}

TEST(PaperPlan, AGroupThatCannotWaitGoesFirstThoughItCostsASwap) {
  const qlm::Plan plan = plan_of(snapshot(Policy::qlm_lp, {group(a, patient, 900, 600s, 700s), group(b, hurried, 20, 10s, 20s)}, {instance(0, a)}));
  EXPECT_EQ(plan.instances[0].visits.front().model, b);
}

TEST(PaperPlan, OnlyInstancesThatAreAvailableHaveVisits) {
  InstanceSummary gone = instance(0, a);
  gone.available = false;
  const qlm::Plan plan = plan_of(snapshot(Policy::qlm_lp_expire, {group(a, hurried, 20, 10s, 20s)}, {gone, instance(1, a)}));
  ASSERT_EQ(plan.instances.size(), 1u);
  EXPECT_EQ(plan.instances[0].instance, InstanceId{1});
  EXPECT_EQ(plan.instances[0].visits.size(), 1u);
}

// A solver that proves nothing but that it was asked, and by which policy.
struct Asked {
  std::size_t most = 0;  // variables of a program
  ExactSolver exact;

  explicit Asked(lp::Status answer) {
    exact.solve = [this, answer](const lp::Program& program) -> Result<lp::Solution> {
      most = std::max(most, program.variables.size());
      return lp::Solution{.status = answer, .objective = 0, .values = {}};
    };
  }
};

TEST(PaperPlan, TheSolverIsAskedOfSmallProgramsAndTheSearchServesWhereItProvesNothing) {
  const Snapshot small = snapshot(Policy::qlm_lp, {group(a, hurried, 20, 10s, 20s), group(b, patient, 30, 300s, 400s)}, {instance(0, a)});
  for (const lp::Status answer : {lp::Status::infeasible, lp::Status::stopped}) {
    Asked asked(answer);
    const qlm::Plan plan = plan_fleet(small, {}, {}, &asked.exact);
    EXPECT_EQ(plan.instances[0].visits.size(), plan_of(small).instances[0].visits.size());
    EXPECT_EQ(asked.exact.counts.programs, 1);
    EXPECT_EQ(asked.exact.counts.asked, 1);
    EXPECT_EQ(asked.exact.counts.impossible, answer == lp::Status::infeasible ? 1 : 0);
    EXPECT_EQ(asked.exact.counts.exact, 0);
  }
}

TEST(PaperPlan, ALargeProgramAndTheStochasticOneAreNotTheSolvers) {
  std::vector<GroupSummary> groups = {group(a, hurried, 512 * 14, 10s, 3'000s)};  // 14 groups: 196 places
  Asked asked(lp::Status::infeasible);
  plan_fleet(snapshot(Policy::qlm_lp_expire, groups, {instance(0, a)}), {}, {}, &asked.exact);
  EXPECT_EQ(asked.exact.counts.programs, 1);
  EXPECT_EQ(asked.exact.counts.asked, 0);
  groups[0].requests = 512 * 13;
  plan_fleet(snapshot(Policy::qlm_lp_expire, groups, {instance(0, a)}), {}, {}, &asked.exact);
  EXPECT_EQ(asked.exact.counts.asked, 1);
  plan_fleet(snapshot(Policy::qlm_sp, groups, {instance(0, a)}), {}, {}, &asked.exact);
  EXPECT_EQ(asked.exact.counts.programs, 2);
}

TEST(PaperPlan, UnderTheStochasticProgramVarianceAloneChangesAPlan) {
  // A hundred of a leave b five seconds: enough, unless their lengths differ much.
  const std::vector<GroupSummary> groups = {group(a, patient, 100, 40s, 60s), group(b, hurried, 10, 20s, 21s)};
  Snapshot sure = snapshot(Policy::qlm_sp, groups, {instance(0, a)}), unsure = sure;
  unsure.outputs[0].deviation = 800;
  EXPECT_EQ(plan_of(sure).instances[0].visits.front().model, a);
  EXPECT_EQ(plan_of(unsure).instances[0].visits.front().model, b);
}

TEST(PaperPlan, UnderTheStochasticProgramDeltaAloneChangesAPlan) {
  Snapshot risky = snapshot(Policy::qlm_sp, {group(a, patient, 100, 40s, 60s), group(b, hurried, 10, 20s, 21s)}, {instance(0, a)});
  risky.outputs[0].deviation = 800;
  EXPECT_EQ(plan_of(risky).instances[0].visits.front().model, b);
  risky.delta = 0.5;
  EXPECT_EQ(plan_of(risky).instances[0].visits.front().model, a);
}

}  // namespace
}  // namespace qlm::paper

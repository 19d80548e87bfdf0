#include "core/plan/fleet_plan.hpp"

#include <algorithm>

#include "core/plan/order.hpp"
#include "core/plan/paper_plan.hpp"
#include "core/plan/queue_plan.hpp"
#include "core/plan/visits.hpp"

namespace qlm {
namespace {

constexpr std::int64_t most_rollouts = 2'000;
constexpr double enough = 0.99;  // of the value that waits: who keeps it need not look at what is to come

visits::Instance instance_of(const InstanceSummary& from, std::size_t models) {
  visits::Instance to{.free_at = from.free_at, .resident = from.resident};
  to.occupied = from.limit > 0 ? std::min(1.0, static_cast<double>(from.in_flight) / from.limit) : 1;
  to.rate.resize(models);
  to.bring_in.resize(models);
  to.put_away.resize(models);
  to.drain.resize(models);
  to.ramp.resize(models);
  for (const ResidentSummary& r : from.holds) {
    const std::size_t m = r.model.index();
    to.rate[m] = r.per_second;
    to.bring_in[m] = r.bring_in;
    to.put_away[m] = r.put_away;
    to.drain[m] = r.drain;
    to.ramp[m] = r.residence;
  }
  return to;
}

}  // namespace

Plan plan_fleet(const Snapshot& snapshot, const Plan& in_force, const PlanningBudget& budget) {
  if (traits(snapshot.policy).paper_plans) return paper::planned(snapshot, {budget.seed, budget.orders});
  if (const auto keeps = queue_plan::made(snapshot, in_force, {budget.seed, budget.positions}, enough)) return *keeps;
  visits::Problem problem{.models = snapshot.models};
  for (const GroupSummary& g : snapshot.groups) problem.waiting.push_back({g.model, g.due, static_cast<double>(g.requests), g.value});
  for (const StreamSummary& s : snapshot.streams) problem.streams.push_back({s.model, s.per_second, s.slack, s.value});
  visits::Plan incumbent;
  std::vector<InstanceId> instances;
  for (const InstanceSummary& i : snapshot.instances) {
    if (!i.available) continue;
    problem.instances.push_back(instance_of(i, snapshot.models));
    instances.push_back(i.instance);
    std::vector<visits::Visit>& of = incumbent.emplace_back();
    const auto former = std::ranges::find(in_force.instances, i.instance, &Plan::Visits::instance);
    if (former == in_force.instances.end()) continue;
    for (const Plan::Visit& v : former->visits) {
      if (v.until > snapshot.taken) of.push_back({v.model, v.until == never ? problem.horizon : v.until - snapshot.taken});
    }
  }
  std::int64_t choices = 0;
  for (const InstanceSummary& i : snapshot.instances) choices += static_cast<std::int64_t>(i.holds.size());
  const std::int64_t rollouts = std::min(most_rollouts, budget.rollouts * choices);
  const visits::Plan best = visits::improved(problem, incumbent, rollouts, budget.seed);
  Plan plan{.version = PlanVersion{snapshot.version.value}, .made_from = snapshot.version, .instances = {}};
  for (std::size_t k = 0; k < instances.size(); ++k) {
    Plan::Visits& of = plan.instances.emplace_back(Plan::Visits{instances[k], {}});
    for (std::size_t v = 0; v < best[k].size(); ++v) {
      const bool last = v + 1 == best[k].size();
      of.visits.push_back({best[k][v].model, last ? never : add(snapshot.taken, best[k][v].until)});
    }
  }
  return plan;
}

}  // namespace qlm

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
constexpr Duration round_trip = 30s;  // to another model and back, about: what is to come counts where it has less time
constexpr Duration foreseen = 160s;  // of what is to come
constexpr double clearly = 1.03;     // as much value on time until then

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

// What waits, what will come, and the instances that are available.
visits::Problem problem_of(const Snapshot& snapshot) {
  visits::Problem problem{.models = snapshot.models};
  for (const GroupSummary& g : snapshot.groups) problem.waiting.push_back({g.model, g.due, static_cast<double>(g.requests), g.value});
  for (const StreamSummary& s : snapshot.streams) problem.streams.push_back({s.model, s.per_second, s.slack, s.value});
  for (const InstanceSummary& i : snapshot.instances) {
    if (i.available) problem.instances.push_back(instance_of(i, snapshot.models));
  }
  return problem;
}

// A plan in the rollout's terms: for the instances that are available, what is left of it.
visits::Plan visits_of(const Plan& plan, const Snapshot& snapshot, Duration horizon) {
  visits::Plan to;
  for (const InstanceSummary& i : snapshot.instances) {
    if (!i.available) continue;
    std::vector<visits::Visit>& of = to.emplace_back();
    const auto from = std::ranges::find(plan.instances, i.instance, &Plan::Visits::instance);
    if (from == plan.instances.end()) continue;
    for (const Plan::Visit& v : from->visits) {
      if (v.until > snapshot.taken) of.push_back({v.model, v.until == never ? horizon : v.until - snapshot.taken});
    }
  }
  return to;
}

Plan plan_of(const visits::Plan& best, const Snapshot& snapshot) {
  Plan plan{.version = PlanVersion{snapshot.version.value}, .made_from = snapshot.version, .instances = {}};
  auto visits = best.begin();
  for (const InstanceSummary& i : snapshot.instances) {
    if (!i.available) continue;
    Plan::Visits& of = plan.instances.emplace_back(Plan::Visits{i.instance, {}});
    for (std::size_t v = 0; v < visits->size(); ++v) {
      const bool last = v + 1 == visits->size();
      of.visits.push_back({(*visits)[v].model, last ? never : add(snapshot.taken, (*visits)[v].until)});
    }
    ++visits;
  }
  return plan;
}

// Whether some will come who cannot wait until an instance that left their model is back: a plan of those who wait now
// would give them up unseen. (By each model's own way there and back it does worse where that is long: there all models
// are given up by turns, and what waits is the better guide again.)
bool some_cannot_wait(const Snapshot& snapshot) {
  return std::ranges::any_of(snapshot.streams, [](const StreamSummary& s) { return s.slack < round_trip; });
}

}  // namespace

Plan plan_fleet(const Snapshot& snapshot, const Plan& in_force, const PlanningBudget& budget, paper::ExactSolver* exact) {
  if (traits(snapshot.policy).paper_plans) return paper::planned(snapshot, {budget.seed, budget.orders}, exact);
  const std::optional<Plan> keeping = queue_plan::made(snapshot, in_force, {budget.seed, budget.positions}, enough);
  if (keeping && !some_cannot_wait(snapshot)) return *keeping;
  const visits::Problem problem = problem_of(snapshot);
  std::int64_t choices = 0;
  for (const InstanceSummary& i : snapshot.instances) choices += static_cast<std::int64_t>(i.holds.size());
  const std::int64_t rollouts = std::min(most_rollouts, budget.rollouts * choices);
  const visits::Plan best = visits::improved(problem, visits_of(in_force, snapshot, problem.horizon), rollouts, budget.seed);
  if (keeping) {
    visits::Problem soon = problem;
    soon.horizon = foreseen;
    const visits::Plan kept = visits_of(*keeping, snapshot, problem.horizon);
    if (visits::rollout(soon, best).value <= clearly * visits::rollout(soon, kept).value) return *keeping;
  }
  return plan_of(best, snapshot);
}

}  // namespace qlm

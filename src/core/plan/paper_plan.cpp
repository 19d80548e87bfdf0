#include "core/plan/paper_plan.hpp"

namespace qlm::paper {
namespace {

Instance instance_of(const InstanceSummary& from, const Snapshot& snapshot, std::uint32_t setups) {
  Instance to{.free_at = from.free_at, .loaded = from.resident, .setups = setups};
  to.services.resize(snapshot.models);
  for (const ResidentSummary& r : from.holds) {
    to.services[r.model.index()] = {r.per_second * snapshot.outputs[r.model.index()].mean, r.drain};
    if (r.model == from.resident && from.in_flight > 0 && from.free_at == Duration{}) to.drain = r.drain;
  }
  return to;
}

planner::SetupTable setups_of(const InstanceSummary& of, std::size_t models) {
  planner::SetupTable table{models, std::vector<Duration>((models + 1) * models)};
  for (const ResidentSummary& to : of.holds) {
    table.times[to.model.index()] = to.bring_in;
    for (const ResidentSummary& from : of.holds) table.times[(from.model.index() + 1) * models + to.model.index()] = from.put_away + to.bring_in;
  }
  return table;
}

}  // namespace

Problem problem_of(const Snapshot& snapshot) {
  Problem problem{.models = snapshot.models};
  const GroupSummary* before = nullptr;
  for (const GroupSummary& g : snapshot.groups) {
    if (!before || before->model != g.model || before->service_class != g.service_class) {
      const OutputSummary& output = snapshot.outputs[g.model.index()];
      problem.groups.push_back({.model = g.model, .output_mean = output.mean, .output_deviation = output.deviation, .first_due = g.first});
    }
    problem.groups.back().count += g.requests;
    problem.groups.back().last_due = g.due;
    before = &g;
  }
  for (const InstanceSummary& i : snapshot.instances) {
    if (!i.available) continue;
    problem.instances.push_back(instance_of(i, snapshot, static_cast<std::uint32_t>(problem.setups.size())));
    problem.setups.push_back(setups_of(i, snapshot.models));
  }
  return problem;
}

namespace {

// Parts of one model that stand in a row are one visit.
qlm::Plan visits_of(const Snapshot& snapshot, const Problem& problem, const Plan& best, double deviations) {
  const auto table = timetable(problem, best.queues, deviations);
  qlm::Plan plan{.version = PlanVersion{snapshot.version.value}, .made_from = snapshot.version, .instances = {}};
  std::size_t k = 0;
  for (const InstanceSummary& i : snapshot.instances) {
    if (!i.available) continue;
    qlm::Plan::Visits& of = plan.instances.emplace_back(qlm::Plan::Visits{i.instance, {}});
    for (const Stop& stop : table[k]) {
      if (of.visits.empty() || of.visits.back().model != stop.model) of.visits.push_back({stop.model, {}});
      of.visits.back().until = add(snapshot.taken, stop.start + stop.takes);
    }
    if (!of.visits.empty()) of.visits.back().until = never;
    ++k;
  }
  return plan;
}

}  // namespace

qlm::Plan planned(const Snapshot& snapshot, planner::SearchBudget budget, ExactSolver* exact) {
  const Problem problem = problem_of(snapshot);
  Options options{.edf_when_infeasible = false, .search = budget, .delta = snapshot.delta};
  if (snapshot.policy == Policy::qlm_sp) return visits_of(snapshot, problem, sp_plan(problem, options), options.deviations);
  if (exact == nullptr || !exact->solve) return visits_of(snapshot, problem, lp_plan(problem, options), options.deviations);
  options.exact_places = exact->places;
  options.compare = true;
  const Plan best = lp_plan(problem, options, exact->solve);
  exact->counts += best.counts;
  return visits_of(snapshot, problem, best, options.deviations);
}

}  // namespace qlm::paper

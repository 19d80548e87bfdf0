#include "core/plan/queue_plan.hpp"

#include <algorithm>
#include <vector>

namespace qlm::queue_plan {
namespace {

constexpr std::int64_t group_cap = 64;  // requests: a quarter of a batch, so that plans stay fine
constexpr double drain_share = 0.5;     // of a drain: its slots empty by and by, half of the time is lost
constexpr double setup_worth = 0.3;     // of what an instance starts in a set-up's time, beside that time itself
constexpr double spare_below = 0.8;     // of the fleet's load: there is time to spare, and a set-up is worth a tenth of that
constexpr double scarce_above = 0.9;
constexpr double early_share = 0.3;     // of the time until a group is due: planned so much earlier where that suits all,
constexpr Duration most_early = 15s;    // for what will come, and for what takes longer than was learned
constexpr double move_worth = 0.05;     // of a request that is no longer where the plan in force has it

// Neighbouring cells of a histogram, up to the cap, due when the first of them is.
std::vector<planner::Group> groups_of(const Snapshot& snapshot) {
  std::vector<planner::Group> groups;
  const GroupSummary* before = nullptr;
  for (const GroupSummary& g : snapshot.groups) {
    const bool alike = before && before->model == g.model && before->service_class == g.service_class;
    if (alike && groups.back().count + g.requests <= group_cap) {
      groups.back().count += g.requests;
    } else {
      groups.push_back({g.model, g.requests, g.value, g.due});
    }
    before = &g;
  }
  return groups;
}

planner::SetupTable setups_of(const InstanceSummary& of, std::size_t models) {
  planner::SetupTable table{models, std::vector<Duration>((models + 1) * models)};
  for (const ResidentSummary& to : of.holds) {
    table.times[to.model.index()] = to.bring_in;
    for (const ResidentSummary& from : of.holds) {
      table.times[(from.model.index() + 1) * models + to.model.index()] = duration_from_seconds(drain_share * seconds(from.drain)) + from.put_away + to.bring_in;
    }
  }
  return table;
}

// What is asked of the fleet's time lately, set-ups left out; where a model's instances are unlike, by their mean.
double load_of(const Snapshot& snapshot, const std::vector<const InstanceSummary*>& on) {
  double busy = 0;
  for (const StreamSummary& s : snapshot.streams) {
    double a_second = 0, homes = 0;
    for (const InstanceSummary* i : on) {
      for (const ResidentSummary& r : i->holds) {
        if (r.model != s.model) continue;
        a_second += r.per_second;
        ++homes;
      }
    }
    if (a_second > 0) busy += s.per_second * homes / a_second;
  }
  return on.empty() ? 0 : busy / static_cast<double>(on.size());
}

Duration unit(const ResidentSummary& r) { return std::max(Duration{1}, duration_from_seconds(1 / r.per_second)); }

struct Waiting {
  double count = 0;
  double value = 0;
};
Waiting all_of(const planner::Problem& problem) {
  Waiting all;
  for (const planner::Group& g : problem.groups) {
    all.count += static_cast<double>(g.count);
    all.value += g.value * static_cast<double>(g.count);
  }
  return all;
}

// The plan in force in terms of those who wait now: each visit has the first due of its model that nobody has yet, as many as it lasts for.
planner::VirtualQueues incumbent_of(const planner::Problem& problem, const std::vector<const InstanceSummary*>& on, const Plan& in_force, Instant now) {
  planner::VirtualQueues queues(on.size());
  std::vector<std::int64_t> left;
  for (const planner::Group& g : problem.groups) left.push_back(g.count);
  std::vector<std::uint32_t> by_due(problem.groups.size());
  for (std::uint32_t g = 0; g < by_due.size(); ++g) by_due[g] = g;
  std::ranges::stable_sort(by_due, {}, [&](std::uint32_t g) { return problem.groups[g].due; });
  for (std::size_t k = 0; k < on.size(); ++k) {
    const auto former = std::ranges::find(in_force.instances, on[k]->instance, &Plan::Visits::instance);
    if (former == in_force.instances.end()) continue;
    Duration at = on[k]->free_at;
    std::optional<ModelId> loaded = on[k]->resident;
    for (const Plan::Visit& visit : former->visits) {
      if (visit.until <= now) continue;
      at += problem.setups[k].of(loaded, visit.model);
      loaded = visit.model;
      for (const std::uint32_t g : by_due) {
        if (problem.groups[g].model != visit.model || left[g] == 0) continue;
        const Duration work = problem.work_of(g, problem.instances[k]);
        const Duration until = visit.until == never ? Duration::max() : visit.until - now;
        if (work <= Duration{} || at >= until) break;
        const std::int64_t count = std::min(left[g], (until - at) / work);
        if (count == 0) break;
        queues[k].push_back({g, count});
        left[g] -= count;
        at += work * count;
      }
    }
  }
  return queues;
}

std::vector<const InstanceSummary*> available(const Snapshot& snapshot) {
  std::vector<const InstanceSummary*> on;
  for (const InstanceSummary& i : snapshot.instances) {
    if (i.available) on.push_back(&i);
  }
  return on;
}

}  // namespace

planner::Problem problem_of(const Snapshot& snapshot, const Plan& in_force) {
  const std::vector<const InstanceSummary*> on = available(snapshot);
  planner::Problem problem{.models = snapshot.models, .kinds = on.size(), .groups = groups_of(snapshot)};
  problem.work.resize(problem.groups.size() * problem.kinds);
  double starts = 0;  // a second, of a mean instance that has its fastest model
  for (std::uint32_t k = 0; k < on.size(); ++k) {
    planner::Instance to{.free_at = on[k]->free_at, .loaded = on[k]->resident, .kind = k, .setups = k};
    double fastest = 0;
    for (const ResidentSummary& r : on[k]->holds) {
      if (r.per_second <= 0) continue;
      to.holds.push_back(r.model);
      fastest = std::max(fastest, r.per_second);
      for (std::size_t g = 0; g < problem.groups.size(); ++g) {
        if (problem.groups[g].model == r.model) problem.work[g * problem.kinds + k] = unit(r);
      }
    }
    starts += fastest / static_cast<double>(on.size());
    problem.instances.push_back(std::move(to));
    problem.setups.push_back(setups_of(*on[k], snapshot.models));
  }
  // A latest start is kept by who has ended one request's work after it.
  for (std::size_t g = 0; g < problem.groups.size(); ++g) {
    Duration longest{};
    for (std::size_t k = 0; k < problem.kinds; ++k) longest = std::max(longest, problem.work[g * problem.kinds + k]);
    problem.groups[g].due += longest;
  }
  const Waiting waiting = all_of(problem);
  const double worth = waiting.count > 0 ? waiting.value / waiting.count : 1;
  const double scarce = std::clamp((load_of(snapshot, on) - spare_below) / (scarce_above - spare_below), 0.1, 1.0);
  problem.setup_cost = scarce * setup_worth * starts * worth;
  problem.move_cost = move_worth * worth;
  problem.incumbent = incumbent_of(problem, on, in_force, snapshot.taken);
  return problem;
}

namespace {

planner::Problem early(planner::Problem problem) {
  for (planner::Group& g : problem.groups) {
    const Duration left = std::max(Duration{}, g.due);
    g.due -= std::min(most_early, duration_from_seconds(early_share * seconds(left)));
  }
  return problem;
}

// The plan of a problem of that snapshot.
std::optional<Plan> made_of(const planner::Problem& problem, const Snapshot& snapshot, planner::SearchBudget budget, double kept) {
  const double waits = all_of(problem).value;
  const auto objective = [&](const planner::VirtualQueues& queues) {
    const auto outcome = planner::evaluate(problem, queues);
    return outcome ? outcome->objective : -waits;
  };
  planner::VirtualQueues start = planner::greedy_plan(problem);
  planner::VirtualQueues repaired = planner::repaired_plan(problem);
  if (objective(repaired) >= objective(start)) start = std::move(repaired);
  const planner::VirtualQueues best = planner::improved_plan(problem, start, budget);
  const auto outcome = planner::evaluate(problem, best);
  if (!outcome || outcome->value < kept * waits) return std::nullopt;
  const std::vector<const InstanceSummary*> on = available(snapshot);
  Plan plan{.version = PlanVersion{snapshot.version.value}, .made_from = snapshot.version, .instances = {}};
  for (std::size_t k = 0; k < on.size(); ++k) {
    Plan::Visits& of = plan.instances.emplace_back(Plan::Visits{on[k]->instance, {}});
    Duration at = on[k]->free_at;
    std::optional<ModelId> loaded = on[k]->resident;
    for (const planner::Part& part : best[k]) {
      const ModelId model = problem.groups[part.group].model;
      at += problem.setups[k].of(loaded, model) + problem.work_of(part.group, problem.instances[k]) * part.count;
      if (of.visits.empty() || loaded != model) of.visits.push_back({model, {}});
      of.visits.back().until = add(snapshot.taken, at);
      loaded = model;
    }
    if (!of.visits.empty()) of.visits.back().until = never;
  }
  return plan;
}

}  // namespace

std::optional<Plan> made(const Snapshot& snapshot, const Plan& in_force, planner::SearchBudget budget, double kept) {
  const planner::Problem problem = problem_of(snapshot, in_force);
  if (auto plan = made_of(early(problem), snapshot, budget, kept)) return plan;
  return made_of(problem, snapshot, budget, kept);
}

}  // namespace qlm::queue_plan

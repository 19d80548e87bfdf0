#include "core/plan/global_plan.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/plan/ruin_recreate.hpp"
#include "core/plan/schedule.hpp"

namespace qlm::planner {
namespace {

// Those with something left, in the order in which a greedy plan takes them.
std::vector<std::uint32_t> open_groups(const Schedule& schedule) {
  const auto& groups = schedule.problem().groups;
  std::vector<std::uint32_t> open;
  for (std::uint32_t g = 0; g < groups.size(); ++g) {
    if (schedule.left(g) > 0) open.push_back(g);
  }
  std::ranges::sort(open, [&](std::uint32_t a, std::uint32_t b) {
    if (schedule.density(a) != schedule.density(b)) return schedule.density(a) > schedule.density(b);
    return groups[a].due != groups[b].due ? groups[a].due < groups[b].due : a < b;
  });
  return open;
}

void fill(Schedule& schedule) {
  for (const std::uint32_t group : open_groups(schedule)) {
    // A second look: a place beside what the first one put there.
    for (int look = 0; look < 2 && schedule.left(group) > 0; ++look) {
      const std::int64_t before = schedule.left(group);
      schedule.place(group, schedule.hosts(group));
      if (schedule.left(group) == before) break;
    }
  }
  for (std::uint32_t i = 0; i < schedule.problem().instances.size(); ++i) schedule.prune(i);
}

std::unexpected<Error> wrong(std::size_t instance, const Part& part, const char* what) {
  return fail("virtual queue " + std::to_string(instance) + ": " + std::to_string(part.count) + " of group " +
              std::to_string(part.group) + ": " + what);
}

}  // namespace

Result<Outcome> evaluate(const Problem& problem, const VirtualQueues& plan) {
  Outcome outcome;
  std::vector<std::int64_t> planned(problem.groups.size(), 0);
  std::vector<std::int64_t> here(problem.groups.size(), 0);
  if (plan.size() > problem.instances.size()) return fail("the plan has more virtual queues than there are instances");
  for (std::size_t i = 0; i < problem.instances.size(); ++i) {
    const Instance& instance = problem.instances[i];
    Duration at = instance.free_at;
    std::optional<ModelId> loaded = instance.loaded;
    if (i < plan.size()) {
      for (const Part& part : plan[i]) {
        if (part.group >= problem.groups.size()) return wrong(i, part, "there is no such group");
        const Group& group = problem.groups[part.group];
        const Duration work = problem.work_of(part.group, instance);
        if (part.count <= 0) return wrong(i, part, "the count must be above zero");
        if (std::ranges::find(instance.holds, group.model) == instance.holds.end() || work <= Duration::zero())
          return wrong(i, part, "it cannot run there");
        if (part.count > group.count - planned[part.group]) return wrong(i, part, "more than there are");
        planned[part.group] += part.count;
        const Duration setup = problem.setups[instance.setups].of(loaded, group.model);
        outcome.setup += setup;
        at += setup;
        loaded = group.model;
        const std::int64_t in_time = group.due > at ? std::min(part.count, (group.due - at) / work) : 0;
        outcome.on_time += in_time;
        outcome.late += part.count - in_time;
        outcome.value += group.value * static_cast<double>(in_time);
        at += work * part.count;
        here[part.group] += part.count;
      }
    }
    if (i < problem.incumbent.size()) {
      for (const Part& part : problem.incumbent[i]) {
        const std::int64_t stayed = std::min(part.count, here[part.group]);
        here[part.group] -= stayed;
        outcome.moved += part.count - stayed;
      }
    }
    if (i < plan.size()) {
      for (const Part& part : plan[i]) here[part.group] = 0;
    }
  }
  outcome.objective = outcome.value - problem.setup_cost * seconds(outcome.setup) -
                      problem.move_cost * static_cast<double>(outcome.moved);
  return outcome;
}

VirtualQueues greedy_plan(const Problem& problem) {
  Schedule schedule(problem);
  fill(schedule);
  return schedule.plan();
}

VirtualQueues repaired_plan(const Problem& problem) {
  Schedule schedule(problem);
  schedule.load(problem.incumbent);
  fill(schedule);
  return schedule.plan();
}

VirtualQueues improved_plan(const Problem& problem, const VirtualQueues& start, SearchBudget budget) {
  Schedule schedule(problem);
  schedule.load(start);
  const auto parts = components(problem);
  std::size_t all = 0;
  for (const Component& part : parts) all += part.groups.size();
  for (const Component& part : parts) {
    const auto share = static_cast<double>(part.groups.size()) / static_cast<double>(all);
    improve(schedule, part, {budget.seed, static_cast<std::int64_t>(static_cast<double>(budget.positions) * share)});
  }
  VirtualQueues found = schedule.plan();
  // `start` may not be ours, and sums of fractions may differ in their last digit: what counts is the evaluation.
  const auto before = evaluate(problem, start);
  const auto after = evaluate(problem, found);
  return before && (!after || after->objective < before->objective) ? start : found;
}

std::vector<Component> components(const Problem& problem) {
  // Union-find over models and, behind them, instances. Only models that somebody waits for connect.
  std::vector<std::uint32_t> parent(problem.models + problem.instances.size());
  std::iota(parent.begin(), parent.end(), 0U);
  const auto root = [&](std::uint32_t at) {
    while (parent[at] != at) at = parent[at] = parent[parent[at]];
    return at;
  };
  std::vector<char> waits(problem.models * problem.kinds, 0);
  for (std::uint32_t g = 0; g < problem.groups.size(); ++g) {
    for (std::size_t kind = 0; kind < problem.kinds; ++kind) {
      if (problem.groups[g].count > 0 && problem.work[g * problem.kinds + kind] > Duration::zero())
        waits[problem.groups[g].model.index() * problem.kinds + kind] = 1;
    }
  }
  for (std::uint32_t i = 0; i < problem.instances.size(); ++i) {
    for (const ModelId model : problem.instances[i].holds) {
      if (!waits[model.index() * problem.kinds + problem.instances[i].kind]) continue;
      parent[root(static_cast<std::uint32_t>(problem.models) + i)] = root(model.value);
    }
  }
  std::vector<Component> all(parent.size());
  for (std::uint32_t g = 0; g < problem.groups.size(); ++g)
    all[root(problem.groups[g].model.value)].groups.push_back(g);
  for (std::uint32_t i = 0; i < problem.instances.size(); ++i)
    all[root(static_cast<std::uint32_t>(problem.models) + i)].instances.push_back(i);
  std::erase_if(all, [](const Component& part) { return part.groups.empty() || part.instances.empty(); });
  return all;
}

}  // namespace qlm::planner

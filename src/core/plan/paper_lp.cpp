#include "core/plan/paper_lp.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/plan/paper_case.hpp"

namespace qlm::paper {
namespace {

bool waits(const Group& group) { return group.count > 0 && group.output_mean > 0; }

// Models that somebody waits for, and the instances that can run them: no decision in one part touches another.
std::vector<planner::Component> parts_of(const Problem& problem) {
  std::vector<char> wanted(problem.models, 0);
  for (const Group& group : problem.groups) {
    if (waits(group)) wanted[group.model.index()] = 1;
  }
  std::vector<std::uint32_t> parent(problem.models + problem.instances.size());
  std::iota(parent.begin(), parent.end(), 0U);
  const auto root = [&](std::uint32_t at) {
    while (parent[at] != at) at = parent[at] = parent[parent[at]];
    return at;
  };
  for (std::uint32_t i = 0; i < problem.instances.size(); ++i) {
    for (std::uint32_t m = 0; m < problem.models; ++m) {
      if (wanted[m] && problem.instances[i].services[m].tokens_per_second > 0)
        parent[root(static_cast<std::uint32_t>(problem.models) + i)] = root(m);
    }
  }
  std::vector<planner::Component> all(parent.size());
  for (std::uint32_t g = 0; g < problem.groups.size(); ++g) {
    if (waits(problem.groups[g])) all[root(problem.groups[g].model.value)].groups.push_back(g);
  }
  for (std::uint32_t i = 0; i < problem.instances.size(); ++i)
    all[root(static_cast<std::uint32_t>(problem.models) + i)].instances.push_back(i);
  std::erase_if(all, [](const auto& part) { return part.groups.empty() || part.instances.empty(); });
  return all;
}

planner::SearchBudget share(planner::SearchBudget budget, const planner::Component& part,
                            const std::vector<planner::Component>& parts) {
  std::size_t all = 0;
  for (const auto& each : parts) all += each.groups.size();
  const double part_of = static_cast<double>(part.groups.size()) / static_cast<double>(all);
  return {budget.seed, static_cast<std::int64_t>(static_cast<double>(budget.positions) * part_of)};
}

void add(Plan& plan, const Case& all, const Order& order) {
  for (std::size_t i = 0; i < order.size(); ++i) {
    auto& queue = plan.queues[all.instance_index(i)];
    for (const std::uint32_t piece : order[i]) {
      const Piece& it = all.pieces()[piece];
      if (!queue.empty() && queue.back().group == it.group) queue.back().count += it.count;
      else queue.push_back({it.group, it.count});
    }
  }
  const Cost cost = all.cost(order);
  plan.objective += cost.sum;
  plan.late += cost.late;
  plan.broken += static_cast<int>(cost.broken);
}

enum class Answer { none, some, best, impossible };

// What the solver makes of the program; `order` is set where it has an order that keeps every constraint.
Answer ask(const Case& all, const lp::Solve& solve, Order& order, std::string& trouble) {
  const Milp program = milp(all);
  const auto solution = solve(program.program);
  if (!solution) {
    trouble = solution.error().message;
    return Answer::none;
  }
  if (solution->status == lp::Status::infeasible) return Answer::impossible;
  if (solution->status != lp::Status::optimal && solution->status != lp::Status::feasible) return Answer::none;
  order = order_of(all, program, solution->values);
  // A solver's tolerance may let through what is late by a hair, and a wrong solver anything.
  if (order.empty() || all.cost(order).late > 1e-3) {
    trouble = "the solver's solution is no order of the groups, or not on time";
    return Answer::none;
  }
  return solution->status == lp::Status::optimal ? Answer::best : Answer::some;
}

// Groups' waits, each from now to its start.
double waits_in(const Case& all, const Order& order, double sum) {
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    for (const std::uint32_t piece : order[i]) sum += all.start_by(piece, i);
  }
  return sum;
}

void compare(ExactCounts& counts, const Case& all, const Order& exact, const Order& found) {
  const Cost cost = all.cost(found);
  if (cost.broken > 0) {
    ++counts.missed;
    return;
  }
  counts.exact_waits += waits_in(all, exact, all.cost(exact).sum);
  counts.searched_waits += waits_in(all, found, cost.sum);
}

}  // namespace

Plan lp_plan(const Problem& problem, const Options& options, const lp::Solve& solve) {
  Plan plan;
  plan.queues.resize(problem.instances.size());
  const auto parts = parts_of(problem);
  for (const auto& part : parts) {
    const Case all(problem, part, options);
    Order order;
    const bool asked = solve && places(all) <= options.exact_places;
    const Answer answer = asked ? ask(all, solve, order, plan.trouble) : Answer::none;
    ++plan.counts.programs;
    plan.counts.asked += asked ? 1 : 0;
    plan.counts.impossible += answer == Answer::impossible ? 1 : 0;
    if (answer == Answer::best) {
      ++plan.exact;
      ++plan.counts.exact;
      if (options.compare) compare(plan.counts, all, order, searched(all, share(options.search, part, parts)));
    } else if (answer == Answer::impossible && options.edf_when_infeasible) {
      order = all.edf();
      ++plan.edf;
    } else {
      Order found = searched(all, share(options.search, part, parts));
      const Cost cost = all.cost(found);
      if (answer != Answer::some || all.no_worse(cost, all.cost(order))) order = std::move(found);
      const bool impossible = all.cost(order).broken > 0;
      if (impossible && options.edf_when_infeasible) order = all.edf();
      ++(impossible && options.edf_when_infeasible ? plan.edf : plan.searched);
    }
    add(plan, all, order);
  }
  return plan;
}

Plan sp_plan(const Problem& problem, const Options& options) {
  Plan plan;
  plan.queues.resize(problem.instances.size());
  const auto parts = parts_of(problem);
  for (const auto& part : parts) {
    const Case all(Case::Scenarios{}, problem, part, options);
    add(plan, all, searched(all, share(options.search, part, parts)));
    ++plan.searched;
  }
  return plan;
}

std::vector<std::vector<Stop>> timetable(const Problem& problem, const planner::VirtualQueues& queues,
                                         double deviations) {
  std::vector<std::vector<Stop>> table(queues.size());
  for (std::size_t i = 0; i < queues.size(); ++i) {
    const Instance& instance = problem.instances[i];
    const planner::SetupTable& setups = problem.setups[instance.setups];
    Duration at = instance.free_at;
    std::optional<ModelId> before = instance.loaded;
    for (const planner::Part& part : queues[i]) {
      const Group& group = problem.groups[part.group];
      const Service& service = instance.services[group.model.index()];
      if (before != group.model)
        at += setups.of(before, group.model) +
              (table[i].empty() ? instance.drain : instance.services[before->index()].completion);
      before = group.model;
      const auto n = static_cast<double>(part.count);
      const double tokens = n * group.output_mean + deviations * std::sqrt(n) * group.output_deviation;
      const Duration takes = duration_from_seconds(tokens / service.tokens_per_second);
      table[i].push_back({part, group.model, at, takes, {}});
      at += takes;
    }
  }
  // Requests are taken in the order of their deadlines: what starts first has the first of a group.
  std::vector<Stop*> stops;
  for (auto& queue : table) {
    for (Stop& stop : queue) stops.push_back(&stop);
  }
  std::ranges::stable_sort(stops, {}, &Stop::start);
  std::vector<std::int64_t> taken(problem.groups.size(), 0);
  for (Stop* stop : stops) {
    const Group& group = problem.groups[stop->part.group];
    const auto due = [&](std::int64_t request) {
      const auto gaps = static_cast<double>(std::max<std::int64_t>(group.count - 1, 1));
      const double share = static_cast<double>(request) / gaps;
      return group.first_due + duration_from_seconds(seconds(group.last_due - group.first_due) * share);
    };
    const std::int64_t first = taken[stop->part.group];
    const std::int64_t last = (taken[stop->part.group] += stop->part.count) - 1;
    stop->start_by = std::min(due(first), due(last) - stop->takes / stop->part.count * (stop->part.count - 1));
  }
  return table;
}

}  // namespace qlm::paper

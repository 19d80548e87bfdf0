// The paper's global scheduler (Patke et al., SoCC '24, equations 1 to 13) as a baseline, `qlm-lp`, and the stochastic
// program of the paper's first version, `qlm-sp`. Written from descriptions of both; where they are silent the choice
// is named below, and it is the one that serves the paper's policy best.
//
// What the paper says. Requests alike form groups; each instance has a virtual queue, an order of groups. A group waits
// for what stands before it: W = n mu / Theta for each group of n requests (2), Theta a constant number of tokens a
// second, with the central limit theorem's bound (3), a swap S where the model changes, and there also the time C until
// the group before it has left the engine (1, 4, 5, 10). Its slack is p = wait - SLO (11). Every p must be at most 0
// (12), the sum of all p is minimised (13), each group stands in exactly one place (6), the order is kept by EDF where
// the program has no solution.
//
// Where it is silent, and what is done here:
// - Group size: at most `group_cap`, 512, twice the slots of the engines it was chosen on: small groups keep deadlines
//   below capacity, large ones save swaps above it. docs/paper.md has what 256, 1,024 and 4,096 do. A larger group is
//   cut; the deadlines in between are taken to lie evenly.
// - A group's SLO: its requests are served in the order of their deadlines, so it is met when the first starts by the
//   first deadline and the last by the last; group by group this is one number, "start by".
// - Which tail of (3): each group's mean plus 1.645 standard deviations (95 %) of its sum. Sums of bounds, not the
//   bound of the sum, which would not be linear; at groups of some hundreds the difference is a few per cent.
// - C: the wait of a group is in W already, so a change of model adds P + D only, as learned, not W again; and it
//   does not depend on the group, so that (10) needs no product of variables.
// - The head's swap counts, and so does what still runs there (the public artifact has the first swap for nothing).
// - Empty places add nothing to (13).
// - Models and instances that share nothing are programs of their own: one without a solution does not spoil the rest.
// - EDF, where there is no solution: by first deadline, each group to the instance where it would start first, swaps
//   counted. `edf_when_infeasible = false` keeps the plan with the least total lateness instead.
// - Small programs are solved exactly, by the function handed in; larger ones by local search on the same objective
//   (from EDF or cheapest insertion; ruin and recreate). tools/paper-gap prints what it leaves to the exact solution:
//   nothing in nearly all cases of up to 12 groups. A search of 20 times the budget finds 1 to 2 % more at 24 to 40.
// - The first version's chance constraint, P(p <= 0) >= Delta for each group, is counted over common random scenarios
//   of group lengths; Delta, of which no default is published, is configured (0.95). With no solution it scaled the fleet up; a
//   fleet that cannot grow takes the plan with the fewest constraints broken, then the least expected lateness, then
//   the least expected wait.
//
// How a controller calls it:
// 1. Every few seconds, or when timetable() of the plan in force shows a start after its `due`, make a Problem: a Group
//    for each (model, class) that waits, with how many wait, the first and last latest start from now, and mean and
//    deviation of the model's output length; an Instance for each virtual queue. For `qlm-lp-expire`, count only those
//    that can still be on time (late: now + 1.2 mean steps + own prefill > deadline); the late ones are served last.
// 2. lp_plan(problem, options, solve) or sp_plan(problem, options), beside the controller: it may take milliseconds,
//    with a solver as long as that is given.
// 3. plan.queues[i] is instance i's virtual queue: parts (group, how many) in the order of execution. Neighbours of one
//    model are one visit; timetable() says when each part starts, so a visit lasts until the next one's start. An
//    instance serves its first part until as many were taken, or the group is empty, then goes on; a swap is due where
//    the model changes. New arrivals join their group and wait for the next plan; whoever stands in no queue, because
//    no instance can run the model, is left to the order without a plan.
//
// Pure: times count from the moment of the plan, chance comes from a seed, the budget is a number of queues looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "core/plan/exact.hpp"
#include "core/plan/global_plan.hpp"

namespace qlm::paper {

struct Group {
  ModelId model;
  std::int64_t count = 0;
  double output_mean = 0;  // tokens of one request
  double output_deviation = 0;
  Duration first_due{};  // from now: latest start of the request that is due first
  Duration last_due{};  // and of the last; not before the first
};

// A model on an instance, as profiled. Constant: whatever stands in the queue, it takes no account of it.
struct Service {
  double tokens_per_second = 0;  // Theta, at a full batch; 0: cannot run here
  Duration completion{};  // P + D: from the start of a request until it has left
};

struct Instance {
  Duration free_at{};  // from now: a swap under way ends then
  std::optional<ModelId> loaded;
  Duration drain{};  // from free_at until what runs there now has left; waited for before the first swap
  std::vector<Service> services;  // by model, one for each
  std::uint32_t setups = 0;  // an index into Problem::setups
};

struct Problem {
  std::size_t models = 0;
  std::vector<Group> groups;
  std::vector<Instance> instances;
  std::vector<planner::SetupTable> setups;  // S
};

struct Options {
  std::int64_t group_cap = 512;
  double deviations = 1.645;  // of a group's sum of lengths above its mean, in W
  bool edf_when_infeasible = true;
  std::size_t exact_places = 192;  // the most binary variables still given to the solver: 3 instances x 8 groups
  bool compare = false;  // what is solved exactly is searched too, for Plan::counts
  // Here: orders of one queue looked at, over all components; ten a microsecond, or one for qlm-sp.
  planner::SearchBudget search{.seed = 1, .positions = 100'000};
  // qlm-sp only
  double delta = 0.95;
  std::size_t scenarios = 64;
};

struct Plan {
  planner::VirtualQueues queues;
  double objective = 0;  // (13), in seconds: the sum of p over the groups as cut; expected, for qlm-sp
  double late = 0;  // the part of it above zero, seconds
  int broken = 0;  // constraints that do not hold
  ExactCounts counts;
  int exact = 0;  // components solved to the optimum,
  int searched = 0;  // by local search,
  int edf = 0;  // and ordered by deadline, there being no solution
  std::string trouble;  // what the solver said when it failed; the search has served instead
};

// Without `solve` everything is searched.
Plan lp_plan(const Problem& problem, const Options& options, const lp::Solve& solve = {});
Plan sp_plan(const Problem& problem, const Options& options);

// When each part starts by the paper's reckoning, and when it must: a violation is predicted where start > start_by.
struct Stop {
  planner::Part part;
  ModelId model;
  Duration start{};
  Duration takes{};
  Duration start_by{};
};
std::vector<std::vector<Stop>> timetable(const Problem& problem, const planner::VirtualQueues& queues,
                                         double deviations = 1.645);

}  // namespace qlm::paper

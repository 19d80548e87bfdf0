// The global plan: which waiting requests are served on which instance in which order, so that what is on time is worth
// most. Order acceptance with family setups (scheduling-survey 2.8): a model's requests are a family, bringing the model
// in is its setup; groups are divisible, any part of one may run on any instance that serves its model.
//
// Pure: everything is counted from the moment of the plan, chance comes from a seed, and a budget is a number of
// positions tried, not time. Models are dense; groups and instances are named by their place in the problem.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "core/domain/ids.hpp"

namespace qlm::planner {

// Requests that are alike: one model, due together, each worth the same.
struct Group {
  ModelId model;
  std::int64_t count = 0;
  double value = 1;  // of one request on time; above zero
  Duration due{};  // from now, of the end of its work (plan/on_time_set.hpp makes one of a latest start)
};

struct Instance {
  Duration free_at{};  // from now
  std::optional<ModelId> loaded;
  std::uint32_t kind = 0;  // what its work costs: a column of Problem::work
  std::uint32_t setups = 0;  // what bringing a model in costs: an index into Problem::setups
  std::vector<ModelId> holds;  // models that may run here: loaded, or brought in within the host's memory
};

// How long until a model is served where another was, or none: drain, sleep, load and warm-up, as learned.
struct SetupTable {
  std::size_t models = 0;
  std::vector<Duration> times;  // [to] where nothing is loaded, then [(from + 1) * models + to]

  Duration of(std::optional<ModelId> from, ModelId to) const {
    if (from == to) return {};
    return times[(from ? from->index() + 1 : 0) * models + to.index()];
  }
};

// An instance's virtual queue: parts of groups in the order in which they are served.
struct Part {
  std::uint32_t group = 0;
  std::int64_t count = 0;
  bool operator==(const Part&) const = default;
};
// By instance. Groups, or parts of groups, that stand nowhere cannot be on time in this plan and are left to the order
// that serves when there is no plan.
using VirtualQueues = std::vector<std::vector<Part>>;

struct Problem {
  std::size_t models = 0;
  std::size_t kinds = 1;
  std::vector<Group> groups;
  std::vector<Duration> work;  // of one request: [group * kinds + kind]; zero: cannot run on that kind
  std::vector<Instance> instances;
  std::vector<SetupTable> setups;
  VirtualQueues incumbent;  // the plan in force, in this problem's groups and instances; empty: none
  double setup_cost = 0;  // of a second of setup, beside the time it takes
  double move_cost = 0;  // of a request that is no longer where the incumbent had it

  Duration work_of(std::uint32_t group, const Instance& on) const { return work[group * kinds + on.kind]; }
};

struct Outcome {
  double value = 0;  // of all requests on time
  std::int64_t on_time = 0;
  std::int64_t late = 0;  // planned, and not on time; none in any plan made here
  Duration setup{};
  std::int64_t moved = 0;  // requests that are no longer where the incumbent had them
  double objective = 0;  // value, less what setups and moves cost: what a plan is judged by
};
// What comes of a plan when everything takes as long as the problem says. An error where it could not be carried out.
Result<Outcome> evaluate(const Problem& problem, const VirtualQueues& plan);

// A plan from nothing: groups by value a second of work, each at the positions that cost least, everyone on time.
VirtualQueues greedy_plan(const Problem& problem);

// The incumbent, less what is gone or has become late, and with what has come since put where it costs least. Parts
// that stay keep their instance and order.
VirtualQueues repaired_plan(const Problem& problem);

struct SearchBudget {
  std::uint64_t seed = 1;
  std::int64_t positions = 0;  // to try, over all components; some tens of millions a second
};
// A plan no worse than `start`: parts are taken out and put back differently (ruin_recreate.hpp), each component of
// models and instances by itself, with the share of the budget that its groups are.
VirtualQueues improved_plan(const Problem& problem, const VirtualQueues& start, SearchBudget budget);

// Models with waiting requests, and instances that may run them: no decision in one component touches another.
struct Component {
  std::vector<std::uint32_t> groups;  // ascending
  std::vector<std::uint32_t> instances;  // ascending
};
std::vector<Component> components(const Problem& problem);

}  // namespace qlm::planner

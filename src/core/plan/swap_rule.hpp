// Which model an instance that holds several serves next, decided for one instance at a time without a plan: for
// policies that do not plan, until there is a plan, and for who waits beside an instance with nothing to do (reference:
// "Rule"). Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/plan.hpp"

namespace qlm::swap_rule {

inline constexpr int nobody = std::numeric_limits<int>::max();

// Of a model that has requests waiting.
struct Demand {
  std::int64_t waiting = 0;
  int order = nobody;              // of its first among the models' firsts, in the policy's order: 0 is served next
  std::vector<GroupSummary> live;  // of those that can be on time, by due
  std::int64_t live_requests = 0;
  int serving = 0;                 // instances that serve it, or will when their swap is over
};

struct Instance {
  std::optional<ModelId> resident;
  bool idle = false;              // nothing runs there
  Duration here{};                // since the resident came
  std::span<const ResidentSummary> holds;
};

// What an instance can start on time of what waits, earliest due first, if it can begin in `ready`.
struct Starts {
  double value = 0;
  Duration until{};  // the last of them
};
// Those that give the most value a second, `ready` included; within `most` from now.
Starts starts(std::span<const GroupSummary> live, const ResidentSummary& with, Duration ready, Duration most);

// The model to leave the resident for; none: it stays. `demand` by ModelId.
std::optional<ModelId> next_model(Policy policy, std::span<const Demand> demand, const Instance& instance);

}  // namespace qlm::swap_rule

// From the controller's snapshot to the plan that it carries out: which model each instance serves, and until when. Under
// the paper's policies that is paper_plan.hpp's; under `qlm` queue_plan.hpp's where nearly all who wait can be on time
// and nobody who will come is lost by it, else visits.hpp's. A plain function of its arguments: whoever feeds the
// controller may call it on any thread.
#pragma once

#include <cstdint>

#include "core/domain/plan.hpp"
#include "core/plan/exact.hpp"

namespace qlm {

struct PlanningBudget {
  // Plans tried for each instance and model, in place of time: the same snapshot gives the same plan everywhere. One takes
  // some 20 us, and no more than 2,000 are tried.
  std::int64_t rollouts = 50;
  std::uint64_t seed = 1;
  std::int64_t positions = 200'000;  // the same of the global plan's search: some 10 ms; at most twice (queue_plan.hpp)
  std::int64_t orders = 20'000;      // and of the paper's (paper_lp.hpp)
};

// `in_force` is the plan to begin from; its visits of long ago are forgotten. Instances that are not available stay as
// they are. `exact`, where there is one, is for the paper's policies, and counts.
Plan plan_fleet(const Snapshot& snapshot, const Plan& in_force, const PlanningBudget& budget, paper::ExactSolver* exact = nullptr);

}  // namespace qlm

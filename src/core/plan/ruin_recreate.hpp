// Ruin and recreate: take neighbouring stretches out of a few virtual queues, put what was in them and some of what
// stands nowhere back in another order, and keep that where it is not much worse; at the end the best that was seen.
// After Christiaens and Vanden Berghe's "slack induction by string removals" (2020), with thresholds for annealing.
#pragma once

#include "core/plan/schedule.hpp"

namespace qlm::planner {

// Leaves the schedule at the best plan found, at least as good as the one it came with. Anything outside the component
// stays as it is.
void improve(Schedule& schedule, const Component& component, SearchBudget budget);

}  // namespace qlm::planner

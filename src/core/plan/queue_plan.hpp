// The global plan (global_plan.hpp) over a fleet: its groups and virtual queues from the controller's snapshot, and its
// virtual queues as visits: parts of one model that stand in a row are one visit.
//
// It knows who waits and not who will come. Where nearly all who wait can be on time that is the better guide: deadlines
// say what is next, and setting up as little as they allow leaves the most for those to come. Where many must be given up
// the question is which models to let go for how long, and visits.hpp answers that one; and where some who will come cannot
// wait until their model is back, fleet_plan.hpp asks both.
#pragma once

#include <cstdint>
#include <optional>

#include "core/domain/plan.hpp"
#include "core/plan/global_plan.hpp"

namespace qlm::queue_plan {

// Of the instances that are available, in their order. A group is what waits of one model and class and is due nearly
// together; its work is the model's mean on each instance.
planner::Problem problem_of(const Snapshot& snapshot, const Plan& in_force);

// A plan by which at least `kept` of the value that waits and is not late is on time, with some time in hand where that can
// be; nothing where none was found.
std::optional<Plan> made(const Snapshot& snapshot, const Plan& in_force, planner::SearchBudget budget, double kept);

}  // namespace qlm::queue_plan

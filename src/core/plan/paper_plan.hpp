// The paper's scheduler (paper_lp.hpp) over a fleet: its request groups and virtual queues from the controller's snapshot,
// and its plan as visits. A group is what waits of one model and class, cut where it exceeds the cap; the groups of one
// model that stand in a row are one visit, which lasts until the timetable has all of them taken.
//
// Made anew every two seconds while somebody waits, from nothing; under `qlm-lp` and `qlm-lp-expire` exactly where the program is small and
// somebody handed a solver in, and then searched too, to see what the search leaves. Where there is no solution the
// plan with the least total lateness is kept, not EDF: docs/paper.md has what that is worth, and the size of the groups.
// The policies are kind to the paper beyond its text: whoever stands in no queue helps where others wait, a model that
// two instances serve is one queue, and within a visit the earliest deadline of all its groups goes first.
#pragma once

#include "core/domain/plan.hpp"
#include "core/plan/global_plan.hpp"
#include "core/plan/paper_lp.hpp"

namespace qlm::paper {

// Of the instances that are available, in their order.
Problem problem_of(const Snapshot& snapshot);

qlm::Plan planned(const Snapshot& snapshot, planner::SearchBudget budget, ExactSolver* exact = nullptr);

}  // namespace qlm::paper

// The exact solver beside the local search of the paper's policies (paper_lp.hpp): a function that somebody hands in, and
// what came of it over many plans.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/plan/linear_program.hpp"

namespace qlm::paper {

// A program is one component of one plan: models and instances that share something.
struct ExactCounts {
  std::int64_t programs = 0;
  std::int64_t asked = 0;       // those small enough for the solver,
  std::int64_t exact = 0;       // of which it solved so many to the optimum,
  std::int64_t impossible = 0;  // and showed that so many have no solution; the others are left to the search
  std::int64_t missed = 0;      // of the exact ones: the search finds no order that keeps all constraints
  // Of the other exact ones, in seconds: the sum of all groups' waits, in the exact order and in the one the search finds.
  double exact_waits = 0, searched_waits = 0;

  double gap() const { return exact_waits > 0 ? searched_waits / exact_waits - 1 : 0; }
  ExactCounts& operator+=(const ExactCounts& more) {
    programs += more.programs, asked += more.asked, exact += more.exact, impossible += more.impossible, missed += more.missed;
    exact_waits += more.exact_waits, searched_waits += more.searched_waits;
    return *this;
  }
};

struct ExactSolver {
  lp::Solve solve;
  std::size_t places = 192;  // the most binary variables of a program that is given to it: 3 instances x 8 groups
  ExactCounts counts;
};

}  // namespace qlm::paper

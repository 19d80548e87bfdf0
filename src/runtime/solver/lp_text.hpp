// A program as text in the CPLEX LP format, and a solver's solution file as values. Bytes in, values out.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "core/plan/linear_program.hpp"

namespace qlm::solver {

// Variables are x0, x1, ... and rows r0, r1, ...; what reads and writes the LP format keeps such names. An error where
// a number is not one, a bound is crossed, or a row names a variable that is not there.
Result<std::string> lp_text(const lp::Program& program);

// Reads what Cbc and Clp write, and the plain form for any other solver:
//     optimal                 first line: optimal, feasible, infeasible, unbounded or stopped
//     x0 1                    then a variable a line, in any order; those not named are 0; '#' begins a comment
//     x4 0.25
// Without the first line a solution counts as feasible. The values are held against the program's bounds and rows, so
// that a solver's mistake does not become a plan.
Result<lp::Solution> read_solution(std::string_view text, const lp::Program& program);

}  // namespace qlm::solver

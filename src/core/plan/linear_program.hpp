// A linear or mixed-integer program as a value, and what came of it. Solving is not done here: whoever has a solver
// hands in a function (runtime/solver makes one that runs Cbc, Clp or a command of the user's).
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "base/result.hpp"

namespace qlm::lp {

inline constexpr double infinite = std::numeric_limits<double>::infinity();

struct Variable {
  double cost = 0;
  double lower = 0;
  double upper = infinite;
  bool integer = false;
};

struct Term {
  std::uint32_t variable = 0;
  double coefficient = 0;
};

// lower <= sum of terms <= upper. A variable may be named more than once; its coefficients add up.
struct Row {
  double lower = -infinite;
  double upper = infinite;
  std::vector<Term> terms;
};

// Minimised.
struct Program {
  std::vector<Variable> variables;
  std::vector<Row> rows;

  std::uint32_t add(Variable variable) {
    variables.push_back(variable);
    return static_cast<std::uint32_t>(variables.size() - 1);
  }
};

enum class Status {
  optimal,     // no better solution exists
  feasible,    // a solution; a limit came before the proof that none is better
  infeasible,  // there is none
  unbounded,
  stopped,     // a limit came before any solution
};

struct Solution {
  Status status = Status::stopped;
  double objective = 0;
  std::vector<double> values;  // by variable, when optimal or feasible; else empty
};

// An error is a solver that failed, not a program without a solution.
using Solve = std::function<Result<Solution>(const Program&)>;

}  // namespace qlm::lp

// What plans are tried on and judged by: problems made from chance, a clock that serves a plan request by request, and
// the best plan there is, by looking at all of them.
#pragma once

#include <cstdint>
#include <string>

#include "base/prng.hpp"
#include "core/plan/global_plan.hpp"

namespace qlm::planner {

// Serves each virtual queue request by request, knowing nothing of how plans are made. `wrong` says what is not allowed
// or not on time, in words; empty: nothing.
struct Served {
  std::string wrong;
  double objective = 0;
};
Served serve(const Problem& problem, const VirtualQueues& plan);

// The best objective of any plan: over every order of every split of the groups into whole requests, on every instance.
// Takes time and memory as the product of all (count + 1), and that of all (count + 1)(count + 2) / 2 for three instances.
double exact_objective(const Problem& problem);

struct CaseShape {
  std::size_t groups = 8;
  std::size_t instances = 2;
  std::size_t models = 3;
  std::int64_t largest = 1;  // count of a group
  std::int64_t states = 0;  // the product of all (count + 1) stays below it, unless it is 0
  double load = 1.3;  // work of all that waits, for the time until the last is due
  Duration setup = 2s;  // on average
  bool prices = false;  // setups and moves cost, there is an incumbent
};
Problem random_case(Prng& prng, const CaseShape& shape);

// A request for each of so many slots of the model's time: problems for the cases a reader follows.
struct Maker {
  Problem problem;

  explicit Maker(std::size_t models, Duration setup);
  std::uint32_t instance(std::optional<ModelId> loaded, std::vector<ModelId> holds, Duration free_at = {});
  std::uint32_t group(ModelId model, std::int64_t count, Duration work, Duration due, double value = 1);
};

}  // namespace qlm::planner

// What of many jobs can be done within their windows, if they are fluid: any part of a job is worth that part of its
// value, and runs whenever and wherever there is capacity between its release and its due time. Whatever can be done is
// possible for the fluid, so its optimum bounds every schedule.
//
// The work that can be done forms a polymatroid (a set's rank is the most engine time its jobs can use within their
// windows, which earliest due first attains), so the greedy by value density solves the linear program exactly
// (Edmonds 1970): by Abel's summation its value follows from the ranks of the sets of the m densest jobs alone.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "simulate/bounds/work.hpp"

namespace qlm::bounds {

struct Window {
  Duration release{};
  Duration due{};
  double value = 1;  // of the job; not negative
};

class Fluid {
 public:
  // Beyond this many different instants, windows are widened to a grid of as many: a higher bound by very little.
  static constexpr std::size_t max_points = 16'384;

  explicit Fluid(std::span<const Window> windows, std::size_t points = max_points);

  // The most value that can be done: work[i] is that of windows[i], `capacity` the instances. Jobs are taken in `levels`
  // of equal count by work over value; inside the one level that can only be done in part it is not asked whose window it is. With
  // as many levels as jobs it is exact, with fewer higher by very little.
  double most(std::span<const EngineTime> work, double capacity, std::size_t levels);

 private:
  struct Job {
    std::uint32_t release, due;  // points
    std::uint32_t window;
    std::uint32_t rank = 0;  // by work over value
    double value = 1;
    double work = 0;  // seconds
  };
  double left_undone(std::size_t densest, double capacity);
  std::size_t first_waiting();

  std::vector<double> length_;  // from a point to the next, seconds
  std::vector<Job> jobs_;  // by release
  std::vector<std::pair<double, std::uint32_t>> by_density_;  // beside each index its work over value: what is sorted lies together
  // Of left_undone: work waiting, by the point it is due at.
  std::vector<double> waiting_;
  std::vector<std::uint64_t> any_;  // a bit a point
  std::size_t low_ = 0;  // no bit is set in a word before
};

}  // namespace qlm::bounds

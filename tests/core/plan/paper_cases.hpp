// Cases for the paper's scheduler, and all orders of groups there are, tried one by one.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "core/plan/paper_lp.hpp"

namespace qlm::paper {

// Requests of 100 tokens at 100 tokens a second: one takes a second. Lengths have no variance unless one is given.
struct Maker {
  Problem problem;

  Maker(std::size_t models, Duration swap, Duration completion = {});
  std::uint32_t group(ModelId model, std::int64_t count, Duration due, double deviation = 0);
  void instance(std::optional<ModelId> loaded);

 private:
  Duration completion_;
};

struct Judged {
  double late = 0;  // seconds, of all parts
  double sum = 0;   // of start - start_by
  bool on_time() const { return late < 1e-6; }
};
// By the timetable, which reckons apart from the program and the search. Every part one group of the program.
Judged judged(const Problem& problem, const planner::VirtualQueues& queues, double deviations);

// Anything wrong with where the groups stand: all requests that can run, each once, on instances that can run them.
std::string wrong(const Problem& problem, const planner::VirtualQueues& queues);

// The best of all orders: on time with the least sum, or else none.
std::optional<double> exhaustive(const Problem& problem, double deviations);

struct Size {
  std::size_t models, instances, groups;
};
Problem random_problem(std::uint64_t seed, Size size);

}  // namespace qlm::paper

// The figures of a run.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "simulate/report/run_record.hpp"

namespace qlm::report {

// Nearest rank: the smallest value that at least `share` of the values do not exceed. No interpolation, so every
// figure printed was measured. `sorted` is not empty, 0 < share <= 1.
Duration percentile(const std::vector<Duration>& sorted, double share);

struct Percentiles {
  std::size_t count = 0;  // how many were measured
  std::optional<Duration> p50, p90, p99;
};
Percentiles percentiles(std::vector<Duration> values);

struct ClassSummary {
  std::string name;
  Slo slo;
  std::size_t offered = 0;
  std::array<std::size_t, outcome_names.size()> outcomes{};
  std::size_t on_time = 0;
  std::optional<double> attainment;  // on time / offered, for a class with an SLO
  Percentiles ttft;                  // of requests that got a first token, completed or not
  Percentiles tpot, e2e;             // of completed requests

  std::size_t count(Outcome outcome) const { return outcomes[static_cast<std::size_t>(outcome)]; }
};

struct Summary {
  ClassSummary all;  // its on_time counts the classes with an SLO only
  std::vector<ClassSummary> classes;
  std::optional<std::size_t> worst_class;  // lowest attainment; index into classes
  Duration span{};                         // first arrival to last completion
  double throughput_tokens = 0;            // output tokens of completed requests a second of the span
  double goodput_tokens = 0;               // of those on time
  double goodput_requests = 0;             // requests on time a second of the span
  std::size_t wrong_length = 0;            // completed, but not with as many tokens as asked
};

Summary summarize(const Run& run);

}  // namespace qlm::report

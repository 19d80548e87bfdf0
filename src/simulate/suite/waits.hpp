// Waits as they were told at admission against waits as they were. All admitted requests count: who ran at once had
// nothing to wait for, who was told nothing is counted apart, who was given up after it was told is a miss.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/estimate.hpp"
#include "simulate/report/run_record.hpp"

namespace qlm::suite {

inline constexpr std::int64_t waits_to_judge = 500;  // fewer say nothing
inline constexpr Duration long_wait = 30s;
inline constexpr double covered_least = 0.93, covered_most = 0.97, waited_zero_some = 0.01, bound_over_wait_most = 1.25;

// Waits against what was expected and against the bound; sums, so that several runs add up.
struct WaitSums {
  std::int64_t told = 0, within = 0, waited_zero = 0;
  // Of those that waited longer than long_wait, in seconds.
  std::int64_t count = 0;
  double waits = 0, squares = 0, errors = 0, bounds = 0;

  void add(Duration expected, Duration bound, std::optional<Duration> waited);  // none: given up
  WaitSums& operator+=(const WaitSums& other);

  double coverage() const { return told == 0 ? 1 : static_cast<double>(within) / static_cast<double>(told); }
  double zero_share() const { return told == 0 ? 0 : static_cast<double>(waited_zero) / static_cast<double>(told); }
  // 1 - the squared errors of what was expected over the squared distances from the mean wait.
  std::optional<double> r2() const;
  std::optional<double> bound_over_wait() const;
};

// By how long they were expected to wait.
inline constexpr std::array<std::string_view, 4> horizon_names = {"<5s", "5-30s", "30-300s", ">300s"};

// Waits that were expected to be about as long, for a picture: four ranges a decade, from 0.1 s.
struct WaitBin {
  std::int64_t count = 0;
  double expected = 0, waited = 0, bound = 0;  // sums, seconds
};
inline constexpr std::size_t wait_bins = 24;

struct Waits {
  std::int64_t at_once = 0;  // admitted, and dispatched at the same moment
  std::int64_t untold = 0;   // admitted, and told nothing: too little was seen yet, or the load leaves no room for it
  WaitSums all;
  WaitSums in_time;          // those that were dispatched before their deadline
  std::map<std::string, std::array<WaitSums, horizon_names.size()>> classes;
  std::array<WaitBin, wait_bins> bins;  // of those that were started

  // One request that arrived at the simulator, and what it was told at its admission.
  void add(const report::RequestRecord& request, const ServiceClass& service_class, const std::optional<WaitEstimate>& told);
  Waits& operator+=(const Waits& other);
};

// What is not as it should be, of a class and horizon with enough samples: "" where nothing is.
std::string complaint(const WaitSums& cell);

std::string to_json(const Waits& waits);

}  // namespace qlm::suite

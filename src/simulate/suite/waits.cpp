#include "simulate/suite/waits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/estimate/wait_calibration.hpp"
#include "simulate/report/escape.hpp"

namespace qlm::suite {

static_assert(horizon_names.size() == WaitCalibration::horizons);

void WaitSums::add(Duration expected, Duration bound, std::optional<Duration> waited) {
  ++told;
  if (!waited) return;
  within += *waited <= bound ? 1 : 0;
  waited_zero += *waited == Duration{} ? 1 : 0;
  if (*waited <= long_wait) return;
  const double wait = seconds(*waited), error = wait - seconds(expected);
  ++count;
  waits += wait;
  squares += wait * wait;
  errors += error * error;
  bounds += seconds(bound);
}

WaitSums& WaitSums::operator+=(const WaitSums& other) {
  told += other.told;
  within += other.within;
  waited_zero += other.waited_zero;
  count += other.count;
  waits += other.waits;
  squares += other.squares;
  errors += other.errors;
  bounds += other.bounds;
  return *this;
}

std::optional<double> WaitSums::r2() const {
  if (count < waits_to_judge) return std::nullopt;
  return 1 - errors / (squares - waits * waits / static_cast<double>(count));
}

std::optional<double> WaitSums::bound_over_wait() const {
  if (count < waits_to_judge) return std::nullopt;
  return bounds / waits;
}

void Waits::add(const report::RequestRecord& request, const ServiceClass& service_class, const std::optional<WaitEstimate>& told) {
  const auto waited = request.sent ? std::optional(*request.sent - request.arrival) : std::nullopt;
  if (!told) {
    ++(waited == Duration{} ? at_once : untold);
    return;
  }
  if (!waited && request.outcome == report::Outcome::timed_out) return;  // the run ended before it was known
  all.add(told->expected, told->bound, waited);
  const Duration allowed = std::min(service_class.slo.ttft.value_or(Duration::max()), service_class.slo.e2e.value_or(Duration::max()));
  if (waited && *waited <= allowed) in_time.add(told->expected, told->bound, waited);
  classes[service_class.name][WaitCalibration::horizon(told->expected)].add(told->expected, told->bound, waited);
  if (!waited) return;
  const double place = 4 * (std::log10(std::max(seconds(told->expected), 1e-9)) + 1);
  WaitBin& bin = bins[static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(wait_bins - 1)))];
  ++bin.count;
  bin.expected += seconds(told->expected);
  bin.waited += seconds(*waited);
  bin.bound += seconds(told->bound);
}

Waits& Waits::operator+=(const Waits& other) {
  at_once += other.at_once;
  untold += other.untold;
  all += other.all;
  in_time += other.in_time;
  for (const auto& [name, cells] : other.classes) {
    for (std::size_t h = 0; h < cells.size(); ++h) classes[name][h] += cells[h];
  }
  for (std::size_t k = 0; k < wait_bins; ++k) {
    bins[k].count += other.bins[k].count;
    bins[k].expected += other.bins[k].expected;
    bins[k].waited += other.bins[k].waited;
    bins[k].bound += other.bins[k].bound;
  }
  return *this;
}

std::string complaint(const WaitSums& cell) {
  std::string all;
  const auto say = [&all](std::string what) { all += (all.empty() ? "" : ", ") + std::move(what); };
  if (cell.told >= waits_to_judge) {
    if (cell.coverage() < covered_least) say(fmt::format("covers {:.1f} %", 100 * cell.coverage()));
    if (cell.coverage() > covered_most && cell.zero_share() < waited_zero_some) say(fmt::format("covers {:.1f} %", 100 * cell.coverage()));
  }
  if (const auto ratio = cell.bound_over_wait(); ratio && *ratio > bound_over_wait_most) say(fmt::format("bound {:.2f} times the wait", *ratio));
  return all;
}

namespace {

std::string number(const std::optional<double>& value) { return value ? fmt::format("{:.4f}", *value) : "null"; }

std::string figures_of(const WaitSums& s) {
  return fmt::format(R"("told":{},"coverage":{:.4f},"waited_zero":{:.4f},"over_30_s":{},"r2":{},"bound_over_wait":{})", s.told, s.coverage(),
                     s.zero_share(), s.count, number(s.r2()), number(s.bound_over_wait()));
}

}  // namespace

std::string to_json(const Waits& waits) {
  std::string cells;
  for (const auto& [name, by_horizon] : waits.classes) {
    for (std::size_t h = 0; h < by_horizon.size(); ++h) {
      if (by_horizon[h].told == 0) continue;
      cells += fmt::format(R"({}{{"class":{},"expected":"{}",{}}})", cells.empty() ? "" : ",", report::json_quoted(name), horizon_names[h],
                           figures_of(by_horizon[h]));
    }
  }
  return fmt::format(R"({{"at_once":{},"untold":{},{},"r2_in_time":{},"cells":[{}]}})", waits.at_once, waits.untold, figures_of(waits.all),
                     number(waits.in_time.r2()), cells);
}

}  // namespace qlm::suite

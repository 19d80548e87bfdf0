#include "core/estimate/wait_calibration.hpp"

#include <algorithm>
#include <cmath>

namespace qlm {
namespace {

constexpr double scores_to_trust = 500;
constexpr double waits_to_trust = 2.5;      // one after the other
constexpr double outdated_share = 0.1;      // of a score
constexpr double misses = 0.05;
constexpr double growth = 1.0000866471;     // 2^(1/8000): half-life in scores
constexpr double weight_max = 1 << 20;
constexpr double apart_share = 1.5;         // variance of a wait behind n requests, in n times the square of `apart`
constexpr double rate_share = 0.02;         // of the wait: the rate's own error
constexpr Duration floor_error = 50ms;
constexpr double ratio_max = 4;             // a bound over what is expected, at most
constexpr double untrusted_factor = 2;      // before there are scores
constexpr double gain = 0.02;
constexpr double share_max = 0.995;

constexpr std::array epochs = {10s, 60s, 300s, 900s};

double scatter(const WaitExpectation& wait) {  // seconds
  const double expected = seconds(wait.expected), apart = seconds(wait.apart), floor = seconds(floor_error);
  return std::sqrt(apart_share * expected * apart + rate_share * expected * rate_share * expected + apart * apart + floor * floor);
}

// Scores to bins: even ones near zero, wider and wider ones outside.
constexpr double knee = 8;
std::size_t bin_of(double score, std::size_t bins) {
  const double squeezed = score / (knee + std::abs(score));  // in (-1, 1)
  return std::min(bins - 1, static_cast<std::size_t>((squeezed + 1) / 2 * static_cast<double>(bins)));
}
double edge_of(double bin, std::size_t bins) {
  const double squeezed = std::clamp(2 * bin / static_cast<double>(bins) - 1, -0.999, 0.999);
  return knee * squeezed / (1 - std::abs(squeezed));
}

}  // namespace

std::size_t WaitCalibration::horizon(Duration expected) { return expected < 5s ? 0 : expected < 30s ? 1 : expected < 300s ? 2 : 3; }

WaitCalibration::Cell& WaitCalibration::made(std::int32_t& at) {
  if (at < 0) {
    at = static_cast<std::int32_t>(cells_.size());
    cells_.emplace_back();
  }
  return cells_[static_cast<std::size_t>(at)];
}

const WaitCalibration::Cell* WaitCalibration::trusted(ClassId service_class, std::size_t horizon, bool& provisional) const {
  const auto good = [](const Cell* c) { return c && c->total >= scores_to_trust * c->weight; };
  provisional = false;
  const Cell* own = service_class.index() < classes_.size() ? cell(classes_[service_class.index()].cell[horizon]) : nullptr;
  provisional = !good(own);
  if (provisional) own = cell(all_.cell[horizon]);
  const bool enough = good(own);
  if (enough && own->apart >= waits_to_trust * own->weight) return own;
  // Whoever waits longer than anybody did so far, or for the first time: as those who waited nearly as long, if they
  // were further off.
  for (std::size_t h = horizon; h-- > 0;) {
    const Cell* shorter = cell(all_.cell[h]);
    if (good(shorter)) return enough && own->factor > shorter->factor ? own : shorter;
  }
  return enough ? own : nullptr;
}

WaitEstimate WaitCalibration::bound(ClassId service_class, const WaitExpectation& wait) const {
  bool provisional = true;
  const Cell* cell = trusted(service_class, horizon(wait.expected), provisional);
  const double expected = seconds(wait.expected);
  double bound = expected * untrusted_factor;
  if (cell) bound = std::min(expected + cell->factor * scatter(wait), ratio_max * expected + 4 * scatter(wait));
  return {.expected = wait.expected, .bound = std::max(wait.expected, duration_from_seconds(bound)), .provisional = provisional};
}

void WaitCalibration::score(Instant now, ClassId service_class, const WaitExpectation& told, Duration bound, Duration waited, End end,
                            bool outdated) {
  const bool missed = end == End::given_up || waited > bound;
  if (end == End::cancelled && !missed) return;  // how long it would have waited nobody knows
  const std::size_t h = horizon(told.expected);
  const double score = end == End::given_up ? 1e9 : seconds(waited - told.expected) / scatter(told);
  if (service_class.index() >= classes_.size()) classes_.resize(service_class.index() + 1);
  for (ByHorizon* level : {&all_, &classes_[service_class.index()]}) {
    Cell& cell = made(level->cell[h]);
    // Two that waited beside each other share their fate; one wait later it is another one.
    const double apart = cell.last == Instant::min() ? 1 : seconds(now - cell.last) / std::max(1.0, seconds(told.expected));
    cell.last = now;
    add(cell, score, std::min(1.0, apart), outdated ? outdated_share : 1);
    ++cell.coverage.scores;
    cell.coverage.within += missed ? 0 : 1;
    judge(cell, now, h, missed);
  }
}

void WaitCalibration::add(Cell& cell, double score, double apart, double share) {
  cell.count[bin_of(score, bins)] += static_cast<float>(cell.weight * share);
  cell.total += cell.weight * share;
  cell.apart += cell.weight * apart * share;
  cell.weight *= growth;
  if (cell.weight > weight_max) {
    for (float& c : cell.count) c /= static_cast<float>(cell.weight);
    cell.total /= cell.weight;
    cell.apart /= cell.weight;
    cell.weight = 1;
  }
  if (++cell.since >= 32) find_quantile(cell);
}

void WaitCalibration::find_quantile(Cell& cell) {
  cell.since = 0;
  const double n = std::max(1.0, cell.apart / cell.weight);
  const double wanted = std::min(share_max, (1 - cell.miss_rate) * (n + 1) / n) * cell.total;
  double below = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    const double here = static_cast<double>(cell.count[b]);
    if (below + here >= wanted && here > 0) {
      cell.factor = edge_of(static_cast<double>(b) + (wanted - below) / here, bins);
      return;
    }
    below += here;
  }
  cell.factor = edge_of(static_cast<double>(bins), bins);
}

void WaitCalibration::judge(Cell& cell, Instant now, std::size_t horizon, bool missed) {
  if (cell.epoch_from == Instant::min()) cell.epoch_from = now;
  ++cell.epoch_scores;
  cell.epoch_misses += missed ? 1 : 0;
  if (now - cell.epoch_from < epochs[horizon] || cell.epoch_scores < 100) return;
  const double rate = static_cast<double>(cell.epoch_misses) / static_cast<double>(cell.epoch_scores);
  cell.miss_rate = std::clamp(cell.miss_rate + gain * (misses - rate), misses / 4, misses * 2);
  cell.epoch_from = now;
  cell.epoch_scores = cell.epoch_misses = 0;
}

WaitCalibration::Coverage WaitCalibration::coverage(ClassId service_class, std::size_t horizon) const {
  if (service_class.index() >= classes_.size()) return {};
  const Cell* found = cell(classes_[service_class.index()].cell[horizon]);
  return found ? found->coverage : Coverage{};
}

}  // namespace qlm

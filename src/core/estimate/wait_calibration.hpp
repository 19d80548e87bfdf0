// What makes an expected wait a bound: of all that were told one, 95 % should wait no longer. Rolling conformal prediction
// (Vovk et al. 2005; Gibbs and Candes 2021 for the outer loop) over scores of those that have been dispatched, by class and
// by how long the wait was expected to be; a cell with few scores takes its parent's figure.
//
// A score is how far the wait missed its expectation, in units of what the wait should scatter by: of n requests ahead
// by the root of n, of the rate by a share of the wait. (The survey scores the ratio: within one horizon a short wait's
// ratio scatters more than a long one's, and one quantile would be too low for it and too high for the other.)
//
// What was shed or expired after it was admitted counts as a miss, what was cancelled only as far as it is known to have
// missed. Old scores fade with a half-life in scores. The outer loop moves the quantile asked for, slowly, once in an epoch
// longer than the waits it judges: answers come one wait late, and anything faster runs away.
//
// Costs: a score O(1), now and then O(128). 2 KB a cell that has scores.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/time.hpp"
#include "core/domain/estimate.hpp"
#include "core/domain/ids.hpp"

namespace qlm {

struct WaitExpectation {
  Duration expected{};
  Duration apart{};  // between two dispatches: what one request ahead is worth
};

class WaitCalibration {
 public:
  static constexpr std::size_t horizons = 4;  // expected below 5 s, 30 s, 300 s, and above
  static std::size_t horizon(Duration expected);

  WaitEstimate bound(ClassId service_class, const WaitExpectation& wait) const;

  enum class End : std::uint8_t { dispatched, given_up, cancelled };
  // `told` was said when it was admitted; it waited so long until it was dispatched, was shed or expired, or left.
  // `outdated`: something is known to have changed since it was said, so that it says less about what is said now.
  void score(Instant now, ClassId service_class, const WaitExpectation& told, Duration bound, Duration waited, End end,
             bool outdated = false);

  struct Coverage {
    std::int64_t scores = 0, within = 0;
  };
  Coverage coverage(ClassId service_class, std::size_t horizon) const;

 private:
  static constexpr std::size_t bins = 128;
  struct Cell {
    std::array<float, bins> count{};
    double weight = 1, total = 0;  // fading
    double factor = 2;             // the quantile, in scores
    double miss_rate = 0.05;       // asked of the quantile
    double apart = 0;              // scores that do not share their fate, fading with the others
    Instant last = Instant::min();
    std::int64_t since = 0;
    Coverage coverage;
    Instant epoch_from = Instant::min();
    std::int64_t epoch_scores = 0, epoch_misses = 0;
  };
  struct ByHorizon {
    std::array<std::int32_t, horizons> cell{-1, -1, -1, -1};
  };

  const Cell* cell(std::int32_t at) const { return at < 0 ? nullptr : &cells_[static_cast<std::size_t>(at)]; }
  Cell& made(std::int32_t& at);
  const Cell* trusted(ClassId service_class, std::size_t horizon, bool& provisional) const;
  static void add(Cell& cell, double score, double apart, double share);
  static void find_quantile(Cell& cell);
  static void judge(Cell& cell, Instant now, std::size_t horizon, bool missed);

  std::vector<ByHorizon> classes_;
  ByHorizon all_;
  std::vector<Cell> cells_;
};

}  // namespace qlm

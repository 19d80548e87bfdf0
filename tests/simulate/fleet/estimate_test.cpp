// What clients are told about their wait against how long they waited: the production controller on a virtual clock.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "../one_gpu.hpp"

namespace qlm::fleet {
namespace {

// Arrivals of `length` from `from` on, their outputs stretched.
void add_w_a(std::vector<Arrival>& arrivals, double load, Duration from, Duration length, std::uint64_t seed, double stretch = 1) {
  for (Arrival arrival : w_a(load * a100_capacity, length, seed)) {
    arrival.at += from;
    arrival.output = Tokens{std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(arrival.output.count) * stretch))};
    arrivals.push_back(arrival);
  }
}

// Figures over several runs.
class Measured {
 public:
  struct Cell {
    double count = 0, within = 0, waits = 0, bounds = 0;
    double coverage() const { return within / count; }
    double width() const { return bounds / waits; }
  };

  // Of those that arrived from `from` on, and for whose wait `counts` holds.
  template <class Counts>
  void add(const FleetResult& result, Duration from, Counts counts) {
    for (std::size_t i = 0; i < result.requests.size(); ++i) {
      const report::RequestRecord& r = result.requests[i];
      if (!r.sent || !result.told[i] || r.arrival < from) continue;
      const double wait = seconds(*r.sent - r.arrival), expected = seconds(result.told[i]->expected);
      if (!counts(r.slo_class, wait)) continue;
      const std::size_t horizon = expected < 5 ? 0 : expected < 30 ? 1 : expected < 300 ? 2 : 3;
      Cell& cell = cells_[r.slo_class][horizon];
      cell.count += 1;
      cell.within += *r.sent - r.arrival <= result.told[i]->bound ? 1 : 0;
      cell.waits += wait;
      cell.bounds += seconds(result.told[i]->bound);
      if (wait <= 30) continue;
      count_ += 1;
      sum_ += wait;
      squares_ += wait * wait;
      errors_ += (wait - expected) * (wait - expected);
    }
  }
  void add(const FleetResult& result, Duration from = 0s) {
    add(result, from, [](std::uint32_t, double) { return true; });
  }

  double r2() const { return 1 - errors_ / (squares_ - sum_ * sum_ / count_); }
  void print(const char* what) const {
    std::printf("%s: R2 %.4f over %.0f waits above 30 s\n", what, r2(), count_);
    each([](std::size_t c, std::size_t h, const Cell& cell) {
      static constexpr const char* horizons[] = {"below 5 s", "5 to 30 s", "30 to 300 s", "above 300 s"};
      std::printf("  class %zu, %-12s %8.0f covered %.3f, mean bound over mean wait %.3f\n", c, horizons[h], cell.count,
                  cell.coverage(), cell.width());
    });
  }
  template <class Seen>
  void each(Seen seen) const {
    for (std::size_t c = 0; c < cells_.size(); ++c) {
      for (std::size_t h = 0; h < cells_[c].size(); ++h) {
        if (cells_[c][h].count >= 500) seen(c, h, cells_[c][h]);
      }
    }
  }
  void expect(double r2_least, double covered_least) const {
    EXPECT_GE(r2(), r2_least);
    each([&](std::size_t c, std::size_t h, const Cell& cell) {
      EXPECT_GE(cell.coverage(), covered_least) << "class " << c << " horizon " << h;
      if (h >= 2) {
        EXPECT_LE(cell.width(), 1.25) << "class " << c << " horizon " << h;
      }
    });
  }

 private:
  std::array<std::array<Cell, 4>, 3> cells_{};
  double count_ = 0, sum_ = 0, squares_ = 0, errors_ = 0;
};

TEST(WaitEstimates, AnHourOfOverloadInOrderOfArrival) {
  Measured measured;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::vector<Arrival> arrivals;
    add_w_a(arrivals, 1.2, 0s, 1h, seed);
    measured.add(simulate(one_a100(Policy::fcfs), arrivals));
  }
  measured.print("fcfs, load 1.2");
  measured.expect(0.99, 0.93);
}

TEST(WaitEstimates, AnHourOfOverloadByDeadline) {
  Measured measured;
  std::vector<Arrival> arrivals;
  add_w_a(arrivals, 1.2, 0s, 1h, 1);
  measured.add(simulate(one_a100(Policy::edf), arrivals));
  measured.print("edf, load 1.2");
  EXPECT_GE(measured.r2(), 0.9);
}

TEST(WaitEstimates, AnHourOfOverloadInWhichSomeAreGivenUp) {
  Measured all, kept;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::vector<Arrival> arrivals;
    add_w_a(arrivals, 1.2, 0s, 1h, seed);
    const FleetResult result = simulate(one_a100(Policy::qlm), arrivals);
    all.add(result);
    kept.add(result, 0s, [](std::uint32_t c, double wait) { return wait <= seconds(objectives[c]); });
  }
  all.print("qlm, load 1.2");
  kept.print("qlm, load 1.2, of those served on time");
  // Those that the load leaves no room for are told nothing. A few are given up only after they were told: how long those
  // wait depends on how long the overload lasts.
  EXPECT_GE(kept.r2(), 0.9);
  EXPECT_GE(all.r2(), 0.8);
}

// One busy period to learn from, then another one, after something changed. Counted from a while into it on.
struct Change {
  const char* what;
  double load, stretch, slowness;
};
constexpr Change changes[] = {{"outputs half as long again", 0.9, 1.5, 1}, {"engine at half its speed", 0.65, 1, 2}, {"a burst", 3, 1, 1}};

TEST(WaitEstimates, AfterOneBusyPeriodTheyFollowWhatChanged) {
  for (const Change& change : changes) {
    Measured measured;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      std::vector<Arrival> arrivals;
      add_w_a(arrivals, 1.3, 0s, 600s, seed);
      add_w_a(arrivals, 0.5, 600s, 600s, seed + 10);
      FleetSpec spec = one_a100(Policy::fcfs);
      spec.changes = {{.at = 900s, .instance = 0, .slowness = change.slowness}};
      // The busy period in which it is learned, a lull, and the one that counts.
      add_w_a(arrivals, change.load * 1.3, 1200s, change.load > 2 ? 60s : 600s, seed + 20, change.stretch);
      add_w_a(arrivals, 0.2, 1800s, 900s, seed + 30, change.stretch);
      add_w_a(arrivals, change.load * 1.3, 2700s, change.load > 2 ? 120s : 900s, seed + 40, change.stretch);
      measured.add(simulate(spec, arrivals), 2700s);
    }
    measured.print(change.what);
    measured.expect(0.99, 0.93);
  }
}

}  // namespace
}  // namespace qlm::fleet

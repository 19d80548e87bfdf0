// How long a request will wait (RWT): the work ahead of it over the rate at which its model's queue is served.
//
// Work is counted in *mean requests*: what a request is expected to take of an engine, over what one with the model's mean
// output takes. Engines that step slower, and outputs that grow longer, then change what a mean request takes, and with
// it every estimate at once, also for requests that were queued before anybody knew.
//
// Ahead is: what stands before it in its queue; what will come and be served first (under policies that let it: measured, by
// how far ahead of its deadline a request comes); and what the running ones hold beyond what they hold in the
// steady state. The survey adds all of what runs; but a place frees when one of those who run ends, not when all have, and
// in the steady state what runs when a request is dispatched is as much as what ran when it came.
//
// Costs: O(1) an event, a few times O(128) an estimate where others can overtake, else O(1). Threads: its owner's.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.hpp"

namespace qlm {

// The rate at which a model's queue is served.
class QueuePace {
 public:
  // From now on so many engines' worth serves the queue (an engine as fast as its profile counts 1), and somebody waits,
  // or nobody does. Capacity zero: what still runs somewhere is not the queue's pace.
  void pass(Instant now, double capacity, bool waiting);
  void did(double work);                  // the engines were seen to have done so much
  void dispatched(double in_flight);      // one of those who waited; so much work then runs, its own included

  double rate() const { return capacity_ * worked_ / served_; }  // engine seconds of work a second, now
  double rate_of_one() const { return worked_ / served_; }       // of an engine's worth
  double measured_seconds() const { return measured_; }          // of waiting behind it
  double steady_in_flight() const { return steady_; }
  // What an engine's worth did in a second before anything was measured; a guess from its profile. `weight`: seconds that
  // the guess counts for; none: there is no estimate until something was measured.
  void presume(double work_per_second, double weight);
  double presumed_weight() const { return presumed_; }

 private:
  Instant at_;
  double capacity_ = 0;
  bool waiting_ = false;
  double worked_ = 0, served_ = 0;  // work, and engine seconds that it took; fading
  double presumed_ = 0;
  double measured_ = 0;
  double steady_ = 0;
};

// What comes later and is served first. What will come within some time is foretold by what came within about as long:
// a short wait by the last minutes, a long one by the last half hour, which knows of lulls between busy periods.
class Overtaking {
 public:
  enum class Kind : std::uint8_t { nobody, by_time, by_rank };

  explicit Overtaking(Kind kind = Kind::nobody);
  Kind kind() const { return kind_; }
  // One came with this key, and will be served in its turn: for by_time how long after its arrival its place in the order
  // lies, else its rank, lower is sooner.
  void came(Instant now, std::int64_t key, double work);
  // How long until `ahead` and all that overtakes it is served, at that rate; all in the unit of came().
  double seconds_until(Instant now, double ahead, std::int64_t key, double rate) const;

 private:
  static constexpr std::size_t bins = 128;
  static std::size_t bin_of(std::int64_t key);
  struct Memory {
    double kept_a_second = 0;
    double time = 0;                     // seconds behind the sums, fading
    std::array<double, bins> work{};
    std::array<double, bins> keys{};     // sum of key by work
  };
  void pass(Instant now);
  double seconds_until(const Memory& memory, double faded, double time, double ahead, double key, double rate) const;

  Kind kind_;
  Instant at_ = Instant::min();
  std::size_t first_ = bins, end_ = 0;   // of the bins where anything ever came
  std::array<Memory, 3> memories_;
};

}  // namespace qlm

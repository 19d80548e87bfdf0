#include "core/estimate/waiting_time.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace qlm {
namespace {

constexpr double pace_memory = 150;        // engine seconds with somebody waiting that the pace is a mean of
constexpr double steady_step = 1.0 / 256;  // of the in-flight work's running mean, a dispatch
constexpr std::array<double, 3> memories = {100, 400, 1600};  // seconds, of what came
constexpr double rate_floor = 0.02;        // of the rate: what is always left for those overtaken

}  // namespace

void QueuePace::pass(Instant now, double capacity, bool waiting) {
  if (waiting_ && now > at_) {
    const double passed = seconds(now - at_);
    served_ += passed * capacity_;
    measured_ += passed;
    if (served_ > pace_memory) {
      const double kept = pace_memory / served_;
      served_ *= kept;
      worked_ *= kept;
    }
  }
  at_ = now;
  capacity_ = capacity;
  waiting_ = waiting;
}

void QueuePace::did(double work) {
  if (waiting_ && capacity_ > 0) worked_ += work;
}

void QueuePace::dispatched(double in_flight) {
  steady_ = steady_ == 0 ? in_flight : steady_ + (in_flight - steady_) * steady_step;
}

void QueuePace::presume(double work_per_second, double weight) {
  if (measured_ > 0) return;
  presumed_ = weight;
  worked_ = work_per_second * weight;
  served_ = weight;
}

// Eighths of octaves of milliseconds or of ranks, both signs.
std::size_t Overtaking::bin_of(std::int64_t key) {
  const bool negative = key < 0;
  const auto size = static_cast<std::uint64_t>(negative ? -(key + 1) : key) >> 20;  // about a millisecond
  if (size == 0) return bins / 2;
  const int octave = static_cast<int>(std::bit_width(size)) - 1;
  const auto part = octave >= 1 ? static_cast<int>(size >> static_cast<unsigned>(octave - 1) & 1U) : 0;
  const int step = std::min(octave * 2 + part, static_cast<int>(bins) / 2 - 1);
  return static_cast<std::size_t>(static_cast<int>(bins) / 2 + (negative ? -step - 1 : step));
}

Overtaking::Overtaking(Kind kind) : kind_(kind) {
  for (std::size_t k = 0; k < memories.size(); ++k) memories_[k].kept_a_second = 1 - 1 / memories[k];
}

namespace {

double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2, base *= base) result = exponent % 2 == 1 ? result * base : result;
  return result;
}

// Seconds that have passed, of which the memory does not know yet.
std::int64_t whole_seconds(Instant from, Instant to) { return from == Instant::min() ? 0 : std::max<std::int64_t>(0, (to - from) / 1s); }

double time_after(double time, double kept_a_second, double kept) { return time * kept + (1 - kept) / (1 - kept_a_second); }

}  // namespace

void Overtaking::pass(Instant now) {
  if (at_ == Instant::min()) at_ = now;
  const std::int64_t passed = whole_seconds(at_, now);
  if (passed == 0) return;
  at_ += passed * 1s;
  for (Memory& m : memories_) {
    const double kept = power(m.kept_a_second, passed);
    m.time = time_after(m.time, m.kept_a_second, kept);
    for (std::size_t b = first_; b < end_; ++b) {
      m.work[b] *= kept;
      m.keys[b] *= kept;
    }
  }
}

void Overtaking::came(Instant now, std::int64_t key, double work) {
  if (kind_ == Kind::nobody) return;
  pass(now);
  const std::size_t bin = bin_of(key);
  first_ = std::min(first_, bin);
  end_ = std::max(end_, bin + 1);
  for (Memory& m : memories_) {
    m.work[bin] += work;
    m.keys[bin] += work * static_cast<double>(key);
  }
}

double Overtaking::seconds_until(Instant now, double ahead, std::int64_t key, double rate) const {
  if (kind_ == Kind::nobody) return ahead / rate;
  const double own = static_cast<double>(key) - std::abs(static_cast<double>(key)) * 1e-9;  // its equals do not overtake
  const std::int64_t passed = whole_seconds(at_, now);
  double until = 0;
  for (std::size_t k = 0; k < memories.size(); ++k) {
    const Memory& m = memories_[k];
    const double kept = power(m.kept_a_second, passed);
    const double time = time_after(m.time, m.kept_a_second, kept);
    const double found = time < 1 ? ahead / rate : seconds_until(m, kept, time, ahead, own, rate);
    until = k == 0 ? found : std::max(memories[k - 1], found);
    if (until <= memories[k]) break;
  }
  return until;
}

double Overtaking::seconds_until(const Memory& m, double kept, double time, double ahead, double own, double rate) const {
  double taken = 0;  // of the rate, by those that overtake for ever
  std::size_t end = first_;
  for (std::size_t b = first_; b < end_; ++b) {
    if (m.work[b] <= 0 || m.keys[b] / m.work[b] >= own) continue;
    taken += m.work[b] * kept / time;
    end = b + 1;
  }
  const auto left = [&] { return std::max(rate - taken, rate * rate_floor); };
  if (kind_ == Kind::by_rank) return ahead / left();
  // The closer another's deadlines are to its own, the sooner those that come then are no longer ahead of it.
  for (std::size_t b = end; b-- > first_;) {
    if (m.work[b] <= 0 || m.keys[b] / m.work[b] >= own) continue;
    const double until = (own - m.keys[b] / m.work[b]) * 1e-9;
    if (ahead <= until * left()) return ahead / left();
    const double comes = m.work[b] * kept / time;
    ahead += comes * until;
    taken -= comes;
  }
  return ahead / rate;
}

}  // namespace qlm

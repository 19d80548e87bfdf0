#include "core/estimate/waiting_time.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace qlm {
namespace {

constexpr double pace_memory = 150;        // engine seconds with somebody waiting that the pace is a mean of
constexpr double steady_step = 1.0 / 256;  // of the in-flight work's running mean, a dispatch
constexpr double fade_each = 0.99;         // of what overtook, a second: half in 69 s
constexpr int fade_most = 900;             // seconds; then nothing is left
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
  if (waiting_) worked_ += work;
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

void Overtaking::fade(Instant now) {
  if (at_ == Instant::min()) at_ = now;
  int whole = static_cast<int>(std::min<std::int64_t>((now - at_) / 1s, fade_most + 1));
  if (whole <= 0) return;
  if (whole > fade_most) {
    *this = Overtaking(kind_);
    at_ = now;
    return;
  }
  at_ += whole * 1s;
  double kept = 1;
  while (whole-- > 0) {
    kept *= fade_each;
    time_ = time_ * fade_each + 1;
  }
  for (double& w : work_) w *= kept;
  for (double& k : keys_) k *= kept;
}

void Overtaking::served(Instant now, std::int64_t key, double work) {
  if (kind_ == Kind::nobody) return;
  fade(now);
  const std::size_t bin = bin_of(key);
  work_[bin] += work;
  keys_[bin] += work * static_cast<double>(key);
}

double Overtaking::seconds_until(double ahead, std::int64_t key, double rate) const {
  if (kind_ == Kind::nobody || time_ < 1) return ahead / rate;
  const double own = static_cast<double>(key) - std::abs(static_cast<double>(key)) * 1e-9;  // its equals do not overtake
  double taken = 0;  // of the rate, by those that overtake for ever
  std::size_t last = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    if (work_[b] <= 0 || keys_[b] / work_[b] >= own) continue;
    taken += work_[b] / time_;
    last = b;
  }
  const auto left = [&] { return std::max(rate - taken, rate * rate_floor); };
  if (kind_ == Kind::by_rank) return ahead / left();
  // The closer another's deadlines are to its own, the sooner those that come then are no longer ahead of it.
  for (std::size_t b = last + 1; b-- > 0;) {
    if (work_[b] <= 0 || keys_[b] / work_[b] >= own) continue;
    const double until = (own - keys_[b] / work_[b]) * 1e-9;
    if (ahead <= until * left()) return ahead / left();
    const double comes = work_[b] / time_;
    ahead += comes * until;
    taken -= comes;
  }
  return ahead / rate;
}

}  // namespace qlm

// Time as the whole program speaks it. An Instant is monotonic, a UnixTime is what the store, logs and clients see;
// the two never mix by accident. Nothing here can read a clock: the shell reads it and hands the value in.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace qlm {

using Duration = std::chrono::nanoseconds;

// A clock without now(), so that code below the shell cannot ask for the time.
struct MonotonicTime {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicTime>;
  static constexpr bool is_steady = true;
};
using Instant = MonotonicTime::time_point;

struct WallTime {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<WallTime>;
  static constexpr bool is_steady = false;
};
using UnixTime = WallTime::time_point;

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;

inline constexpr Instant never = Instant::max();

// Truncates toward zero; saturates instead of overflowing, so that absurd configured values stay harmless.
constexpr Duration duration_from_seconds(double seconds) {
  constexpr double limit = 9.2e9;  // seconds; int64 nanoseconds end at 9.22e9
  if (!(seconds > -limit)) return Duration::min() / 2;
  if (!(seconds < limit)) return Duration::max() / 2;
  return Duration{static_cast<std::int64_t>(seconds * 1e9)};
}
constexpr double seconds(Duration d) { return static_cast<double>(d.count()) * 1e-9; }
constexpr double milliseconds(Duration d) { return static_cast<double>(d.count()) * 1e-6; }

// Saturating: never + anything stays never.
constexpr Instant add(Instant at, Duration by) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(at.time_since_epoch().count(), by.count(), &sum)) {
    return by.count() > 0 ? Instant::max() : Instant::min();
  }
  return Instant{Duration{sum}};
}

}  // namespace qlm

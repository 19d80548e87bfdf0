// Random numbers that are the same on every machine and with every standard library. The generator is xoshiro256**
// (Blackman and Vigna, 2018) seeded by splitmix64; std's distributions are not portable, so the few we need are here.
#pragma once

#include <array>
#include <cstdint>

#include "base/exact_math.hpp"

namespace qlm {

class Prng {
 public:
  explicit Prng(std::uint64_t seed) {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  std::uint64_t next() {
    const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), without bias (Lemire 2019). bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    Wide m = static_cast<Wide>(next()) * bound;
    if (static_cast<std::uint64_t>(m) < bound) {
      const std::uint64_t threshold = (0 - bound) % bound;
      while (static_cast<std::uint64_t>(m) < threshold) m = static_cast<Wide>(next()) * bound;
    }
    return static_cast<std::uint64_t>(m >> 64);
  }

  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)
  bool chance(double p) { return uniform() < p; }
  double exponential(double mean) { return -mean * exact::log(1.0 - uniform()); }

  // Gamma with the given shape and mean (Marsaglia and Tsang 2000). Inter-arrival gaps of CV c have shape 1 / c^2.
  double gamma(double shape, double mean);
  double normal();  // standard (polar method)

 private:
  static std::uint64_t rotate(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace qlm

// A keyed permutation of 64 bits: the block cipher Speck64/128 (Beaulieu et al., "The SIMON and SPECK Families of
// Lightweight Block Ciphers", 2013). For numbers that are to be told to others without telling how many there were.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace qlm {

class Speck64 {
 public:
  // The key's words in the order in which the paper prints them.
  explicit constexpr Speck64(std::array<std::uint32_t, 4> key) {
    std::array<std::uint32_t, 3> rest{key[2], key[1], key[0]};
    std::uint32_t round = key[3];
    for (std::uint32_t i = 0; i < rounds; ++i) {
      keys_[i] = round;
      std::uint32_t& word = rest[i % 3];
      word = (round + std::rotr(word, 8)) ^ i;
      round = std::rotl(round, 3) ^ word;
    }
  }

  constexpr std::uint64_t forth(std::uint64_t value) const {
    auto x = static_cast<std::uint32_t>(value >> 32), y = static_cast<std::uint32_t>(value);
    for (const std::uint32_t key : keys_) {
      x = (std::rotr(x, 8) + y) ^ key;
      y = std::rotl(y, 3) ^ x;
    }
    return std::uint64_t{x} << 32 | y;
  }

  constexpr std::uint64_t back(std::uint64_t value) const {
    auto x = static_cast<std::uint32_t>(value >> 32), y = static_cast<std::uint32_t>(value);
    for (std::size_t i = rounds; i-- > 0;) {
      y = std::rotr(y ^ x, 3);
      x = std::rotl((x ^ keys_[i]) - y, 8);
    }
    return std::uint64_t{x} << 32 | y;
  }

 private:
  static constexpr std::size_t rounds = 27;
  std::array<std::uint32_t, rounds> keys_{};
};

}  // namespace qlm

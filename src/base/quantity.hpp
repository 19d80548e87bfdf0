// Counts that must not be mixed: tokens and bytes. Signed, so that a difference is a value of the same type.
#pragma once

#include <compare>
#include <cstdint>

namespace qlm {

template <class Unit>
struct Quantity {
  std::int64_t count = 0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(std::int64_t n) : count(n) {}

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity& operator+=(Quantity other) { count += other.count; return *this; }
  constexpr Quantity& operator-=(Quantity other) { count -= other.count; return *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity{a.count + b.count}; }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity{a.count - b.count}; }
  friend constexpr Quantity operator*(Quantity a, std::int64_t k) { return Quantity{a.count * k}; }
};

using Tokens = Quantity<struct TokenUnit>;
using Bytes = Quantity<struct ByteUnit>;

}  // namespace qlm

// Identifiers that cannot be confused with each other or with a count. Small dense numbers given out in order, so
// they index arrays and break ties the same way on every run.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace qlm {

template <class Tag, class Rep = std::uint32_t>
struct Id {
  Rep value = 0;

  constexpr Id() = default;
  constexpr explicit Id(Rep v) : value(v) {}
  constexpr auto operator<=>(const Id&) const = default;
  constexpr std::size_t index() const { return static_cast<std::size_t>(value); }
};

}  // namespace qlm

template <class Tag, class Rep>
struct std::hash<qlm::Id<Tag, Rep>> {
  std::size_t operator()(qlm::Id<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value); }
};

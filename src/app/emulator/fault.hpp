// Ways to fail on demand, so that what stands in front of an engine can be shown to survive them.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace qlm::emulator {

struct Fault {
  enum class Kind {
    none,
    refuse,  // the connection is reset before any answer
    http_500,
    http_503,
    stall,    // no more bytes after `after_tokens`, the connection stays open
    cut,      // the connection is reset after `after_tokens`
    garbage,  // text that is no event and no JSON after `after_tokens`, then a clean end
    slow,     // every step takes `factor` times as long
    die,      // the process ends after `after_tokens`
  };
  Kind kind = Kind::none;
  std::int64_t after_tokens = 0;  // of one request, over all its choices; 0: once its headers went out
  std::int64_t count = std::numeric_limits<std::int64_t>::max();  // requests it befalls
  double factor = 10;                                             // kind slow
};

inline std::optional<Fault::Kind> fault_kind(std::string_view name) {
  using enum Fault::Kind;
  constexpr struct {
    std::string_view name;
    Fault::Kind kind;
  } kinds[] = {{"none", none},         {"refuse", refuse}, {"http_500", http_500},
               {"http_503", http_503}, {"stall", stall},   {"cut", cut},
               {"garbage", garbage},   {"slow", slow},     {"die", die}};
  for (const auto& each : kinds) {
    if (each.name == name) return each.kind;
  }
  return std::nullopt;
}

}  // namespace qlm::emulator

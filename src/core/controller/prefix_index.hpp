// What an instance may have cached of prompts' beginnings: marks that were used there lately. Approximate and bounded: a
// hint where a request is cheaper, never a promise. Its clock is the tokens the instance has computed, for that is what
// pushes old blocks out of an engine's memory.
//
// Costs: O(marks) each; 64 KiB once anything was noted. Threads: its owner's.
#pragma once

#include <cstdint>
#include <vector>

#include "core/domain/prefix.hpp"

namespace qlm {

class PrefixIndex {
 public:
  void used(const PrefixMarks& marks, std::int64_t computed);
  // How many of the marks are held: up to the longest one used within the last `memory` computed tokens.
  std::size_t held(const PrefixMarks& marks, std::int64_t computed, std::int64_t memory) const;
  bool empty() const { return entries_.empty(); }
  void clear() { entries_ = {}; }

 private:
  static constexpr std::size_t ways = 4, sets = 2048;
  static constexpr std::int64_t tick = 16;  // tokens
  struct Entry {
    PrefixHash hash;         // 0: none
    std::uint32_t used = 0;  // in ticks, of the low bits
  };
  static std::size_t first_of(PrefixHash hash) { return hash.value % sets * ways; }

  std::vector<Entry> entries_;
};

}  // namespace qlm

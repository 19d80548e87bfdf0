#include "core/controller/prefix_index.hpp"

namespace qlm {

void PrefixIndex::used(const PrefixMarks& marks, std::int64_t computed) {
  if (marks.count == 0) return;
  if (entries_.empty()) entries_.resize(sets * ways);
  const auto now = static_cast<std::uint32_t>(computed / tick);
  for (std::size_t k = 0; k < marks.count; ++k) {
    Entry* place = &entries_[first_of(marks.hashes[k])];
    for (std::size_t way = 0; way < ways; ++way) {
      Entry& e = entries_[first_of(marks.hashes[k]) + way];
      if (e.hash == marks.hashes[k]) {
        place = &e;
        break;
      }
      const bool older = e.hash.value == 0 || now - e.used > now - place->used;
      if (place->hash.value != 0 && older) place = &e;
    }
    *place = {marks.hashes[k], now};
  }
}

std::size_t PrefixIndex::held(const PrefixMarks& marks, std::int64_t computed, std::int64_t memory) const {
  if (entries_.empty() || memory <= 0) return 0;
  const auto now = static_cast<std::uint32_t>(computed / tick);
  for (std::size_t k = marks.count; k > 0; --k) {
    for (std::size_t way = 0; way < ways; ++way) {
      const Entry& e = entries_[first_of(marks.hashes[k - 1]) + way];
      if (e.hash == marks.hashes[k - 1] && static_cast<std::int64_t>(now - e.used) * tick <= memory) return k;
    }
  }
  return 0;
}

}  // namespace qlm

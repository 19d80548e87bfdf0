// A hash map from 64-bit keys to small values: open addressing, linear probing, deletion by shifting back, so that it
// neither allocates per entry nor leaves tombstones. Not iterable on purpose: its order would depend on its history.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace qlm {

template <class Value>
class IdMap {
 public:
  std::size_t size() const { return size_; }

  // False when the key was there already (and nothing changes).
  bool insert(std::uint64_t key, Value value) {
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    std::size_t at = home(key);
    while (slots_[at].used) {
      if (slots_[at].key == key) return false;
      at = (at + 1) & mask();
    }
    slots_[at] = {key, value, true};
    ++size_;
    return true;
  }

  std::optional<Value> find(std::uint64_t key) const {
    if (slots_.empty()) return std::nullopt;
    for (std::size_t at = home(key); slots_[at].used; at = (at + 1) & mask()) {
      if (slots_[at].key == key) return slots_[at].value;
    }
    return std::nullopt;
  }

  bool erase(std::uint64_t key) {
    if (slots_.empty()) return false;
    std::size_t at = home(key);
    while (slots_[at].used && slots_[at].key != key) at = (at + 1) & mask();
    if (!slots_[at].used) return false;
    std::size_t hole = at;
    for (std::size_t next = (hole + 1) & mask(); slots_[next].used; next = (next + 1) & mask()) {
      // An entry may move into the hole only if that is not before its home.
      if (((next - home(slots_[next].key)) & mask()) >= ((next - hole) & mask())) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole].used = false;
    --size_;
    return true;
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Value value{};
    bool used = false;
  };

  std::size_t mask() const { return slots_.size() - 1; }
  std::size_t home(std::uint64_t key) const {
    key ^= key >> 31;
    return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> 20) & mask();
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    size_ = 0;
    for (const Slot& slot : old) {
      if (slot.used) insert(slot.key, slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace qlm

// Deadlines by handle: a heap of four children each, half as deep as one of two, that knows where each handle stands, so that
// moving or dropping one is O(log n).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/time.hpp"

namespace qlm {

class TimerHeap {
 public:
  using Handle = std::uint32_t;

  bool empty() const { return heap_.empty(); }
  Instant earliest() const { return heap_.empty() ? never : heap_.front().when; }
  Handle top() const { return heap_.front().handle; }
  std::size_t size() const { return heap_.size(); }

  void set(Handle handle, Instant when) {
    if (handle >= place_.size()) place_.resize(handle + 1, absent);
    std::uint32_t at = place_[handle];
    if (at == absent) {
      at = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back({when, handle});
      place_[handle] = at;
    } else {
      heap_[at].when = when;
    }
    sift_down(sift_up(at));
  }

  void clear(Handle handle) {
    if (handle >= place_.size() || place_[handle] == absent) return;
    const std::uint32_t at = place_[handle];
    place_[handle] = absent;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) return;
    heap_[at] = last;
    place_[last.handle] = at;
    sift_down(sift_up(at));
  }

  Instant when(Handle handle) const {
    return handle < place_.size() && place_[handle] != absent ? heap_[place_[handle]].when : never;
  }

 private:
  static constexpr std::uint32_t absent = 0xffffffff;
  struct Entry {
    Instant when;
    Handle handle;
    bool operator<(const Entry& other) const {
      return when != other.when ? when < other.when : handle < other.handle;
    }
  };

  static constexpr std::uint32_t children = 4;

  void place(std::uint32_t at, Entry entry) {
    heap_[at] = entry;
    place_[entry.handle] = at;
  }
  std::uint32_t sift_up(std::uint32_t at) {
    const Entry entry = heap_[at];
    for (; at > 0 && entry < heap_[(at - 1) / children]; at = (at - 1) / children) place(at, heap_[(at - 1) / children]);
    place(at, entry);
    return at;
  }
  void sift_down(std::uint32_t at) {
    const Entry entry = heap_[at];
    for (;;) {
      const std::uint32_t first = at * children + 1, end = std::min(first + children, static_cast<std::uint32_t>(heap_.size()));
      std::uint32_t least = at;
      for (std::uint32_t child = first; child < end; ++child) {
        if (heap_[child] < (least == at ? entry : heap_[least])) least = child;
      }
      if (least == at) break;
      place(at, heap_[least]);
      at = least;
    }
    place(at, entry);
  }

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> place_;
};

}  // namespace qlm

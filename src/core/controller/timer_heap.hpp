// Deadlines by handle: a binary heap that knows where each handle stands, so that moving or dropping one is O(log n).
#pragma once

#include <cstdint>
#include <utility>
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

  void swap(std::uint32_t a, std::uint32_t b) {
    std::swap(heap_[a], heap_[b]);
    place_[heap_[a].handle] = a;
    place_[heap_[b].handle] = b;
  }
  std::uint32_t sift_up(std::uint32_t at) {
    while (at > 0 && heap_[at] < heap_[(at - 1) / 2]) {
      swap(at, (at - 1) / 2);
      at = (at - 1) / 2;
    }
    return at;
  }
  void sift_down(std::uint32_t at) {
    for (;;) {
      std::uint32_t least = at;
      for (std::uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap_.size(); ++child) {
        if (heap_[child] < heap_[least]) least = child;
      }
      if (least == at) return;
      swap(at, least);
      at = least;
    }
  }

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> place_;
};

}  // namespace qlm

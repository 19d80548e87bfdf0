// Records in numbered places that are used again: stable 32-bit handles, no allocation beyond amortised growth.
// Chunked, so that a record never moves and a million of them are not copied when it grows.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <memory>
#include <vector>

namespace qlm {

template <class T, std::uint32_t chunk_size = 1024>
class Slab {
 public:
  using Index = std::uint32_t;
  static constexpr Index none = 0xffffffff;

  Index acquire() {
    ++size_;
    if (!free_.empty()) {
      const Index index = free_.back();
      free_.pop_back();
      (*this)[index] = T{};
      return index;
    }
    if (used_ == chunks_.size() * chunk_size) {
      chunks_.push_back(std::make_unique<Chunk>());
      free_.reserve(chunks_.size() * chunk_size);  // so that giving back never allocates
    }
    return used_++;
  }
  void release(Index index) {
    --size_;
    free_.push_back(index);
  }

  T& operator[](Index index) { return (*chunks_[index / chunk_size])[index % chunk_size]; }
  const T& operator[](Index index) const { return (*chunks_[index / chunk_size])[index % chunk_size]; }
  std::size_t size() const { return size_; }
  Index end() const { return used_; }  // every index ever acquired is below; released ones hold a stale record

 private:
  using Chunk = std::array<T, chunk_size>;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<Index> free_;
  Index used_ = 0;
  std::size_t size_ = 0;
};

}  // namespace qlm

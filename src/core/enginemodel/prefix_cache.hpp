// The KV blocks of an engine by what is in them (vLLM's automatic prefix caching): a block is found by a key that stands for
// all text up to its end. Blocks that sequences hold are shared; those that nobody holds any more stay where they are
// until their memory is needed, the longest unused first, and of one sequence its last ones first.
//
// Costs: O(log n) a block. Threads: its owner's.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <span>

namespace qlm {

class PrefixCache {
 public:
  using Keys = std::span<const std::uint64_t>;

  // How many of the keys, from the first on, are there; and how many of those somebody holds.
  struct Found {
    std::int64_t blocks = 0, held = 0;
  };
  Found find(Keys keys) const;
  // They are held once more. Returns how many free blocks that takes: those that nobody held.
  std::int64_t hold(Keys keys);
  // The other way round: how many become free. They can still be found.
  std::int64_t release(Keys keys);
  // Computed and free: can be found from now on.
  void keep(Keys keys);
  // So many blocks are free: no more than those can be found beside the held ones.
  void shrink_to(std::int64_t free);

 private:
  struct Block {
    std::int64_t holders = 0;
    std::list<std::uint64_t>::iterator place;  // without holders: in idle_
  };
  std::map<std::uint64_t, Block> blocks_;
  std::list<std::uint64_t> idle_;  // the longest unused first
};

}  // namespace qlm

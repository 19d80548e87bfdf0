#include "core/enginemodel/prefix_cache.hpp"

#include <ranges>

namespace qlm {

PrefixCache::Found PrefixCache::find(Keys keys) const {
  Found found;
  for (const std::uint64_t key : keys) {
    const auto block = blocks_.find(key);
    if (block == blocks_.end()) break;
    ++found.blocks;
    found.held += block->second.holders > 0 ? 1 : 0;
  }
  return found;
}

std::int64_t PrefixCache::hold(Keys keys) {
  std::int64_t taken = 0;
  for (const std::uint64_t key : keys) {
    const auto [block, fresh] = blocks_.try_emplace(key);
    if (!fresh && block->second.holders == 0) idle_.erase(block->second.place);
    taken += block->second.holders++ == 0 ? 1 : 0;
  }
  return taken;
}

std::int64_t PrefixCache::release(Keys keys) {
  std::int64_t freed = 0;
  for (const std::uint64_t key : std::views::reverse(keys)) {
    Block& block = blocks_.at(key);
    if (--block.holders > 0) continue;
    block.place = idle_.insert(idle_.end(), key);
    ++freed;
  }
  return freed;
}

void PrefixCache::keep(Keys keys) {
  for (const std::uint64_t key : std::views::reverse(keys)) {
    const auto [block, fresh] = blocks_.try_emplace(key);
    if (block->second.holders > 0) continue;
    if (!fresh) idle_.erase(block->second.place);
    block->second.place = idle_.insert(idle_.end(), key);
  }
}

void PrefixCache::shrink_to(std::int64_t free) {
  while (static_cast<std::int64_t>(idle_.size()) > free) {
    blocks_.erase(idle_.front());
    idle_.pop_front();
  }
}

}  // namespace qlm

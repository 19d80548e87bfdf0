#include "core/controller/order_tree.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace qlm {

// -- one page

// How many of its places are before it.
template <class Kind>
std::size_t OrderForest::before(const Kind& page, Bound bound) {
  std::size_t found = 0;
  for (std::size_t left = page.count; left > 0;) {
    const std::size_t half = (left + 1) / 2;
    found += page.at(found + half - 1) < bound ? half : 0;
    left -= half;
  }
  return found;
}

// The child that has it, or would have it.
std::size_t OrderForest::child_of(const Inner& page, Bound bound) {
  std::size_t found = 0;
  for (std::size_t left = page.count - 1; left > 0;) {
    const std::size_t half = (left + 1) / 2;
    found += bound < page.at(found + half) ? 0 : half;
    left -= half;
  }
  return found;
}

template <class Kind>
OrderForest::Ahead OrderForest::sum_of(const Kind& page, std::size_t end) {
  Ahead all;
  for (std::size_t k = 0; k < end; ++k) all += page.weight(k);
  return all;
}

void OrderForest::Leaf::weigh(std::size_t k, const Ahead& weight) {
  tokens[k] = static_cast<std::uint32_t>(weight.tokens.count);
  work[k] = weight.work;
}

void OrderForest::Inner::weigh(std::size_t k, const Ahead& weight) {
  counts[k] = static_cast<std::uint32_t>(weight.count);
  tokens[k] = weight.tokens.count;
  work[k] = weight.work;
}

template <class Kind>
void OrderForest::put(Kind& page, std::size_t at, const Entry& entry) {
  page.each_column([&](auto& column) { std::copy_backward(&column[at], &column[page.count], &column[page.count] + 1); });
  ++page.count;
  page.keys[at] = entry.at.key;
  page.sequences[at] = entry.at.sequence;
  page.of[at] = entry.of;
  page.weigh(at, entry.weight);
}

template <class Kind>
void OrderForest::drop(Kind& page, std::size_t at) {
  page.each_column([&](auto& column) { std::copy(&column[at] + 1, &column[0] + page.count, &column[at]); });
  --page.count;
}

// All from `first` on, behind what the other has.
template <class Kind>
void OrderForest::move_to(Kind& from, std::size_t first, Kind& to) {
  for (std::size_t k = first; k < from.count; ++k) put(to, to.count, {from.at(k), from.weight(k), from.of[k]});
  from.count = static_cast<std::uint32_t>(first);
}

// One place more. A full page becomes two, the second of which comes back: halves, but where it is added behind all others
// what is full stays so.
template <class Kind>
OrderForest::Entry OrderForest::add(Pages<Kind>& pages, Index index, std::size_t at, const Entry& entry, bool last) {
  if (Kind& page = pages[index]; page.count < Kind::size) {
    put(page, at, entry);
    return {};
  }
  const Index made = pages.acquire();
  Kind& left = pages[index];
  Kind& right = pages[made];
  const std::size_t kept = last && at == Kind::size ? Kind::size : Kind::size / 2;
  move_to(left, kept, right);
  if (at > kept || kept == Kind::size) put(right, at - kept, entry);
  else put(left, at, entry);
  return {right.at(0), sum_of(right, right.count), made};
}

// The children at `left` and right of it become one, where there is room to spare.
template <class Kind>
bool OrderForest::merge(Pages<Kind>& pages, Inner& above, std::size_t left) {
  if (left + 1 >= above.count) return false;
  const Index gone = above.of[left + 1];
  Kind& to = pages[above.of[left]];
  Kind& from = pages[gone];
  if (to.count + from.count > Kind::size * 3 / 4) return false;
  if constexpr (std::is_same_v<Kind, Inner>) {
    from.keys[0] = above.keys[left + 1];
    from.sequences[0] = above.sequences[left + 1];
  }
  move_to(from, 0, to);
  pages.release(gone);
  above.weigh(left, above.weight(left) += above.weight(left + 1));
  drop(above, left + 1);
  return true;
}

// -- a tree

OrderForest::Index OrderForest::insert(Tree& tree, std::int64_t key, std::uint64_t sequence, Cost cost, Index payload) {
  const Index made = nodes_.acquire();
  nodes_[made] = {{key, sequence}, payload};
  cost.tokens.count = std::clamp<std::int64_t>(cost.tokens.count, 0, UINT32_MAX);
  const Entry entry{{key, sequence}, {1, cost}, made};
  tree.sum += entry.weight;
  if (tree.root == none) tree.root = leaves_.acquire();
  const Entry right = insert(tree.root, tree.height, entry, true);
  if (right.of == none) return made;
  Ahead left = tree.sum;
  left -= right.weight;
  const Index root = inners_.acquire();
  put(inners_[root], 0, {{}, left, tree.root});
  put(inners_[root], 1, right);
  tree.root = root;
  ++tree.height;
  return made;
}

// What was split off on the right, if anything.
OrderForest::Entry OrderForest::insert(Index index, int height, const Entry& entry, bool last) {
  if (height == 0) return add(leaves_, index, before(leaves_[index], entry.at), entry, last);
  Inner& page = inners_[index];
  const std::size_t child = child_of(page, entry.at);
  last = last && child + 1 == page.count;
  Ahead weight = page.weight(child);
  weight += entry.weight;
  const Entry right = insert(page.of[child], height - 1, entry, last);
  weight -= right.weight;
  page.weigh(child, weight);
  return right.of == none ? Entry{} : add(inners_, index, child + 1, right, last);
}

OrderForest::Cost OrderForest::erase(Tree& tree, Index node) {
  const Ahead weight = erase(tree.root, tree.height, bound(node));
  nodes_.release(node);
  tree.sum -= weight;
  while (tree.height > 0 && inners_[tree.root].count == 1) {
    const Index child = inners_[tree.root].of[0];
    inners_.release(std::exchange(tree.root, child));
    --tree.height;
  }
  if (tree.sum.count == 0) leaves_.release(std::exchange(tree.root, none));
  return {weight.tokens, weight.work};
}

OrderForest::Ahead OrderForest::erase(Index index, int height, Bound bound) {
  if (height == 0) {
    Leaf& page = leaves_[index];
    const std::size_t at = before(page, bound);
    const Ahead weight = page.weight(at);
    drop(page, at);
    return weight;
  }
  Inner& page = inners_[index];
  const std::size_t child = child_of(page, bound);
  const Ahead weight = erase(page.of[child], height - 1, bound);
  Ahead left = page.weight(child);
  page.weigh(child, left -= weight);
  const auto tidy = [&]<class Kind>(Pages<Kind>& pages) {
    const std::uint32_t count = pages[page.of[child]].count;
    if (count == 0) {
      pages.release(page.of[child]);
      drop(page, child);
    } else if (count <= Kind::size / 2 && !merge(pages, page, child) && child > 0) {
      merge(pages, page, child - 1);
    }
  };
  height == 1 ? tidy(leaves_) : tidy(inners_);
  return weight;
}

OrderForest::Index OrderForest::first(const Tree& tree) const { return tree.root == none ? none : first(tree.root, tree.height); }

OrderForest::Index OrderForest::first(Index page, int height) const {
  for (; height > 0; --height) page = inners_[page].of[0];
  return leaves_[page].of[0];
}

OrderForest::Index OrderForest::next(const Tree& tree, Index node) const {
  Bound behind = bound(node);
  ++behind.sequence;
  return at_or_after(tree, behind);
}

OrderForest::Index OrderForest::at_or_after(const Tree& tree, Bound wanted) const {
  if (tree.root == none) return none;
  Index page = tree.root, later = none;  // the page of what comes next, if it is not on this one
  int later_height = 0;
  for (int height = tree.height; height > 0; --height) {
    const Inner& inner = inners_[page];
    const std::size_t child = child_of(inner, wanted);
    if (child + 1 < inner.count) {
      later = inner.of[child + 1];
      later_height = height - 1;
    }
    page = inner.of[child];
  }
  const Leaf& leaf = leaves_[page];
  if (const std::size_t at = before(leaf, wanted); at < leaf.count) return leaf.of[at];
  return later == none ? none : first(later, later_height);
}

OrderForest::Ahead OrderForest::before(const Tree& tree, Bound wanted) const {
  Ahead result;
  if (tree.root == none || wanted == Bound{}) return result;
  Index page = tree.root;
  for (int height = tree.height; height > 0; --height) {
    const Inner& inner = inners_[page];
    const std::size_t child = child_of(inner, wanted);
    result += sum_of(inner, child);
    page = inner.of[child];
  }
  const Leaf& leaf = leaves_[page];
  return result += sum_of(leaf, before(leaf, wanted));
}

OrderForest::Index OrderForest::at_rank(const Tree& tree, std::int64_t rank) const {
  if (rank < 0 || rank >= tree.sum.count) return none;
  Index page = tree.root;
  for (int height = tree.height; height > 0; --height) {
    const Inner& inner = inners_[page];
    std::size_t child = 0;
    for (; rank >= inner.counts[child]; ++child) rank -= inner.counts[child];
    page = inner.of[child];
  }
  return leaves_[page].of[static_cast<std::size_t>(rank)];
}

// -- cells

std::size_t OrderForest::Cells::of(std::int64_t key) const {
  return key < from ? 0 : std::min(counts.size(), static_cast<std::size_t>((key - from) / width) + 1);
}

void OrderForest::histogram(const Tree& tree, std::int64_t from, std::int64_t width, std::span<std::int64_t> counts) const {
  std::ranges::fill(counts, 0);
  if (!counts.empty() && tree.root != none) histogram(tree.root, tree.height, 0, counts.size(), {from, width, counts});
}

// What is on the page is in cells low to high.
void OrderForest::histogram(Index index, int height, std::size_t low, std::size_t high, const Cells& cells) const {
  if (height == 0) {
    const Leaf& leaf = leaves_[index];
    for (std::size_t k = 0; k < leaf.count; ++k) {
      // Most are in the cell of the one before.
      if (low == 0 || (low < high && (leaf.keys[k] - cells.from) / cells.width >= static_cast<std::int64_t>(low))) low = cells.of(leaf.keys[k]);
      if (low > 0) ++cells.counts[low - 1];
    }
    return;
  }
  const Inner& inner = inners_[index];
  for (std::size_t child = 0; child < inner.count; ++child) {
    const std::size_t last = child + 1 < inner.count ? cells.of(inner.keys[child + 1]) : high;
    if (low == last) {
      if (low > 0) cells.counts[low - 1] += inner.counts[child];
    } else {
      histogram(inner.of[child], height - 1, low, last, cells);
    }
    low = last;
  }
}

}  // namespace qlm

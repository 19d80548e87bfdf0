#include "core/controller/order_tree.hpp"

#include <algorithm>

namespace qlm {
namespace {

// Of a node, by its sequence.
std::uint32_t priority(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return static_cast<std::uint32_t>(x >> 32);
}

}  // namespace

bool OrderForest::before(Index a, Index b) const {
  const Node& x = nodes_[a];
  const Node& y = nodes_[b];
  return x.key != y.key ? x.key < y.key : x.sequence < y.sequence;
}

void OrderForest::replace_child(Tree& tree, Index parent, Index child, Index by) {
  if (parent == none) {
    tree.root = by;
  } else if (nodes_[parent].left == child) {
    nodes_[parent].left = by;
  } else {
    nodes_[parent].right = by;
  }
  if (by != none) nodes_[by].parent = parent;
}

void OrderForest::rotate_up(Tree& tree, Index index) {
  const Index above = nodes_[index].parent;
  Node& node = nodes_[index];
  Node& parent = nodes_[above];
  replace_child(tree, parent.parent, above, index);
  const bool from_left = parent.left == index;
  Index& inner = from_left ? node.right : node.left;
  (from_left ? parent.left : parent.right) = inner;
  if (inner != none) nodes_[inner].parent = above;
  inner = above;
  parent.parent = index;
  if (from_left) {
    parent.left_count -= node.left_count + 1;
    parent.left_tokens -= node.left_tokens + node.own_tokens;
    parent.left_work -= node.left_work + node.own_work;
  } else {
    node.left_count += parent.left_count + 1;
    node.left_tokens += parent.left_tokens + parent.own_tokens;
    node.left_work += parent.left_work + parent.own_work;
  }
}

OrderForest::Index OrderForest::insert(Tree& tree, std::int64_t key, std::uint64_t sequence, Cost cost,
                                       Index payload) {
  const Index index = nodes_.acquire();
  Node& node = nodes_[index];
  node.key = key;
  node.sequence = sequence;
  node.own_tokens = static_cast<std::uint32_t>(std::clamp<std::int64_t>(cost.tokens.count, 0, UINT32_MAX));
  node.own_work = cost.work;
  node.payload = payload;
  ++tree.count;
  tree.sum += node.own();

  if (tree.root == none) {
    tree.root = index;
    return index;
  }
  for (Index at = tree.root;;) {
    Node& here = nodes_[at];
    const bool to_left = before(index, at);
    if (to_left) {
      ++here.left_count;
      here.left_tokens += node.own_tokens;
      here.left_work += node.own_work;
    }
    Index& child = to_left ? here.left : here.right;
    if (child == none) {
      child = index;
      node.parent = at;
      break;
    }
    at = child;
  }
  while (node.parent != none && priority(nodes_[node.parent].sequence) < priority(sequence)) rotate_up(tree, index);
  return index;
}

void OrderForest::erase(Tree& tree, Index index) {
  Node& node = nodes_[index];
  while (node.left != none && node.right != none) {
    const bool left_first = priority(nodes_[node.left].sequence) > priority(nodes_[node.right].sequence);
    rotate_up(tree, left_first ? node.left : node.right);
  }
  for (Index at = index; nodes_[at].parent != none; at = nodes_[at].parent) {
    Node& above = nodes_[nodes_[at].parent];
    if (above.left != at) continue;
    --above.left_count;
    above.left_tokens -= node.own_tokens;
    above.left_work -= node.own_work;
  }
  replace_child(tree, node.parent, index, node.left != none ? node.left : node.right);
  --tree.count;
  tree.sum -= node.own();
  nodes_.release(index);
}

OrderForest::Index OrderForest::first(const Tree& tree) const {
  Index at = tree.root;
  while (at != none && nodes_[at].left != none) at = nodes_[at].left;
  return at;
}

OrderForest::Index OrderForest::next(Index index) const {
  if (nodes_[index].right != none) {
    Index at = nodes_[index].right;
    while (nodes_[at].left != none) at = nodes_[at].left;
    return at;
  }
  Index at = index;
  while (nodes_[at].parent != none && nodes_[nodes_[at].parent].right == at) at = nodes_[at].parent;
  return nodes_[at].parent;
}

OrderForest::Ahead OrderForest::ahead(Index index) const {
  Ahead result = nodes_[index].at_left();
  for (Index at = index; nodes_[at].parent != none; at = nodes_[at].parent) {
    const Node& above = nodes_[nodes_[at].parent];
    if (above.right == at) result += above.up_to_here();
  }
  return result;
}

OrderForest::Index OrderForest::at_or_after(const Tree& tree, Bound wanted) const {
  Index found = none;
  for (Index at = tree.root; at != none;) {
    if (bound(at) < wanted) {
      at = nodes_[at].right;
    } else {
      found = at;
      at = nodes_[at].left;
    }
  }
  return found;
}

OrderForest::Ahead OrderForest::before(const Tree& tree, Bound wanted) const {
  Ahead result;
  for (Index at = tree.root; at != none;) {
    if (bound(at) < wanted) {
      result += nodes_[at].up_to_here();
      at = nodes_[at].right;
    } else {
      at = nodes_[at].left;
    }
  }
  return result;
}

void OrderForest::histogram(const Tree& tree, std::int64_t from, std::int64_t width, std::span<std::int64_t> counts) const {
  std::ranges::fill(counts, 0);
  if (!counts.empty()) histogram(tree.root, tree.count, 0, counts.size(), {from, width, counts});
}

// `count` nodes, all of them in cells low to high.
void OrderForest::histogram(Index node, std::int64_t count, std::size_t low, std::size_t high, const Cells& cells) const {
  while (node != none && high > 0) {
    if (low == high) {
      cells.counts[low - 1] += count;
      return;
    }
    const Node& n = nodes_[node];
    const std::size_t own = n.key < cells.from ? 0 : std::min(cells.counts.size(), static_cast<std::size_t>((n.key - cells.from) / cells.width) + 1);
    if (own > 0) ++cells.counts[own - 1];
    histogram(n.left, n.left_count, low, own, cells);
    count -= n.left_count + 1;
    node = n.right;
    low = own;
  }
}

OrderForest::Index OrderForest::at_rank(const Tree& tree, std::int64_t rank) const {
  for (Index at = tree.root; at != none;) {
    const Node& n = nodes_[at];
    if (rank == n.left_count) return at;
    if (rank < n.left_count) {
      at = n.left;
    } else {
      rank -= n.left_count + 1;
      at = n.right;
    }
  }
  return none;
}

}  // namespace qlm

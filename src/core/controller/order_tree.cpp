#include "core/controller/order_tree.hpp"

#include <algorithm>

namespace qlm {
namespace {

std::uint32_t scramble(std::uint64_t x) {
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

void OrderForest::update(Index index) {
  Node& node = nodes_[index];
  node.count = 1;
  node.sum = node.own;
  for (Index child : {node.left, node.right}) {
    if (child == none) continue;
    node.count += nodes_[child].count;
    node.sum += nodes_[child].sum;
  }
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
  const Index parent = nodes_[index].parent;
  replace_child(tree, nodes_[parent].parent, parent, index);
  Index& inner = nodes_[parent].left == index ? nodes_[index].right : nodes_[index].left;
  Index& place = nodes_[parent].left == index ? nodes_[parent].left : nodes_[parent].right;
  place = inner;
  if (inner != none) nodes_[inner].parent = parent;
  inner = parent;
  nodes_[parent].parent = index;
  update(parent);
  update(index);
}

OrderForest::Index OrderForest::insert(Tree& tree, std::int64_t key, std::uint64_t sequence, Cost cost,
                                       Index payload) {
  const Index index = nodes_.acquire();
  Node& node = nodes_[index];
  node.key = key;
  node.sequence = sequence;
  node.own = node.sum = cost;
  node.payload = payload;
  node.priority = scramble(sequence);

  if (tree.root == none) {
    tree.root = index;
    return index;
  }
  for (Index at = tree.root;;) {
    Node& here = nodes_[at];
    ++here.count;
    here.sum += cost;
    Index& child = before(index, at) ? here.left : here.right;
    if (child == none) {
      child = index;
      node.parent = at;
      break;
    }
    at = child;
  }
  while (node.parent != none && nodes_[node.parent].priority < node.priority) rotate_up(tree, index);
  return index;
}

void OrderForest::erase(Tree& tree, Index index) {
  Node& node = nodes_[index];
  while (node.left != none && node.right != none) {
    rotate_up(tree, nodes_[node.left].priority > nodes_[node.right].priority ? node.left : node.right);
  }
  const Index parent = node.parent;
  replace_child(tree, parent, index, node.left != none ? node.left : node.right);
  for (Index at = parent; at != none; at = nodes_[at].parent) update(at);
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
  Ahead result;
  const auto add_left = [&](Index at) {
    const Index left = nodes_[at].left;
    if (left == none) return;
    result += {nodes_[left].count, nodes_[left].sum};
  };
  add_left(index);
  for (Index at = index; nodes_[at].parent != none; at = nodes_[at].parent) {
    const Index parent = nodes_[at].parent;
    if (nodes_[parent].right != at) continue;
    add_left(parent);
    result += {1, nodes_[parent].own};
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
      if (const Index left = nodes_[at].left; left != none) result += {nodes_[left].count, nodes_[left].sum};
      result += {1, nodes_[at].own};
      at = nodes_[at].right;
    } else {
      at = nodes_[at].left;
    }
  }
  return result;
}

void OrderForest::histogram(const Tree& tree, std::int64_t from, std::int64_t width, std::span<std::int64_t> counts) const {
  std::ranges::fill(counts, 0);
  if (!counts.empty()) histogram(tree.root, 0, counts.size(), from, width, counts);
}

// All of this subtree lies in cells low to high.
void OrderForest::histogram(Index node, std::size_t low, std::size_t high, std::int64_t from, std::int64_t width,
                            std::span<std::int64_t> counts) const {
  while (node != none && high > 0) {
    const Node& n = nodes_[node];
    if (low == high) {
      counts[low - 1] += n.count;
      return;
    }
    const std::size_t own = n.key < from ? 0 : std::min(counts.size(), static_cast<std::size_t>((n.key - from) / width) + 1);
    if (own > 0) ++counts[own - 1];
    histogram(n.left, low, own, from, width, counts);
    node = n.right;
    low = own;
  }
}

OrderForest::Index OrderForest::at_rank(const Tree& tree, std::int64_t rank) const {
  for (Index at = tree.root; at != none;) {
    const Index left = nodes_[at].left;
    const std::int64_t before_it = left == none ? 0 : nodes_[left].count;
    if (rank == before_it) return at;
    if (rank < before_it) {
      at = left;
    } else {
      rank -= before_it + 1;
      at = nodes_[at].right;
    }
  }
  return none;
}

}  // namespace qlm

// Queue orders: one tree a model, all in one forest of nodes. A treap with subtree counts and sums (Seidel and
// Aragon 1996), so that insert, erase, first and "how many, and how many tokens, are ahead" are O(log n) each and need
// no allocation beyond amortised growth. Priorities come from the sequence number: the shape depends on the content only.
#pragma once

#include <cstdint>
#include <span>

#include "base/quantity.hpp"
#include "base/slab.hpp"

namespace qlm {

class OrderForest {
 public:
  using Index = Slab<int>::Index;
  static constexpr Index none = Slab<int>::none;
  struct Tree { Index root = none; };
  // What a node weighs: tokens, and work in the caller's unit.
  struct Cost {
    Tokens tokens{0};
    std::int64_t work = 0;
    Cost() = default;
    Cost(Tokens t, std::int64_t w = 0) : tokens(t), work(w) {}
    Cost& operator+=(const Cost& other) { tokens += other.tokens; work += other.work; return *this; }
    Cost& operator-=(const Cost& other) { tokens -= other.tokens; work -= other.work; return *this; }
  };
  struct Ahead {
    std::int64_t count = 0;
    Tokens tokens{0};
    std::int64_t work = 0;
    Ahead() = default;
    Ahead(std::int64_t c, const Cost& cost) : count(c), tokens(cost.tokens), work(cost.work) {}
    Ahead& operator+=(const Ahead& other) { count += other.count; tokens += other.tokens; work += other.work; return *this; }
    Ahead& operator-=(const Ahead& other) { count -= other.count; tokens -= other.tokens; work -= other.work; return *this; }
  };
  // A place between nodes: before every node whose (key, sequence) is not less.
  struct Bound {
    std::int64_t key = INT64_MIN;
    std::uint64_t sequence = 0;
    auto operator<=>(const Bound&) const = default;
  };

  // Orders by (key, sequence); the pair must be unique in its tree. `payload` is the caller's.
  Index insert(Tree& tree, std::int64_t key, std::uint64_t sequence, Cost cost, Index payload);
  void erase(Tree& tree, Index node);
  Index first(const Tree& tree) const;
  Index next(Index node) const;  // in order, or none
  Ahead ahead(Index node) const;
  Index at_or_after(const Tree& tree, Bound bound) const;  // the first node not before it, or none
  Ahead before(const Tree& tree, Bound bound) const;
  Index at_rank(const Tree& tree, std::int64_t rank) const;  // the node with that many before it, or none
  // How many have their key in each of `counts.size()` cells of this width from `from` on, the last one unbounded; O(cells
  // log(n / cells)).
  void histogram(const Tree& tree, std::int64_t from, std::int64_t width, std::span<std::int64_t> counts) const;
  Bound bound(Index node) const { return {nodes_[node].key, nodes_[node].sequence}; }

  std::int64_t count(const Tree& tree) const { return tree.root == none ? 0 : nodes_[tree.root].count; }
  Cost cost(const Tree& tree) const { return tree.root == none ? Cost{} : nodes_[tree.root].sum; }
  Tokens tokens(const Tree& tree) const { return cost(tree).tokens; }
  Index payload(Index node) const { return nodes_[node].payload; }
  Cost own_cost(Index node) const { return nodes_[node].own; }
  std::int64_t key(Index node) const { return nodes_[node].key; }
  std::uint64_t sequence(Index node) const { return nodes_[node].sequence; }
  bool before(Index a, Index b) const;

 private:
  struct Node {
    std::int64_t key = 0;
    std::uint64_t sequence = 0;
    Cost own, sum;
    std::int64_t count = 1;
    Index left = none, right = none, parent = none, payload = none;
    std::uint32_t priority = 0;
  };

  // Cells are shifted by one: 0 is what lies before the first.
  void histogram(Index node, std::size_t low, std::size_t high, std::int64_t from, std::int64_t width, std::span<std::int64_t> counts) const;
  void update(Index node);
  void replace_child(Tree& tree, Index parent, Index child, Index by);
  void rotate_up(Tree& tree, Index node);

  Slab<Node> nodes_;
};

}  // namespace qlm

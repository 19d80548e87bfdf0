// Queue orders: one tree a model, all in one forest of nodes. A treap (Seidel and Aragon 1996) whose nodes know how many,
// and how much, stand in their left subtree, so that insert, erase, first and "how many, and how many tokens, are ahead" are
// O(log n) each, look at nothing beside their path, and need no allocation beyond amortised growth. Priorities come from the
// sequence number: the shape depends on the content only.
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
  // What a node weighs: tokens, and work in the caller's unit.
  struct Cost {
    Tokens tokens{0};
    std::int64_t work = 0;
    Cost() = default;
    Cost(Tokens t, std::int64_t w = 0) : tokens(t), work(w) {}
    Cost& operator+=(const Cost& other) { tokens += other.tokens; work += other.work; return *this; }
    Cost& operator-=(const Cost& other) { tokens -= other.tokens; work -= other.work; return *this; }
  };
  struct Tree {
    Index root = none;
    std::uint32_t count = 0;
    Cost sum;
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

  std::int64_t count(const Tree& tree) const { return tree.count; }
  Cost cost(const Tree& tree) const { return tree.sum; }
  Tokens tokens(const Tree& tree) const { return tree.sum.tokens; }
  Index payload(Index node) const { return nodes_[node].payload; }
  Cost own_cost(Index node) const { return nodes_[node].own(); }
  std::int64_t key(Index node) const { return nodes_[node].key; }
  std::uint64_t sequence(Index node) const { return nodes_[node].sequence; }
  bool before(Index a, Index b) const;

 private:
  // A cache line: a path through a million of them is what an operation costs.
  struct alignas(64) Node {
    std::int64_t key = 0;
    std::uint64_t sequence = 0;
    std::int64_t own_work = 0, left_work = 0;
    std::int64_t left_tokens = 0;
    std::uint32_t own_tokens = 0;
    std::uint32_t left_count = 0;
    Index left = none, right = none, parent = none, payload = none;

    Cost own() const { return {Tokens{own_tokens}, own_work}; }
    Ahead at_left() const { return {left_count, {Tokens{left_tokens}, left_work}}; }
    Ahead up_to_here() const { return {left_count + 1, {Tokens{left_tokens + own_tokens}, left_work + own_work}}; }
  };
  static_assert(sizeof(Node) == 64);

  // Cells are shifted by one: 0 is what lies before the first.
  struct Cells {
    std::int64_t from, width;
    std::span<std::int64_t> counts;
  };
  void histogram(Index node, std::int64_t count, std::size_t low, std::size_t high, const Cells& cells) const;
  void replace_child(Tree& tree, Index parent, Index child, Index by);
  void rotate_up(Tree& tree, Index node);

  Slab<Node> nodes_;
};

}  // namespace qlm

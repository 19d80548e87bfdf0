// Queue orders: one tree a model's group, all in one forest of nodes. A B+-tree (Comer 1979) whose inner pages know how many,
// and how much, stand under each child, so that insert, erase, first and "how many, and how many tokens, are ahead" are
// O(log n) each and need no allocation beyond amortised growth. Its pages are wide: a path through a million requests is
// five or six of them, and all but the last two are in the cache. A node is a request's place, named by a handle that stays
// whatever page it is on.
#pragma once

#include <array>
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
  struct Ahead {
    std::int64_t count = 0;
    Tokens tokens{0};
    std::int64_t work = 0;
    Ahead() = default;
    Ahead(std::int64_t c, const Cost& cost) : count(c), tokens(cost.tokens), work(cost.work) {}
    Ahead& operator+=(const Ahead& other) { count += other.count; tokens += other.tokens; work += other.work; return *this; }
    Ahead& operator-=(const Ahead& other) { count -= other.count; tokens -= other.tokens; work -= other.work; return *this; }
    bool operator==(const Ahead&) const = default;
  };
  struct Tree {
    Index root = none;  // a page: inner, or a leaf where the height is 0; none: empty
    int height = 0;
    Ahead sum;
  };
  // A place between nodes: before every node whose (key, sequence) is not less.
  struct Bound {
    std::int64_t key = INT64_MIN;
    std::uint64_t sequence = 0;
    auto operator<=>(const Bound&) const = default;
  };

  // Orders by (key, sequence); the pair must be unique in its tree. `payload` is the caller's. Tokens beyond 32 bits count
  // as that many.
  Index insert(Tree& tree, std::int64_t key, std::uint64_t sequence, Cost cost, Index payload);
  Cost erase(Tree& tree, Index node);  // what it weighed
  Index first(const Tree& tree) const;
  Index next(const Tree& tree, Index node) const;  // in order, or none
  Index at_or_after(const Tree& tree, Bound bound) const;  // the first node not before it, or none
  Ahead before(const Tree& tree, Bound bound) const;
  Index at_rank(const Tree& tree, std::int64_t rank) const;  // the node with that many before it, or none
  // How many have their key in each of `counts.size()` cells of this width from `from` on, the last one unbounded; O(cells
  // log(n / cells)).
  void histogram(const Tree& tree, std::int64_t from, std::int64_t width, std::span<std::int64_t> counts) const;

  std::int64_t count(const Tree& tree) const { return tree.sum.count; }
  Cost cost(const Tree& tree) const { return {tree.sum.tokens, tree.sum.work}; }
  Tokens tokens(const Tree& tree) const { return tree.sum.tokens; }
  Index payload(Index node) const { return nodes_[node].payload; }
  std::int64_t key(Index node) const { return nodes_[node].at.key; }
  std::uint64_t sequence(Index node) const { return nodes_[node].at.sequence; }
  Bound bound(Index node) const { return nodes_[node].at; }
  bool before(Index a, Index b) const { return bound(a) < bound(b); }

 private:
  struct Node {
    Bound at;
    Index payload = none;
  };
  // Places in order: in a leaf those of its nodes, in an inner page from where on each child has what there is (the first
  // one's is not looked at: it has whatever comes before the second's).
  template <std::size_t size>
  struct Places {
    std::uint32_t count = 0;
    std::array<std::int64_t, size> keys{};
    std::array<std::uint64_t, size> sequences{};
    std::array<std::int64_t, size> work{};
    std::array<Index, size> of{};  // nodes, or pages below

    Bound at(std::size_t k) const { return {keys[k], sequences[k]}; }
    void each_column(auto&& of_it) { of_it(keys); of_it(sequences); of_it(work); of_it(of); }
  };
  struct Leaf : Places<32> {
    static constexpr std::uint32_t size = 32;
    std::array<std::uint32_t, size> tokens{};
    Ahead weight(std::size_t k) const { return {1, {Tokens{tokens[k]}, work[k]}}; }
    void weigh(std::size_t k, const Ahead& weight);
    void each_column(auto&& of_it) { Places::each_column(of_it); of_it(tokens); }
  };
  struct Inner : Places<16> {
    static constexpr std::uint32_t size = 16;
    std::array<std::int64_t, size> tokens{};
    std::array<std::uint32_t, size> counts{};
    Ahead weight(std::size_t k) const { return {counts[k], {Tokens{tokens[k]}, work[k]}}; }
    void weigh(std::size_t k, const Ahead& weight);
    void each_column(auto&& of_it) { Places::each_column(of_it); of_it(tokens); of_it(counts); }
  };
  struct Entry {
    Bound at;
    Ahead weight;
    Index of = none;
  };
  // Cells are shifted by one: 0 is what lies before the first.
  struct Cells {
    std::int64_t from, width;
    std::span<std::int64_t> counts;
    std::size_t of(std::int64_t key) const;
  };
  template <class Kind>
  using Pages = Slab<Kind, 64>;

  template <class Kind> static std::size_t before(const Kind& page, Bound bound);
  static std::size_t child_of(const Inner& page, Bound bound);
  template <class Kind> static Ahead sum_of(const Kind& page, std::size_t end);
  template <class Kind> static void put(Kind& page, std::size_t at, const Entry& entry);
  template <class Kind> static void drop(Kind& page, std::size_t at);
  template <class Kind> static void move_to(Kind& from, std::size_t first, Kind& to);
  template <class Kind> static Entry add(Pages<Kind>& pages, Index page, std::size_t at, const Entry& entry, bool last);
  template <class Kind> static bool merge(Pages<Kind>& pages, Inner& above, std::size_t left);

  Entry insert(Index page, int height, const Entry& entry, bool last);
  Ahead erase(Index page, int height, Bound bound);
  Index first(Index page, int height) const;
  void histogram(Index page, int height, std::size_t low, std::size_t high, const Cells& cells) const;

  Slab<Node> nodes_;
  Pages<Leaf> leaves_;
  Pages<Inner> inners_;
};

}  // namespace qlm

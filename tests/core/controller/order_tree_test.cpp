#include "core/controller/order_tree.hpp"

#include <gtest/gtest.h>

#include <map>

#include "base/id_map.hpp"
#include "base/prng.hpp"

namespace qlm {
namespace {

TEST(OrderForest, AgreesWithASortedMapUnderRandomInsertsAndErases) {
  Prng prng(3);
  OrderForest forest;
  OrderForest::Tree tree;
  std::map<std::pair<std::int64_t, std::uint64_t>, std::pair<OrderForest::Index, std::int64_t>> naive;
  for (std::uint64_t step = 0; step < 20'000; ++step) {
    if (naive.empty() || prng.chance(0.55)) {
      const auto key = static_cast<std::int64_t>(prng.below(50));
      const auto tokens = static_cast<std::int64_t>(prng.below(1000));
      naive[{key, step}] = {forest.insert(tree, key, step, Tokens{tokens}, 0), tokens};
    } else {
      auto victim = std::next(naive.begin(), static_cast<std::ptrdiff_t>(prng.below(naive.size())));
      forest.erase(tree, victim->second.first);
      naive.erase(victim);
    }
    ASSERT_EQ(forest.count(tree), static_cast<std::int64_t>(naive.size()));
    if (step % 97 != 0) continue;
    OrderForest::Ahead expected;
    auto node = forest.first(tree);
    for (const auto& [key, value] : naive) {
      ASSERT_EQ(node, value.first);
      ASSERT_EQ(forest.before(tree, forest.bound(node)), expected);
      ASSERT_EQ(forest.at_rank(tree, expected.count), node);
      ASSERT_EQ(forest.at_or_after(tree, {key.first, key.second}), node);
      ++expected.count;
      expected.tokens += Tokens{value.second};
      node = forest.next(tree, node);
    }
    ASSERT_EQ(node, OrderForest::none);
    ASSERT_EQ(forest.tokens(tree), expected.tokens);
  }
  for (const auto& [key, value] : naive) {
    ASSERT_EQ(forest.first(tree), value.first);
    forest.erase(tree, value.first);
  }
  EXPECT_EQ(forest.first(tree), OrderForest::none);
  EXPECT_EQ(tree.sum, OrderForest::Ahead{});
}

TEST(OrderForest, AHistogramCountsEveryKeyInItsCellAndTheRestInTheLast) {
  Prng prng(5);
  OrderForest forest;
  OrderForest::Tree tree;
  std::vector<std::int64_t> keys;
  for (std::uint64_t k = 0; k < 500; ++k) {
    keys.push_back(static_cast<std::int64_t>(prng.below(1000)));
    forest.insert(tree, keys.back(), k, Tokens{1}, 0);
  }
  for (const auto& [from, width] : {std::pair<std::int64_t, std::int64_t>{0, 100}, {250, 7}, {990, 50}, {2000, 1}}) {
    std::vector<std::int64_t> expected(12, 0), found(12, -1);
    for (const std::int64_t key : keys) {
      if (key >= from) ++expected[static_cast<std::size_t>(std::min<std::int64_t>(11, (key - from) / width))];
    }
    forest.histogram(tree, from, width, found);
    EXPECT_EQ(found, expected) << from << " " << width;
  }
  std::vector<std::int64_t> of_none(3, -1);
  forest.histogram(OrderForest::Tree{}, 0, 1, of_none);
  EXPECT_EQ(of_none, (std::vector<std::int64_t>{0, 0, 0}));
}

TEST(IdMap, AgreesWithAMapUnderRandomInsertsAndErases) {
  Prng prng(4);
  IdMap<int> map;
  std::map<std::uint64_t, int> naive;
  for (int step = 0; step < 100'000; ++step) {
    const std::uint64_t key = prng.below(500) << (prng.below(2) * 40);
    if (prng.chance(0.5)) {
      EXPECT_EQ(map.insert(key, step), naive.try_emplace(key, step).second);
    } else {
      EXPECT_EQ(map.erase(key), naive.erase(key) == 1);
    }
    const std::uint64_t asked = prng.below(500);
    const auto found = naive.find(asked);
    ASSERT_EQ(map.find(asked), found == naive.end() ? std::nullopt : std::optional(found->second));
    ASSERT_EQ(map.size(), naive.size());
  }
}

}  // namespace
}  // namespace qlm

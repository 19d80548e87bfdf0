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
      ASSERT_EQ(forest.ahead(node).count, expected.count);
      ASSERT_EQ(forest.ahead(node).tokens, expected.tokens);
      ++expected.count;
      expected.tokens += Tokens{value.second};
      node = forest.next(node);
    }
    ASSERT_EQ(node, OrderForest::none);
    ASSERT_EQ(forest.tokens(tree), expected.tokens);
  }
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

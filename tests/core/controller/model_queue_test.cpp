#include "core/controller/model_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/prng.hpp"

namespace qlm {
namespace {

// What the queue should be, by sorting.
struct Plain {
  ModelQueue::Place place;
  OrderForest::Bound order;
  Tokens cost, prompt;
  OrderForest::Index node;
  int phase = 0;
};

TEST(ModelQueue, AgreesWithSortingUnderInsertsErasesCutsAndLateOnes) {
  Prng prng(11);
  OrderForest forest;
  ModelQueue queue;
  std::vector<Plain> all;
  std::vector<OrderForest::Bound> cuts(6);
  for (std::uint32_t g = 0; g < 6; ++g) ASSERT_EQ(queue.group({ClassId{g % 2}, g / 2}), g);
  ASSERT_EQ(queue.group({ClassId{1}, 2}), 5U) << "the same key is the same group";
  for (std::uint64_t step = 1; step < 6'000; ++step) {
    const double what = prng.uniform();
    if (all.empty() || what < 0.5) {
      Plain p{{static_cast<std::uint32_t>(prng.below(6)), false}, {static_cast<std::int64_t>(prng.below(40)), step},
              Tokens{static_cast<std::int64_t>(1 + prng.below(100))}, Tokens{static_cast<std::int64_t>(prng.below(50))}, 0};
      p.node = queue.insert(forest, p.place, p.order.key, p.order.sequence, p.cost, p.prompt, static_cast<OrderForest::Index>(step));
      all.push_back(p);
    } else if (what < 0.85) {
      const auto victim = all.begin() + static_cast<std::ptrdiff_t>(prng.below(all.size()));
      queue.erase(forest, victim->place, victim->node, victim->prompt);
      all.erase(victim);
    } else if (what < 0.9) {
      Plain& p = all[prng.below(all.size())];
      if (!p.place.late) p.node = queue.make_late(forest, p.place.group, p.node, p.prompt);
      p.place.late = true;
    } else {
      const auto g = static_cast<std::uint32_t>(prng.below(6));
      cuts[g] = prng.chance(0.2) ? OrderForest::Bound{} : OrderForest::Bound{static_cast<std::int64_t>(prng.below(40)), prng.below(step)};
      queue.set_cut(forest, g, cuts[g]);
    }
    if (step % 13 != 0) continue;

    for (Plain& p : all) p.phase = p.place.late ? 2 : p.order < cuts[p.place.group] ? 1 : 0;
    std::ranges::sort(all, [](const Plain& a, const Plain& b) { return a.phase != b.phase ? a.phase < b.phase : a.order < b.order; });
    Tokens tokens{0};
    auto node = queue.first(forest);
    OrderForest::Ahead ahead;
    for (const Plain& p : all) {
      ASSERT_EQ(node, p.node);
      ASSERT_EQ(queue.ahead(forest, p.place, node).count, ahead.count);
      ASSERT_EQ(queue.ahead(forest, p.place, node).tokens, ahead.tokens);
      ahead += {1, p.cost};
      tokens += p.cost;
      node = queue.next(forest, p.place, node);
    }
    ASSERT_EQ(node, OrderForest::none);
    ASSERT_EQ(queue.count(), std::ssize(all));
    ASSERT_EQ(queue.tokens(), tokens);
    ASSERT_EQ(queue.given_up(), std::ranges::count_if(all, [](const Plain& p) { return p.phase > 0; }));
  }
}

}  // namespace
}  // namespace qlm

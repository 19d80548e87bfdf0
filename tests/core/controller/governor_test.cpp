#include "core/controller/governor.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace qlm {
namespace {

using Change = Governor::Change;

TEST(Governor, AStatedNumberIsTaken) {
  Governor g;
  g.describe({.slots = 4, .reports_waiting = true, .drops_queued = false}, {});
  EXPECT_EQ(g.limit(), 4);
  EXPECT_EQ(g.allowance(), 0);
  g.note_full();
  EXPECT_EQ(g.on_stats({.running = 4, .waiting = 0}, 4, {}), Change::none);
}

TEST(Governor, TheOperatorsNumberIsNeverExceeded) {
  Governor g;
  const DispatchParameters p;
  g.describe({.max_in_flight = 3, .reports_waiting = true}, p);
  EXPECT_EQ(g.limit() + g.allowance(), 3);
  g.describe({.slots = 4, .max_in_flight = 5}, p);
  EXPECT_EQ(g.limit() + g.allowance(), 5);
  g.describe({.slots = 4, .max_in_flight = 2}, p);
  EXPECT_EQ(g.limit() + g.allowance(), 2);
}

TEST(Governor, RaisesWhileTheEngineReportsNoWaitingAndWorkIsHeldBack) {
  Governor g;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  const int start = g.limit();
  EXPECT_EQ(g.on_stats({.running = start}, start, p), Change::none) << "nothing was held back";
  g.note_full();
  EXPECT_EQ(g.on_stats({.running = start}, start, p), Change::raised);
  EXPECT_EQ(g.limit(), 2 * start);
}

TEST(Governor, FindsAnEnginesConcurrencyAndHoldsJustThere) {
  Governor g;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  const int really = 256;
  int readings = 0;
  for (; readings < 30; ++readings) {
    g.note_full();
    const int running = std::min(really, g.limit());
    g.on_stats({.running = running, .waiting = g.limit() - running}, g.limit(), p);
  }
  EXPECT_GE(g.limit(), really);
  EXPECT_LE(g.limit(), really + really / 10);
}

TEST(Governor, OneReadingOfWaitingIsABurstTwoAreAFullEngine) {
  Governor g;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  EXPECT_EQ(g.on_stats({.running = 10, .waiting = 20}, 30, p), Change::none);
  EXPECT_EQ(g.on_stats({.running = 10, .waiting = 20}, 30, p), Change::lowered);
  EXPECT_EQ(g.limit(), 10 + p.allowance);
}

TEST(Governor, WithoutAGaugeGrowsOnlyWhileThroughputRises) {
  Governor g;
  const DispatchParameters p;
  g.describe({}, p);
  Instant now{};
  const int really = 20;
  g.on_tokens(Tokens{0}, now, 0, p);
  int highest = 0;
  for (int window = 0; window < 40; ++window) {
    g.note_full();
    now += 2s;
    g.on_tokens(Tokens{std::min(really, g.limit()) * 100}, now, g.limit(), p);
    highest = std::max(highest, g.limit());
  }
  EXPECT_GE(g.limit(), really);
  EXPECT_LE(highest, really * 5 / 2);
}

TEST(Governor, ARefusalLowersAFoundLimitAndNotAStatedOne) {
  Governor found, stated;
  found.describe({.reports_waiting = true}, {});
  stated.describe({.slots = 8}, {});
  EXPECT_EQ(found.on_refused(5), Change::lowered);
  EXPECT_EQ(found.limit(), 5);
  EXPECT_EQ(stated.on_refused(5), Change::none);
}

}  // namespace
}  // namespace qlm

#include "core/controller/governor.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace qlm {
namespace {

using Change = Governor::Change;

// Readings come every 2 s.
struct Clock {
  Instant now{};
  Instant next() { return now += 2s; }
};

TEST(Governor, AStatedNumberIsTaken) {
  Clock clock;
  Governor g;
  g.describe({.slots = 4, .reports_waiting = true, .drops_queued = false}, {});
  EXPECT_EQ(g.limit(), 4);
  EXPECT_EQ(g.allowance(), 0);
  g.note_full();
  EXPECT_EQ(g.on_stats({.running = 4, .waiting = 0}, clock.next(), 4, {}), Change::none);
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
  Clock clock;
  Governor g;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  const int start = g.limit();
  EXPECT_EQ(g.on_stats({.running = start}, clock.next(), start, p), Change::none) << "nothing was held back";
  g.note_full();
  EXPECT_EQ(g.on_stats({.running = start}, clock.next(), start, p), Change::raised);
  EXPECT_EQ(g.limit(), 2 * start);
}

TEST(Governor, FindsAnEnginesConcurrencyAndHoldsJustThere) {
  Clock clock;
  Governor g;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  const int really = 256;
  int readings = 0;
  for (; readings < 30; ++readings) {
    g.note_full();
    const int running = std::min(really, g.limit());
    g.on_stats({.running = running, .waiting = g.limit() - running}, clock.next(), g.limit(), p);
  }
  EXPECT_GE(g.limit(), really);
  EXPECT_LE(g.limit(), really + p.allowance) << "no more than the allowance waits in the engine";
}

TEST(Governor, OneReadingOfWaitingIsABurstTwoAreAFullEngine) {
  Clock clock;
  Governor g;
  const DispatchParameters p{.initial_limit = 32};
  g.describe({.reports_waiting = true}, p);
  EXPECT_EQ(g.on_stats({.running = 10, .waiting = 20}, clock.next(), 30, p), Change::none);
  EXPECT_EQ(g.on_stats({.running = 10, .waiting = 20}, clock.next(), 30, p), Change::lowered);
  EXPECT_EQ(g.limit(), 10 + p.allowance);
}

TEST(Governor, WaitingSeenUnderOthersLoadDoesNotKeepTheLimitLow) {
  Clock clock;
  Governor g;
  const DispatchParameters p{.initial_limit = 32};
  g.describe({.reports_waiting = true}, p);
  const int start = g.limit();
  for (int reading = 0; reading < 2; ++reading) g.on_stats({.running = 256, .waiting = 100}, clock.next(), 0, p);
  EXPECT_EQ(g.limit(), start);
  for (int reading = 0; reading < 4; ++reading) {
    g.note_full();
    g.on_stats({.running = g.limit()}, clock.next(), g.limit(), p);
  }
  EXPECT_GE(g.limit(), 256);
}

TEST(Governor, ACeilingThatIsNoneAnyMoreIsLeftBehind) {
  Clock clock;
  Governor g;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  for (int reading = 0; reading < 2; ++reading) g.on_stats({.running = 20, .waiting = 12}, clock.next(), g.limit(), p);
  ASSERT_LT(g.limit(), 32);
  for (int reading = 0; reading < 20; ++reading) {
    g.note_full();
    g.on_stats({.running = g.limit()}, clock.next(), g.limit(), p);
  }
  EXPECT_GE(g.limit(), 200);
}

TEST(Governor, DoublesWithEachRoundOfFirstTokensUntilTheGaugeShowsWaiting) {
  Governor g;
  Clock clock;
  const DispatchParameters p;
  g.describe({.reports_waiting = true}, p);
  const int start = g.limit();
  EXPECT_EQ(g.on_first_token(0ms, start / 2, p), Change::none) << "half of it is not used: more says nothing";
  EXPECT_EQ(g.on_first_token(2s, start, p), Change::none) << "one stands in the engine's queue";
  EXPECT_EQ(g.on_first_token(20ms, start, p), Change::raised);
  EXPECT_EQ(g.limit(), 2 * start);
  for (int reading = 0; reading < 2; ++reading) g.on_stats({.running = 10, .waiting = 20}, clock.next(), 30, p);
  ASSERT_EQ(g.limit(), 10 + p.allowance);
  EXPECT_EQ(g.on_first_token(20ms, g.limit(), p), Change::none) << "where it ends is known now";
}

TEST(Governor, AStatedNumberIsNotMovedByFirstTokens) {
  Governor g;
  g.describe({.slots = 4, .reports_waiting = true}, {});
  EXPECT_EQ(g.on_first_token(0ms, 4, {}), Change::none);
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

// What an operator says: no new work for an instance, a model that it is to serve, no swaps for a while, a request ended.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

constexpr ModelId a{0}, b{1};

InstanceDescription holder() {
  InstanceDescription d{.models = {a}, .slots = 4, .max_in_flight = 4};
  for (const ModelId m : {a, b}) d.holds.push_back({.model = m, .slots = 4, .bring_in = 1s, .put_away = 1s});
  return d;
}

std::vector<ModelId> brought_in(const World& w) {
  std::vector<ModelId> all;
  for (const auto& swap : w.all<action::Swap>()) all.push_back(swap.to);
  return all;
}

bool recorded(const World& w, Decision decision) {
  const auto all = w.controller.recent(100);
  return std::ranges::find(all, decision, &ExplainRecord::decision) != all.end();
}

TEST(Hand, ACordonedInstanceTakesNothingNewAndWhatRunsGoesOn) {
  World w;
  const InstanceId first = w.join(4), second = w.join(4);
  const RequestId running = w.arrive();
  ASSERT_EQ(w.where(running), first);
  w.feed(event::Cordoned{first});
  for (int k = 0; k < 4; ++k) EXPECT_EQ(w.where(w.arrive()), second);
  const RequestId waits = w.arrive();
  EXPECT_EQ(w.controller.request(waits, w.now)->state, RequestState::queued);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  EXPECT_FALSE(recorded(w, Decision::drained));
  w.complete(running);
  EXPECT_TRUE(w.finished(running));
  EXPECT_TRUE(recorded(w, Decision::drained));
  EXPECT_EQ(w.controller.request(waits, w.now)->state, RequestState::queued);
  w.feed(event::Cordoned{first, false});
  EXPECT_EQ(w.where(waits), first);
}

TEST(Hand, ACordonedInstanceDoesNotLookBroken) {
  World w;
  const InstanceId id = w.join(4);
  w.feed(event::Cordoned{id});
  w.advance(60s);
  const InstanceView view = w.controller.instances().front();
  EXPECT_TRUE(view.cordoned);
  EXPECT_FALSE(view.available);
  EXPECT_FALSE(view.stalled);
  EXPECT_EQ(view.breaker, BreakerState::closed);
  EXPECT_EQ(w.controller.picture().instances.front().binding, Binding::cordoned);
  EXPECT_TRUE(w.all<action::Probe>().empty());
}

TEST(Hand, WhereEveryInstanceOfAModelIsCordonedWhoComesIsRefusedAndWhoWaitsIsServedWhenItIsNotAnyMore) {
  World w;
  const InstanceId id = w.join(1);
  w.feed(event::Cordoned{id});
  const RequestId waits = w.arrive();
  EXPECT_FALSE(w.rejection(waits));
  w.advance(60s);
  const RequestId late = w.arrive();
  ASSERT_TRUE(w.rejection(late));
  EXPECT_EQ(w.rejection(late)->reason, Reason::no_instance);
  w.feed(event::Cordoned{id, false});
  EXPECT_EQ(w.where(waits), id);
}

TEST(Hand, TheWordOutlastsTheInstancesGoing) {
  World w;
  const InstanceId id = w.join(4);
  w.feed(event::Cordoned{id});
  w.feed(event::InstanceLeft{id});
  w.feed(event::InstanceJoined{{.id = id, .name = "again", .models = {a}, .slots = 4}});
  w.arrive();
  EXPECT_TRUE(w.dispatched().empty());
}

TEST(Hand, ACordonedInstanceKeepsItsModelWhoeverWaits) {
  World w;
  const InstanceId id = w.join(holder());
  w.feed(event::Cordoned{id});
  w.arrive({.model = 1});
  w.advance(60s);
  EXPECT_TRUE(brought_in(w).empty());
  w.feed(event::Cordoned{id, false});
  w.advance(1s);
  EXPECT_EQ(brought_in(w), (std::vector{b}));
}

TEST(Hand, APinnedModelIsBroughtInWhenWhatRanIsDoneThoughNobodyAsksForIt) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId running = w.arrive({.model = 0});
  w.feed(event::Pinned{id, b, w.now + 1h});
  const RequestId waits = w.arrive({.model = 0});
  EXPECT_TRUE(brought_in(w).empty());
  w.complete(running);
  ASSERT_EQ(brought_in(w), (std::vector{b}));
  w.feed(event::Swapped{id, b});
  EXPECT_TRUE(recorded(w, Decision::pinned));
  EXPECT_EQ(w.controller.request(waits, w.now)->state, RequestState::queued);
}

TEST(Hand, APinnedModelIsNotLeftUntilThePinIsOver) {
  World w;
  const InstanceId id = w.join(holder());
  w.feed(event::Pinned{id, a, w.now + 60s});
  const RequestId waits = w.arrive({.model = 1});
  w.advance(59s);
  EXPECT_TRUE(brought_in(w).empty());
  EXPECT_FALSE(w.rejection(waits));
  w.advance(2s);
  EXPECT_EQ(brought_in(w), (std::vector{b}));
}

TEST(Hand, APinnedModelThatFailedIsTriedAgainAndNoOtherIs) {
  World w;
  const InstanceId id = w.join(holder());
  w.feed(event::Pinned{id, b, w.now + 1h});
  w.feed(event::Swapped{id, std::nullopt});
  w.arrive({.model = 0});
  w.advance(30s);
  EXPECT_EQ(brought_in(w), (std::vector{b, b}));
}

TEST(Hand, WithoutATimeAModelIsBroughtInOnceAndMayBeLeft) {
  World w;
  const InstanceId id = w.join(holder());
  w.feed(event::Pinned{id, b, w.now});
  ASSERT_EQ(brought_in(w), (std::vector{b}));
  w.feed(event::Swapped{id, b});
  EXPECT_FALSE(w.controller.instances().front().pinned);
  w.arrive({.model = 0});
  w.advance(1s);
  EXPECT_EQ(brought_in(w), (std::vector{b, a}));
}

TEST(Hand, APinCallsOffASwapThatHasNotBegun) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId running = w.arrive({.model = 0});
  w.arrive({.model = 1});
  w.advance(1s);
  ASSERT_EQ(w.controller.instances().front().next, b);
  w.feed(event::Pinned{id, a, w.now + 1h});
  EXPECT_EQ(w.where(w.arrive({.model = 0})), id);
  w.complete(running);
  w.advance(10s);
  EXPECT_TRUE(brought_in(w).empty());
}

TEST(Hand, WhereSwapsAreForbiddenNoneBeginsUntilTheTimeIsOver) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId running = w.arrive({.model = 0});
  const RequestId waits = w.arrive({.model = 1});
  w.advance(1s);
  ASSERT_EQ(w.controller.instances().front().next, b);  // decided already
  w.feed(event::SwapsForbidden{w.now + 60s});
  w.complete(running);
  w.advance(59s);
  EXPECT_TRUE(brought_in(w).empty());
  EXPECT_FALSE(w.rejection(waits));
  EXPECT_EQ(w.where(w.arrive({.model = 0})), id) << "what is there is served meanwhile";
  w.complete(RequestId{3});
  w.advance(3s);
  EXPECT_EQ(brought_in(w), (std::vector{b}));
}

TEST(Hand, SwapsAreAllowedAgainAtAWordAndAPinIsStronger) {
  World w;
  const InstanceId first = w.join(holder());
  w.feed(event::SwapsForbidden{w.now + 1h});
  EXPECT_TRUE(w.controller.swaps_forbidden_until());
  w.feed(event::Pinned{first, b, w.now});
  EXPECT_EQ(brought_in(w), (std::vector{b}));
  w.feed(event::Swapped{first, b});
  w.arrive({.model = 0});
  w.advance(10s);
  EXPECT_EQ(brought_in(w).size(), 1u);
  w.feed(event::SwapsForbidden{w.now});
  EXPECT_EQ(brought_in(w), (std::vector{b, a}));
}

TEST(Hand, ARequestEndedByAnOperatorSaysSoQueuedOrRunning) {
  World w;
  w.join(1);
  const RequestId running = w.arrive(), queued = w.arrive();
  w.feed(event::Cancelled{queued, Reason::cancelled});
  ASSERT_TRUE(w.finished(queued));
  EXPECT_EQ(w.finished(queued)->reason, Reason::cancelled);
  w.feed(event::Cancelled{running, Reason::cancelled});
  w.end(running, event::AttemptEnd::aborted);
  ASSERT_TRUE(w.finished(running));
  EXPECT_EQ(w.finished(running)->reason, Reason::cancelled);
  EXPECT_EQ(w.controller.explain(running).back().reason, Reason::cancelled);
}

}  // namespace
}  // namespace qlm::testing

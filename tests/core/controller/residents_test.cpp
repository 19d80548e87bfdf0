// What becomes of the models of an instance that holds several: they come, do not come, break down, are found there.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

constexpr ModelId a{0}, b{1};

// Nothing is there.
InstanceDescription empty_holder(std::vector<ModelId> models = {a, b}) {
  InstanceDescription d;
  for (const ModelId m : models) d.holds.push_back({.model = m, .slots = 4, .bring_in = 30s, .put_away = 2s});
  return d;
}

HeldModel found(ModelId m, int slots = 4, Duration bring_in = {}) { return {.model = m, .slots = slots, .bring_in = bring_in}; }

std::vector<ModelId> asked_for(const World& w) {
  std::vector<ModelId> all;
  for (const auto& swap : w.all<action::Swap>()) all.push_back(swap.to);
  return all;
}

Duration bring_in(World& w, InstanceId id, ModelId model) {
  for (const InstanceSummary& i : w.controller.snapshot(w.now).instances) {
    for (const ResidentSummary& r : i.holds) {
      if (i.instance == id && r.model == model) return r.bring_in;
    }
  }
  return Duration{-1};
}

TEST(Residents, AnEmptyInstanceIsGivenTheModelThatTheFewestHaveBeforeAnybodyAsks) {
  World w;
  const InstanceId first = w.join(empty_holder()), second = w.join(empty_holder());
  w.advance(1s);
  EXPECT_EQ(asked_for(w), (std::vector{a, b}));
  w.feed(event::Swapped{first, a, found(a)});
  w.feed(event::Swapped{second, b, found(b)});
  EXPECT_EQ(w.where(w.arrive({.model = 1})), second);
}

TEST(Residents, WhoWaitsGoesBeforeThat) {
  World w;
  const RequestId waiting = w.arrive({.model = 1});
  const InstanceId id = w.join(empty_holder());
  w.advance(1s);
  ASSERT_EQ(asked_for(w), (std::vector{b}));
  w.feed(event::Swapped{id, b, found(b)});
  EXPECT_EQ(w.where(waiting), id);
}

TEST(Residents, AnEngineSaysOfItselfWhatTheConfigurationCannot) {
  World w;
  const InstanceId id = w.join(empty_holder({a}));
  w.advance(1s);
  w.feed(event::Swapped{id, a, found(a, 2)});
  for (int k = 0; k < 5; ++k) w.arrive();
  EXPECT_EQ(w.controller.instances()[0].limit, 2);
}

TEST(Residents, WhatAStartTookTakesThePlaceOfTheGuessElsewhereToo) {
  World w;
  const InstanceId first = w.join(empty_holder()), second = w.join(empty_holder());
  w.advance(1s);
  w.feed(event::Swapped{first, a, found(a, 4, 6s)});
  EXPECT_EQ(bring_in(w, first, a), 6s);
  EXPECT_EQ(bring_in(w, second, a), 6s) << "nobody saw it come there";
  EXPECT_EQ(bring_in(w, first, b), 30s);
  w.feed(event::Swapped{second, b, found(b, 4, 10s)});
  w.arrive({.model = 1});
  w.feed(event::ResidentChanged{first, std::nullopt});
  w.advance(3s);
  ASSERT_EQ(asked_for(w).size(), 3u);
  w.feed(event::Swapped{first, a, found(a, 4, 10s)});
  EXPECT_EQ(bring_in(w, first, a), 7s) << "a quarter of the way";
  EXPECT_EQ(bring_in(w, second, a), 6s + 1s) << "its guess follows";
}

TEST(Residents, OneThatIsAsleepComesSoonerThanOneThatMustBeStarted) {
  World w;
  const InstanceId id = w.join(empty_holder());
  w.advance(1s);
  w.feed(event::Swapped{.instance = id, .resident = a, .found = found(a, 4, 20s)});
  const RequestId first = w.arrive({.model = 1});
  w.advance(1s);
  w.feed(event::Swapped{.instance = id, .resident = b, .found = found(b, 4, 22s), .put_away = 3s, .asleep = {a}});
  EXPECT_EQ(bring_in(w, id, a), 3s) << "as long as it took to go";
  EXPECT_EQ(bring_in(w, id, b), 22s);
  w.complete(first);
  w.arrive({.model = 0});
  w.advance(1s);
  HeldModel woken = found(a, 4, 1s);
  woken.asleep = true;
  w.feed(event::Swapped{.instance = id, .resident = a, .found = woken, .put_away = 2s});
  EXPECT_EQ(bring_in(w, id, a), 20s) << "it is awake, and nobody keeps it if it goes";
  w.feed(event::ResidentChanged{.instance = id, .resident = a, .asleep = {b}});
  EXPECT_EQ(bring_in(w, id, b), 2s);
  w.feed(event::ResidentChanged{.instance = id, .resident = a});
  EXPECT_EQ(bring_in(w, id, b), 22s) << "its engine is gone";
  w.feed(event::ResidentChanged{.instance = id, .resident = a, .asleep = {a}});
  EXPECT_EQ(bring_in(w, id, a), 1s) << "as it took";
}

TEST(Residents, OneThatBreaksDownIsBroughtInAgainAndNobodyIsLost) {
  World w;
  const InstanceId id = w.join(empty_holder({a}));
  w.advance(1s);
  w.feed(event::Swapped{id, a, found(a)});
  const RequestId running = w.arrive();
  ASSERT_EQ(w.where(running), id);
  w.feed(event::ResidentChanged{id, std::nullopt});
  EXPECT_EQ(w.all<action::Abort>().size(), 1u);
  w.end(running, event::AttemptEnd::failed_before_byte);
  w.release(running);
  const RequestId later = w.arrive();
  w.advance(10s);
  ASSERT_EQ(asked_for(w), (std::vector{a, a}));
  w.feed(event::Swapped{id, a, found(a)});
  w.advance(1s);
  EXPECT_EQ(w.where(running), id);
  EXPECT_EQ(w.where(later), id);
}

TEST(Residents, ABreakerThatOpenedForTheFormerEngineSaysNothingOfTheNext) {
  World w;
  const InstanceId id = w.join(empty_holder());
  w.advance(1s);
  w.feed(event::Swapped{id, a, found(a)});
  w.feed(event::ProbeAnswered{id, false, "down"});
  ASSERT_EQ(w.controller.instances()[0].breaker, BreakerState::open);
  w.feed(event::ResidentChanged{id, std::nullopt});
  const RequestId waiting = w.arrive({.model = 1});
  w.advance(1s);
  EXPECT_EQ(asked_for(w).back(), b);
  w.feed(event::Swapped{id, b, found(b)});
  EXPECT_EQ(w.where(waiting), id);
}

TEST(Residents, AModelThatFailsAgainAndAgainIsRefusedAndTheOthersAreServed) {
  World w;
  const RequestId broken = w.arrive({.model = 1});
  const InstanceId id = w.join(empty_holder());
  for (int failures = 0; failures < 2; ++failures) {
    w.advance(10s);
    ASSERT_EQ(asked_for(w).back(), b);
    w.feed(event::Swapped{id, std::nullopt});
  }
  const RequestId good = w.arrive({.model = 0});
  w.advance(1s);
  ASSERT_EQ(asked_for(w).back(), a);
  w.feed(event::Swapped{id, a, found(a)});
  EXPECT_EQ(w.where(good), id);
  w.complete(good);
  EXPECT_FALSE(w.rejection(broken)) << "who waits may still be served";
  w.advance(5s);
  ASSERT_EQ(asked_for(w).back(), b) << "it is tried again";
  w.feed(event::Swapped{id, std::nullopt});
  w.advance(5s);
  const RequestId refused = w.arrive({.model = 1});
  ASSERT_TRUE(w.rejection(refused));
  EXPECT_EQ(w.rejection(refused)->reason, Reason::no_instance);
}

TEST(Residents, OneThatComesAndBreaksDownAtOnceIsTriedLaterEachTime) {
  World w;
  const InstanceId id = w.join(empty_holder({a}));
  w.advance(1s);
  for (const Duration pause : {2s, 4s, 8s}) {
    const std::size_t before = asked_for(w).size();
    w.feed(event::Swapped{id, a, found(a)});
    w.feed(event::ResidentChanged{id, std::nullopt});
    w.advance(pause - 1s);
    EXPECT_EQ(asked_for(w).size(), before);
    w.advance(2s);
    EXPECT_EQ(asked_for(w).size(), before + 1);
  }
  w.feed(event::Swapped{id, a, found(a)});
  w.advance(2min);
  w.feed(event::ResidentChanged{id, std::nullopt});
  const std::size_t before = asked_for(w).size();
  w.advance(3s);
  EXPECT_EQ(asked_for(w).size(), before + 1) << "it had stood long enough";
}

TEST(Residents, OneThatIsThereAlreadyIsWaitedForAndNotStartedASecondTime) {
  World w;
  InstanceDescription d = empty_holder();
  d.coming = b;
  const RequestId other = w.arrive({.model = 0}), waiting = w.arrive({.model = 1});
  const InstanceId id = w.join(d);
  w.advance(5s);
  EXPECT_TRUE(asked_for(w).empty());
  w.feed(event::Swapped{id, b, found(b)});
  EXPECT_EQ(w.where(waiting), id);
  EXPECT_EQ(w.controller.totals().swaps, 0);
  w.complete(waiting);
  w.advance(1s);
  EXPECT_EQ(asked_for(w), (std::vector{a}));
  w.feed(event::Swapped{id, a, found(a)});
  EXPECT_EQ(w.where(other), id);
  EXPECT_EQ(w.controller.totals().swaps, 1);
}

TEST(Residents, AnEngineLostWhileItDrainsIsSwappedAtOnce) {
  World w;
  const InstanceId id = w.join(empty_holder());
  w.advance(1s);
  w.feed(event::Swapped{id, a, found(a)});
  const RequestId running = w.arrive({.model = 0});
  w.first_token(running);
  const RequestId waiting = w.arrive({.model = 1});
  w.advance(1s);
  w.feed(event::ResidentChanged{id, std::nullopt});
  w.end(running, event::AttemptEnd::failed_after_byte);
  w.release(running);
  ASSERT_EQ(asked_for(w).back(), b);
  w.feed(event::Swapped{id, b, found(b)});
  EXPECT_EQ(w.where(waiting), id);
}

}  // namespace
}  // namespace qlm::testing

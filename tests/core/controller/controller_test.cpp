#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

using event::AttemptEnd;
using Ids = std::vector<std::uint64_t>;

// -- order

TEST(Order, FcfsServesInTheOrderOfArrival) {
  World w;
  w.join(1);
  for (int k = 0; k < 4; ++k) w.arrive();
  for (std::uint64_t id : {1, 2, 3}) w.complete(RequestId{id});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 4}));
}

TEST(Order, PriorityServesTheMoreValuableClassFirstAndEqualsInOrder) {
  World w(configuration(Policy::priority));
  w.join(1);
  w.arrive();                       // 1: takes the slot
  w.arrive({.service_class = 2});   // 2: batch, value 1
  w.arrive({.service_class = 1});   // 3: interactive, value 10
  w.arrive({.service_class = 2});   // 4
  w.arrive({.service_class = 1});   // 5
  for (std::uint64_t id : {1, 3, 5, 2}) w.complete(RequestId{id});
  EXPECT_EQ(w.dispatched(), (Ids{1, 3, 5, 2, 4}));
}

TEST(Order, EdfServesTheEarliestDeadlineAndGivesTheUndatedSixtySeconds) {
  World w(configuration(Policy::edf));
  w.join(1);
  w.arrive();                      // 1 takes the slot
  w.arrive({.service_class = 2});  // 2: 1 h
  w.arrive();                      // 3: none stated: 60 s
  w.arrive({.service_class = 1});  // 4: 2 s
  for (std::uint64_t id : {1, 4, 3}) w.complete(RequestId{id});
  EXPECT_EQ(w.dispatched(), (Ids{1, 4, 3, 2}));
}

TEST(Order, APolicyChangedByReloadReordersTheQueueAndLosesNobody) {
  World w(configuration(Policy::fcfs));
  w.join(1);
  w.arrive();
  w.arrive({.service_class = 2});
  w.arrive({.service_class = 1});
  auto changed = std::make_shared<ControllerConfiguration>(*w.config);
  changed->policy = Policy::edf;
  w.feed(event::ConfigurationChanged{changed});
  w.complete(RequestId{1});
  w.complete(RequestId{3});
  EXPECT_EQ(w.dispatched(), (Ids{1, 3, 2}));
}

// -- late binding

TEST(LateBinding, AnInstanceGetsWhatItCanRunAndNoMore) {
  World w;
  w.join(3);
  for (int k = 0; k < 10; ++k) w.arrive();
  EXPECT_EQ(w.dispatched().size(), 3u);
  w.end(RequestId{2});
  EXPECT_EQ(w.dispatched().size(), 3u) << "an ended attempt still holds its slot";
  w.release(RequestId{2});
  EXPECT_EQ(w.dispatched().size(), 4u);
}

TEST(LateBinding, TheAllowanceIsOnlyForEnginesThatCanDropAQueuedRequest) {
  auto c = configuration();
  c->dispatch.allowance = 2;
  World w(c);
  w.join({.name = "drops", .models = {ModelId{0}}, .slots = 2, .drops_queued = true});
  w.join({.name = "keeps", .models = {ModelId{1}}, .slots = 2, .drops_queued = false});
  for (int k = 0; k < 8; ++k) w.arrive({.model = static_cast<std::uint32_t>(k % 2)});
  const auto views = w.controller.instances();
  EXPECT_EQ(views[0].in_flight, 4);
  EXPECT_EQ(views[1].in_flight, 2);
}

TEST(LateBinding, TheLeastLoadedInstanceIsChosen) {
  World w;
  const InstanceId small = w.join(2);
  const InstanceId large = w.join(8);
  for (int k = 0; k < 5; ++k) w.arrive();
  EXPECT_EQ(w.controller.instances()[small.index()].in_flight, 1);
  EXPECT_EQ(w.controller.instances()[large.index()].in_flight, 4);
}

TEST(LateBinding, RequestsThatWouldNotFitTheKvMemoryWait) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}}, .slots = 100, .kv_capacity = Tokens{1000}});
  for (int k = 0; k < 5; ++k) w.arrive({.prompt = 300, .max_output = Tokens{100}});
  EXPECT_EQ(w.dispatched().size(), 2u);
}

TEST(LateBinding, OnesThatTurnOutShortLetIntoTheMemoryWhoWaitsForIt) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}}, .slots = 100, .kv_capacity = Tokens{1000}});
  const RequestId runs = w.arrive({.prompt = 300}), ends = w.arrive({.prompt = 300});
  w.arrive({.prompt = 50});
  w.arrive({.prompt = 60});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2}));
  w.end(ends);
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3})) << "for it needs less than was thought";
  w.feed(event::Progress{w.attempt(runs), Tokens{10}});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 4})) << "for another one does";
}

TEST(LateBinding, ARequestLargerThanTheKvMemoryStillRunsAlone) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}}, .slots = 100, .kv_capacity = Tokens{1000}});
  w.arrive({.prompt = 5000});
  EXPECT_EQ(w.dispatched().size(), 1u) << "the engine says whether it can";
}

TEST(LateBinding, AnotherModelsQueueDoesNotBlock) {
  World w;
  w.join(1, {0});
  w.join(1, {1});
  for (int k = 0; k < 5; ++k) w.arrive({.model = 0});
  w.arrive({.model = 1});
  EXPECT_EQ(w.dispatched(), (Ids{1, 6}));
}

TEST(LateBinding, AnInstanceOfSeveralModelsTakesTheEarliestHead) {
  World w;
  w.join(1, {0, 1});
  w.arrive({.model = 0});
  w.arrive({.model = 1});
  w.arrive({.model = 0});
  w.complete(RequestId{1});
  w.complete(RequestId{2});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3}));
}

TEST(LateBinding, WhoWaitsForMemoryKeepsItFromSmallerOnesOfEveryModel) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}, ModelId{1}}, .slots = 100, .kv_capacity = Tokens{1000}});
  w.arrive({.prompt = 300, .max_output = Tokens{100}});
  w.arrive({.prompt = 800, .max_output = Tokens{100}});  // 2: waits for memory
  w.arrive({.model = 0, .prompt = 100, .max_output = Tokens{100}});
  w.arrive({.model = 1, .prompt = 100, .max_output = Tokens{100}});
  EXPECT_EQ(w.dispatched(), (Ids{1}));
  w.complete(RequestId{1});
  w.complete(RequestId{2});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 4}));
}

TEST(LateBinding, WhenItLeavesUnservedWhatItHeldBackRuns) {
  for (const bool expires : {false, true}) {
    World w;
    w.join({.name = "kv", .models = {ModelId{0}, ModelId{1}}, .slots = 100, .kv_capacity = Tokens{1000}});
    w.arrive({.prompt = 300, .max_output = Tokens{100}});
    const RequestId large = w.arrive({.prompt = 800, .client_timeout = 5s, .max_output = Tokens{100}});
    w.arrive({.model = 0, .prompt = 100, .max_output = Tokens{100}});
    w.arrive({.model = 1, .prompt = 100, .max_output = Tokens{100}});
    if (expires) {
      w.advance(5s);
    } else {
      w.feed(event::Cancelled{large});
    }
    EXPECT_EQ(w.dispatched(), (Ids{1, 3, 4})) << (expires ? "expired" : "cancelled");
  }
}

TEST(LateBinding, WhenItRunsElsewhereWhatItHeldBackRuns) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}}, .slots = 2, .kv_capacity = Tokens{1000}});
  w.join(1);
  w.arrive({.prompt = 800, .max_output = Tokens{10}});  // fills the memory
  w.arrive();                                           // fills the other instance
  w.arrive({.prompt = 800, .max_output = Tokens{10}});  // 3: fits nowhere
  w.arrive({.prompt = 10, .max_output = Tokens{10}});   // 4: would fit the first
  w.complete(RequestId{2});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 4}));
}

// -- fleet, store, drain, explain

TEST(Fleet, AnInstanceThatLeavesGivesItsUnstartedWorkBack) {
  World w;
  const InstanceId leaving = w.join(1);
  const RequestId id = w.arrive();
  w.feed(event::InstanceLeft{leaving});
  w.end(id, AttemptEnd::aborted);
  const InstanceId other = w.join(1);
  EXPECT_EQ(w.where(id), other);
}

TEST(Fleet, AShareLimitsWhatIsDispatchedUntilItEnds) {
  World w;
  const InstanceId id = w.join(8);
  w.feed(event::Share{id, 2, w.now + 10s});
  for (int k = 0; k < 8; ++k) w.arrive();
  EXPECT_EQ(w.dispatched().size(), 2u);
  w.advance(10s);
  EXPECT_EQ(w.dispatched().size(), 8u);
}

TEST(Fleet, APlanMadeFromAnOldSnapshotIsDroppedWithATrace) {
  World w;
  w.feed(event::PlanReady{Plan{.made_from = w.controller.snapshot(w.now).version}});
  EXPECT_EQ(w.controller.recent(1)[0].decision, Decision::plan_dropped);
}

TEST(Store, ADurableRequestWaitsForItsCommitAndIsPublishedOnce) {
  World w;
  w.join(1);
  const RequestId id = w.arrive({.service_class = 5});
  EXPECT_TRUE(w.dispatched().empty());
  ASSERT_EQ(w.all<action::Persist>().size(), 1u);
  w.feed(event::Persisted{id, FencingToken{7}});
  w.complete(id);
  EXPECT_FALSE(w.finished(id));
  ASSERT_EQ(w.all<action::Publish>().size(), 1u);
  EXPECT_EQ(w.all<action::Publish>()[0].token, FencingToken{7});
  w.feed(event::Published{id});
  EXPECT_EQ(w.finished(id)->outcome, Outcome::completed);
}

TEST(Store, WhatCannotBeCommittedIsNotAccepted) {
  World w;
  const RequestId id = w.arrive({.service_class = 5});
  w.feed(event::PersistFailed{id});
  EXPECT_EQ(w.rejection(id)->reason, Reason::store_failed);
}

TEST(Drain, TakesNothingNewAndEndsWhenTheOldIsDone) {
  World w;
  w.join(1);
  w.arrive();
  w.arrive();
  w.feed(event::DrainRequested{});
  EXPECT_EQ(w.rejection(w.arrive())->reason, Reason::draining);
  EXPECT_FALSE(w.controller.drained());
  w.complete(RequestId{1});
  w.complete(RequestId{2});
  EXPECT_TRUE(w.controller.drained());
}

TEST(Drain, IsNotOverBeforeTheStoreHasTheLastResult) {
  World w;
  w.join(1);
  const RequestId id = w.arrive({.service_class = 5});
  w.feed(event::Persisted{id, FencingToken{7}});
  w.feed(event::DrainRequested{});
  w.complete(id);
  EXPECT_FALSE(w.controller.drained());
  w.feed(event::Published{id});
  EXPECT_TRUE(w.controller.drained());
}

TEST(Explain, TellsTheWholeStoryOfARequest) {
  World w;
  w.join(1);
  w.arrive();
  const RequestId id = w.arrive();
  w.end(RequestId{1}, AttemptEnd::failed_before_byte);
  w.release(RequestId{1});
  w.complete(RequestId{1});
  w.first_token(id);
  w.complete(id);
  std::vector<Decision> story;
  for (const ExplainRecord& r : w.controller.explain(id)) story.push_back(r.decision);
  EXPECT_EQ(story, (std::vector{Decision::admitted, Decision::dispatched, Decision::first_token, Decision::completed}));
}

TEST(Explain, PositionAndTokensAheadAreThoseOfTheQueue) {
  World w(configuration(Policy::edf));
  w.join(1);
  w.arrive();
  const RequestId late = w.arrive({.service_class = 2, .prompt = 50, .max_output = Tokens{10}});
  const RequestId soon = w.arrive({.service_class = 1, .prompt = 70, .max_output = Tokens{10}});
  EXPECT_EQ(*w.controller.request(soon, w.now)->position, 0);
  EXPECT_EQ(*w.controller.request(late, w.now)->position, 1);
  EXPECT_EQ(*w.controller.request(late, w.now)->tokens_ahead, Tokens{80});
}

}  // namespace
}  // namespace qlm::testing

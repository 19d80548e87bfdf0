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

// -- refusals

TEST(Refusal, AFullQueueRefusesTheNewcomerWithATimeToReturn) {
  auto c = configuration();
  c->limits.requests = 2;
  World w(c);
  w.join(1);
  for (int k = 0; k < 3; ++k) w.arrive();
  const RequestId refused = w.arrive();
  ASSERT_TRUE(w.rejection(refused));
  EXPECT_EQ(w.rejection(refused)->reason, Reason::queue_full);
  EXPECT_GE(*w.rejection(refused)->retry_after, 1s);
}

TEST(Refusal, ATenantOverItsShareIsRefusedAndTheOtherIsNot) {
  auto c = configuration();
  c->limits.requests = 100;
  c->limits.tenant_share = 0.1;
  World w(c);
  w.join(1);
  for (int k = 0; k < 11; ++k) w.arrive({.tenant = 0});
  const RequestId greedy = w.arrive({.tenant = 0});
  const RequestId modest = w.arrive({.tenant = 1});
  EXPECT_EQ(w.rejection(greedy)->reason, Reason::tenant_queue_share);
  EXPECT_FALSE(w.rejection(modest));
}

TEST(Refusal, ATenantsInFlightLimitCountsQueuedAndRunning) {
  auto c = configuration();
  c->tenants[0].limits.in_flight = 2;
  World w(c);
  w.join(1);
  w.arrive();
  w.arrive();
  EXPECT_EQ(w.rejection(w.arrive())->reason, Reason::tenant_in_flight);
  w.complete(RequestId{1});
  EXPECT_FALSE(w.rejection(w.arrive()));
}

TEST(Refusal, ATenantsTokenRateRefillsWithTime) {
  auto c = configuration();
  c->tenants[0].limits.tokens = {1000, 1min};
  World w(c);
  w.join(100);
  w.arrive({.prompt = 500, .max_output = Tokens{100}});
  const RequestId refused = w.arrive({.prompt = 500, .max_output = Tokens{100}});
  ASSERT_TRUE(w.rejection(refused));
  EXPECT_EQ(w.rejection(refused)->reason, Reason::tenant_tokens);
  w.advance(*w.rejection(refused)->retry_after);
  EXPECT_FALSE(w.rejection(w.arrive({.prompt = 500, .max_output = Tokens{100}})));
}

TEST(Refusal, ATenantsShareOfASmallQueueIsOneRequestAtLeast) {
  auto c = configuration();
  c->limits.requests = 3;
  c->limits.tenant_share = 0.25;
  World w(c);
  w.join(1);
  EXPECT_FALSE(w.rejection(w.arrive())) << "nothing waits, and the instance is idle";
  EXPECT_FALSE(w.rejection(w.arrive()));
  EXPECT_EQ(w.rejection(w.arrive())->reason, Reason::tenant_queue_share);
}

TEST(Refusal, TokensOfARequestThatLeftTheQueueAreGivenBack) {
  auto c = configuration();
  c->tenants[0].limits.tokens = {1000, 1h};
  World w(c);
  w.join(1);
  w.arrive({.prompt = 1, .max_output = Tokens{1}});
  const RequestId waits = w.arrive({.prompt = 500, .max_output = Tokens{400}});
  w.feed(event::Cancelled{waits});
  EXPECT_FALSE(w.rejection(w.arrive({.prompt = 500, .max_output = Tokens{400}})));
}

TEST(Refusal, ATenantsRequestRateIsABucketAsDeepAsItsPeriod) {
  auto c = configuration();
  c->tenants[0].limits.requests = {3, 1h};
  World w(c);
  w.join(100);
  for (int k = 0; k < 3; ++k) {
    const RequestId id = w.arrive();
    EXPECT_FALSE(w.rejection(id));
    w.complete(id);
  }
  const RequestId refused = w.arrive();
  ASSERT_TRUE(w.rejection(refused));
  EXPECT_EQ(w.rejection(refused)->reason, Reason::tenant_requests);
  w.advance(20min);
  EXPECT_FALSE(w.rejection(w.arrive()));
  EXPECT_TRUE(w.rejection(w.arrive()));
}

TEST(Refusal, ATenantsLimitOfWaitingRequestsDoesNotTouchWhatRunsAtOnce) {
  auto c = configuration();
  c->tenants[0].limits.queued = 1;
  World w(c);
  w.join(2);
  for (int k = 0; k < 3; ++k) EXPECT_FALSE(w.rejection(w.arrive())) << "two run, one waits";
  EXPECT_EQ(w.rejection(w.arrive())->reason, Reason::tenant_queued);
}

TEST(Refusal, AModelWithoutAnyInstanceIsRefusedOnlyAfterAGrace) {
  World w;
  const RequestId early = w.arrive();
  EXPECT_FALSE(w.rejection(early)) << "an instance may be about to return";
  w.advance(11s);
  EXPECT_EQ(w.rejection(w.arrive())->reason, Reason::no_instance);
  w.join(1);
  EXPECT_EQ(w.dispatched(), (Ids{early.value}));
}

void teach(World& w, int completions = 20) {
  for (int k = 0; k < completions; ++k) {
    const RequestId id = w.arrive();
    w.advance(1s);
    w.complete(id);  // 110 tokens a second
  }
}

TEST(Refusal, NoEstimateIsToldBeforeTwentyCompletions) {
  World w;
  w.join(1);
  teach(w, 19);
  w.arrive();
  const RequestId waiting = w.arrive({.prompt = 1'000'000, .streaming = false});
  EXPECT_FALSE(w.controller.request(waiting, w.now)->wait);
  EXPECT_FALSE(w.rejection(waiting));
}

TEST(Refusal, ARequestThatRunsAtOnceIsToldNoWait) {
  World w;
  w.join(1);
  teach(w);
  w.arrive();
  w.arrive();
  const auto told = w.all<action::Admitted>();
  EXPECT_FALSE(told[20].wait);
  EXPECT_TRUE(told[21].wait);
}

TEST(Refusal, AStrictClassIsRefusedWhenItsBoundSaysItCannotBeMet) {
  World w;
  w.join(1);
  teach(w);
  w.arrive({.service_class = 3});
  w.arrive({.service_class = 2, .prompt = 5000});
  const RequestId late = w.arrive({.service_class = 3});
  ASSERT_TRUE(w.rejection(late));
  EXPECT_EQ(w.rejection(late)->reason, Reason::slo_unreachable);
  EXPECT_GT(w.rejection(late)->wait->bound, 2s);
  EXPECT_TRUE(w.rejection(late)->wait->provisional);
}

TEST(Refusal, NeverWhileASlotIsFree) {
  World w;
  w.join(2);
  teach(w);
  const RequestId one = w.arrive({.service_class = 3, .prompt = 100'000});
  const RequestId two = w.arrive({.service_class = 3, .prompt = 100'000, .streaming = false});
  EXPECT_FALSE(w.rejection(one));
  EXPECT_FALSE(w.rejection(two));
}

TEST(Refusal, AnUnstreamedRequestIsNotKeptBeyondWhatProxiesEndure) {
  World w;
  w.join(1);
  teach(w);
  w.arrive();
  w.arrive({.service_class = 2, .prompt = 20'000});
  const RequestId unstreamed = w.arrive({.service_class = 2, .streaming = false});
  const RequestId streamed = w.arrive({.service_class = 2, .streaming = true});
  EXPECT_EQ(w.rejection(unstreamed)->reason, Reason::wait_too_long);
  EXPECT_FALSE(w.rejection(streamed));
}

TEST(Refusal, ALoweringClassBecomesTheOtherClassWhenItWouldBeLate) {
  World w;
  w.join(1);
  teach(w);
  w.arrive();
  w.arrive({.service_class = 2, .prompt = 5000});
  const RequestId lowered = w.arrive({.service_class = 4});
  EXPECT_EQ(w.controller.request(lowered, w.now)->service_class, ClassId{2});
}

// -- expiry and cancellation

TEST(Expiry, AQueuedRequestEndsAtItsClassesLongestWait) {
  World w;
  w.join(1);
  w.arrive({.service_class = 1});
  const RequestId queued = w.arrive({.service_class = 1});
  w.advance(59s);
  EXPECT_FALSE(w.rejection(queued));
  w.advance(1s);
  ASSERT_TRUE(w.rejection(queued));
  EXPECT_EQ(w.rejection(queued)->outcome, Outcome::expired);
  EXPECT_EQ(w.rejection(queued)->reason, Reason::max_wait_passed);
}

TEST(Expiry, MissingAnObjectiveIsNoExpiryUnlessTheClassSaysReject) {
  World w;
  w.join(1);
  w.arrive();
  const RequestId serving = w.arrive({.service_class = 1});
  const RequestId strict = w.arrive({.service_class = 3});
  w.advance(3s);
  EXPECT_FALSE(w.rejection(serving));
  EXPECT_EQ(w.rejection(strict)->reason, Reason::deadline_passed);
}

TEST(Expiry, TheClientsAnnouncedTimeoutEndsTheWait) {
  World w;
  w.join(1);
  w.arrive();
  const RequestId impatient = w.arrive({.client_timeout = 5s});
  w.advance(6s);
  EXPECT_EQ(w.rejection(impatient)->reason, Reason::client_timed_out);
}

TEST(Expiry, ARunningRequestDoesNotExpire) {
  World w;
  w.join(1);
  const RequestId running = w.arrive({.service_class = 1});
  w.first_token(running);
  for (int k = 0; k < 100; ++k) {
    w.advance(1s);
    w.feed(event::Progress{w.attempt(running), Tokens{k + 2}});
  }
  EXPECT_FALSE(w.rejection(running));
}

TEST(Cancel, AQueuedRequestVanishes) {
  World w;
  w.join(1);
  w.arrive();
  const RequestId queued = w.arrive();
  w.feed(event::Cancelled{queued});
  EXPECT_EQ(w.finished(queued)->outcome, Outcome::cancelled);
  EXPECT_EQ(w.controller.totals().queued, 0);
  EXPECT_FALSE(w.controller.request(queued, w.now));
}

TEST(Cancel, ARunningOneIsAbortedAndItsSlotWaitsForTheEngine) {
  World w;
  w.join(1);
  const RequestId running = w.arrive();
  const RequestId next = w.arrive();
  w.feed(event::Cancelled{running});
  ASSERT_EQ(w.all<action::Abort>().size(), 1u);
  w.end(running, AttemptEnd::aborted);
  EXPECT_EQ(w.finished(running)->outcome, Outcome::cancelled);
  EXPECT_EQ(w.dispatched(), (Ids{running.value})) << "the engine may still be at it";
  w.release(running);
  EXPECT_EQ(w.dispatched(), (Ids{running.value, next.value}));
}

TEST(Cancel, ASlotNobodyGivesBackIsAskedForAndReclaimed) {
  World w;
  w.join(1);
  const RequestId running = w.arrive();
  const RequestId next = w.arrive();
  w.feed(event::Cancelled{running});
  w.end(running, AttemptEnd::aborted);
  w.advance(11s);
  ASSERT_EQ(w.all<action::Probe>().size(), 1u);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  EXPECT_EQ(w.dispatched(), (Ids{running.value, next.value}));
}

// -- retry

TEST(Retry, BeforeTheFirstByteAnotherInstanceTriesAndTheOrderIsKept) {
  World w;
  w.join(1);
  w.join(1);
  const RequestId a = w.arrive();
  w.arrive();
  w.arrive();
  const InstanceId failed_at = w.where(a);
  w.end(a, AttemptEnd::failed_before_byte);
  w.release(a);
  // It avoids where it failed; the younger request need not wait for that.
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3}));
  w.complete(RequestId{2});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 1}));
  EXPECT_NE(w.where(a), failed_at);
  EXPECT_EQ(w.attempt(a).attempt, Attempt{2});
}

TEST(Retry, WhereItFailedIsTriedAgainWhenTheOtherOneGoes) {
  World w;
  const InstanceId first = w.join(1);
  const InstanceId second = w.join(1);
  const RequestId a = w.arrive();
  w.arrive();
  ASSERT_EQ(w.where(a), first);
  w.end(a, AttemptEnd::failed_before_byte);
  w.release(a);
  EXPECT_EQ(w.dispatched(), (Ids{1, 2})) << "it waits for the other instance";
  w.feed(event::InstanceLeft{second});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 1}));
}

TEST(Retry, NeverAfterTheFirstByte) {
  World w;
  w.join(1);
  w.join(1);
  const RequestId a = w.arrive();
  w.first_token(a);
  w.end(a, AttemptEnd::failed_after_byte);
  w.release(a);
  EXPECT_EQ(w.finished(a)->outcome, Outcome::failed);
  EXPECT_EQ(w.finished(a)->reason, Reason::engine_cut);
  EXPECT_EQ(w.dispatched().size(), 1u);
}

TEST(Retry, WhatIsUnknownCountsAsAfterTheFirstByte) {
  World w;
  w.join(2);
  const RequestId a = w.arrive();
  w.end(a, AttemptEnd::unknown);
  EXPECT_EQ(w.finished(a)->outcome, Outcome::failed);
}

TEST(Retry, TheOnlyInstanceIsTriedAgain) {
  World w;
  w.join(1);
  const RequestId a = w.arrive();
  w.end(a, AttemptEnd::failed_before_byte);
  w.release(a);
  EXPECT_EQ(w.attempt(a).attempt, Attempt{2});
}

TEST(Retry, EndsAfterTheConfiguredNumberOfAttempts) {
  auto c = configuration();
  c->dispatch.failures_to_open = 100;
  World w(c);
  w.join(1);
  const RequestId a = w.arrive();
  for (int k = 0; k < 4; ++k) {
    w.end(a, AttemptEnd::failed_before_byte);
    w.release(a);
  }
  ASSERT_TRUE(w.rejection(a));
  EXPECT_EQ(w.rejection(a)->reason, Reason::engine_failed);
  EXPECT_EQ(w.rejection(a)->outcome, Outcome::failed);
}

TEST(Retry, ABusyEngineIsLeftAloneForAWhileAndNothingIsHeldAgainstTheRequest) {
  World w;
  w.join(4);
  const RequestId a = w.arrive();
  for (int k = 0; k < 10; ++k) {
    w.feed(event::Ended{.key = w.attempt(a), .end = AttemptEnd::refused, .retry_after = 2s});
    w.release(a);
    EXPECT_EQ(w.dispatched().size(), static_cast<std::size_t>(k) + 1);
    w.advance(2s);
    EXPECT_EQ(w.dispatched().size(), static_cast<std::size_t>(k) + 2);
  }
  EXPECT_FALSE(w.rejection(a));
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
}

TEST(Retry, AStaleEndOfAFormerAttemptChangesNothing) {
  World w;
  w.join(1);
  w.join(1);
  const RequestId a = w.arrive();
  const AttemptKey first = w.attempt(a);
  w.end(a, AttemptEnd::failed_before_byte);
  ASSERT_NE(w.attempt(a), first);
  w.feed(event::Ended{.key = first, .end = AttemptEnd::complete});
  EXPECT_FALSE(w.finished(a));
  w.complete(a);
  EXPECT_EQ(w.finished(a)->outcome, Outcome::completed);
}

// -- breaker and watchdog

TEST(Breaker, OpensAfterConsecutiveFailuresProbesAndLetsOneCanaryThrough) {
  World w;
  w.join(4);
  for (int k = 0; k < 3; ++k) {
    const RequestId id = w.arrive();
    w.end(id, AttemptEnd::failed_after_byte);
    w.release(id);
  }
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::open);
  const std::size_t before = w.dispatched().size();
  w.arrive();
  w.arrive();
  EXPECT_EQ(w.dispatched().size(), before);
  w.advance(1s);
  ASSERT_EQ(w.all<action::Probe>().size(), 1u);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  EXPECT_EQ(w.dispatched().size(), before + 1) << "one canary";
  w.complete(RequestId{4});
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
  EXPECT_EQ(w.dispatched().size(), before + 2);
}

TEST(Breaker, OpensForAnInstanceThatBeginsEveryAnswerAndEndsNone) {
  World w;
  w.join(4);
  const auto breaks_off = [&w] {
    const RequestId id = w.arrive();
    w.first_token(id);
    w.end(id, AttemptEnd::failed_after_byte);
    w.release(id);
  };
  breaks_off(), breaks_off();
  w.complete(w.arrive());
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
  breaks_off(), breaks_off();
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed) << "a whole answer wiped the first two out";
  breaks_off();
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::open);

  // The canary's first token lets work in again; failing once more costs a longer pause, for nothing was completed.
  w.advance(1s);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  breaks_off();
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
  breaks_off(), breaks_off();
  ASSERT_EQ(w.controller.instances()[0].breaker, BreakerState::open);
  w.advance(1s);
  EXPECT_EQ(w.all<action::Probe>().size(), 1u);
  w.advance(1s);
  EXPECT_EQ(w.all<action::Probe>().size(), 2u);
}

TEST(Breaker, ItsCanaryGoesBeforeOthersThatHaveRoom) {
  World w;
  const InstanceId sick = w.join(1), idle = w.join(100);
  w.feed(event::ProbeAnswered{sick, false, "refused"});
  EXPECT_EQ(w.where(w.arrive()), idle);
  w.feed(event::ProbeAnswered{sick, true, ""});
  const RequestId canary = w.arrive();
  EXPECT_EQ(w.where(canary), sick);
  EXPECT_EQ(w.where(w.arrive()), idle) << "one only";
  w.complete(canary);
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
}

TEST(Breaker, ADeadInstancesUnstartedWorkGoesElsewhereAndItsStreamsAreLeftAlone) {
  World w;
  w.join(2);
  w.join(2);
  const RequestId streaming = w.arrive();
  w.arrive();
  const RequestId unstarted = w.arrive();
  ASSERT_EQ(w.where(streaming), w.where(unstarted));
  w.first_token(streaming);
  w.feed(event::ProbeAnswered{w.where(streaming), false, "timed out"});
  ASSERT_EQ(w.all<action::Abort>().size(), 1u);
  EXPECT_EQ(w.all<action::Abort>()[0].key.request, unstarted);
  w.end(unstarted, AttemptEnd::aborted);
  EXPECT_NE(w.where(unstarted), w.where(streaming));
}

TEST(Breaker, WhatFailsAgainIsLeftAloneForLonger) {
  World w;
  w.join(1);
  w.feed(event::ProbeAnswered{InstanceId{0}, false, "refused"});
  std::vector<Duration> gaps;
  Instant last = w.now;
  for (int k = 0; k < 6; ++k) {
    const auto before = w.all<action::Probe>().size();
    while (w.all<action::Probe>().size() == before) w.advance(100ms);
    gaps.push_back(w.now - last);
    last = w.now;
    w.feed(event::ProbeAnswered{InstanceId{0}, false, "refused"});
  }
  EXPECT_EQ(gaps, (std::vector<Duration>{1s, 2s, 4s, 5s, 5s, 5s}));
}

TEST(Watchdog, AnInstanceWithoutAnyTokenIsCordonedAndItsWorkTakenBack) {
  World w;
  const InstanceId stuck = w.join(2);
  for (int k = 0; k < 3; ++k) {
    const RequestId id = w.arrive();
    w.advance(100ms);
    w.first_token(id);
    w.complete(id);
  }
  const RequestId started = w.arrive();
  w.first_token(started);
  const RequestId waiting = w.arrive();
  w.advance(4900ms);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  w.advance(200ms);
  EXPECT_EQ(w.all<action::Abort>().size(), 2u);
  EXPECT_TRUE(w.controller.instances()[stuck.index()].stalled);
  const InstanceId other = w.join(2);
  w.end(started, AttemptEnd::aborted);
  w.end(waiting, AttemptEnd::aborted);
  EXPECT_EQ(w.finished(started)->reason, Reason::engine_cut);
  EXPECT_EQ(w.where(waiting), other);
}

TEST(Watchdog, ALongPrefillIsNoStall) {
  World w;
  w.join(1);
  for (int k = 0; k < 3; ++k) {
    const RequestId id = w.arrive({.prompt = 100});
    w.advance(1s);
    w.first_token(id);
    w.complete(id);
  }
  const RequestId id = w.arrive({.prompt = 2000});  // by what was seen: up to 20 s
  w.advance(19s);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  w.first_token(id);
  w.complete(id);
  EXPECT_EQ(w.finished(id)->outcome, Outcome::completed);
}

TEST(Watchdog, UnstreamedWorkIsNotWatchedByTokens) {
  World w;
  w.join(1);
  for (int k = 0; k < 3; ++k) w.complete(w.arrive());
  const RequestId id = w.arrive({.streaming = false});
  w.feed(event::Sent{w.attempt(id), false});
  w.advance(100s);
  EXPECT_TRUE(w.all<action::Abort>().empty());
}

TEST(Watchdog, AProbeWithoutAnAnswerIsAskedAgain) {
  World w;
  w.join(1);
  w.feed(event::ProbeAnswered{InstanceId{0}, false, "refused"});
  w.advance(60s);
  EXPECT_GE(w.all<action::Probe>().size(), 3u);
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

#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

using event::AttemptEnd;
using Ids = std::vector<std::uint64_t>;

// -- what is never told

TEST(Untold, ASlotThatIsNotGivenBackIsAskedForSoonAfterAWholeAnswerAndLateAfterAnAbort) {
  for (const AttemptEnd how : {AttemptEnd::complete, AttemptEnd::aborted}) {
    World w;
    const InstanceId id = w.join(1);
    const RequestId first = w.arrive();
    w.first_token(first);
    const RequestId next = w.arrive();
    w.end(first, how);
    const Duration asked = how == AttemptEnd::complete ? 1s : 10s;
    w.advance(asked - 1ms);
    EXPECT_TRUE(w.all<action::Probe>().empty());
    w.advance(1ms);
    EXPECT_EQ(w.all<action::Probe>().size(), 1u);
    EXPECT_EQ(w.attempt(next).attempt, no_attempt) << "the engine may still be at it";
    w.feed(event::ProbeAnswered{id, true, ""});
    EXPECT_EQ(w.where(next), id);
    EXPECT_EQ(w.attempt(next).attempt, first_attempt);
  }
}

TEST(Untold, AFirstTokenIsKnownByTheProgressAfterIt) {
  World w;
  w.join(1);
  const RequestId id = w.arrive();
  w.feed(event::Progress{w.attempt(id), Tokens{5}});
  EXPECT_EQ(w.controller.request(id, w.now)->state, RequestState::streaming);
  EXPECT_EQ(w.controller.instances().front().running, 1);
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

TEST(Retry, TheOnlyInstanceIsTriedAgainAfterARest) {
  World w;
  w.join(1);
  const RequestId a = w.arrive();
  w.end(a, AttemptEnd::failed_before_byte);
  w.release(a);
  w.advance(249ms);
  EXPECT_EQ(w.attempt(a).attempt, Attempt{1});
  w.advance(1ms);
  EXPECT_EQ(w.attempt(a).attempt, Attempt{2});
}

TEST(Retry, EndsAfterTheConfiguredNumberOfAttempts) {
  auto c = configuration();
  c->dispatch.attempts_max = 3;
  World w(c);
  w.join(1);
  const RequestId a = w.arrive();
  for (const Duration rest : {250ms, 500ms, 0ms}) {
    w.end(a, AttemptEnd::failed_before_byte);
    w.release(a);
    w.advance(rest);
  }
  ASSERT_TRUE(w.rejection(a));
  EXPECT_EQ(w.rejection(a)->reason, Reason::engine_failed);
  EXPECT_EQ(w.rejection(a)->outcome, Outcome::failed);
}

TEST(Retry, OneThatAlwaysFailsDoesNotOpenABreaker) {
  World w;
  w.join(2);
  const RequestId cursed = w.arrive();
  while (!w.rejection(cursed)) {
    w.end(cursed, AttemptEnd::failed_before_byte);
    w.release(cursed);
    EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
    EXPECT_EQ(w.all<action::Probe>().size(), w.attempt(cursed).attempt.value) << "whether the engine is there is asked";
    w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
    w.advance(5s);
  }
  EXPECT_EQ(w.attempt(cursed).attempt, Attempt{4});
  EXPECT_EQ(w.rejection(cursed)->reason, Reason::engine_failed);
  w.complete(w.arrive());
}

TEST(Retry, OneThatAlwaysFailsIsNotTheCanaryForEver) {
  World w;
  w.join(1);
  const RequestId cursed = w.arrive(), other = w.arrive();
  w.feed(event::ProbeAnswered{InstanceId{0}, false, "refused"});
  w.end(cursed, AttemptEnd::aborted);
  w.release(cursed);
  w.advance(1s);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  ASSERT_EQ(w.dispatched().back(), cursed.value);
  w.end(cursed, AttemptEnd::failed_before_byte);
  w.release(cursed);
  w.advance(2s);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  EXPECT_EQ(w.dispatched().back(), other.value) << "the next canary is one that nothing is held against";
  w.complete(other);
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
}

TEST(Retry, AHandfulThatNoEngineServesStopNobodyElse) {
  for (const AttemptEnd how : {AttemptEnd::refused, AttemptEnd::failed_before_byte}) {
    World w;
    w.join(4);
    const auto runs = [&w](std::uint64_t id) {
      const auto view = w.controller.request(RequestId{id}, w.now);
      return view && view->state == RequestState::dispatched;
    };
    constexpr std::uint64_t cursed = 6;
    for (std::uint64_t k = 0; k < cursed; ++k) w.arrive();
    int served = 0;
    std::uint64_t newest = cursed;
    std::size_t probes = 0;
    for (int step = 0; step < 300; ++step) {  // half a minute
      newest = w.arrive().value;
      for (std::uint64_t id = 1; id <= newest; ++id) {
        if (!runs(id)) continue;
        w.end(RequestId{id}, id <= cursed ? how : AttemptEnd::complete);
        w.release(RequestId{id});
        served += id > cursed ? 1 : 0;
      }
      for (; probes < w.all<action::Probe>().size(); ++probes) w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
      w.advance(100ms);
    }
    EXPECT_GT(served, 285) << (how == AttemptEnd::refused ? "refused" : "failed");
  }
}

TEST(Retry, OneAloneWaitsForADeadEngineToComeBack) {
  World w;
  w.join(1);
  const RequestId a = w.arrive();
  w.end(a, AttemptEnd::failed_before_byte);
  w.release(a);
  ASSERT_EQ(w.all<action::Probe>().size(), 1u);
  for (int k = 0; k < 20; ++k) {
    w.feed(event::ProbeAnswered{InstanceId{0}, false, "refused"});
    w.advance(5s);
  }
  EXPECT_EQ(w.dispatched().size(), 1u);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  w.complete(a);
  EXPECT_EQ(w.finished(a)->outcome, Outcome::completed);
}

TEST(Retry, ARefusedRequestRestsLongerEveryTimeAndOthersDoNotWaitForIt) {
  World w;
  w.join(4);
  const RequestId a = w.arrive();
  std::vector<Duration> rests;
  for (int k = 0; k < 6; ++k) {
    const auto tried = w.attempt(a).attempt;
    const Instant refused = w.now;
    w.end(a, AttemptEnd::refused);
    w.release(a);
    EXPECT_EQ(w.attempt(a).attempt, tried);
    w.complete(w.arrive());
    while (w.attempt(a).attempt == tried) w.advance(100ms);
    rests.push_back(w.now - refused);
  }
  EXPECT_EQ(rests, (std::vector<Duration>{500ms, 1s, 2s, 4s, 4s, 4s}));
  EXPECT_FALSE(w.rejection(a));
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
}

TEST(Retry, TwoRefusedOneAfterTheOtherHoldTheirInstance) {
  World w;
  w.join(4);
  const RequestId a = w.arrive(), b = w.arrive();
  const auto refused = [&w](RequestId id) {
    w.feed(event::Ended{.key = w.attempt(id), .end = AttemptEnd::refused, .retry_after = 2s});
    w.release(id);
  };
  refused(a);
  refused(b);
  const RequestId c = w.arrive();
  EXPECT_EQ(w.dispatched().size(), 2u);
  w.advance(2s);
  EXPECT_EQ(w.dispatched().size(), 5u);
  w.complete(c);
  refused(a);
  w.arrive();
  EXPECT_EQ(w.dispatched().size(), 6u) << "it took one since: nobody is held for the next refusal";
}

TEST(Retry, ARefusalOfOneTriedBeforeHoldsItsLikeAndNobodyElse) {
  World w;
  w.join(4);
  std::vector<RequestId> tried = {w.arrive(), w.arrive(), w.arrive()};
  for (const RequestId id : tried) w.end(id, AttemptEnd::refused), w.release(id);
  w.advance(500ms);
  EXPECT_EQ(w.dispatched().size(), 6u) << "the hold and their rests are over";
  for (const RequestId id : tried) w.end(id, AttemptEnd::refused), w.release(id);
  w.complete(w.arrive());
  EXPECT_EQ(w.dispatched().size(), 7u);
  w.advance(1s);
  EXPECT_EQ(w.dispatched().size(), 10u);
  w.feed(event::Ended{.key = w.attempt(tried[0]), .end = AttemptEnd::refused, .retry_after = 4s});
  w.release(tried[0]);
  w.end(tried[1], AttemptEnd::failed_before_byte), w.release(tried[1]);
  w.advance(1s);
  EXPECT_EQ(w.dispatched().size(), 10u) << "its own rest is over, the instance's hold for its like is not";
  w.complete(tried[2]);
  w.advance(1ms);
  EXPECT_EQ(w.dispatched().size(), 11u) << "one of them was taken";
}

// One tried before gives way only while its instance has taken nobody since. When that changes, so does who goes first
// there, and there may be room for that one.
TEST(Retry, WhoGoesFirstOnceSomebodyWasTakenNeedNotWaitForAnythingElse) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}}, .slots = 3, .kv_capacity = Tokens{1000}});
  const RequestId a = w.arrive(), b = w.arrive();
  w.end(b, AttemptEnd::refused);
  w.release(b);
  w.arrive({.prompt = 900});
  w.advance(500ms);
  EXPECT_EQ(w.dispatched(), (Ids{1, 2})) << "the large one goes before it, and does not fit";
  w.first_token(a);
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 2}));
}

TEST(Retry, WhoGoesFirstOnceSomebodyFailedNeedNotWaitForAnythingElse) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}, ModelId{1}}, .slots = 4, .kv_capacity = Tokens{1000}});
  const RequestId large = w.arrive({.prompt = 900});
  w.end(large, AttemptEnd::refused);
  w.release(large);
  const RequestId a = w.arrive(), b = w.arrive();
  w.first_token(a);
  w.advance(500ms);
  w.arrive({.model = 1});
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3})) << "the large one is the first again, and does not fit";
  w.end(b, AttemptEnd::failed_before_byte);
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 4})) << "now it gives way to what was not tried yet";
}

TEST(Retry, HoweverManyAvoidOneInstanceAndAreHeldAtAnotherANewOneIsTaken) {
  World w;
  const InstanceId first = w.join(9), second = w.join(1);
  const auto refused = [&w](RequestId id) {
    const AttemptKey key = w.attempt(id);
    w.feed(event::SlotReleased{key});
    w.feed(event::Ended{.key = key, .end = AttemptEnd::refused, .retry_after = 10s});
  };
  const RequestId cursed = w.arrive();
  refused(cursed);
  ASSERT_EQ(w.where(cursed), second);
  refused(cursed);
  std::vector<RequestId> tried;
  for (int k = 0; k < 9; ++k) tried.push_back(w.arrive());
  for (const RequestId id : tried) {
    ASSERT_EQ(w.where(id), first);
    refused(id);
  }
  EXPECT_EQ(w.where(w.arrive()), second);
}

TEST(Retry, WhoWasTakenIsKnownBeforeARaisedLimitLetsOthersIn) {
  auto c = configuration();
  c->dispatch.initial_limit_generic = 2;
  World w(c);
  w.join({.name = "generic", .models = {ModelId{0}}});
  const RequestId tried = w.arrive();
  w.end(tried, AttemptEnd::refused);
  w.release(tried);
  const RequestId a = w.arrive(), b = w.arrive();
  w.arrive();
  w.feed(event::Progress{w.attempt(b), Tokens{10}});
  w.advance(3s);
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3}));
  w.end(a, AttemptEnd::complete, 100);  // served two at a time without a pause: it is tried with more
  EXPECT_EQ(w.dispatched(), (Ids{1, 2, 3, 1, 4})) << "it took one since: who was refused gives way no more";
}

TEST(Retry, OneRefusedByEveryInstanceRestsInsteadOfGoingRound) {
  World w;
  w.join(1);
  w.join(1);
  const RequestId a = w.arrive();
  for (int k = 0; k < 2; ++k) {
    const AttemptKey key = w.attempt(a);
    w.feed(event::SlotReleased{key});
    w.feed(event::Ended{.key = key, .end = AttemptEnd::refused});
  }
  EXPECT_EQ(w.attempt(a).attempt, Attempt{2}) << "the second was asked at once";
  w.advance(500ms);
  EXPECT_EQ(w.attempt(a).attempt, Attempt{3});
}

TEST(Retry, SaysWhatEachAttemptWasLostTo) {
  World w;
  const InstanceId sick = w.join(1);
  const RequestId a = w.arrive();
  const auto over = [&](event::Ended ended) {
    ended.key = w.attempt(a);
    w.feed(ended);
    w.feed(event::SlotReleased{ended.key});
    w.advance(10s);
  };
  over({.end = AttemptEnd::refused, .status = 503});
  over({.end = AttemptEnd::refused});
  over({.end = AttemptEnd::failed_before_byte, .status = 500});
  over({.end = AttemptEnd::failed_before_byte});
  w.feed(event::ProbeAnswered{sick, false, "gone"});  // what runs there is taken back
  over({.end = AttemptEnd::failed_before_byte});
  w.feed(event::ProbeAnswered{sick, true, ""});
  w.advance(60s);  // and says nothing: it stalls
  over({.end = AttemptEnd::failed_before_byte});
  std::vector<Lost> lost;
  for (const ExplainRecord& record : w.controller.explain(a)) {
    if (record.decision == Decision::requeued || record.decision == Decision::failed) lost.push_back(record.lost);
    else EXPECT_EQ(record.lost, Lost{});
  }
  EXPECT_EQ(lost, (std::vector<Lost>{{Loss::refused, 503}, {Loss::not_sent}, {Loss::failed, 500}, {Loss::failed}, {Loss::instance_down}, {Loss::stalled}}));
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
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  EXPECT_EQ(w.dispatched().size(), before) << "asked at its first failure: no news";
  w.advance(1s);
  ASSERT_EQ(w.all<action::Probe>().size(), 2u);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  EXPECT_EQ(w.dispatched().size(), before + 1) << "one canary";
  w.complete(RequestId{4});
  EXPECT_EQ(w.controller.instances()[0].breaker, BreakerState::closed);
  EXPECT_EQ(w.dispatched().size(), before + 2);
}

TEST(Breaker, IsToldOfOnceWhenItOpensAndOnceWhenItCloses) {
  World w;
  w.join(4);
  for (int k = 0; k < 3; ++k) {
    const RequestId id = w.arrive();
    w.end(id, AttemptEnd::failed_before_byte);
    w.release(id);
  }
  const auto told = [&] { return w.all<action::BreakerChanged>(); };
  ASSERT_EQ(told().size(), 1u);
  EXPECT_EQ(told()[0].to, BreakerState::open);
  EXPECT_EQ(told()[0].cause, BreakerCause::attempts_failed);
  EXPECT_EQ(told()[0].count, 3);
  for (int k = 0; k < 5; ++k) {  // it stays open, which is no news
    w.advance(5s);
    w.feed(event::ProbeAnswered{InstanceId{0}, false, "refused"});
  }
  EXPECT_EQ(told().size(), 1u);
  w.advance(5s);
  w.feed(event::ProbeAnswered{InstanceId{0}, true, ""});
  EXPECT_EQ(told().size(), 1u) << "a canary goes first";
  w.complete(RequestId{1});
  ASSERT_EQ(told().size(), 2u);
  EXPECT_EQ(told()[1].to, BreakerState::closed);
  w.feed(event::ProbeAnswered{InstanceId{0}, false, "gone"});
  ASSERT_EQ(told().size(), 3u);
  EXPECT_EQ(told()[2].cause, BreakerCause::health_check_failed);
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
  const auto probes = w.all<action::Probe>().size();
  w.advance(1s);
  EXPECT_EQ(w.all<action::Probe>().size(), probes);
  w.advance(1s);
  EXPECT_EQ(w.all<action::Probe>().size(), probes + 1);
}

TEST(Breaker, ItsCanaryGoesBeforeOthersThatHaveRoom) {
  World w;
  const InstanceId sick = w.join(1), idle = w.join(100);
  w.feed(event::ProbeAnswered{sick, false, "refused"});
  EXPECT_EQ(w.where(w.arrive()), idle);
  w.advance(1s);
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

TEST(Watchdog, AStreamHasItsWholeTimeBesideAnAnswerThatShowsNoTokens) {
  World w;
  w.join(2);
  const RequestId whole = w.arrive();
  w.feed(event::Sent{w.attempt(whole), false});
  w.advance(10min);
  const RequestId streamed = w.arrive();
  w.feed(event::Sent{w.attempt(streamed), true});
  w.advance(59s);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  w.advance(1s);
  EXPECT_EQ(w.all<action::Abort>().size(), 2u) << "that one is late";
}

TEST(Watchdog, IsAsQuickAsTheInstanceHasJustShownItselfToBe) {
  World w;
  w.join(4);
  const RequestId stuck = w.arrive();
  std::vector<RequestId> others = {w.arrive(), w.arrive(), w.arrive()};
  w.advance(1s);
  for (const RequestId id : others) w.first_token(id);
  w.advance(5s);
  for (const RequestId id : others) w.complete(id);
  w.advance(4900ms);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  w.advance(200ms);
  ASSERT_EQ(w.all<action::Abort>().size(), 1u) << "not by what was allowed it when it was new";
  EXPECT_EQ(w.all<action::Abort>()[0].key.request, stuck);
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

}  // namespace
}  // namespace qlm::testing

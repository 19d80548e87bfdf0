#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

using event::AttemptEnd;
using Ids = std::vector<std::uint64_t>;

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

std::shared_ptr<ControllerConfiguration> strict_for(Duration max_wait) {
  auto c = configuration(Policy::edf);
  c->classes[3].max_wait = max_wait;
  return c;
}

TEST(Refusal, OffersTheLeastObjectiveThatWouldBeAcceptedInstead) {
  World w(strict_for(10min));
  w.join(1);
  teach(w);
  w.arrive({.service_class = 3});
  w.arrive({.service_class = 2, .prompt = 5000});
  const RequestId late = w.arrive({.service_class = 3});
  ASSERT_TRUE(w.rejection(late));
  const auto offer = w.rejection(late)->offer;
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->objective, action::CounterOffer::Objective::ttft);
  EXPECT_GE(offer->least, w.rejection(late)->wait->bound);

  const RequestId a_little_less = w.arrive({.service_class = 3, .slo = Slo{.ttft = offer->least - 200ms}});
  EXPECT_TRUE(w.rejection(a_little_less));
  const RequestId as_offered = w.arrive({.service_class = 3, .slo = Slo{.ttft = offer->least}});
  EXPECT_FALSE(w.rejection(as_offered));
}

TEST(Refusal, OffersNoObjectiveWithWhichItWouldStandBehindTooMany) {
  World w(strict_for(10h));
  w.join(1);
  teach(w);
  w.arrive({.service_class = 3});
  w.arrive({.service_class = 2, .prompt = 5000, .slo = Slo{.ttft = 1s}});
  for (int k = 0; k < 50; ++k) w.arrive({.service_class = 2, .slo = Slo{.ttft = 30s}});
  const RequestId late = w.arrive({.service_class = 3});
  ASSERT_TRUE(w.rejection(late));
  const auto offer = w.rejection(late)->offer;
  ASSERT_TRUE(offer);
  EXPECT_GT(offer->least, w.rejection(late)->wait->bound + 1s) << "with the bound itself it would wait for fifty others";
  EXPECT_FALSE(w.rejection(w.arrive({.service_class = 3, .slo = Slo{.ttft = offer->least}})));
}

TEST(Refusal, OffersNothingBeyondWhatItsClassWaitsAtMost) {
  World w(strict_for(3s));
  w.join(1);
  teach(w);
  for (int k = 0; k < 20; ++k) w.arrive({.service_class = 2, .prompt = 5000});
  const RequestId late = w.arrive({.service_class = 3});
  ASSERT_TRUE(w.rejection(late));
  EXPECT_FALSE(w.rejection(late)->offer);
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

TEST(Refusal, NeverForWhatOnlyRests) {
  auto c = configuration();
  c->tenants[0].limits.queued = 1;
  World w(c);
  w.join(1);
  teach(w);
  const RequestId cursed = w.arrive({.prompt = 100'000});
  w.end(cursed, AttemptEnd::refused);
  w.release(cursed);
  const RequestId other = w.arrive({.service_class = 3, .streaming = false});
  EXPECT_FALSE(w.rejection(other)) << "the instance is idle, and the first one rests";
  EXPECT_FALSE(w.all<action::Admitted>().back().wait);
  EXPECT_EQ(w.dispatched().back(), other.value);
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

}  // namespace
}  // namespace qlm::testing

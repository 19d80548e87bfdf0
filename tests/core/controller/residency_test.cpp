// Instances that hold several models and serve one at a time: when they are left, what a swap does to whom, and plans.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

constexpr ModelId a{0}, b{1};

InstanceDescription holder(int slots = 4, std::optional<ModelId> resident = a) {
  InstanceDescription d;
  d.slots = slots;
  d.max_in_flight = slots;  // no allowance on top
  d.resume = ResumeLevel::exact;
  if (resident) d.models = {*resident};
  for (const ModelId m : {a, b}) {
    HeldModel held{.model = m, .slots = slots, .bring_in = 1s, .put_away = 1s};
    held.speed = StepTimeModel{.base_ms = 10, .per_prefill_token_ms = 0.01};
    d.holds.push_back(held);
  }
  return d;
}

std::vector<action::Swap> swaps(const World& w) { return w.all<action::Swap>(); }

TEST(Residency, AnInstanceServesTheModelThatIsThereAndNoOther) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId here = w.arrive({.model = 0});
  EXPECT_EQ(w.where(here), id);
  w.arrive({.model = 1});
  EXPECT_EQ(w.dispatched().size(), 1u);
}

TEST(Residency, TheModelOfWhoIsFirstIsBroughtInWhenNothingRunsThereAnyMore) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId running = w.arrive({.model = 0});
  const RequestId waiting = w.arrive({.model = 1});
  w.advance(1s);
  EXPECT_TRUE(swaps(w).empty());  // a running generation is not killed by a swap
  const RequestId later = w.arrive({.model = 0});
  w.complete(running);
  ASSERT_EQ(swaps(w).size(), 1u);
  EXPECT_EQ(swaps(w)[0].instance, id);
  EXPECT_EQ(swaps(w)[0].to, b);
  w.advance(2s);
  EXPECT_EQ(w.dispatched().size(), 1u);  // nobody is sent to an engine that is being swapped
  w.feed(event::Swapped{id, b});
  EXPECT_EQ(w.where(waiting), id);
  EXPECT_EQ(w.dispatched().size(), 2u);
  w.complete(waiting);
  w.advance(1s);
  ASSERT_EQ(swaps(w).size(), 2u);
  w.feed(event::Swapped{id, a});
  EXPECT_EQ(w.where(later), id);
}

TEST(Residency, AnIdleInstanceNeedsNoPatience) {
  World w;
  w.join(holder());
  w.arrive({.model = 1});
  w.advance(1s);
  EXPECT_EQ(swaps(w).size(), 1u);
}

// One slot, a second a request, ten seconds a swap.
TEST(Residency, WhoseModelIsAwayIsToldOfTheSwapBeforeItsWait) {
  World w;
  const InstanceId id = w.join(holder(1));
  const auto told = [&](std::uint32_t model) {
    const RequestId asked = w.arrive({.model = model});
    for (const auto& admitted : w.all<action::Admitted>()) {
      if (admitted.request == asked) return admitted.wait;
    }
    return std::optional<WaitEstimate>{};
  };
  for (int visit = 0; visit < 6; ++visit) {
    const auto model = static_cast<std::uint32_t>(visit % 2);
    std::vector<RequestId> all;
    for (int k = 0; k < 12; ++k) all.push_back(w.arrive({.model = model}));
    if (visit > 0) {
      w.advance(1s);
      ASSERT_EQ(swaps(w).size(), static_cast<std::size_t>(visit));
      w.advance(10s);
      w.feed(event::Swapped{id, ModelId{model}});
    }
    for (const RequestId r : all) {
      w.first_token(r);
      w.advance(1s);
      w.complete(r);
    }
  }
  w.arrive({.model = 1});  // runs
  const auto here = told(1), away = told(0);
  ASSERT_TRUE(here && away);
  EXPECT_LT(here->expected, 4s);
  EXPECT_GT(away->expected, 8s) << "it was away for eleven seconds, each time";
  EXPECT_LT(away->expected, 16s);
}

TEST(Residency, ASwapThatFailsIsTriedAgainLater) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId waiting = w.arrive({.model = 1});
  w.advance(1s);
  ASSERT_EQ(swaps(w).size(), 1u);
  w.feed(event::Swapped{id, a});
  w.advance(1s);
  EXPECT_EQ(swaps(w).size(), 1u);
  w.advance(2s);
  ASSERT_EQ(swaps(w).size(), 2u);
  w.feed(event::Swapped{id, a});
  w.advance(3s);
  EXPECT_EQ(swaps(w).size(), 2u) << "later each time";
  w.advance(3s);
  ASSERT_EQ(swaps(w).size(), 3u);
  w.feed(event::Swapped{id, b});
  EXPECT_EQ(w.where(waiting), id);
}

TEST(Residency, AnEngineLeftWithNothingIsGivenAModel) {
  World w;
  const InstanceId id = w.join(holder());
  w.arrive({.model = 1});
  w.advance(1s);
  w.feed(event::Swapped{id, std::nullopt});
  const RequestId other = w.arrive({.model = 0});
  w.advance(20s);
  ASSERT_GE(swaps(w).size(), 2u);
  w.feed(event::Swapped{id, a});
  w.feed(event::Swapped{id, b});  // nobody asked
  EXPECT_TRUE(w.where(other) == id || swaps(w).back().to == b);
}

TEST(Residency, AModelThatCanBeBroughtInIsNotWithoutAnInstance) {
  World w;
  w.join(holder());
  w.advance(60s);
  const RequestId id = w.arrive({.model = 1});
  EXPECT_FALSE(w.rejection(id));
}

TEST(Residency, TheLastOfADrainAreEvictedAndGoOnWhereTheyStopped) {
  World w(configuration(Policy::greedy));
  const InstanceId id = w.join(holder(20));
  std::vector<RequestId> running;
  for (int k = 0; k < 6; ++k) running.push_back(w.arrive({.model = 0, .prompt = 100}));
  for (const RequestId r : running) w.first_token(r);
  for (int k = 0; k < 3; ++k) w.arrive({.model = 1});
  w.advance(1s);
  for (int k = 0; k < 3; ++k) w.complete(running[static_cast<std::size_t>(k)]);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  w.complete(running[3]);  // a tenth of the slots is left
  ASSERT_EQ(w.all<action::Abort>().size(), 2u);
  EXPECT_EQ(w.all<action::Abort>()[0].why, action::AbortWhy::evicted);
  for (const std::size_t k : {4u, 5u}) {
    w.end(running[k], event::AttemptEnd::aborted, 7);
    w.release(running[k]);
    EXPECT_FALSE(w.finished(running[k]));
    EXPECT_EQ(w.controller.request(running[k], w.now)->state, RequestState::queued);
  }
  ASSERT_EQ(swaps(w).size(), 1u);
  w.feed(event::Swapped{id, b});
  EXPECT_EQ(w.controller.totals().evictions, 2);
  EXPECT_EQ(w.controller.totals().swaps, 1);
}

// Or the few of each model that are left at the end would be evicted by turns, and none be done.
TEST(Residency, WhoIsEvictedMakesRoomForMoreThanTheyAre) {
  World w(configuration(Policy::greedy));
  w.join(holder(20));
  std::vector<RequestId> running;
  for (int k = 0; k < 3; ++k) running.push_back(w.arrive({.model = 0, .prompt = 100}));
  for (const RequestId r : running) w.first_token(r);
  for (int k = 0; k < 2; ++k) w.arrive({.model = 1});
  w.advance(1s);
  w.complete(running[0]);
  EXPECT_TRUE(w.all<action::Abort>().empty()) << "two wait, and two run";
  w.complete(running[1]);
  EXPECT_EQ(w.all<action::Abort>().size(), 1u);
}

// Outputs of 100 tokens were seen, steps take 10 ms and may take 200: who has 50 and is to have 50 more can stay away until
// their 190 ms each are all that is left beside the 200 for each of the first.
TEST(Residency, AnEvictedOneMayStayAwayAsLongAsItsMeanPaceAllows) {
  auto c = configuration(Policy::greedy);
  World w(c);
  const InstanceId id = w.join(holder(20));
  for (int k = 0; k < 100; ++k) {
    const RequestId r = w.arrive({.model = 0, .prompt = 100});
    w.first_token(r);
    w.end(r, event::AttemptEnd::complete, 100);
    w.release(r);
  }
  const RequestId evicted = w.arrive({.model = 0, .prompt = 100});
  w.first_token(evicted);
  const RequestId other = w.arrive({.model = 1, .prompt = 100});
  w.arrive({.model = 1, .prompt = 100});
  w.advance(500ms);
  w.advance(500ms);
  ASSERT_EQ(w.all<action::Abort>().size(), 1u);
  w.end(evicted, event::AttemptEnd::aborted, 50);
  w.release(evicted);
  w.feed(event::Swapped{id, b});
  ASSERT_EQ(w.where(other), id);
  const auto is_late = [&] { return w.controller.snapshot(w.now).groups.empty(); };
  w.advance(15s);
  EXPECT_FALSE(is_late());
  w.advance(5s);
  EXPECT_TRUE(is_late());
}

TEST(Residency, ADrainEndsThoughASlotIsNeverGivenBack) {
  World w;
  const InstanceId id = w.join(holder());
  const RequestId running = w.arrive({.model = 0});
  w.arrive({.model = 1});
  w.advance(1s);
  w.end(running, event::AttemptEnd::aborted);  // and its slot is not released
  w.advance(200ms);
  EXPECT_TRUE(w.all<action::Probe>().empty()) << "it may come yet";
  w.advance(100ms);
  ASSERT_FALSE(w.all<action::Probe>().empty());
  w.feed(event::ProbeAnswered{id, true, {}});
  EXPECT_EQ(swaps(w).size(), 1u);
}

TEST(Residency, WhereOthersRunASlotThatIsNeverGivenBackIsNotHurried) {
  World w;
  w.join(holder());
  const RequestId aborted = w.arrive({.model = 0});
  w.arrive({.model = 0});
  w.arrive({.model = 1});
  w.advance(1s);
  w.end(aborted, event::AttemptEnd::aborted);
  w.advance(3s);
  EXPECT_TRUE(w.all<action::Probe>().empty());
}

// Its slot is not among those of the last tenth that keep all others waiting.
TEST(Residency, WhoseSlotWasNotGivenBackDoesNotPutOffTheEvictionOfTheRest) {
  World w(configuration(Policy::greedy));
  w.join(holder(20));
  std::vector<RequestId> here;
  for (int k = 0; k < 6; ++k) here.push_back(w.arrive({.model = 0}));
  for (int k = 0; k < 10; ++k) w.arrive({.model = 1});
  w.advance(1s);
  for (int k = 0; k < 3; ++k) w.end(here[static_cast<std::size_t>(k)]);
  EXPECT_TRUE(w.all<action::Abort>().empty());
  w.complete(here[3]);
  EXPECT_EQ(w.all<action::Abort>().size(), 2u);
}

TEST(Residency, WhoseFirstTokenWasNotToldKeepsWhatItGeneratedWhenItIsEvicted) {
  for (const bool progress : {true, false}) {
    World w(configuration(Policy::greedy));
    const InstanceId id = w.join(holder(20));
    const RequestId evicted = w.arrive({.model = 0, .service_class = 1, .prompt = 100});
    for (int k = 0; k < 3; ++k) w.arrive({.model = 1, .prompt = 100});
    if (progress) w.feed(event::Progress{w.attempt(evicted), Tokens{20}});
    w.advance(1s);
    ASSERT_EQ(w.all<action::Abort>().size(), 1u);
    w.end(evicted, event::AttemptEnd::aborted, 50);
    w.release(evicted);
    w.feed(event::Swapped{id, b});
    EXPECT_GT(w.controller.request(evicted, w.now)->deadline, w.now + 5s) << "its mean pace leaves room for a pause";
  }
}

TEST(Residency, AnInstanceThatLeavesWhileItSwapsIsForgotten) {
  World w;
  const InstanceId id = w.join(holder());
  w.arrive({.model = 1});
  w.advance(1s);
  w.feed(event::InstanceLeft{id});
  w.feed(event::Swapped{id, b});
  w.advance(5s);
  EXPECT_TRUE(w.dispatched().empty());
}

TEST(Residency, GreedyServesThoseHereBeforeItLeavesForTheLongestQueue) {
  World w(configuration(Policy::greedy));
  const InstanceId id = w.join(holder(1));
  const RequestId first = w.arrive({.model = 0});
  for (int k = 0; k < 3; ++k) w.arrive({.model = 1});
  const RequestId second = w.arrive({.model = 0});
  w.advance(1s);
  w.complete(first);
  EXPECT_EQ(w.where(second), id);
  w.complete(second);
  w.advance(1s);
  ASSERT_EQ(swaps(w).size(), 1u);
  EXPECT_EQ(swaps(w)[0].to, b);
}

// -- plans

TEST(Residency, APlanIsAskedForAsSoonAsSomebodyWaitsAndNotBefore) {
  for (const Policy policy : {Policy::qlm, Policy::qlm_lp, Policy::edf}) {
    World w(configuration(policy));
    w.join(holder(1));
    w.arrive({.model = 0});
    w.advance(10s);
    EXPECT_TRUE(w.all<action::StartPlanning>().empty());
    w.arrive({.model = 0});
    w.advance(1s);
    EXPECT_EQ(w.all<action::StartPlanning>().size(), policy == Policy::edf ? 0u : 1u);
  }
}

struct Overloaded : ::testing::Test {
  World w{configuration(Policy::qlm)};
  InstanceId id = w.join(holder(1));

  void overload() {
    for (const std::uint32_t model : {0u, 1u}) {
      for (int k = 0; k < 20; ++k) w.arrive({.model = model, .service_class = 1});
    }
    w.advance(5s);
  }
  Plan plan(std::vector<Plan::Visit> visits) {
    return {.version = PlanVersion{1}, .made_from = w.all<action::StartPlanning>().back().snapshot, .instances = {{id, std::move(visits)}}};
  }
};

TEST_F(Overloaded, AReloadedDeltaIsThatOfTheNextPlan) {
  EXPECT_EQ(w.controller.snapshot(w.now).delta, 0.95);
  auto changed = std::make_shared<ControllerConfiguration>(*w.config);
  changed->delta = 0.5;
  w.feed(event::ConfigurationChanged{changed});
  EXPECT_EQ(w.controller.snapshot(w.now).delta, 0.5);
}

TEST_F(Overloaded, APlanIsAskedForAndItsSnapshotSaysWhatThereIs) {
  overload();
  ASSERT_FALSE(w.all<action::StartPlanning>().empty());
  for (const std::uint32_t model : {0u, 1u, 0u, 1u}) w.arrive({.model = model});
  const Snapshot s = w.controller.snapshot(w.now);
  ASSERT_EQ(s.instances.size(), 1u);
  EXPECT_EQ(s.instances[0].holds.size(), 2u);
  EXPECT_GT(s.instances[0].holds[0].per_second, 0);
  EXPECT_EQ(s.instances[0].holds[1].bring_in, 1s);
  EXPECT_FALSE(s.groups.empty());
  for (const GroupSummary& g : s.groups) EXPECT_GT(g.due, Duration{});
}

TEST_F(Overloaded, APlanIsFollowedButNobodyWaitsBesideAnIdleInstance) {
  overload();
  w.feed(event::PlanReady{plan({{b, never}})});
  ASSERT_TRUE(swaps(w).empty());  // somebody runs there
  w.complete(RequestId{w.dispatched().back()});
  ASSERT_EQ(swaps(w).size(), 1u);
  EXPECT_EQ(swaps(w)[0].to, b);
  w.feed(event::Swapped{id, b});
  // All of b's are served, late as they are; then those of a, though the plan knows nothing of them.
  for (int k = 0; k < 200 && swaps(w).size() == 1; ++k) {
    w.feed(event::PlanReady{plan({{b, never}})});
    const auto in_flight = w.controller.totals().in_flight;
    if (in_flight > 0) w.complete(RequestId{w.dispatched().back()});
    w.advance(1s);
  }
  ASSERT_EQ(swaps(w).size(), 2u);
  EXPECT_EQ(swaps(w)[1].to, a);
}

TEST_F(Overloaded, APlanMadeFromAnotherSnapshotIsDropped) {
  overload();
  Plan p = plan({{a, never}});
  p.made_from = SnapshotVersion{p.made_from.value + 17};
  w.feed(event::PlanReady{p});
  EXPECT_EQ(w.controller.recent(1)[0].decision, Decision::plan_dropped);
}

// -- the paper's plans: of what waits

struct Planned : ::testing::Test {
  World w{configuration(Policy::qlm_lp)};
  InstanceId id = w.join(holder(1));

  void follow(std::vector<Plan::Visit> visits) {
    w.feed(event::PlanReady{{.version = PlanVersion{1}, .made_from = w.all<action::StartPlanning>().back().snapshot, .instances = {{id, std::move(visits)}}}});
    w.advance(1s);
  }
};

TEST_F(Planned, LateOnesAreInTheSnapshotUnlessTheyAreServedLast) {
  for (int k = 0; k < 3; ++k) w.arrive({.model = 0, .service_class = 1});
  w.advance(30s);
  const Snapshot s = w.controller.snapshot(w.now);
  ASSERT_EQ(s.groups.size(), 1u);
  EXPECT_EQ(s.groups[0].requests, 2);
  EXPECT_LT(s.groups[0].first, Duration{});
  EXPECT_LE(s.groups[0].first, s.groups[0].due);
  ASSERT_EQ(s.outputs.size(), s.models);
  EXPECT_GT(s.outputs[0].mean, 0);

  World expiring(configuration(Policy::qlm_lp_expire));
  expiring.join(holder(1));
  for (int k = 0; k < 3; ++k) expiring.arrive({.model = 0, .service_class = 1});
  expiring.advance(30s);
  EXPECT_TRUE(expiring.controller.snapshot(expiring.now).groups.empty());
}

TEST_F(Planned, AVisitThatNobodyIsLeftForIsOver) {
  const RequestId running = w.arrive({.model = 0});
  w.arrive({.model = 1});
  w.advance(1s);
  follow({{a, add(w.now, 60s)}, {b, never}});
  w.complete(running);
  w.advance(1s);
  ASSERT_EQ(swaps(w).size(), 1u);
  EXPECT_EQ(swaps(w)[0].to, b);
}

TEST_F(Planned, AnInstanceWithNoPartInThePlanStaysWhileItHasWork) {
  w.arrive({.model = 1});
  w.advance(Duration{});
  for (int k = 0; k < 3; ++k) w.arrive({.model = 0});
  w.advance(1s);
  ASSERT_FALSE(w.all<action::StartPlanning>().empty());
  const std::size_t before = swaps(w).size();
  follow({});
  EXPECT_EQ(swaps(w).size(), before);
}

}  // namespace
}  // namespace qlm::testing

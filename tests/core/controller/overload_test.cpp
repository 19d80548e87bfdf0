// What policy qlm does beyond an order: whom the load leaves room for, requests let in together, memory as it is used.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

// A second of prefill for 1,000 tokens, and almost nothing else: a request's work is its prompt.
constexpr StepTimeModel prefill_only{.kind = StepTimeModel::Kind::linear, .base_ms = 0.001, .per_prefill_token_ms = 1};

std::shared_ptr<ControllerConfiguration> overloaded(Duration ttft) {
  auto c = configuration(Policy::qlm);
  for (ServiceClass& each : c->classes) each.slo.ttft = ttft;
  return c;
}

InstanceDescription one_at_a_time(const StepTimeModel& step) {
  return {.id = InstanceId{0}, .name = "gpu", .models = {ModelId{0}}, .slots = 1, .speed = step, .drops_queued = false};
}

RequestId arrive(World& w, std::int64_t prompt, Duration ttft) {
  static std::uint64_t next = 0;
  const RequestId id{1'000'000 + ++next};
  w.feed(event::Arrived{{.id = id, .model = ModelId{0}, .slo = {.ttft = ttft}, .prompt = Tokens{prompt}, .streaming = true}});
  return id;
}

TEST(Overload, WhatCannotAllBeOnTimeLosesItsLongestFirst) {
  World w(overloaded(10s));
  w.join(one_at_a_time(prefill_only));
  const RequestId running = arrive(w, 1000, 10s);
  // Twelve seconds of work due in ten: the one of six seconds makes room for all others.
  const RequestId large = arrive(w, 6000, 10s);
  std::vector<RequestId> small;
  for (int k = 0; k < 6; ++k) small.push_back(arrive(w, 1000, 10s));
  w.advance(2s);
  arrive(w, 16, 10s);  // an event after the look every two seconds
  w.complete(running);
  for (const RequestId id : small) {
    EXPECT_EQ(w.dispatched().back(), id.value);
    w.advance(1s);
    w.complete(id);
  }
  EXPECT_NE(w.dispatched().back(), large.value);
}

TEST(Overload, AnHourOfQuietLoadDoesNotMakeTheFirstBurstLookLikeAnOverload) {
  World w(overloaded(600s));
  w.join(one_at_a_time(prefill_only));
  for (int k = 0; k < 600; ++k) {  // a tenth of what it can do, and never a queue
    w.complete(arrive(w, 100, 600s));
    w.advance(1s);
  }
  const RequestId first = arrive(w, 1000, 600s);
  std::vector<RequestId> burst;
  for (int k = 0; k < 40; ++k) {  // over four seconds, so that it is looked at meanwhile
    burst.insert(burst.begin(), arrive(w, 1000, 600s - 5s * k));
    w.advance(100ms);
  }
  w.complete(first);
  for (const RequestId id : burst) {
    EXPECT_EQ(w.dispatched().back(), id.value) << "nobody is given up: all can be on time, the earliest first";
    w.advance(1s);
    w.complete(id);
  }
}

// Twice what it can do, of a minute's wait, for as long as that.
void press(World& w, Duration time) {
  for (Duration at{}; at < time; at += 500ms) {
    arrive(w, 1000, 60s);
    if (const auto started = w.dispatched(); (at / 500ms) % 2 == 1 && !started.empty()) w.complete(RequestId{started.back()});
    w.advance(500ms);
  }
}

TEST(Overload, WhatArrivedBeforeTheEnginesWereAwayIsForgottenMeanwhile) {
  World w(overloaded(60s));
  InstanceDescription engine = one_at_a_time(prefill_only);
  w.join(engine);
  press(w, 300s);
  EXPECT_TRUE(std::ranges::any_of(w.controller.picture().models.at(0).groups, [](const GroupPicture& g) { return g.admitted < 0.9; }));
  w.feed(event::InstanceLeft{engine.id});
  for (int k = 0; k < 90; ++k) {
    w.now += 10s;
    w.feed(event::Tick{});
  }
  w.feed(event::InstanceJoined{engine});
  for (int k = 0; k < 8; ++k) {
    const RequestId after = arrive(w, 1000, 60s);
    const auto standing = w.controller.standing(after);
    EXPECT_FALSE(standing && standing->priced_out);
  }
}

TEST(Overload, IsSeenAfterDaysOfSilence) {
  World w(overloaded(60s));
  w.join(one_at_a_time(prefill_only));
  press(w, 10s);
  while (w.controller.totals().in_flight > 0) w.complete(RequestId{w.dispatched().back()});
  for (int k = 0; k < 60 * 36; ++k) {
    w.now += 100s;
    w.feed(event::Tick{});
  }
  press(w, 600s);
  int priced_out = 0;
  for (int k = 0; k < 8; ++k) {
    const auto standing = w.controller.standing(arrive(w, 1000, 60s));
    priced_out += standing && standing->priced_out ? 1 : 0;
  }
  EXPECT_GE(priced_out, 2) << "half of what comes is too much";
}

TEST(Overload, TimeWithoutAnEngineIsNotTakenForASlowOne) {
  World w(overloaded(600s));
  InstanceDescription engine = one_at_a_time(prefill_only);
  w.join(engine);
  std::vector<RequestId> all;
  for (int k = 0; k < 240; ++k) all.push_back(arrive(w, 1000, 600s));
  for (int k = 0; k < 60; ++k) {
    w.first_token(RequestId{w.dispatched().back()});
    w.advance(1s);
    w.complete(RequestId{w.dispatched().back()});
  }
  const auto expected = [&] { return seconds(w.controller.estimate(ModelId{0})->expected); };
  const double usual = expected();
  EXPECT_NEAR(usual, 180, 30);
  w.feed(event::ProbeAnswered{engine.id, false, ""});
  for (int k = 0; k < 12; ++k) {
    w.now += 10s;
    w.feed(event::Tick{});
  }
  EXPECT_NEAR(expected(), usual, 15);
}

// Steps of 10 ms, and outputs of 256 tokens: 2.56 s are expected of one.
TEST(Late, IsWhoseWholeOutputCannotBeThereInTimeThoughItCouldStart) {
  World w(configuration(Policy::edf_expire));
  w.join(one_at_a_time({.kind = StepTimeModel::Kind::linear, .base_ms = 10, .per_prefill_token_ms = 0.001}));
  const auto arrive = [&](std::uint64_t id, Duration e2e) {
    w.feed(event::Arrived{{.id = RequestId{id}, .model = ModelId{0}, .slo = {.e2e = e2e}, .prompt = Tokens{100}, .streaming = true}});
    return RequestId{id};
  };
  const auto complete = [&](RequestId id) {
    w.end(id, event::AttemptEnd::complete, 256);
    w.release(id);
  };
  const RequestId running = arrive(1001, 1h);
  const RequestId sooner = arrive(1002, 10s);
  const RequestId later = arrive(1003, 60s);
  w.advance(7s);
  complete(running);
  EXPECT_EQ(w.dispatched().back(), sooner.value);
  const RequestId waits = arrive(1004, 10s);
  w.advance(8s);
  complete(sooner);
  EXPECT_EQ(w.dispatched().back(), later.value);
  complete(later);
  EXPECT_EQ(w.dispatched().back(), waits.value);  // last, not never
}

TEST(Overload, EnginesWithSeparateStepsAreGivenRequestsTogether) {
  const StepTimeModel separate{.kind = StepTimeModel::Kind::separate, .base_ms = 10, .decode_base_ms = 10, .per_prefill_token_ms = 0.1};
  World w(overloaded(60s));
  InstanceDescription d = one_at_a_time(separate);
  d.slots = 64;
  w.join(d);
  std::vector<RequestId> all;
  for (int k = 0; k < 200; ++k) all.push_back(arrive(w, 100, 60s));
  const auto before = w.dispatched().size();
  ASSERT_EQ(before, 64u) << "an idle engine is filled at once";
  const auto started = w.dispatched();
  w.advance(10ms);
  for (std::size_t k = 0; k < 23; ++k) w.complete(RequestId{started[k]});
  EXPECT_EQ(w.dispatched().size(), 64u) << "23 slots are free";
  w.complete(RequestId{started[23]});
  EXPECT_EQ(w.dispatched().size(), 64u + 24);
  w.advance(10ms);
  w.complete(RequestId{started[24]});
  EXPECT_EQ(w.dispatched().size(), 64u + 24);
  w.advance(990ms);
  EXPECT_EQ(w.dispatched().size(), 64u + 25) << "fewer do not wait for ever";
}

TEST(Overload, MemoryIsWhatRunsHoldsAndWillSoon) {
  World w;
  w.join({.name = "kv", .models = {ModelId{0}}, .slots = 100, .kv_capacity = Tokens{1000}});
  const RequestId growing = w.arrive({.prompt = 300});   // 300 and the first 128 tokens
  w.arrive({.prompt = 300});
  EXPECT_EQ(w.dispatched().size(), 2u);
  w.first_token(growing);
  w.feed(event::Progress{w.attempt(growing), Tokens{200}});
  w.arrive({.prompt = 20, .max_output = Tokens{30}});
  EXPECT_EQ(w.dispatched().size(), 2u) << "300 + 232, 428, and 50 do not fit 960";
  w.complete(growing);
  EXPECT_EQ(w.dispatched().size(), 3u);
}

}  // namespace
}  // namespace qlm::testing

// Who loses where there is too little for all, between tenants.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

// A second of prefill for 1,000 tokens, and almost nothing else.
constexpr StepTimeModel prefill_only{.kind = StepTimeModel::Kind::linear, .base_ms = 0.001, .per_prefill_token_ms = 1};

struct Stream {
  double weight = 1;
  int each_second = 1;         // requests
  std::int64_t prompt = 1000;  // of one
  int hopeless = 0;            // more of them, at once and before all others, that nobody can serve in time
  int refused = 0;             // tries of each, before one that is served
};

struct Before {
  Duration silence{};          // after a prompt of a size that does not come again
  int calm = 0;                // seconds of a tenth of what the engine can do, half of it each one's
};

// Tokens that each of two had of an engine that does 1,000 a second, over `rounds` seconds; `kept`: how many
// of each were not priced out as they came.
std::vector<double> served(const std::vector<Stream>& streams, int rounds, std::vector<int>* kept = nullptr, Before before = {}) {
  World w(configuration(Policy::qlm));
  w.config->tenants.assign(streams.size(), {});
  for (std::size_t t = 0; t < streams.size(); ++t) w.config->tenants[t].weight = streams[t].weight;
  w.config->classes[0].max_wait = 10'000h;
  w.join({.id = InstanceId{0}, .name = "gpu", .models = {ModelId{0}}, .slots = 1, .speed = prefill_only, .drops_queued = false});
  std::vector<double> tokens(streams.size(), 0);
  std::uint64_t next = 1'000'000;
  const auto arrive = [&](std::size_t tenant, Duration ttft) {
    w.feed(event::Arrived{{.id = RequestId{next++}, .model = ModelId{0}, .tenant = TenantId{static_cast<std::uint32_t>(tenant)},
                           .slo = {.ttft = ttft}, .prompt = Tokens{streams[tenant].prompt}, .streaming = true}});
  };
  if (before.silence > Duration{}) {
    w.complete(w.arrive({.prompt = 20'000}));
    for (Duration at{}; at < before.silence; at += 100s) {
      w.now += 100s;
      w.feed(event::Tick{});
    }
  }
  for (int k = 0; k < before.calm; ++k) {
    for (std::uint32_t t = 0; t < 2; ++t) w.complete(w.arrive({.tenant = t, .prompt = 50}));
    w.advance(1s);
  }
  const Instant end = w.now + std::chrono::seconds(rounds);
  Instant until = w.now;
  for (std::size_t t = 0; t < streams.size(); ++t) {
    for (int k = 0; k < streams[t].hopeless; ++k) arrive(t, 100ms);
  }
  while (w.now < end) {
    for (std::size_t t = 0; t < streams.size(); ++t) {
      for (int k = 0; k < streams[t].each_second; ++k) {
        arrive(t, 30s);
        const auto standing = w.controller.standing(RequestId{next - 1});
        if (kept && standing && !standing->priced_out) ++(*kept)[t];
      }
    }
    until += 1s;
    while (w.now < until) {
      const RequestId running{w.dispatched().back()};
      const std::size_t tenant = w.controller.request(running, w.now)->tenant.index();
      if (w.attempt(running).attempt.value <= streams[tenant].refused) {
        w.end(running, event::AttemptEnd::refused);
        w.release(running);
        w.advance(1ms);
        continue;
      }
      const Duration takes = std::chrono::milliseconds(streams[tenant].prompt);
      w.advance(takes);
      tokens[tenant] += static_cast<double>(streams[tenant].prompt);
      w.feed(event::FirstToken{w.attempt(running)});
      event::Ended ended;
      ended.key = w.attempt(running);
      ended.prompt = Tokens{streams[tenant].prompt};
      ended.generated = Tokens{1};
      w.feed(ended);
      w.release(running);
    }
  }
  return tokens;
}

TEST(Fairness, TenantsOfOneWeightHaveAlikePartsHoweverMuchTheyAsk) {
  const auto tokens = served({{.each_second = 4}, {.each_second = 1}}, 1000);
  EXPECT_NEAR(tokens[0] / (tokens[0] + tokens[1]), 0.5, 0.04);
}

TEST(Fairness, PartsAreAlikeFromTheBeginningOfAnOverloadAfterCalm) {
  for (const int calm : {0, 900}) {
    const auto tokens = served({{.each_second = 2, .prompt = 500}, {.each_second = 1, .prompt = 500}}, 300, nullptr, {.calm = calm});
    EXPECT_NEAR(tokens[0] / (tokens[0] + tokens[1]), 0.5, 0.1) << "after " << calm << " s of calm: two thirds of what comes is the first one's";
  }
}

TEST(Fairness, PartsAreKeptAfterDaysOfSilence) {
  std::vector<int> kept(2, 0);
  const auto tokens = served({{.each_second = 4}, {.each_second = 1}}, 600, &kept, {.silence = 60h});
  EXPECT_NEAR(tokens[0] / (tokens[0] + tokens[1]), 0.5, 0.06);
  EXPECT_LT(kept[0], 1400) << "of 2,400, of which there is room for 300";
}

TEST(Fairness, PartsFollowWeights) {
  const auto tokens = served({{.weight = 1, .each_second = 2}, {.weight = 2, .each_second = 2}}, 1000);
  EXPECT_NEAR(tokens[1] / (tokens[0] + tokens[1]), 2.0 / 3, 0.04);
}

TEST(Fairness, WhoAsksForLessThanItsPartLosesNothingAndTheRestIsTheOthers) {
  const auto tokens = served({{.each_second = 5}, {.each_second = 1, .prompt = 300}}, 1000);
  EXPECT_NEAR(tokens[1], 300'000, 15'000);
  EXPECT_GT(tokens[0], 600'000);
}

TEST(Fairness, PartsAreTokensThoughOneAsksForLongRequestsAndTheOtherForShortOnes) {
  const auto tokens = served({{.each_second = 1, .prompt = 2000}, {.each_second = 20, .prompt = 100}}, 1000);
  EXPECT_NEAR(tokens[0] / (tokens[0] + tokens[1]), 0.5, 0.05) << "by work a request alone the short ones would have it all";
}

TEST(Fairness, WhatATenantHasGivenUpDoesNotTakeItsPart) {
  std::vector<int> kept(2, 0);
  served({{.each_second = 1, .hopeless = 300}, {.each_second = 4}}, 300, &kept);
  EXPECT_GT(kept[0], 40) << "of 300, half of what it asks for in the end; none while those wait, were they counted";
}

TEST(Fairness, WhatWasRefusedIsNoPartOfWhatATenantWasServed) {
  const auto tokens = served({{.each_second = 2, .refused = 2}, {.each_second = 2}}, 200);
  EXPECT_NEAR(tokens[0] / (tokens[0] + tokens[1]), 0.5, 0.04);
}

}  // namespace
}  // namespace qlm::testing

#include "core/estimate/step_scale.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "base/prng.hpp"
#include "core/enginemodel/engine_model.hpp"
#include "core/enginemodel/profiles.hpp"

namespace qlm {
namespace {

// An emulated engine kept busy with `in_flight` requests, `slowness` times as slow as its profile; told once a second.
struct Told {
  StepScale scale;
  Instant now{};

  void run(const char* name, int in_flight, double slowness, double for_seconds) {
    const EngineProfile profile = *find_profile(name);
    EngineModel engine(profile.step, limits_of(profile));
    scale.describe(profile.step);
    struct Stream {
      SequenceId sequence;
      Tokens prompt{0}, output{0}, told{0};
    };
    std::map<std::uint64_t, Stream> started;
    std::map<std::uint64_t, Stream> waiting;
    Prng prng(7);
    std::uint64_t next = 0;
    const Instant end = now + duration_from_seconds(for_seconds);
    Instant report = now + 1s;
    const auto submit = [&] {
      const Tokens prompt{static_cast<std::int64_t>(50 + prng.below(400))};
      const Tokens output{static_cast<std::int64_t>(20 + prng.below(500))};
      waiting[++next] = {*engine.submit(prompt, output, next), prompt, output};
    };
    for (int i = 0; i < in_flight; ++i) submit();
    while (now < end) {
      const auto step = engine.begin_step();
      if (!step) break;
      now += Duration{static_cast<std::int64_t>(static_cast<double>(step->count()) * slowness)};
      const auto result = engine.finish_step();
      int over = 0;
      for (const auto& event : result.first_token) {
        started[event.user] = waiting[event.user];
        waiting.erase(event.user);
        scale.started(now, started[event.user].prompt);
        started[event.user].told = Tokens{1};
        scale.generated(now, Tokens{1});
      }
      for (const auto& event : result.finished) {
        const Stream& s = started[event.user];
        scale.generated(now, s.output - s.told);
        scale.ended(now, s.prompt + s.output);
        started.erase(event.user);
        ++over;
      }
      if (now >= report) {
        report = now + 1s;
        for (auto& [user, s] : started) {
          const Tokens so_far = engine.generated(s.sequence);
          scale.generated(now, so_far - s.told);
          s.told = so_far;
        }
      }
      while (over-- > 0) submit();
    }
    for (const auto& [user, s] : started) {
      const Tokens so_far = engine.generated(s.sequence);
      scale.generated(now, so_far - s.told);
      scale.ended(now, s.prompt + so_far);
    }
  }
};

constexpr const char* fleets[] = {"a100-80/mistral-7b@2026", "a100-80/vicuna-13b@2024", "rtxpro6000-96/llama-3.1-8b-linear"};

TEST(StepScale, AnEngineThatKeepsToItsProfileHasScaleOneAtAnyLoad) {
  for (const char* fleet : fleets) {
    for (const int in_flight : {4, 64, 200}) {
      Told told;
      told.run(fleet, in_flight, 1, 60);
      EXPECT_NEAR(told.scale.scale(), 1, 0.08) << fleet << " with " << in_flight;
    }
  }
}

TEST(StepScale, AnEngineThatSlowsDownIsBelievedWithinHalfAMinute) {
  Told told;
  told.run(fleets[0], 128, 1, 60);
  const double before = told.scale.scale();
  told.run(fleets[0], 128, 2, 30);
  EXPECT_NEAR(told.scale.scale() / before, 2, 0.25);
  told.run(fleets[0], 128, 1, 40);
  EXPECT_NEAR(told.scale.scale() / before, 1, 0.1);
}

TEST(StepScale, OneHiccupIsNotBelieved) {
  Told told;
  told.run(fleets[0], 128, 1, 60);
  told.now += 100s;
  told.run(fleets[0], 128, 1, 4);
  EXPECT_LT(told.scale.scale(), 1.5);
}

TEST(StepScale, WithoutAProfileThroughputIsMeasured) {
  StepScale scale;
  EXPECT_EQ(scale.scale(), 1);
  EXPECT_EQ(scale.tokens_per_second(), 0);
  Instant now{};
  for (int i = 0; i < 4; ++i) scale.started(now, Tokens{100});
  for (int k = 0; k < 100; ++k) {
    now += 100ms;
    scale.generated(now, Tokens{40});
  }
  EXPECT_NEAR(scale.tokens_per_second(), 400, 10);
  EXPECT_EQ(scale.scale(), 1);
}

TEST(StepScale, IdleTimeIsNobodysFault) {
  Told told;
  for (int spell = 0; spell < 20; ++spell) {
    told.run(fleets[0], 16, 1, 3);
    told.now += 60s;
  }
  EXPECT_NEAR(told.scale.scale(), 1, 0.1);
}

}  // namespace
}  // namespace qlm

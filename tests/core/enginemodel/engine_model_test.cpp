#include "core/enginemodel/engine_model.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace qlm {
namespace {

using Kind = StepTimeModel::Kind;

// One millisecond a step, a microsecond a prefill token, ten a sequence: durations then tell what a step
// held.
constexpr StepTimeModel mixed{Kind::linear, 1, 0, 0.001, 0, 0.01, 0, 0};
constexpr StepTimeModel apart{Kind::separate, 1, 2, 0.001, 0, 0.01, 0, 0};

EngineLimits limits(std::int64_t kv, std::int64_t seqs = 8, std::int64_t batched = 100) {
  return {.kv_tokens = Tokens{kv}, .max_num_seqs = seqs, .max_num_batched_tokens = Tokens{batched}};
}

std::vector<std::uint64_t> users(std::span<const EngineModel::Event> events) {
  std::vector<std::uint64_t> list;
  for (const auto& event : events) list.push_back(event.user);
  return list;
}
using Users = std::vector<std::uint64_t>;

EngineModel::StepResult step(EngineModel& engine) {
  EXPECT_TRUE(engine.begin_step());
  return engine.finish_step();
}

TEST(EngineModel, AnIdleEngineHasNoStep) {
  EngineModel engine(mixed, limits(1600));
  EXPECT_FALSE(engine.begin_step());
}

TEST(EngineModel, ThePrefillStepProducesTheFirstToken) {
  EngineModel engine(mixed, limits(1600));
  const auto id = engine.submit(Tokens{20}, Tokens{3}, 7).value();
  EXPECT_EQ(engine.begin_step(), 1020us);
  EXPECT_EQ(engine.generated(id), Tokens{0});
  EXPECT_EQ(users(engine.finish_step().first_token), Users{7});
  EXPECT_EQ(engine.generated(id), Tokens{1});
  EXPECT_EQ(engine.begin_step(), 1010us);
  EXPECT_TRUE(engine.finish_step().finished.empty());
  EXPECT_EQ(engine.generated(id), Tokens{2});
  EXPECT_EQ(users(step(engine).finished), Users{7});
  EXPECT_FALSE(engine.begin_step());
  EXPECT_EQ(engine.kv_blocks_used(), 0);
  EXPECT_EQ(engine.totals().generated, Tokens{3});
}

TEST(EngineModel, ALongPromptIsChunkedAndDecodesGoFirst) {
  EngineModel engine(mixed, limits(16'000));
  engine.submit(Tokens{10}, Tokens{50}, 1).value();
  step(engine);
  engine.submit(Tokens{150}, Tokens{5}, 2).value();
  engine.submit(Tokens{30}, Tokens{5}, 3).value();
  EXPECT_EQ(step(engine).prefilled, Tokens{99});  // the budget of 100, less the one that decodes
  EXPECT_EQ(engine.running(), 2);
  const auto second = step(engine);  // the other 51, then all of the third
  EXPECT_EQ(second.prefilled, Tokens{81});
  EXPECT_EQ(users(second.first_token), (Users{2, 3}));
}

TEST(EngineModel, AttentionCountsWhatAChunkLooksBackOn) {
  EngineModel engine(mixed, limits(16'000));
  engine.submit(Tokens{150}, Tokens{5}).value();
  engine.begin_step();
  EXPECT_EQ(engine.step_load().attention, 100.0 * 100 / 2);
  engine.finish_step();
  engine.begin_step();
  EXPECT_EQ(engine.step_load().attention, 50.0 * 100 + 50.0 * 50 / 2);
  engine.finish_step();
}

TEST(EngineModel, NoMoreRunThanMaxNumSeqs) {
  EngineModel engine(mixed, limits(16'000, 2));
  for (std::uint64_t user = 0; user < 3; ++user) engine.submit(Tokens{10}, Tokens{2}, user).value();
  EXPECT_EQ(users(step(engine).first_token), (Users{0, 1}));
  EXPECT_EQ(engine.waiting(), 1);
  EXPECT_EQ(users(step(engine).finished), (Users{0, 1}));
  EXPECT_EQ(users(step(engine).first_token), Users{2});
}

TEST(EngineModel, WaitsInOrderEvenWhereALaterOneWouldFit) {
  EngineModel engine(mixed, limits(96, 8, 1000));  // six blocks
  engine.submit(Tokens{60}, Tokens{10}, 1).value();
  step(engine);
  engine.submit(Tokens{60}, Tokens{2}, 2).value();
  engine.submit(Tokens{5}, Tokens{2}, 3).value();
  EXPECT_TRUE(step(engine).first_token.empty());
  EXPECT_EQ(engine.waiting(), 2);
}

TEST(EngineModel, ABlockIsTakenWhenItsFirstTokenComes) {
  EngineModel engine(mixed, limits(1600));
  engine.submit(Tokens{15}, Tokens{100}).value();
  step(engine);  // 15 tokens in the cache
  EXPECT_EQ(engine.kv_blocks_used(), 1);
  step(engine);  // 16
  EXPECT_EQ(engine.kv_blocks_used(), 1);
  step(engine);  // 17
  EXPECT_EQ(engine.kv_blocks_used(), 2);
}

TEST(EngineModel, TheLastAdmittedIsPreemptedAndRecomputed) {
  EngineModel engine(mixed, limits(64));  // four blocks
  const auto first = engine.submit(Tokens{16}, Tokens{40}, 1).value();
  const auto second = engine.submit(Tokens{16}, Tokens{40}, 2).value();
  step(engine);
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(step(engine).preempted.empty());
  EXPECT_EQ(engine.kv_blocks_used(), 4);
  EXPECT_EQ(users(step(engine).preempted), Users{2});
  EXPECT_EQ(engine.generated(first), Tokens{18});
  EXPECT_EQ(engine.generated(second), Tokens{17});  // kept: only its KV is gone
  EXPECT_EQ(engine.waiting(), 1);
  EXPECT_EQ(engine.totals().preemptions, 1);

  bool recomputed = false;
  while (engine.begin_step()) {
    const auto result = engine.finish_step();
    EXPECT_TRUE(result.first_token.empty());
    if (result.prefilled > Tokens{0}) {
      EXPECT_EQ(result.prefilled, Tokens{16 + 17});
      recomputed = true;
    }
  }
  EXPECT_TRUE(recomputed);
  EXPECT_EQ(engine.totals().generated, Tokens{80});
}

TEST(EngineModel, ALowerPriorityIsAdmittedSoonerAndEqualsInTheirOrder) {
  EngineModel engine(mixed, limits(16'000, 1));
  engine.submit(Tokens{10}, Tokens{1}, 1, {}, 5).value();
  engine.submit(Tokens{10}, Tokens{1}, 2).value();
  engine.submit(Tokens{10}, Tokens{1}, 3, {}, -1).value();
  engine.submit(Tokens{10}, Tokens{1}, 4).value();
  Users order;
  while (engine.begin_step()) order.push_back(users(engine.finish_step().finished).at(0));
  EXPECT_EQ(order, (Users{3, 2, 4, 1}));
}

TEST(EngineModel, TheLeastUrgentGivesWayAndStandsBehindWhoIsMoreUrgent) {
  EngineModel engine(mixed, limits(64, 2));
  engine.submit(Tokens{16}, Tokens{40}, 1, {}, 1).value();
  engine.submit(Tokens{16}, Tokens{40}, 2).value();
  step(engine);
  engine.submit(Tokens{16}, Tokens{1}, 3).value();
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(step(engine).preempted.empty());
  EXPECT_EQ(users(step(engine).preempted), Users{1});
  Users order;
  while (engine.begin_step()) {
    for (const auto user : users(engine.finish_step().finished)) order.push_back(user);
  }
  EXPECT_EQ(order, (Users{3, 2, 1}));
}

TEST(EngineModel, WhoRanWhenTheKvCacheWasForgottenComputesItAgainAndIsBeforeTheOthers) {
  EngineLimits with_cache = limits(16'000, 2);
  with_cache.prefix_cache = true;
  EngineModel engine(mixed, with_cache);
  const auto first = engine.submit(Tokens{32}, Tokens{5}, 1, {7, 8}).value();
  engine.submit(Tokens{20}, Tokens{5}, 2).value();
  engine.submit(Tokens{20}, Tokens{5}, 3).value();
  step(engine);
  step(engine);
  engine.forget_kv();
  EXPECT_EQ(engine.kv_blocks_used(), 0);
  EXPECT_EQ(engine.running(), 0);
  EXPECT_EQ(engine.generated(first), Tokens{2});
  EXPECT_EQ(step(engine).prefilled, Tokens{32 + 2 + 20 + 2});  // the prefix too, which it had known
  EXPECT_EQ(engine.waiting(), 1);
  while (engine.begin_step()) engine.finish_step();
  EXPECT_EQ(engine.totals().generated, Tokens{15});
}

TEST(EngineModel, SeparateStepsNeverMix) {
  EngineModel engine(apart, limits(16'000));
  engine.submit(Tokens{20}, Tokens{5}, 1).value();
  EXPECT_EQ(engine.begin_step(), 1020us);
  engine.finish_step();
  engine.submit(Tokens{30}, Tokens{5}, 2).value();
  EXPECT_EQ(engine.begin_step(), 1030us);  // the newcomer's prompt; the first one waits
  EXPECT_EQ(engine.step_load().decoding, 0);
  EXPECT_EQ(users(engine.finish_step().first_token), Users{2});
  EXPECT_EQ(engine.begin_step(), 2020us);
  EXPECT_EQ(engine.finish_step().generated, Tokens{2});
}

TEST(EngineModel, SeparatePrefillTakesWholePromptsWithinTheBudget) {
  EngineModel engine(apart, limits(16'000));
  engine.submit(Tokens{150}, Tokens{5}, 1).value();  // over the budget of 100: alone
  engine.submit(Tokens{60}, Tokens{5}, 2).value();
  engine.submit(Tokens{40}, Tokens{5}, 3).value();
  engine.submit(Tokens{1}, Tokens{5}, 4).value();
  EXPECT_EQ(users(step(engine).first_token), Users{1});
  EXPECT_EQ(users(step(engine).first_token), (Users{2, 3}));
  EXPECT_EQ(users(step(engine).first_token), Users{4});
}

TEST(EngineModel, AbortForgetsAWaitingSequenceAtOnce) {
  EngineModel engine(mixed, limits(1600, 1));
  engine.submit(Tokens{10}, Tokens{5}, 1).value();
  const auto waiting = engine.submit(Tokens{10}, Tokens{5}, 2).value();
  engine.begin_step();
  EXPECT_TRUE(engine.abort(waiting));
  EXPECT_EQ(engine.waiting(), 0);
  EXPECT_FALSE(engine.abort(waiting));
  engine.finish_step();
}

TEST(EngineModel, AbortInAStepFreesTheBlocksWhenTheStepEnds) {
  EngineModel engine(mixed, limits(1600));
  const auto id = engine.submit(Tokens{40}, Tokens{5}).value();
  engine.begin_step();
  EXPECT_TRUE(engine.abort(id));
  EXPECT_FALSE(engine.abort(id));
  EXPECT_EQ(engine.kv_blocks_used(), 3);
  const auto result = engine.finish_step();
  EXPECT_TRUE(result.first_token.empty());
  EXPECT_EQ(result.generated, Tokens{0});
  EXPECT_EQ(engine.kv_blocks_used(), 0);
  EXPECT_EQ(engine.running(), 0);
}

TEST(EngineModel, AnIdIsNeverGivenOutTwice) {
  EngineModel engine(mixed, limits(1600));
  const auto old = engine.submit(Tokens{10}, Tokens{5}).value();
  engine.abort(old);
  const auto fresh = engine.submit(Tokens{10}, Tokens{5}).value();
  EXPECT_NE(old, fresh);
  EXPECT_FALSE(engine.abort(old));
  EXPECT_EQ(engine.waiting(), 1);
}

TEST(EngineModel, RefusesWhatCouldNeverRun) {
  EngineModel engine(mixed, limits(64));
  EXPECT_FALSE(engine.submit(Tokens{60}, Tokens{5}));
  EXPECT_FALSE(engine.submit(Tokens{0}, Tokens{5}));
  EXPECT_FALSE(engine.submit(Tokens{5}, Tokens{0}));
  EXPECT_FALSE(engine.submit(Tokens{1LL << 62}, Tokens{1LL << 62}));
  EXPECT_TRUE(engine.submit(Tokens{60}, Tokens{4}));
}

}  // namespace
}  // namespace qlm

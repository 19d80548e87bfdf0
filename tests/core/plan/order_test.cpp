#include "core/plan/order.hpp"

#include <gtest/gtest.h>

namespace qlm {
namespace {

constexpr StepTimeModel knee{.kind = StepTimeModel::Kind::knee, .base_ms = 8, .per_prefill_token_ms = 0.05, .knee_tokens = 70,
                             .per_sequence_ms = 0.003, .per_context_token_ms = 0.00008};

TEST(Order, LowerKeysAreSooner) {
  const Instant zero{};
  const OrderFacts early{.deadline = zero + 1s, .latest_start = zero + 1s, .class_value = 1, .work = 2s};
  const OrderFacts late{.deadline = zero + 2s, .latest_start = zero + 2s, .class_value = 5, .work = 1s};
  EXPECT_EQ(order_key(Policy::fcfs, early), order_key(Policy::fcfs, late)) << "arrival decides";
  EXPECT_GT(order_key(Policy::priority, early), order_key(Policy::priority, late));
  for (const Policy policy : {Policy::edf, Policy::edf_expire, Policy::shepherd, Policy::qlm_lp, Policy::qlm}) EXPECT_LT(order_key(policy, early), order_key(policy, late));
  EXPECT_GT(order_key(Policy::sjf, early), order_key(Policy::sjf, late));
}

TEST(Order, BucketsGrowWithThePromptAndHoldAlikeOnes) {
  std::uint32_t last = 0;
  for (std::int64_t tokens = 1; tokens < 200'000; tokens += 1 + tokens / 50) {
    const std::uint32_t bucket = size_bucket(Tokens{tokens});
    EXPECT_GE(bucket, last);
    EXPECT_LE(bucket, last + 1 + (last == 0 ? 64 : 0));
    last = bucket;
  }
  EXPECT_EQ(size_bucket(Tokens{1024}), size_bucket(Tokens{1500}));
  EXPECT_NE(size_bucket(Tokens{1024}), size_bucket(Tokens{1536}));
}

TEST(Order, WorkGrowsWithPromptAndOutputAndABiggerBatchSharesTheStep) {
  const EngineLoad full = full_load(knee, 256, 464'000, 250, 228);
  EXPECT_EQ(full.batch, 256);
  EXPECT_LT(request_work(full, Tokens{100}, 200), request_work(full, Tokens{1000}, 200));
  EXPECT_LT(request_work(full, Tokens{100}, 100), request_work(full, Tokens{100}, 200));
  EXPECT_LT(request_work(full, Tokens{100}, 200), request_work(full_load(knee, 16, 464'000, 250, 228), Tokens{100}, 200));
  EXPECT_LT(full_load(knee, 256, 20'000, 250, 228).batch, 60) << "memory bounds the batch";
}

TEST(Order, AFullEngineDoesAboutASecondsWorkASecond) {
  // 256 sequences of 250/228 tokens: what they cost together is the time that their steps take.
  const EngineLoad full = full_load(knee, 256, 464'000, 250, 228);
  const double together = 256 * seconds(request_work(full, Tokens{250}, 228));
  const StepLoad step{.prefill_tokens = 256 * 250 / 228, .decoding = 256, .context_tokens = 256 * 364};
  EXPECT_NEAR(together, 228 * seconds(knee(step)), 0.1 * together);
}

TEST(Order, ALongerPromptMustStartSooner) {
  const EngineLoad full = full_load(knee, 256, 464'000, 250, 228);
  EXPECT_LT(start_margin(full, Tokens{100}, 0), start_margin(full, Tokens{10'000}, 0));
  EXPECT_GT(start_margin(full, Tokens{1}, 0), 8ms) << "a step at least";
  EXPECT_GT(start_margin(full, Tokens{1}, 2), start_margin(full, Tokens{1}, 0)) << "others stand in the engine's queue before it";
}

}  // namespace
}  // namespace qlm

#include "simulate/bounds/work.hpp"

#include <gtest/gtest.h>

namespace qlm::bounds {
namespace {

LeastWork charged_by_memory() {
  EngineSpec spec;
  spec.step = {.base_ms = 12, .per_sequence_ms = 0.05, .per_context_token_ms = 0.0003};
  spec.limits = {.kv_tokens = Tokens{40'000}, .max_num_seqs = 128, .max_num_batched_tokens = Tokens{2048}};
  return {spec, {.step = {.slots = 0.25, .kv = 0.75, .tokens = 0}}};
}

TEST(LeastWork, TokensAreTheSumOfEach) {
  const LeastWork work = charged_by_memory();
  EngineTime sum{};
  for (std::int64_t nth = 7; nth <= 203; ++nth) sum += work.token(Tokens{100}, Tokens{nth});
  EXPECT_NEAR(work.tokens(Tokens{100}, Tokens{7}, Tokens{203}).count(), sum.count(), 1e-12);
}

TEST(LeastWork, ATokenIsNeverLessThanTheSmoothOneNorMoreThanItAndTheRounding) {
  const LeastWork work = charged_by_memory();
  EXPECT_GT(work.rounding(), EngineTime{});
  for (std::int64_t nth = 2; nth <= 100; ++nth) {
    const EngineTime least = work.smooth_token(Tokens{33}, Tokens{nth});
    EXPECT_GE(work.token(Tokens{33}, Tokens{nth}).count(), least.count() - 1e-15);
    EXPECT_LE(work.token(Tokens{33}, Tokens{nth}).count(), (least + work.rounding()).count() + 1e-15);
  }
}

}  // namespace
}  // namespace qlm::bounds

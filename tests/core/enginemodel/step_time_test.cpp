#include "core/domain/step_time.hpp"

#include <gtest/gtest.h>

namespace qlm {
namespace {

using Kind = StepTimeModel::Kind;

TEST(StepTime, LinearAddsEveryTerm) {
  const StepTimeModel model{Kind::linear, 10, 0, 0.05, 0, 0.1, 0.001, 0.0001};
  EXPECT_EQ(model({.prefill_tokens = 100, .decoding = 10, .context_tokens = 1000, .attention = 5000}),
            17'500us);
}

TEST(StepTime, BelowTheKneeTokensAreFree) {
  const StepTimeModel model{Kind::knee, 8, 0, 0.05, 80, 0, 0, 0};
  EXPECT_EQ(model({.decoding = 1}), 12ms);
  EXPECT_EQ(model({.prefill_tokens = 40, .decoding = 40}), 12ms);
  EXPECT_EQ(model({.prefill_tokens = 60, .decoding = 40}), 13ms);
}

TEST(StepTime, SeparateStepsHaveBasesOfTheirOwn) {
  const StepTimeModel model{Kind::separate, 9, 12, 0.06, 0, 0.1, 0, 0};
  EXPECT_EQ(model({.prefill_tokens = 100}), 15ms);
  EXPECT_EQ(model({.decoding = 20}), 14ms);
}

TEST(StepTime, RoundsToTheNearestNanosecond) {
  const StepTimeModel model{Kind::linear, 0.0000016, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(model({}), 2ns);
}

}  // namespace
}  // namespace qlm

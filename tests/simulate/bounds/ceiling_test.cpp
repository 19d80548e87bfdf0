#include "simulate/bounds/ceiling.hpp"

#include <gtest/gtest.h>

#include "base/prng.hpp"
#include "blind.hpp"

namespace qlm::bounds {
namespace {

constexpr double close = 2e-3;  // what the search for the best price leaves

// Every step takes 10 ms, however many are in it.
EngineSpec plain(int slots) {
  EngineSpec spec;
  spec.step.base_ms = 10;
  spec.limits = {.kv_tokens = Tokens{1 << 20}, .max_num_seqs = slots, .max_num_batched_tokens = Tokens{2048}};
  return spec;
}

// The lengths, each as probable as the others.
OutputLengths lengths(std::initializer_list<int> outputs) {
  std::vector<workload::Lengths> pairs;
  for (const int output : outputs) pairs.push_back({Tokens{4}, Tokens{output}});
  return OutputLengths(pairs);
}

std::vector<Request> requests(std::size_t n, Duration end_to_end) {
  return std::vector<Request>(n, {.arrival = 0ms, .prompt = Tokens{4}, .slo = {.e2e = end_to_end}});
}

TEST(Ceiling, ByHandWhereTimeIsShortLongOutputsAreGivenUp) {
  // An output ends after its first token or its ninth: 10 ms bring half a request, 50 ms on average a whole one. In 30 ms
  // a request half of them are given up after a token and half are not: 0.75. Who sees lengths serves the short ones and
  // 25 of 90 ms of each long one: 0.5 + 0.5 * 25 / 90 * 2 = 0.78.
  const OutputLengths either = lengths({1, 9});
  EXPECT_NEAR(ceiling(requests(100, 3s), either, plain(1)), 0.75, close);
  EXPECT_NEAR(ceiling(requests(100, 1s), either, plain(1)), 0.5, close);
  EXPECT_NEAR(ceiling(requests(100, 500ms), either, plain(1)), 0.25, close);
  EXPECT_NEAR(ceiling(requests(100, 5s), either, plain(1)), 1, close);
}

TEST(Ceiling, ByHandSlotsAndInstancesAddUp) {
  const OutputLengths either = lengths({1, 9});
  EXPECT_NEAR(ceiling(requests(100, 1500ms), either, plain(2)), 0.75, close);
  EXPECT_NEAR(ceiling(requests(100, 1500ms), either, plain(1), 2), 0.75, close);
}

TEST(Ceiling, ByHandOfOneLengthItIsTheCapacity) {
  EXPECT_NEAR(ceiling(requests(100, 1500ms), lengths({3}), plain(1)), 0.5, close);
}

TEST(Ceiling, ByHandTheValuableAreServedAndOthersForWhatIsLeft) {
  // Fifty worth 3 and fifty worth 1. For 3 s: all of the valuable ones to their end, 50 ms each on average: 2.5 s; half a second
  // brings the others a first token each, which ends half of them.
  std::vector<Request> two = requests(100, 3s);
  for (std::size_t i = 0; i < 50; ++i) two[i].value = 3;
  EXPECT_NEAR(ceiling(two, lengths({1, 9}), plain(1)), (150 + 25) / 200.0, close);
  for (Request& each : two) each.value = 3;
  EXPECT_NEAR(ceiling(two, lengths({1, 9}), plain(1)), 0.75, close) << "all worth the same: their number counts";
}

TEST(Ceiling, LengthsAreKnownByThePromptsBucket) {
  std::vector<workload::Lengths> pairs;
  for (int i = 1; i <= 100; ++i) pairs.push_back({Tokens{i}, Tokens{i <= 50 ? 2 : 8}});
  const OutputLengths two(pairs, 2);
  EXPECT_EQ(two.given(Tokens{10}).front().output, Tokens{2});
  EXPECT_EQ(two.given(Tokens{90}).back().output, Tokens{8});
  EXPECT_EQ(two.given(Tokens{5000}).back().output, Tokens{8});
  EXPECT_EQ(two.given(Tokens{10}).back().no_longer, 1);
  EXPECT_TRUE(OutputLengths({}).given(Tokens{1}).empty());
}

TEST(Ceiling, NothingThatDoesNotSeeLengthsPassesIt) {
  int missed = 0, tight = 0;
  constexpr int cases = 300, valued = 200;  // and so many more with values that differ
  for (int seed = 1; seed <= cases + valued; ++seed) {
    Prng prng(static_cast<std::uint64_t>(seed));
    // Half the cases in round figures, which leave no time over and so come close.
    const bool round = prng.chance(0.5);
    EngineSpec engine = plain(1 + static_cast<int>(prng.below(2)));
    if (!round) {
      engine.step.kind = static_cast<StepTimeModel::Kind>(prng.below(3));
      engine.step.base_ms = 2 + 10 * prng.uniform();
      engine.step.decode_base_ms = 2 + 10 * prng.uniform();
      engine.step.per_prefill_token_ms = prng.uniform();
      engine.step.knee_tokens = static_cast<double>(prng.below(12));
      engine.step.per_sequence_ms = 4 * prng.uniform();
      engine.step.per_context_token_ms = 0.2 * prng.uniform();
      engine.step.per_attention_ms = 0.02 * prng.uniform();
    }
    std::vector<double> weights;
    std::vector<workload::Lengths> pairs;
    double sum = 0;
    for (std::uint64_t n = 1 + prng.below(4); n > 0; --n)
      weights.push_back(static_cast<double>(prng.below(3) + (n == 1 ? 1 : 0)));
    for (const double weight : weights) sum += weight;
    for (std::size_t k = 0; k < weights.size(); ++k) {
      pairs.insert(pairs.end(), static_cast<std::size_t>(weights[k]),
                   {Tokens{1}, Tokens{static_cast<std::int64_t>(k + 1)}});
      weights[k] /= sum;
    }
    const auto milli = [&](std::uint64_t from, std::uint64_t to) {
      return 10ms * static_cast<std::int64_t>(from + prng.below(to - from));
    };
    std::vector<Request> asked;
    const Slo slo{.ttft = prng.chance(0.7) ? std::optional(milli(1, 8)) : std::nullopt,
                  .tpot = prng.chance(0.7) ? std::optional(milli(1, 4)) : std::nullopt,
                  .e2e = milli(1, 12)};
    for (int i = 0; i < 3; ++i) {
      Request r{.arrival = prng.chance(0.8) ? 0ms : milli(0, 5),
                .prompt = Tokens{1 + static_cast<std::int64_t>(prng.below(12))},
                .slo = slo};
      if (slo.ttft && slo.tpot && prng.chance(0.5)) r.slo.e2e.reset();
      asked.push_back(r);
    }
    double all = 3;
    if (seed > cases) {
      asked[0].value = 10, asked[1].value = 3;
      all = 14;
    }
    const double most = Blind(asked, weights, engine).most();
    const double at_most = all * ceiling(asked, OutputLengths(pairs), engine);
    ASSERT_LE(most, at_most + 1e-6) << "seed " << seed;
    if (seed > cases) continue;
    missed += most < 2.99 ? 1 : 0;
    tight += most < 2.99 && at_most - most < 0.02 ? 1 : 0;
  }
  EXPECT_GT(missed, cases / 2);
  EXPECT_GT(tight, cases / 20);  // it says something: often it is nearly reached
}

}  // namespace
}  // namespace qlm::bounds

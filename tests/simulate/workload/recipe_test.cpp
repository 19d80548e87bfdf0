#include "simulate/workload/recipe.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace qlm::workload {
namespace {

const std::vector<WeightedModel> two_models = {{"a", 1}, {"b", 3}};

struct Means {
  double prompt, output;
};
Means means(std::string_view lengths) {
  const auto distribution = LengthDistribution::parse(lengths).value();
  Prng prng(3);
  const int n = 100'000;
  double prompt = 0, output = 0;
  for (int i = 0; i < n; ++i) {
    const auto sample = distribution.sample(prng);
    prompt += static_cast<double>(sample.prompt.count);
    output += static_cast<double>(sample.output.count);
  }
  return {prompt / n, output / n};
}

// The means of the data each table was fitted to, as fit_lengths.py wrote them beside it.
TEST(Lengths, HaveTheMeansOfTheirSource) {
  const std::map<std::string_view, Means> source = {
      {"sharegpt", {74.1, 228.6}},  {"alpaca", {13.9, 48.3}},
      {"arxiv", {2588.1, 291.4}},   {"mega", {3186.1, 343.8}},
      {"azure_conversation", {1154.7, 211.1}}, {"mooncake_conversation", {12035.1, 342.6}}};
  ASSERT_EQ(length_tables().size(), source.size());
  for (const auto& [name, expected] : source) {
    const auto got = means(name);
    EXPECT_NEAR(got.prompt / expected.prompt, 1, 0.04) << name;
    EXPECT_NEAR(got.output / expected.output, 1, 0.04) << name;
  }
}

TEST(Lengths, TablesAreQuantiles) {
  for (const auto& table : length_tables()) {
    EXPECT_TRUE(std::is_sorted(table.prompt.begin(), table.prompt.end())) << table.name;
    for (const auto& row : table.output) EXPECT_TRUE(std::is_sorted(row.begin(), row.end())) << table.name;
    EXPECT_GE(table.prompt.front(), 1) << table.name;
  }
}

TEST(Lengths, KeepHowOutputsDependOnPrompts) {
  const auto arxiv = LengthDistribution::parse("arxiv").value();
  Prng prng(5);
  double shorter = 0, longer = 0;
  int shorts = 0, longs = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto sample = arxiv.sample(prng);
    const bool is_short = sample.prompt < Tokens{1200};
    (is_short ? shorter : longer) += static_cast<double>(sample.output.count);
    ++(is_short ? shorts : longs);
  }
  EXPECT_GT(shorter / shorts, 2 * longer / longs);
}

TEST(Lengths, MayBeFixedAndAreRefusedOtherwise) {
  const auto fixed = LengthDistribution::parse("30000/16").value();
  Prng prng(1);
  EXPECT_EQ(fixed.sample(prng).prompt, Tokens{30000});
  EXPECT_EQ(fixed.sample(prng).output, Tokens{16});
  for (const char* wrong : {"", "share", "1/", "/2", "0/5", "3/-1", "a/b"}) {
    EXPECT_FALSE(LengthDistribution::parse(wrong)) << wrong;
  }
}

TEST(Generate, IsTheSameForTheSameSeedAndAnotherForAnother) {
  const auto streams = recipe("demo", {two_models, 8}).value();
  EXPECT_EQ(generate(streams, 60s, 1), generate(streams, 60s, 1));
  EXPECT_NE(generate(streams, 60s, 1), generate(streams, 60s, 2));
  EXPECT_EQ(parse_trace(write_trace(generate(streams, 60s, 1))).value(), generate(streams, 60s, 1));
  // Recorded once: a published seed must go on meaning the same trace.
  std::uint64_t digest = 0;
  for (const unsigned char c : write_trace(generate(streams, 60s, 1))) digest = digest * 1099511628211ULL + c;
  EXPECT_EQ(digest, 13924377405549625594ULL);
}

TEST(Generate, AStreamDoesNotDependOnItsNeighbours) {
  auto streams = recipe("w_a", {two_models, 9}).value();
  const auto whole = generate(streams, 60s, 1);
  streams[1].arrivals = Renewal{0.1};
  const auto changed = generate(streams, 60s, 1);
  const auto of = [](const Trace& trace, std::string_view slo_class) {
    Trace some;
    for (const auto& r : trace) if (r.slo_class == slo_class) some.push_back(r);
    return some;
  };
  EXPECT_EQ(of(whole, "interactive"), of(changed, "interactive"));
  EXPECT_EQ(of(whole, "batch-2"), of(changed, "batch-2"));
}

TEST(Generate, ArrivalsHaveTheirRateAndVariation) {
  for (const double cv : {0.5, 1.0, 3.0}) {
    const Stream stream{"c", two_models, LengthDistribution::parse("1/1").value(), Renewal{10, cv}};
    const auto trace = generate({stream}, 10'000s, 7);
    EXPECT_NEAR(static_cast<double>(trace.size()) / 100'000, 1, 0.03) << cv;
    double sum = 0, squares = 0;
    for (std::size_t i = 1; i < trace.size(); ++i) {
      const double gap = seconds(trace[i].arrival - trace[i - 1].arrival);
      sum += gap;
      squares += gap * gap;
    }
    const double n = static_cast<double>(trace.size() - 1), mean = sum / n;
    EXPECT_NEAR(std::sqrt(squares / n - mean * mean) / mean / cv, 1, 0.05) << cv;
  }
}

TEST(Generate, ModelsAreDrawnByWeight) {
  const auto trace = generate(recipe("single", {two_models, 100}).value(), 100s, 1);
  const auto of_b = std::count_if(trace.begin(), trace.end(), [](const auto& r) { return r.model == "b"; });
  EXPECT_NEAR(static_cast<double>(of_b) / static_cast<double>(trace.size()), 0.75, 0.02);
}

TEST(Generate, DumpsArriveTogether) {
  const Stream stream{"batch", two_models, LengthDistribution::parse("1/1").value(), Dumps{3, 10s, 2s}};
  const auto trace = generate({stream}, 25s, 1);
  ASSERT_EQ(trace.size(), 9U);
  EXPECT_EQ(trace[2].arrival, 2s);
  EXPECT_EQ(trace[3].arrival, 12s);
  EXPECT_EQ(trace[8].arrival, 22s);
}

TEST(Recipe, HolPutsOneLongPromptBeforeFiftyShortOnes) {
  const auto trace = generate(recipe("hol", {{{"a", 1}}, 10.2}).value(), 10s, 1);
  ASSERT_EQ(trace.size(), 102U);
  for (const std::size_t start : {0U, 51U}) {
    EXPECT_EQ(trace[start].prompt, Tokens{30000});
    for (std::size_t i = 1; i <= 50; ++i) {
      EXPECT_EQ(trace[start + i].prompt, Tokens{64});
      EXPECT_EQ(trace[start + i].slo_class, "interactive");
    }
  }
}

TEST(Recipe, EveryNamedOneKeepsTheRateAskedFor) {
  for (const auto& [name, description] : recipe_names()) {
    const auto streams = recipe(name, {two_models, 20}).value();
    const auto trace = generate(streams, 600s, 1);
    EXPECT_NEAR(static_cast<double>(trace.size()) / 12'000, 1, 0.06) << name;
    EXPECT_GT(mean_gpu_time(streams), Duration{}) << name;
  }
  EXPECT_FALSE(recipe("unheard-of", {two_models, 1}));
  EXPECT_FALSE(recipe("w_a", {{}, 1}));
  EXPECT_FALSE(recipe("w_a", {two_models, 0}));
}

TEST(Recipe, GpuTimeOfShareGptIsNearTheSimulatedCapacity) {
  // A step-by-step simulation of the same GPU serves 33 of these requests a second.
  EXPECT_NEAR(1 / seconds(mean_gpu_time(recipe("single", {two_models, 1}).value())), 33, 6);
}

TEST(Recipe, SessionsAreConversationsWhosePromptsHoldAllThatWasSaidBefore) {
  const Trace trace = generate(recipe("sessions", {{{"m", 1}}, 20, 0}).value(), 1h, 1);
  EXPECT_NEAR(static_cast<double>(trace.size()) / 3600, 20, 1.5);
  std::map<std::uint64_t, const TraceRequest*> last;
  std::set<std::uint64_t> systems;
  for (const TraceRequest& r : trace) {
    ASSERT_EQ(r.prefix.size(), 2U);
    EXPECT_EQ(r.prefix[0].length + r.prefix[1].length, r.prompt);
    systems.insert(r.prefix[0].text);
    const TraceRequest*& before = last[r.prefix[1].text];
    if (before) {
      EXPECT_EQ(before->prefix[0], r.prefix[0]);
      EXPECT_EQ(before->slo_class, r.slo_class);
      EXPECT_GE(r.arrival - before->arrival, 10s);
      EXPECT_GT(r.prompt, before->prompt + before->output);
    }
    before = &r;
  }
  EXPECT_EQ(systems.size(), 4U);
  EXPECT_NEAR(static_cast<double>(trace.size()) / static_cast<double>(last.size()), 3.8, 0.3);  // of four, some before or after
}

TEST(StreamSpec, SaysClassModelsLengthsAndArrivals) {
  const auto stream = parse_stream("class=chat,model=x|y:2,lengths=alpaca,rate=2.5,cv=3", two_models).value();
  EXPECT_EQ(stream.slo_class, "chat");
  ASSERT_EQ(stream.models.size(), 2U);
  EXPECT_EQ(stream.models[1].weight, 2);
  EXPECT_EQ(std::get<Renewal>(stream.arrivals).per_second, 2.5);
  EXPECT_EQ(std::get<Renewal>(stream.arrivals).cv, 3);
  const auto dumps = parse_stream("class=batch,count=500,every=10m,first=30s", two_models).value();
  EXPECT_EQ(std::get<Dumps>(dumps.arrivals).every, 10min);
  EXPECT_EQ(dumps.models.size(), 2U);
  for (const char* wrong : {"", "class=a", "rate=0", "rate=x", "count=5", "every=5s", "rate=1,count=5,every=1s",
                            "rate=1,unknown=2", "rate=1,lengths=none", "count=5,every=10", "rate=1,model="}) {
    EXPECT_FALSE(parse_stream(wrong, two_models)) << wrong;
  }
}

TEST(StreamSpec, ModelNamesMayHoldColons) {
  const auto models = parse_models("llama3:8b,mistral:2").value();
  EXPECT_EQ(models[0].name, "llama3:8b");
  EXPECT_EQ(models[0].weight, 1);
  EXPECT_EQ(models[1].name, "mistral");
  EXPECT_EQ(models[1].weight, 2);
}

TEST(Durations, NeedAUnit) {
  EXPECT_EQ(parse_duration("5m").value(), 5min);
  EXPECT_EQ(parse_duration("250ms").value(), 250ms);
  EXPECT_EQ(parse_duration("10000h").value(), 10'000h);
  EXPECT_EQ(parse_duration("10001h").error().message, "'10001h' is too long: expected at most 10000h");
  for (const char* wrong : {"", "5", "s", "-1s", "0s", "1 s", "infs", "nans"}) EXPECT_FALSE(parse_duration(wrong)) << wrong;
}

}  // namespace
}  // namespace qlm::workload

// Workloads made from streams: who asks (class, models), how much (lengths) and when (arrivals). The same recipe and
// seed give the same trace on every machine.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "simulate/workload/lengths.hpp"
#include "simulate/workload/trace.hpp"

namespace qlm::workload {

// Gaps of independent arrivals: coefficient of variation 1 is Poisson, above it bursts, below it an even pace.
struct Renewal {
  double per_second = 0;
  double cv = 1;
};
// Batch work as it comes: `count` requests at once, every `every`, the first at `first`.
struct Dumps {
  int count = 0;
  Duration every{};
  Duration first{};
};
using Arrivals = std::variant<Renewal, Dumps>;

// Each of these arrivals begins a conversation: `turns` on average, a thinking time after each, and every prompt is all that
// was said before it, after one of a few system prompts that many share. Turns after the end are cut.
struct Conversations {
  double turns = 4;
  Duration think = 60s;      // on average, beside the 10 s that reading takes
  int system_prompts = 4;
  Tokens system{800};
};

struct WeightedModel {
  std::string name;
  double weight = 1;
};

struct Stream {
  std::string slo_class;
  std::vector<WeightedModel> models;
  LengthDistribution lengths;
  Arrivals arrivals;
  std::string tenant;
  std::optional<Conversations> conversations;
};

Trace generate(const std::vector<Stream>& streams, Duration duration, std::uint64_t seed);

// "class=interactive,lengths=sharegpt,rate=2.5,cv=1" or "class=batch,lengths=arxiv,count=40,every=30s,first=5s";
// `model=a` (or a|b:2 for a weighted choice) overrides `models`; `tenant=a` says whose it is.
Result<Stream> parse_stream(std::string_view text, const std::vector<WeightedModel>& models);
// "a,b:2" as a list of weighted models.
Result<std::vector<WeightedModel>> parse_models(std::string_view text, char separator = ',');
// "90s", "5m", "1h", "250ms"; a bare number is refused.
Result<Duration> parse_duration(std::string_view text);

// The named recipes, each with one line of description.
struct RecipeName {
  std::string_view name;
  std::string_view description;
};
std::vector<RecipeName> recipe_names();

struct RecipeParameters {
  std::vector<WeightedModel> models;
  double per_second = 0;        // all streams together, on average
  double mega_share = 0.02;     // of the requests, where a recipe has very long prompts
};
Result<std::vector<Stream>> recipe(std::string_view name, const RecipeParameters& parameters);

// GPU time one request of these streams takes on average, for turning a load into a rate before anything was measured:
// an emulated A100-80 serving a 7B model from a full batch. A guide, within some 20 %; a measured capacity is better.
Duration mean_gpu_time(const std::vector<Stream>& streams);

}  // namespace qlm::workload

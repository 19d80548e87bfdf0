#include "simulate/workload/recipe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace qlm::workload {
namespace {

const std::string& pick(const std::vector<WeightedModel>& models, Prng& prng) {
  double total = 0;
  for (const auto& model : models) total += model.weight;
  double at = prng.uniform() * total;
  for (const auto& model : models) {
    at -= model.weight;
    if (at < 0) return model.name;
  }
  return models.back().name;
}

std::vector<Duration> arrival_times(const Arrivals& arrivals, Duration duration, Prng& prng) {
  std::vector<Duration> times;
  if (const auto* dumps = std::get_if<Dumps>(&arrivals)) {
    for (Duration at = dumps->first; at < duration; at += dumps->every) {
      times.insert(times.end(), static_cast<std::size_t>(dumps->count), at);
    }
    return times;
  }
  const auto& renewal = std::get<Renewal>(arrivals);
  if (renewal.per_second <= 0) return times;
  const double mean = 1 / renewal.per_second;
  const double end = seconds(duration);
  const auto gap = [&] {
    return renewal.cv == 1 ? prng.exponential(mean) : prng.gamma(1 / (renewal.cv * renewal.cv), mean);
  };
  for (double at = gap(); at < end; at += gap()) {
    // Whole microseconds, as the CSV holds them: a trace read back is the trace that was made.
    times.push_back(std::chrono::duration_cast<std::chrono::microseconds>(duration_from_seconds(at)));
  }
  return times;
}

std::optional<double> above_zero(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0)) return std::nullopt;
  return value;
}

std::optional<double> positive(std::string_view text) {
  const auto value = above_zero(text);
  return value && *value <= 1e9 ? value : std::nullopt;
}

Stream stream(std::string_view slo_class, const std::vector<WeightedModel>& models, std::string_view lengths,
              Arrivals arrivals) {
  return {std::string(slo_class), models, LengthDistribution::parse(lengths).value(), arrivals, {}, {}};
}

// Bulk work of a given average rate: a dump every 30 s, the first after 5 s so that it meets a fleet already at work.
Dumps dumps_of(double per_second) {
  constexpr Duration every = 30s;
  return {std::max(1, static_cast<int>(per_second * seconds(every) + 0.5)), every, 5s};
}

using Build = std::vector<Stream> (*)(const RecipeParameters&);

std::vector<Stream> single(const RecipeParameters& p) {
  return {stream("interactive", p.models, "sharegpt", Renewal{p.per_second})};
}

std::vector<Stream> three_classes(const RecipeParameters& p, double per_second) {
  const Renewal third{per_second / 3};
  return {stream("interactive", p.models, "sharegpt", third), stream("batch-1", p.models, "sharegpt", third),
          stream("batch-2", p.models, "sharegpt", third)};
}

std::vector<Stream> w_a(const RecipeParameters& p) { return three_classes(p, p.per_second); }

// A stream for each model, of its weight's part of the rate: batch-1 for the first half of them, batch-2 for the others.
// `interactive` of the requests are interactive instead; batch-2 comes evenly, or as dumps.
std::vector<Stream> by_model(const RecipeParameters& p, double interactive, std::optional<Duration> dumps) {
  double weights = 0;
  for (const WeightedModel& m : p.models) weights += m.weight;
  const std::size_t half = (p.models.size() + 1) / 2;
  std::vector<Stream> streams;
  for (std::size_t i = 0; i < p.models.size(); ++i) {
    const double rate = p.per_second * p.models[i].weight / weights;
    const bool urgent = i < half;
    Arrivals arrivals = Renewal{rate * (1 - interactive)};
    // Dumps of different models come at different times.
    if (dumps && !urgent) arrivals = Dumps{std::max(1, static_cast<int>(rate * seconds(*dumps) + 0.5)), *dumps, *dumps / static_cast<std::int64_t>(p.models.size()) * static_cast<std::int64_t>(i - half)};
    streams.push_back(stream(urgent ? "batch-1" : "batch-2", {p.models[i]}, "sharegpt", arrivals));
    if (interactive > 0) streams.push_back(stream("interactive", {p.models[i]}, "sharegpt", Renewal{rate * interactive}));
  }
  return streams;
}

std::vector<Stream> w_b(const RecipeParameters& p) { return by_model(p, 0, std::nullopt); }
std::vector<Stream> w_b_dumps(const RecipeParameters& p) { return by_model(p, 0, 300s); }
std::vector<Stream> w_b_interactive(const RecipeParameters& p) { return by_model(p, 0.25, std::nullopt); }

std::vector<Stream> w_c(const RecipeParameters& p) {
  auto streams = three_classes(p, p.per_second * (1 - p.mega_share));
  for (const char* slo_class : {"interactive", "batch-1", "batch-2"}) {
    streams.push_back(stream(slo_class, p.models, "mega", Renewal{p.per_second * p.mega_share / 3}));
  }
  return streams;
}

std::vector<Stream> demo(const RecipeParameters& p) {
  return {stream("interactive", p.models, "sharegpt", Renewal{p.per_second * (0.5 - p.mega_share)}),
          stream("batch", p.models, "sharegpt", dumps_of(p.per_second * 0.5)),
          stream("batch", p.models, "24000/64", Renewal{p.per_second * p.mega_share, 0.5})};
}

// One very long prompt right before fifty short ones, again and again: head-of-line blocking in its purest form.
std::vector<Stream> hol(const RecipeParameters& p) {
  const Duration every = duration_from_seconds(51 / p.per_second);
  return {stream("batch", p.models, "30000/16", Dumps{1, every, 0s}),
          stream("interactive", p.models, "64/32", Dumps{50, every, 100ms})};
}

std::vector<Stream> azure(const RecipeParameters& p) {
  return {stream("interactive", p.models, "azure_conversation", Renewal{p.per_second, 1.09})};
}

// Chats: a third of the conversations in each class, all with the same few system prompts.
std::vector<Stream> sessions(const RecipeParameters& p) {
  auto streams = three_classes(p, p.per_second / Conversations{}.turns);
  for (Stream& s : streams) s.conversations = Conversations{};
  return streams;
}

struct Recipe {
  RecipeName name;
  Build build;
};
constexpr Recipe recipes[] = {
    {{"single", "one class, interactive: ShareGPT lengths, Poisson arrivals"}, single},
    {{"w_a", "three classes, a third each: ShareGPT lengths, Poisson arrivals"}, w_a},
    {{"w_b", "batch-1 for the first half of the models, batch-2 for the others; weights count"}, w_b},
    {{"w_b_dumps", "w_b with batch-2 in dumps, one every 300 s for each model"}, w_b_dumps},
    {{"w_b_interactive", "w_b with a quarter of the requests interactive"}, w_b_interactive},
    {{"heterogeneous", "w_b, as it is asked of unlike GPUs in the suites: 2 A100, and 2 A10 that hold the small models alone"}, w_b},
    {{"w_c", "w_a with a share of mega prompts of 3,000 to 4,000 tokens"}, w_c},
    {{"sessions", "w_a as conversations of four turns on average, each prompt with all before it, behind shared system prompts"}, sessions},
    {{"demo", "interactive requests, dumps of batch ones, and a few prompts of 24,000 tokens"}, demo},
    {{"hol", "one prompt of 30,000 tokens before fifty short ones, repeated"}, hol},
    {{"azure", "a stand-in for the Azure conversation trace: its lengths, gaps of CV 1.09"}, azure},
};

// As if conversations had begun all the time before: nearly all that still go on began within this.
constexpr Duration under_way = 900s;

// Texts are numbered so that none is another's: system prompts first.
void add_conversation(Trace& trace, const Stream& s, Duration from, Duration until, std::uint64_t& texts, Prng& what) {
  const Conversations& c = *s.conversations;
  const std::string& model = pick(s.models, what);
  const PrefixPart system{1 + what.below(static_cast<std::uint64_t>(c.system_prompts)), c.system};
  PrefixPart said{1 + static_cast<std::uint64_t>(c.system_prompts) + texts++, Tokens{0}};
  Duration at = from;
  do {
    const auto lengths = s.lengths.sample(what);
    said.length += lengths.prompt;
    if (at >= Duration{}) trace.push_back({at, system.length + said.length, lengths.output, model, s.slo_class, s.tenant, {system, said}});
    said.length += lengths.output;
    at += 10s + std::chrono::duration_cast<std::chrono::microseconds>(duration_from_seconds(what.exponential(seconds(c.think))));
  } while (what.chance(1 - 1 / c.turns) && at < until);
}

}  // namespace

Trace generate(const std::vector<Stream>& streams, Duration duration, std::uint64_t seed) {
  Trace trace;
  Prng seeds(seed);
  std::uint64_t conversations = 0;
  for (const auto& s : streams) {
    // A generator for each stream's arrivals and one for what arrives: changing one stream leaves the others alone.
    Prng when(seeds.next());
    Prng what(seeds.next());
    const Duration before = s.conversations ? under_way : Duration{};
    for (const Duration at : arrival_times(s.arrivals, duration + before, when)) {
      if (s.conversations) {
        add_conversation(trace, s, at - before, duration, conversations, what);
        continue;
      }
      const auto lengths = s.lengths.sample(what);
      trace.push_back({at, lengths.prompt, lengths.output, pick(s.models, what), s.slo_class, s.tenant, {}});
    }
  }
  std::stable_sort(trace.begin(), trace.end(), [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
  return trace;
}

Result<Duration> parse_duration(std::string_view text) {
  constexpr double longest_hours = 10'000;
  constexpr std::pair<std::string_view, double> units[] = {{"ms", 1e-3}, {"us", 1e-6}, {"s", 1}, {"m", 60}, {"h", 3600}};
  for (const auto& [unit, size] : units) {
    if (!text.ends_with(unit)) continue;
    const auto number = above_zero(text.substr(0, text.size() - unit.size()));
    if (!number) break;
    if (*number * size > longest_hours * 3600) return fail(fmt::format("'{}' is too long: expected at most {:.0f}h", text, longest_hours));
    return duration_from_seconds(*number * size);
  }
  return fail(fmt::format("'{}' is no duration: expected a number and its unit, like 500ms, 90s, 5m or 1h", text));
}

Result<std::vector<WeightedModel>> parse_models(std::string_view text, char separator) {
  std::vector<WeightedModel> models;
  while (true) {
    const auto end = text.find(separator);
    const auto item = text.substr(0, end);
    const auto colon = item.rfind(':');
    // A colon is the weight's only where a number follows: model names may hold colons ("llama3:8b").
    const auto weight = colon == std::string_view::npos ? std::nullopt : positive(item.substr(colon + 1));
    const auto name = weight ? item.substr(0, colon) : item;
    if (name.empty() || name.find_first_of(",\"\r\n") != std::string_view::npos) {
      return fail(fmt::format("'{}' is no model name", name));
    }
    models.push_back({std::string(name), weight.value_or(1)});
    if (end == std::string_view::npos) return models;
    text.remove_prefix(end + 1);
  }
}

Result<Stream> parse_stream(std::string_view text, const std::vector<WeightedModel>& models) {
  Stream result{"", models, LengthDistribution::parse("sharegpt").value(), Renewal{}, {}, {}};
  Renewal renewal;
  std::optional<Dumps> dumps;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const auto equals = item.find('=');
    const auto key = item.substr(0, equals);
    const auto value = equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    const auto wrong = [&](std::string_view why) {
      return fail(fmt::format("stream '{}': '{}': {}", text, item, why));
    };
    if (key == "class") {
      result.slo_class = value;
    } else if (key == "tenant") {
      result.tenant = value;
    } else if (key == "lengths") {
      auto lengths = LengthDistribution::parse(value);
      if (!lengths) return wrong(lengths.error().message);
      result.lengths = *lengths;
    } else if (key == "model") {
      auto parsed = parse_models(value, '|');
      if (!parsed) return wrong(parsed.error().message);
      result.models = std::move(*parsed);
    } else if (key == "rate" || key == "cv") {
      const auto number = positive(value);
      if (!number) return wrong("expected a number above 0");
      (key == "rate" ? renewal.per_second : renewal.cv) = *number;
    } else if (key == "count") {
      const auto number = positive(value);
      if (!number || *number > 1e6 || *number < 1) return wrong("expected a whole number of requests");
      if (!dumps) dumps.emplace();
      dumps->count = static_cast<int>(*number);
    } else if (key == "every" || key == "first") {
      const auto duration = parse_duration(value);
      if (!duration) return wrong(duration.error().message);
      if (!dumps) dumps.emplace();
      (key == "every" ? dumps->every : dumps->first) = *duration;
    } else {
      return wrong("unknown key; known are class, model, tenant, lengths, rate, cv, count, every, first");
    }
  }
  if (result.models.empty()) return fail(fmt::format("stream '{}': no model given", text));
  if (dumps && renewal.per_second > 0) return fail(fmt::format("stream '{}': either rate or count and every", text));
  if (dumps && (dumps->count == 0 || dumps->every <= Duration{})) {
    return fail(fmt::format("stream '{}': dumps need both count and every", text));
  }
  if (!dumps && renewal.per_second <= 0) return fail(fmt::format("stream '{}': no rate given", text));
  if (dumps) result.arrivals = *dumps; else result.arrivals = renewal;
  return result;
}

std::vector<RecipeName> recipe_names() {
  std::vector<RecipeName> names;
  for (const auto& r : recipes) names.push_back(r.name);
  return names;
}

Result<std::vector<Stream>> recipe(std::string_view name, const RecipeParameters& parameters) {
  if (parameters.models.empty()) return fail("a recipe needs at least one model");
  if (!(parameters.per_second > 0)) return fail("a recipe needs a rate above 0");
  for (const auto& r : recipes) {
    if (r.name.name == name) return r.build(parameters);
  }
  std::string known;
  for (const auto& r : recipes) known += fmt::format("{}{}", known.empty() ? "" : ", ", r.name.name);
  return fail(fmt::format("no recipe '{}'; there are {} and mix", name, known));
}

Duration mean_gpu_time(const std::vector<Stream>& streams) {
  // Milliseconds of a decode step: weights, a token's share, a context token's share (A100-80, 7B, composed figures).
  constexpr double step = 7.54, per_token = 0.0526, per_sequence = 0.003, per_context_token = 7.8e-5;
  constexpr double kv_tokens = 464'000, sequences = 256;
  double weighted = 0, rates = 0;
  Prng prng(1);
  for (const auto& s : streams) {
    double prompt = 0, output = 0, work = 0;
    constexpr int samples = 20'000;
    for (int i = 0; i < samples; ++i) {
      const auto lengths = s.lengths.sample(prng);
      const auto p = static_cast<double>(lengths.prompt.count), o = static_cast<double>(lengths.output.count);
      prompt += p;
      output += o;
      work += per_token * p + o * (per_token + per_sequence + per_context_token * (p + o / 2));
    }
    const double batch = std::min(sequences, kv_tokens * samples / (prompt + output));
    const double per_request = (work + output * step / batch) / samples;
    double rate = 0;
    if (const auto* renewal = std::get_if<Renewal>(&s.arrivals)) rate = renewal->per_second;
    if (const auto* dumps = std::get_if<Dumps>(&s.arrivals)) rate = dumps->count / seconds(dumps->every);
    weighted += rate * per_request;
    rates += rate;
  }
  return rates > 0 ? duration_from_seconds(weighted / rates * 1e-3) : Duration{};
}

}  // namespace qlm::workload

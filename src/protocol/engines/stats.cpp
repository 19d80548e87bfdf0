#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "protocol/engines/driver.hpp"
#include "protocol/engines/json.hpp"
#include "protocol/engines/metrics_text.hpp"

namespace qlm::engines {
namespace {

enum class Figure { running, waiting, kv_usage, preemptions, prompt, cached, generated, sleep_state };

struct Rule {
  std::string_view name;
  Figure figure;
};

constexpr std::array vllm_rules{
    Rule{"vllm:num_requests_running", Figure::running},
    Rule{"vllm:num_requests_waiting", Figure::waiting},
    Rule{"vllm:kv_cache_usage_perc", Figure::kv_usage},
    Rule{"vllm:num_preemptions_total", Figure::preemptions},
    Rule{"vllm:prompt_tokens_total", Figure::prompt},
    Rule{"vllm:prompt_tokens_cached_total", Figure::cached},
    Rule{"vllm:generation_tokens_total", Figure::generated},
    Rule{"vllm:engine_sleep_state", Figure::sleep_state},
};
constexpr std::array llamacpp_rules{
    Rule{"llamacpp:requests_processing", Figure::running},
    Rule{"llamacpp:requests_deferred", Figure::waiting},
    Rule{"llamacpp:prompt_tokens_total", Figure::prompt},
    Rule{"llamacpp:prompt_tokens_cached_total", Figure::cached},
    Rule{"llamacpp:tokens_predicted_total", Figure::generated},
};
constexpr std::array sglang_rules{
    Rule{"sglang:num_running_reqs", Figure::running},
    Rule{"sglang:num_queue_reqs", Figure::waiting},
    Rule{"sglang:token_usage", Figure::kv_usage},
    Rule{"sglang:num_retracted_requests_total", Figure::preemptions},
    Rule{"sglang:prompt_tokens_total", Figure::prompt},
    Rule{"sglang:cached_tokens_total", Figure::cached},
    Rule{"sglang:generation_tokens_total", Figure::generated},
};

std::span<const Rule> rules_of(EngineKind kind) {
  switch (kind) {
    case EngineKind::vllm:
      return vllm_rules;
    case EngineKind::llamacpp:
    case EngineKind::llamacpp_router:
      return llamacpp_rules;
    case EngineKind::sglang:
      return sglang_rules;
    default:
      return {};
  }
}

// A count that an engine wrote as a double; nothing for NaN, negatives and absurdities.
std::optional<std::int64_t> count_of(double value) {
  if (!(value >= 0) || value > 9e15) return {};
  return static_cast<std::int64_t>(value);
}

std::int64_t& number(std::int64_t& n) { return n; }
std::int64_t& number(Tokens& n) { return n.count; }

template <class Count>
void add(std::optional<Count>& sum, std::optional<std::int64_t> more) {
  if (!more) return;
  if (!sum) sum = Count{0};
  std::int64_t& n = number(*sum);
  if (__builtin_add_overflow(n, *more, &n)) n = std::numeric_limits<std::int64_t>::max();
}

// SGLang breaks its figures down by priority beside an unlabelled total, and repeats some for every rank of
// one engine: only the total and the first rank count. Data-parallel ranks are different requests and add up.
bool counts(EngineKind kind, const MetricSample& sample) {
  if (kind != EngineKind::sglang) return true;
  return sample.label("priority").value_or("").empty() && sample.label("tp_rank").value_or("0") == "0" &&
         sample.label("pp_rank").value_or("0") == "0";
}

void note(EngineStats& stats, Figure figure, const MetricSample& sample) {
  const auto count = count_of(sample.value);
  switch (figure) {
    case Figure::running:
      return add(stats.running, count);
    case Figure::waiting:
      return add(stats.waiting, count);
    case Figure::preemptions:
      return add(stats.preemptions, count);
    case Figure::prompt:
      return add(stats.prompt_tokens, count);
    case Figure::cached:
      return add(stats.cached_tokens, count);
    case Figure::generated:
      return add(stats.generated_tokens, count);
    case Figure::kv_usage:
      if (sample.value >= 0 && sample.value <= 1)
        stats.kv_usage = std::max(stats.kv_usage.value_or(0), sample.value);
      return;
    case Figure::sleep_state:
      if (sample.value > 0 && sample.label("sleep_state").value_or("awake") != "awake") stats.asleep = true;
      return;
  }
}

// SGLang's /v1/loads: one entry a data-parallel rank.
Result<EngineStats> parse_loads(std::string_view body) {
  json::Document document;
  const auto value = document.parse(body);
  const auto loads = value ? json::get<json::Array>(*value, "loads") : std::nullopt;
  if (!loads) return fail("the engine's /v1/loads is not the list it should be");
  EngineStats stats;
  for (const auto load : *loads) {
    add(stats.running, count_of(json::get<double>(load, "num_running_reqs").value_or(-1)));
    add(stats.waiting, count_of(json::get<double>(load, "num_waiting_reqs").value_or(-1)));
    if (const auto usage = json::get<double>(load, "token_usage"); usage && *usage >= 0 && *usage <= 1) {
      stats.kv_usage = std::max(stats.kv_usage.value_or(0), *usage);
    }
  }
  return stats;
}

}  // namespace

std::optional<EngineRequest> stats_request(EngineKind kind, const Capabilities& capabilities) {
  if (!capabilities.metrics || rules_of(kind).empty()) return {};
  EngineRequest request;
  request.target = kind == EngineKind::sglang && !capabilities.kv_metrics ? "/v1/loads" : "/metrics";
  // llama.cpp answers a scrape between two decode batches, which a long prompt can hold up for many seconds.
  if (kind == EngineKind::llamacpp) request.timeout = 30s;
  return request;
}

Result<EngineStats> parse_stats(EngineKind kind, int status, std::string_view body) {
  if (status != 200) return fail(fmt::format("the engine answered {} when asked for its metrics", status));
  if (kind == EngineKind::sglang && body.starts_with('{')) return parse_loads(body);
  const auto rules = rules_of(kind);
  EngineStats stats;
  bool any = false;
  MetricsReader reader(body);
  while (const auto sample = reader.next()) {
    const auto rule = std::ranges::find(rules, sample->name, &Rule::name);
    if (rule == rules.end() || !counts(kind, *sample)) continue;
    note(stats, rule->figure, *sample);
    any = true;
  }
  if (!any) return fail(fmt::format("the engine's metrics hold none of those {} has", to_string(kind)));
  return stats;
}

}  // namespace qlm::engines

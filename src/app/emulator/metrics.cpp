#include "app/emulator/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "protocol/openai/json_write.hpp"

namespace qlm::emulator {
namespace {

constexpr double first_token_bounds[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                         1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
constexpr double inter_token_bounds[] = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                         .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
constexpr double end_to_end_bounds[] = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                        30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

}  // namespace

void Histogram::observe(double value) {
  ++counts_[static_cast<std::size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin())];
  sum_ += value;
}

void Histogram::append_to(std::string& out, std::string_view name, std::string_view labels) const {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    out += fmt::format("{}_bucket{{le=\"{}\",{}}} {}\n", name, bound, labels, below);
  }
  out += fmt::format("{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", name, labels, sum_, name, labels, below);
}

Metrics::Metrics()
    : time_to_first_token(first_token_bounds),
      inter_token(inter_token_bounds),
      end_to_end(end_to_end_bounds) {}

std::string Metrics::text(const std::string& model, const EngineModel& engine, Duration busy,
                          std::string_view sleep_state) const {
  const std::string labels = fmt::format(R"(engine="0",model_name={})", openai::json_string(model));
  std::string out;
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    // The type line of a counter carries its name without _total in OpenMetrics, with it in the older text
    // format.
    head(out, name, type, help);
    out += fmt::format("{}{{{}}} {}\n", name, labels, value);
  };
  one("vllm:num_requests_running", "gauge", "Number of requests in model execution batches.",
      engine.running());
  one("vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", engine.waiting());
  head(out, "vllm:num_requests_waiting_by_reason", "gauge", "Number of requests waiting, by reason.");
  out += fmt::format("vllm:num_requests_waiting_by_reason{{{},reason=\"capacity\"}} {}\n", labels, engine.waiting());
  out += fmt::format("vllm:num_requests_waiting_by_reason{{{},reason=\"deferred\"}} 0\n", labels);
  head(out, "vllm:engine_sleep_state", "gauge", "Engine sleep state.");
  for (const std::string_view state : {"awake", "weights_offloaded", "discard_all"}) {
    out += fmt::format("vllm:engine_sleep_state{{{},sleep_state=\"{}\"}} {}\n", labels, state, state == sleep_state ? 1 : 0);
  }
  one("vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.",
      static_cast<double>(engine.kv_blocks_used()) /
          static_cast<double>(std::max<std::int64_t>(engine.kv_blocks_total(), 1)));
  one("vllm:num_preemptions_total", "counter", "Cumulative number of preemptions.",
      engine.totals().preemptions);
  one("vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", prompt_tokens);
  one("vllm:prompt_tokens_cached_total", "counter", "Number of cached prompt tokens.", engine.totals().cached.count);
  one("vllm:prefix_cache_queries_total", "counter", "Prefix cache queries, in tokens.", prompt_tokens);
  one("vllm:prefix_cache_hits_total", "counter", "Prefix cache hits, in tokens.", engine.totals().cached.count);
  one("vllm:generation_tokens_total", "counter", "Number of generation tokens processed.", generation_tokens);
  head(out, "vllm:request_success_total", "counter", "Count of successfully processed requests.");
  constexpr std::array<std::string_view, 3> reasons = {"stop", "length", "abort"};
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    out += fmt::format("vllm:request_success_total{{{},finished_reason=\"{}\"}} {}\n", labels, reasons[i],
                       finished[i]);
  }
  for (const std::string_view reason : {"error", "repetition"}) {
    out += fmt::format("vllm:request_success_total{{{},finished_reason=\"{}\"}} 0\n", labels, reason);
  }
  head(out, "vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig");
  out += fmt::format("vllm:cache_config_info{{block_size=\"{}\",engine=\"0\",kv_cache_size_tokens=\"{}\",num_gpu_blocks=\"{}\"}} 1\n",
                     EngineModel::block_size.count, engine.kv_blocks_total() * EngineModel::block_size.count,
                     engine.kv_blocks_total());
  const auto histogram = [&](std::string_view name, std::string_view help, const Histogram& h) {
    head(out, name, "histogram", help);
    h.append_to(out, name, labels);
  };
  histogram("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.",
            time_to_first_token);
  histogram("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", inter_token);
  histogram("vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", end_to_end);
  one("emulator:busy_seconds_total", "counter", "Real time spent in engine steps.", seconds(busy));
  one("emulator:steps_total", "counter", "Engine steps.", engine.totals().steps);
  one("emulator:computed_prompt_tokens_total", "counter", "Prefill tokens computed, recomputed ones again.",
      engine.totals().prefilled.count);
  return out;
}

}  // namespace qlm::emulator

#include <gtest/gtest.h>

#include "protocol/engines/driver.hpp"

namespace qlm::engines {
namespace {

TEST(EngineStats, ReadsVllmsMetrics) {
  const auto stats = parse_stats(
      EngineKind::vllm, 200,
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n"
      "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 2.0\n"
      "vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"m\",reason=\"capacity\"} 9.0\n"
      "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25\n"
      "vllm:num_preemptions_total{engine=\"0\",model_name=\"m\"} 4.0\n"
      "vllm:prompt_tokens_total{engine=\"0\",model_name=\"m\"} 1.234567e+06\n"
      "vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 500.0\n"
      "vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 1.0\n"
      "vllm:engine_sleep_state{engine=\"0\",sleep_state=\"weights_offloaded\"} 0.0\n");
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->running, 3);
  EXPECT_EQ(stats->waiting, 2);
  EXPECT_EQ(stats->kv_usage, 0.25);
  EXPECT_EQ(stats->preemptions, 4);
  EXPECT_EQ(stats->prompt_tokens, Tokens{1234567});
  EXPECT_EQ(stats->generated_tokens, Tokens{500});
  EXPECT_EQ(stats->cached_tokens, std::nullopt);
  EXPECT_FALSE(stats->asleep);
}

TEST(EngineStats, AddsDataParallelRanksUpAndTakesTheFullestCache) {
  const auto stats = parse_stats(
      EngineKind::vllm, 200,
      "vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.25\n");
  EXPECT_EQ(stats->running, 7);
  EXPECT_EQ(stats->kv_usage, 0.5);
}

TEST(EngineStats, SeesThatVllmSleeps) {
  EXPECT_TRUE(
      parse_stats(EngineKind::vllm, 200, "vllm:engine_sleep_state{sleep_state=\"weights_offloaded\"} 1\n")
          ->asleep);
}

TEST(EngineStats, ReadsLlamaCppsMetrics) {
  const auto stats = parse_stats(EngineKind::llamacpp, 200,
                                 "llamacpp:requests_processing 4\nllamacpp:requests_deferred 1\n"
                                 "llamacpp:prompt_tokens_total 30\nllamacpp:prompt_tokens_cached_total "
                                 "16\nllamacpp:tokens_predicted_total 12\n");
  EXPECT_EQ(stats->running, 4);
  EXPECT_EQ(stats->waiting, 1);
  EXPECT_EQ(stats->cached_tokens, Tokens{16});
  EXPECT_EQ(stats->kv_usage, std::nullopt);
}

TEST(EngineStats, TakesSglangsTotalsOnceWhateverItBreaksThemDownBy) {
  const auto stats =
      parse_stats(EngineKind::sglang, 200,
                  "sglang:num_running_reqs{tp_rank=\"0\",pp_rank=\"0\",priority=\"\"} 5\n"
                  "sglang:num_running_reqs{tp_rank=\"0\",pp_rank=\"0\",priority=\"10\"} 2\n"
                  "sglang:num_running_reqs{tp_rank=\"1\",pp_rank=\"0\",priority=\"\"} 5\n"
                  "sglang:num_queue_reqs{tp_rank=\"0\"} 1\nsglang:token_usage{tp_rank=\"0\"} 0.75\n");
  EXPECT_EQ(stats->running, 5);
  EXPECT_EQ(stats->waiting, 1);
  EXPECT_EQ(stats->kv_usage, 0.75);
}

TEST(EngineStats, ReadsSglangsLoadsWhereItsMetricsAreOff) {
  auto able = capabilities(EngineKind::sglang);
  EXPECT_EQ(stats_request(EngineKind::sglang, able)->target, "/metrics");
  able.kv_metrics = false;
  EXPECT_EQ(stats_request(EngineKind::sglang, able)->target, "/v1/loads");
  const auto stats = parse_stats(
      EngineKind::sglang, 200,
      R"({"timestamp":"t","loads":[{"dp_rank":0,"num_running_reqs":2,"num_waiting_reqs":1},{"dp_rank":1,"num_running_reqs":3,"num_waiting_reqs":0}]})");
  EXPECT_EQ(stats->running, 5);
  EXPECT_EQ(stats->waiting, 1);
}

TEST(EngineStats, AsksOnlyEnginesThatTell) {
  for (const auto kind :
       {EngineKind::openai, EngineKind::llamacpp_router, EngineKind::ollama, EngineKind::transformers}) {
    EXPECT_FALSE(stats_request(kind, capabilities(kind))) << to_string(kind);
  }
  auto silent = capabilities(EngineKind::vllm);
  silent.metrics = false;
  EXPECT_FALSE(stats_request(EngineKind::vllm, silent));
}

TEST(EngineStats, IgnoresFiguresThatCannotBe) {
  const auto stats =
      parse_stats(EngineKind::vllm, 200,
                  "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\nvllm:kv_cache_usage_perc 7\n"
                  "vllm:prompt_tokens_total +Inf\nvllm:generation_tokens_total 1e300\n");
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->running, std::nullopt);
  EXPECT_EQ(stats->waiting, std::nullopt);
  EXPECT_EQ(stats->kv_usage, std::nullopt);
  EXPECT_EQ(stats->prompt_tokens, std::nullopt);
  EXPECT_EQ(stats->generated_tokens, std::nullopt);
}

TEST(EngineStats, AnAnswerWithoutFiguresIsAnErrorNotZeroes) {
  EXPECT_FALSE(parse_stats(EngineKind::vllm, 200, "<html></html>"));
  EXPECT_FALSE(parse_stats(EngineKind::vllm, 200, ""));
  EXPECT_FALSE(parse_stats(EngineKind::vllm, 500, "vllm:num_requests_running 1\n"));
  EXPECT_FALSE(parse_stats(EngineKind::sglang, 200, "{}"));
}

}  // namespace
}  // namespace qlm::engines

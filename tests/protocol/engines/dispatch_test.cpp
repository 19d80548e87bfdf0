#include <gtest/gtest.h>

#include "protocol/engines/driver.hpp"

namespace qlm::engines {
namespace {

constexpr EngineKind every_kind[] = {EngineKind::openai,          EngineKind::vllm,   EngineKind::llamacpp,
                                     EngineKind::llamacpp_router, EngineKind::sglang, EngineKind::ollama,
                                     EngineKind::transformers};

DispatchRewrite rewritten(EngineKind kind, DispatchFacts facts) {
  return rewrite(kind, capabilities(kind), facts);
}

TEST(Dispatch, KindsAreSpelledTheSameBothWays) {
  for (const auto kind : every_kind) EXPECT_EQ(engine_kind(to_string(kind)), kind);
  EXPECT_EQ(engine_kind("tgi"), std::nullopt);
}

TEST(Dispatch, AsksEveryStreamForUsageButWhereTheFieldIsRefused) {
  for (const auto kind : every_kind) {
    const auto r = rewritten(kind, {.path = "/v1/chat/completions", .model = "m"});
    EXPECT_EQ(r.target, "/v1/chat/completions");
    EXPECT_EQ(r.model, "m");
    EXPECT_TRUE(r.stream);
    EXPECT_EQ(r.include_usage, kind != EngineKind::transformers);
    EXPECT_EQ(r.remove_stream_options, kind == EngineKind::transformers);
  }
}

TEST(Dispatch, SendsNoStreamOptionsBesideStreamFalse) {
  const auto r = rewritten(EngineKind::vllm, {.path = "/v1/completions", .model = "m", .stream = false});
  EXPECT_FALSE(r.stream);
  EXPECT_FALSE(r.include_usage);
  EXPECT_TRUE(r.remove_stream_options);
}

TEST(Dispatch, LeavesOtherPathsAlone) {
  for (const auto* path : {"/v1/embeddings", "/v1/responses", "/v1/messages"}) {
    const auto r = rewritten(EngineKind::vllm, {.path = path, .model = "m", .want_token_ids = true});
    EXPECT_FALSE(r.include_usage || r.remove_stream_options || r.return_token_ids) << path;
  }
}

TEST(Dispatch, TurnsUrgencyIntoTheEnginesOwnDirection) {
  const auto priority = [](EngineKind kind, std::optional<std::int32_t> urgency) {
    return rewritten(kind, {.path = "/v1/completions", .model = "m", .urgency = urgency}).priority;
  };
  EXPECT_EQ(priority(EngineKind::vllm, 5), -5);  // lower goes first
  EXPECT_EQ(priority(EngineKind::sglang, 5), 5);
  EXPECT_EQ(priority(EngineKind::llamacpp, 5), std::nullopt);
  EXPECT_EQ(priority(EngineKind::vllm, std::nullopt), std::nullopt);
  EXPECT_EQ(priority(EngineKind::vllm, INT32_MIN), INT32_MAX);
}

TEST(Dispatch, NothingMayQueueInAnEngineThatCannotDropIt) {
  EXPECT_FALSE(capabilities(EngineKind::llamacpp).drops_queued_requests);
  EXPECT_FALSE(capabilities(EngineKind::llamacpp_router).drops_queued_requests);
  EXPECT_TRUE(capabilities(EngineKind::vllm).drops_queued_requests);
  // Silence between head and body is a lost answer, but where the head says nothing of the answer's being there.
  EXPECT_TRUE(capabilities(EngineKind::vllm).head_with_answer);
  EXPECT_FALSE(capabilities(EngineKind::openai).head_with_answer);
}

}  // namespace
}  // namespace qlm::engines

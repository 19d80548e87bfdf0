#include "protocol/openai/fold.hpp"

#include <gtest/gtest.h>

namespace qlm::openai {
namespace {

TEST(InspectChunk, TellsContentFromFormalities) {
  const auto content = [](std::string_view data) { return inspect_chunk(data).content; };
  EXPECT_FALSE(content(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})"));  // vLLM's first chunk
  EXPECT_FALSE(content(R"({"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]})"));  // llama.cpp's
  EXPECT_TRUE(content(R"({"choices":[{"delta":{"content":" ru"}}]})"));
  EXPECT_TRUE(content(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})"));
  EXPECT_TRUE(content(R"({"choices":[{"delta":{"reasoning":"hm"}}]})"));
  EXPECT_TRUE(content(R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]})"));
  EXPECT_FALSE(content(R"({"choices":[{"delta":{"tool_calls":[]}}]})"));
  EXPECT_TRUE(content(R"({"choices":[{"index":0,"text":"x"}]})"));
  EXPECT_FALSE(content(R"({"choices":[{"index":0,"text":""}]})"));
  EXPECT_TRUE(content(R"({"type":"response.output_text.delta","delta":"x"})"));
  EXPECT_FALSE(content(R"({"type":"response.created","response":{}})"));
}

TEST(InspectChunk, SeesTheEndOfTheStream) {
  EXPECT_TRUE(inspect_chunk("[DONE]").done);
  EXPECT_FALSE(inspect_chunk("[DONE]").garbage);
  const auto last = inspect_chunk(R"({"choices":[{"index":0,"delta":{},"finish_reason":"length","stop_reason":null}]})");
  EXPECT_TRUE(last.finished);
  EXPECT_EQ(last.finish_reason, "length");
  EXPECT_FALSE(inspect_chunk(R"({"choices":[{"finish_reason":null,"delta":{}}]})").finished);
  EXPECT_TRUE(inspect_chunk(R"({"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4}}})").finished);
}

TEST(InspectChunk, ReadsUsageWhereverItStands) {
  const auto alone = inspect_chunk(
      R"({"choices":[],"usage":{"completion_tokens":4,"prompt_tokens":30,"total_tokens":34,"prompt_tokens_details":{"cached_tokens":16}}})");
  EXPECT_TRUE(alone.usage_only);
  ASSERT_TRUE(alone.usage);
  EXPECT_EQ(alone.usage->prompt, Tokens{30});
  EXPECT_EQ(alone.usage->completion, Tokens{4});
  EXPECT_EQ(alone.usage->cached, Tokens{16});
  const auto with_finish = inspect_chunk(R"({"choices":[{"text":"","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}})");
  EXPECT_FALSE(with_finish.usage_only);
  EXPECT_TRUE(with_finish.usage && !with_finish.usage->cached);
  const auto responses = inspect_chunk(R"({"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4}}})");
  EXPECT_EQ(responses.usage->completion, Tokens{4});
  EXPECT_FALSE(inspect_chunk(R"({"choices":[],"usage":null})").usage_only);
  EXPECT_FALSE(inspect_chunk(R"({"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"}}]})").usage);
}

TEST(InspectChunk, UsageCanBeCutOut) {
  const auto cut = [](std::string_view data) { return without_usage(data, inspect_chunk(data)); };
  const std::string usage = R"("usage":{"prompt_tokens":1,"completion_tokens":2})";
  EXPECT_EQ(cut(R"({"id":"a", )" + usage + "}"), R"({"id":"a"})");
  EXPECT_EQ(cut("{" + usage + R"(, "id":"a","choices":[]})"), R"({"id":"a","choices":[]})");
  EXPECT_EQ(cut(R"({"id":"a",)" + usage + R"(,"z":1,"y":2})"), R"({"id":"a","z":1,"y":2})");
  EXPECT_EQ(cut("{" + usage + "}"), "{}");
  EXPECT_EQ(cut(R"({"id":"a"})"), R"({"id":"a"})");
}

TEST(InspectChunk, RecognisesErrorsOfEveryEngine) {
  const auto error = [](std::string_view data) {
    const auto facts = inspect_chunk(data);
    return facts.error ? facts.error_message : "no error";
  };
  EXPECT_EQ(error(R"({"error":{"message":"m","type":"t","param":null,"code":500}})"), "m");  // vLLM, llama.cpp
  EXPECT_EQ(error(R"({"error":"m"})"), "m");                                                  // Ollama
  EXPECT_EQ(error(R"({"object":"error","message":"m","code":503})"), "m");                    // SGLang
  EXPECT_EQ(error(R"({"type":"error","code":"x","message":"m"})"), "m");                      // responses
  EXPECT_EQ(error(R"({"type":"response.failed","response":{"error":{"code":"x","message":"m"}}})"), "m");
  EXPECT_EQ(error(R"({"choices":[],"error":null})"), "no error");
}

TEST(InspectChunk, SomethingElseIsGarbage) {
  for (const char* data : {"", "proxy error: Could not read", "{", "[1]", "{}x", R"({"choices":[)", "null"}) {
    EXPECT_TRUE(inspect_chunk(data).garbage) << data;
  }
}

TEST(InspectChunk, CountsTokenIds) {
  EXPECT_EQ(inspect_chunk(R"({"choices":[{"delta":{"content":"x"},"token_ids":[5,6,7]}]})").token_ids, 3U);
}

TEST(UsageOf, ReadsAnUnstreamedReply) {
  EXPECT_EQ(usage_of(R"({"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":8,"total_tokens":8}})")->prompt, Tokens{8});
  EXPECT_EQ(usage_of(R"({"usage":{"input_tokens":8,"output_tokens":9}})")->completion, Tokens{9});
  EXPECT_FALSE(usage_of(R"({"error":{}})"));
  EXPECT_FALSE(usage_of("garbage"));
}

Result<std::string> folded(Endpoint endpoint, std::initializer_list<std::string_view> chunks) {
  ReplyFold fold(endpoint);
  for (const auto chunk : chunks) {
    if (const auto added = fold.add(chunk); !added) return std::unexpected(added.error());
  }
  return fold.finish();
}

TEST(Fold, PutsAChatReplyTogether) {
  const auto reply = folded(Endpoint::chat,
                            {R"({"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})",
                             R"({"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"he\n"}}]})",
                             R"({"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"\u00e9"},"finish_reason":"stop","stop_reason":null}]})",
                             R"({"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}})",
                             "[DONE]"});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(*reply,
            R"({"id":"c1","created":7,"model":"m","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"he\né"},"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":3,"completion_tokens":2}})");
}

TEST(Fold, JoinsReasoningAndToolCalls) {
  const auto reply = folded(Endpoint::chat,
                            {R"({"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"think"}}]})",
                             R"({"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"f","arguments":""}}]}}]})",
                             R"({"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}},{"index":1,"id":"t1","type":"function","function":{"name":"g","arguments":"{}"}}]}}]})",
                             R"({"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}]})"});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(*reply,
            R"({"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"think","tool_calls":[{"id":"t0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"t1","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]})");
}

TEST(Fold, PutsACompletionTogether) {
  const auto reply = folded(Endpoint::completions,
                            {R"({"id":"c","object":"text_completion","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]})",
                             R"({"id":"c","object":"text_completion","choices":[{"index":0,"text":"b","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}})"});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(*reply,
            R"({"id":"c","object":"text_completion","choices":[{"index":0,"text":"ab","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}})");
}

TEST(Fold, RefusesWhatItCannotPutTogether) {
  EXPECT_FALSE(folded(Endpoint::chat, {R"({"choices":[{"index":0,"delta":{"content":"x"}}]})", "[DONE]"}));  // broken off
  EXPECT_FALSE(folded(Endpoint::chat, {R"({"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":"stop"}]})"}));
  EXPECT_FALSE(folded(Endpoint::chat, {R"({"choices":[{"index":0,"delta":{"audio":{"data":"x"}},"finish_reason":"stop"}]})"}));
  EXPECT_FALSE(folded(Endpoint::chat, {"proxy error"}));
}

TEST(Fold, OnlySingleChoicesOfKnownFieldsAreFolded) {
  const auto foldable = [](std::string_view path, std::string more) {
    return can_fold(*extract(path, std::make_shared<const std::string>(R"({"model":"m")" + more + "}")));
  };
  EXPECT_TRUE(foldable("/v1/chat/completions", ""));
  EXPECT_TRUE(foldable("/v1/completions", R"(,"prompt":"x")"));
  EXPECT_FALSE(foldable("/v1/completions", R"(,"prompt":["x","y"])"));
  EXPECT_FALSE(foldable("/v1/chat/completions", R"(,"n":2)"));
  EXPECT_FALSE(foldable("/v1/chat/completions", R"(,"logprobs":true)"));
  EXPECT_FALSE(foldable("/v1/embeddings", ""));
  EXPECT_FALSE(foldable("/v1/responses", ""));
}

}  // namespace
}  // namespace qlm::openai

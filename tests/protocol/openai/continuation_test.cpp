#include "protocol/openai/continuation.hpp"

#include <gtest/gtest.h>

namespace qlm::openai {
namespace {

// As vLLM writes them where ids are asked for.
const std::string role =
    R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":[1,2,3],"prompt_text":null})";
std::string chat_chunk(const std::string& delta, const std::string& ids, const std::string& finish = "null") {
  return R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":)" + delta +
         R"(,"logprobs":null,"finish_reason":)" + finish + R"(,"token_ids":)" + ids + "}]}";
}
std::string said(const std::string& text, const std::string& ids) { return chat_chunk(R"({"content":")" + text + "\"}", ids); }
std::string completion_chunk(const std::string& text, const std::string& ids, const std::string& finish = "null", const std::string& prompt = "null") {
  return R"({"id":"cmpl-9","object":"text_completion","created":99,"model":"m","choices":[{"index":0,"text":")" + text +
         R"(","logprobs":null,"finish_reason":)" + finish + R"(,"stop_reason":null,"prompt_token_ids":)" + prompt + R"(,"token_ids":)" + ids + "}]}";
}
std::string with_nulls(std::string chunk) {
  for (const std::string name : {R"("prompt_token_ids":)", R"("token_ids":)"}) {
    const auto at = chunk.find("[", chunk.find(name));
    if (chunk.find(name) != std::string::npos && at == chunk.find(name) + name.size()) chunk.replace(at, chunk.find(']', at) + 1 - at, "null");
  }
  return chunk;
}

// One that has said two tokens and gave way.
Continuation broken_off() {
  Continuation c(Endpoint::chat);
  c.attempt_begins();
  c.event(role);
  c.event(said(" a", "[4]"));
  c.event(said(" b", "[5]"));
  c.attempt_begins();
  return c;
}

TEST(Continuation, AnUnbrokenStreamIsTheEnginesOwnButForTheIds) {
  Continuation c(Endpoint::chat);
  c.attempt_begins();
  for (const std::string& chunk : {role, said(" a", "[4]"), said(" b", "[5,6]"), chat_chunk("{}", "[2]", "\"stop\"")}) {
    EXPECT_EQ(c.event(chunk), with_nulls(chunk));
    EXPECT_EQ(c.event(with_nulls(chunk)), with_nulls(chunk)) << "where nobody asked";
  }
  EXPECT_EQ(c.event("[DONE]"), "[DONE]");
  EXPECT_FALSE(c.resumed());
}

TEST(Continuation, KeepsTheIdsOfThePromptAndOfWhatWasSaid) {
  const Continuation c = broken_off();
  EXPECT_TRUE(c.resumed() && c.intact() && !c.finished());
  EXPECT_EQ(c.prompt(), "[1,2,3,4,5]");
  EXPECT_EQ(c.before().count, 2);
  EXPECT_EQ(c.prompt_tokens().count, 3);
}

TEST(Continuation, WhatComesOfCompletionsIsWrittenAsTheChatThatWasBegun) {
  Continuation c = broken_off();
  EXPECT_EQ(c.event(completion_chunk(" c\\n\\u00e9", "[6]", "null", "[1,2,3,4,5]")),
            R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":" c\n\u00e9"},"logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null}]})");
  EXPECT_EQ(c.event(completion_chunk("", "[2]", "\"stop\"")),
            R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":null}]})");
  EXPECT_TRUE(c.finished());
  EXPECT_EQ(c.event("[DONE]"), "[DONE]");
}

TEST(Continuation, UsageIsThatOfTheWholeStream) {
  Continuation c = broken_off();
  c.event(completion_chunk(" c", "[6]"));
  EXPECT_EQ(c.event(R"({"id":"cmpl-9","object":"text_completion","created":99,"model":"m","choices":[],"usage":{"prompt_tokens":5,"total_tokens":6,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":5}}})"),
            R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":3}}})");
}

TEST(Continuation, ACompletionGoesOnAsOne) {
  Continuation c(Endpoint::completions);
  c.attempt_begins();
  const std::string first = completion_chunk(" a", "[4]", "null", "[1,2]");
  EXPECT_EQ(c.event(first), with_nulls(first));
  c.attempt_begins();
  EXPECT_EQ(c.prompt(), "[1,2,4]");
  std::string other = completion_chunk(" b", "[5]");
  other.replace(other.find("cmpl-9"), 6, "cmpl-X");
  EXPECT_EQ(c.event(other), R"({"id":"cmpl-9","object":"text_completion","created":99,"model":"m","choices":[{"index":0,"text":" b","logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null}]})");
}

TEST(Continuation, GoesOnAgainAndAgain) {
  Continuation c = broken_off();
  c.event(completion_chunk(" c", "[6]", "null", "[1,2,3,4,5]"));
  EXPECT_EQ(c.fresh().count, 1);
  c.attempt_begins();
  EXPECT_EQ(c.prompt(), "[1,2,3,4,5,6]");
  EXPECT_EQ(c.before().count, 3);
}

// While a character is incomplete an engine holds its text back, and an id is no good without it.
TEST(Continuation, IdsWhoseTextDidNotComeAreMadeAgain) {
  Continuation c(Endpoint::chat);
  c.attempt_begins();
  c.event(role);
  c.event(said(" a", "[4]"));
  c.event(said("", "[5]"));
  EXPECT_EQ(c.fresh().count, 1);
  c.attempt_begins();
  EXPECT_EQ(c.prompt(), "[1,2,3,4]");
  c.event(completion_chunk("", "[5]"));
  c.event(completion_chunk("é", "[6]"));
  EXPECT_EQ(c.fresh().count, 2) << "both made the text";
}

TEST(Continuation, AnAttemptThatSaidNothingLeavesNothing) {
  Continuation c(Endpoint::chat);
  c.attempt_begins();
  c.event(role);
  c.attempt_begins();
  EXPECT_FALSE(c.resumed());
  c.event(R"({"id":"chatcmpl-2","created":8,"model":"m","choices":[{"index":0,"delta":{"content":"x"},"token_ids":[9]}],"prompt_token_ids":[8]})");
  EXPECT_TRUE(c.intact());
  EXPECT_EQ(c.prompt(), "[8,9]");
}

TEST(Continuation, CannotGoOnWithoutIdsOrWithMoreThanText) {
  for (const std::string& chunk :
       {said(" b", "null"), chat_chunk(R"({"reasoning":"hm"})", "[5]"), chat_chunk(R"({"reasoning_content":"hm","content":null})", "[5]"),
        chat_chunk(R"({"tool_calls":[{"index":0}]})", "[5]"), std::string(R"({"choices":[{"index":1,"delta":{"content":"x"},"token_ids":[5]}]})"),
        std::string("no JSON")}) {
    Continuation c(Endpoint::chat);
    c.attempt_begins();
    c.event(role);
    c.event(said(" a", "[4]"));
    EXPECT_TRUE(c.intact());
    c.event(chunk);
    EXPECT_FALSE(c.intact()) << chunk;
  }
  Continuation c(Endpoint::chat);
  c.attempt_begins();
  c.event(said(" a", "[4]"));
  EXPECT_FALSE(c.intact()) << "the prompt's ids never came";
}

}  // namespace
}  // namespace qlm::openai

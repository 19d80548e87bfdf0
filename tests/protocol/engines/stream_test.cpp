// Transcripts after what each engine writes, and every way they were seen or read to break off. Those of
// llama.cpp were seen on a running server; those of vLLM, SGLang, Ollama, transformers and the router were
// read from sources.
#include "protocol/engines/stream.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace qlm::engines {
namespace {

using openai::Endpoint;
using Kind = Outcome::Kind;
using Events = std::vector<std::string>;

const std::string role =
    R"({"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})";
const std::string hello =
    R"({"id":"c","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]})";
const std::string stop = R"({"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";
const std::string absurd_usage = R"({"id":"c","choices":[],"usage":{"prompt_tokens":9000000000000000000,"completion_tokens":4,"total_tokens":4}})";
const std::string usage =
    R"({"id":"c","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":4,"total_tokens":34,"prompt_tokens_details":{"cached_tokens":16}}})";
const std::string done = "[DONE]";

struct Judged {
  Outcome outcome;
  std::vector<EventIs> events;
};

Judged judge(EngineKind kind, const Events& events, bool clean = true, std::string_view rest = {},
             Endpoint endpoint = Endpoint::chat) {
  StreamJudge judge(capabilities(kind), endpoint);
  Judged out;
  for (const auto& event : events) out.events.push_back(judge.event(event));
  out.outcome = judge.end(clean, rest);
  EXPECT_EQ(out.outcome.error.has_value(), out.outcome.kind != Kind::complete);
  return out;
}

TEST(StreamTruth, AWholeStreamIsCompleteOnEveryEngineThatEndsWithDone) {
  for (const auto kind : {EngineKind::openai, EngineKind::vllm, EngineKind::llamacpp,
                          EngineKind::llamacpp_router, EngineKind::sglang, EngineKind::ollama}) {
    const auto [outcome, events] = judge(kind, {role, hello, stop, usage, done});
    EXPECT_EQ(outcome.kind, Kind::complete) << to_string(kind);
    EXPECT_EQ(events, (std::vector{EventIs::empty, EventIs::content, EventIs::finish, EventIs::usage,
                                   EventIs::done}));
    EXPECT_EQ(outcome.finish_reason, "stop");
    ASSERT_TRUE(outcome.usage);
    EXPECT_EQ(outcome.usage->prompt, Tokens{30});
    EXPECT_EQ(outcome.usage->completion, Tokens{4});
    EXPECT_EQ(outcome.usage->cached, Tokens{16});
  }
}

TEST(StreamTruth, AUsageThatNobodyCanHaveHadIsNotBelieved) {
  const auto [outcome, events] = judge(EngineKind::vllm, {role, hello, stop, absurd_usage, done});
  EXPECT_EQ(outcome.kind, Kind::complete);
  EXPECT_FALSE(outcome.usage);
}

TEST(StreamTruth, LlamaCppsOwnSpellingIsUnderstood) {
  const auto [outcome, events] = judge(
      EngineKind::llamacpp,
      {R"({"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"chatcmpl-x","model":"tiny-a.gguf","system_fingerprint":"b11669-Debian","object":"chat.completion.chunk"})",
       R"({"choices":[{"finish_reason":null,"index":0,"delta":{"content":" ruloki"}}],"created":1,"id":"chatcmpl-x"})",
       R"({"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1})",
       R"({"choices":[],"usage":{"completion_tokens":4,"prompt_tokens":30,"total_tokens":34,"prompt_tokens_details":{"cached_tokens":0}},"timings":{"cache_n":0}})",
       done});
  EXPECT_EQ(outcome.kind, Kind::complete);
  EXPECT_EQ(outcome.finish_reason, "length");
  EXPECT_EQ(events,
            (std::vector{EventIs::empty, EventIs::content, EventIs::finish, EventIs::usage, EventIs::done}));
}

TEST(StreamTruth, CompletionsCarryTextAndMayFinishWithUsageInOneChunk) {
  const auto [outcome, events] = judge(
      EngineKind::llamacpp,
      {R"({"choices":[{"text":"a","index":0,"finish_reason":null}]})",
       R"({"choices":[{"text":"","index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":2,"completion_tokens":1}})",
       done},
      true, {}, Endpoint::completions);
  EXPECT_EQ(outcome.kind, Kind::complete);
  EXPECT_EQ(events, (std::vector{EventIs::content, EventIs::finish, EventIs::done}));
  EXPECT_EQ(outcome.usage->completion, Tokens{1});
  EXPECT_EQ(outcome.usage->cached, std::nullopt);
}

TEST(StreamTruth, TransformersEndsWithoutDoneAndItsLastChunkHoldsUsage) {
  const std::string last =
      R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}})";
  EXPECT_EQ(judge(EngineKind::transformers, {role, hello, last}).outcome.kind, Kind::complete);
  EXPECT_EQ(judge(EngineKind::transformers, {role, hello}).outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(judge(EngineKind::transformers, {role, hello, last}, false).outcome.kind,
            Kind::failed_after_content);
  const auto failed = judge(EngineKind::transformers, {role, R"({"error": "out of memory"})"});
  EXPECT_EQ(failed.outcome.kind, Kind::failed_before_content);
  EXPECT_EQ(failed.outcome.error->message, "out of memory");
}

TEST(StreamTruth, AnUnknownEngineMayLeaveDoneOutButNotTheFinishReason) {
  EXPECT_EQ(judge(EngineKind::openai, {role, hello, stop}).outcome.kind, Kind::complete);
  EXPECT_EQ(judge(EngineKind::openai, {role, hello}).outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(judge(EngineKind::vllm, {role, hello, stop}).outcome.kind, Kind::failed_after_content);
}

TEST(StreamTruth, EveryCutOfAWholeStreamIsAFailureUntilDoneCame) {
  const Events whole{role, hello, stop, usage, done};
  for (std::size_t n = 0; n < whole.size(); ++n) {
    for (const bool clean : {true, false}) {
      const Events cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
      const auto outcome = judge(EngineKind::vllm, cut, clean).outcome;
      EXPECT_EQ(outcome.kind, n < 2 ? Kind::failed_before_content : Kind::failed_after_content) << n;
      EXPECT_TRUE(outcome.error->retryable_elsewhere);
      EXPECT_EQ(outcome.error->status, 502);
    }
  }
  // A connection that breaks after [DONE] took nothing away.
  EXPECT_EQ(judge(EngineKind::vllm, whole, false).outcome.kind, Kind::complete);
}

TEST(StreamTruth, VllmPutsAnErrorIntoTheStreamAndSaysDoneAllTheSame) {
  const std::string error =
      R"({"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}})";
  const auto before = judge(EngineKind::vllm, {error, done});
  EXPECT_EQ(before.outcome.kind, Kind::failed_before_content);
  EXPECT_EQ(before.outcome.error->status, 500);
  EXPECT_TRUE(before.outcome.error->retryable_elsewhere);
  EXPECT_EQ(before.events, (std::vector{EventIs::error, EventIs::error}));
  EXPECT_EQ(judge(EngineKind::vllm, {role, hello, error, done}).outcome.kind, Kind::failed_after_content);
}

TEST(StreamTruth, SglangsFullQueueComesAsAStreamWithStatus200) {
  const auto outcome =
      judge(
          EngineKind::sglang,
          {R"({"error":{"object":"error","message":"The request queue is full.","type":"SERVICE_UNAVAILABLE","param":null,"code":503}})",
           done})
          .outcome;
  EXPECT_EQ(outcome.kind, Kind::failed_before_content);
  EXPECT_EQ(outcome.error->status, 503);
  EXPECT_TRUE(outcome.error->retryable_elsewhere);
}

TEST(StreamTruth, AnErrorThatIsTheRequestsFaultIsNotRetriedEvenInAStream) {
  const auto outcome =
      judge(EngineKind::vllm,
            {R"({"error":{"message":"bad grammar","type":"BadRequestError","param":null,"code":400}})", done})
          .outcome;
  EXPECT_EQ(outcome.kind, Kind::failed_before_content);
  EXPECT_FALSE(outcome.error->retryable_elsewhere);
}

TEST(StreamTruth, LlamaCppsErrorEndsTheStreamWithoutDone) {
  const auto outcome =
      judge(EngineKind::llamacpp,
            {role, hello, R"({"error":{"code":500,"message":"decode failed","type":"server_error"}})"})
          .outcome;
  EXPECT_EQ(outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(outcome.error->message, "decode failed");
}

TEST(StreamTruth, TheRoutersProxyErrorIsAFailureThoughTheBodyEndsCleanly) {
  const auto after =
      judge(EngineKind::llamacpp_router, {role, hello}, true, "proxy error: Failed to read connection");
  EXPECT_EQ(after.outcome.kind, Kind::failed_after_content);
  EXPECT_NE(after.outcome.error->message.find("proxy error: Failed to read connection"), std::string::npos);
  const auto before =
      judge(EngineKind::llamacpp_router, {}, true, "proxy error: Could not establish connection");
  EXPECT_EQ(before.outcome.kind, Kind::failed_before_content);
  EXPECT_TRUE(before.outcome.error->retryable_elsewhere);
}

TEST(StreamTruth, AnEventCutInTheMiddleIsAFailure) {
  const auto outcome = judge(EngineKind::ollama, {role, hello}, false, "data: {\"choices\":[{\"ind").outcome;
  EXPECT_EQ(outcome.kind, Kind::failed_after_content);
}

TEST(StreamTruth, AnErrorObjectWhereAStreamWasDueIsReadAsOne) {
  const auto outcome = judge(EngineKind::ollama, {}, true,
                             R"({"error":{"message":"model \"x\" not found","type":"not_found_error"}})")
                           .outcome;
  EXPECT_EQ(outcome.kind, Kind::failed_before_content);
  EXPECT_EQ(outcome.error->status, 404);
  EXPECT_FALSE(outcome.error->retryable_elsewhere);
}

TEST(StreamTruth, GarbageInsteadOfJsonIsAFailure) {
  const auto [outcome, events] = judge(EngineKind::vllm, {role, hello, "{\"choices\":[", stop, done});
  EXPECT_EQ(outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(events[2], EventIs::garbage);
  EXPECT_EQ(outcome.error->code, "engine_garbage");
}

TEST(StreamTruth, AnEngineThatGivesAChoiceUpHasNotCompletedIt) {
  for (const auto* reason : {"abort", "error"}) {
    const auto aborted =
        R"({"choices":[{"index":0,"delta":{},"finish_reason":")" + std::string(reason) + R"("}]})";
    const auto before = judge(EngineKind::vllm, {role, aborted, done}).outcome;
    EXPECT_EQ(before.kind, Kind::failed_before_content);
    EXPECT_TRUE(before.error->retryable_elsewhere);
    EXPECT_EQ(judge(EngineKind::vllm, {role, hello, aborted, done}).outcome.kind, Kind::failed_after_content);
  }
}

TEST(StreamTruth, EveryChoiceMustFinish) {
  const std::string second = R"({"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]})";
  const std::string second_stops = R"({"choices":[{"index":1,"delta":{},"finish_reason":"length"}]})";
  EXPECT_EQ(judge(EngineKind::vllm, {hello, second, stop, done}).outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(judge(EngineKind::vllm, {hello, second, stop, second_stops, done}).outcome.kind, Kind::complete);
}

TEST(StreamTruth, AnEmptyAnswerIsStillComplete) {
  const auto [outcome, events] = judge(EngineKind::vllm, {role, stop, done});
  EXPECT_EQ(outcome.kind, Kind::complete);
  for (const auto event : events) EXPECT_NE(event, EventIs::content);
}

TEST(StreamTruth, FirstContentIsTheFirstNonEmptyDeltaOfAnyKind) {
  const auto is = [](const std::string& delta) {
    StreamJudge judge(capabilities(EngineKind::vllm), Endpoint::chat);
    return judge.event(R"({"choices":[{"index":0,"delta":)" + delta + R"(,"finish_reason":null}]})");
  };
  for (const auto* delta :
       {R"({"content":"a"})", R"({"reasoning_content":"a"})", R"({"reasoning":"a"})", R"({"refusal":"no"})",
        R"({"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]})",
        R"({"function_call":{"name":"f"}})", R"({"role":"assistant","content":"a"})"}) {
    EXPECT_EQ(is(delta), EventIs::content) << delta;
  }
  for (const auto* delta :
       {"{}", R"({"role":"assistant"})", R"({"role":"assistant","content":""})", R"({"content":null})",
        R"({"content":"","reasoning_content":null,"tool_calls":[]})"}) {
    EXPECT_EQ(is(delta), EventIs::empty) << delta;
  }
}

TEST(StreamTruth, WhatVendorsAddToAStreamHarmsNothing) {
  const auto [outcome, events] = judge(EngineKind::openai, {R"({"choices":[],"prompt_filter_results":[]})",
                                                            R"({"object":"ping"})", "", hello, stop, done});
  EXPECT_EQ(outcome.kind, Kind::complete);
  EXPECT_EQ(events[0], EventIs::empty);
  EXPECT_EQ(events[1], EventIs::empty);
  EXPECT_EQ(events[2], EventIs::empty);
}

TEST(StreamTruth, ResponsesEndWithTheirOwnEvent) {
  const std::string created =
      R"({"type":"response.created","response":{"id":"r","status":"in_progress","error":null}})";
  const std::string delta = R"({"type":"response.output_text.delta","delta":"Hi"})";
  const std::string completed =
      R"({"type":"response.completed","response":{"status":"completed","error":null,"usage":{"input_tokens":7,"output_tokens":2,"input_tokens_details":{"cached_tokens":3}}}})";
  const auto on = [](const Events& events, bool clean = true) {
    return judge(EngineKind::vllm, events, clean, {}, Endpoint::responses);
  };

  const auto whole = on({created, delta, completed});
  EXPECT_EQ(whole.outcome.kind, Kind::complete);
  EXPECT_EQ(whole.events, (std::vector{EventIs::empty, EventIs::content, EventIs::done}));
  EXPECT_EQ(whole.outcome.usage->prompt, Tokens{7});
  EXPECT_EQ(whole.outcome.usage->completion, Tokens{2});
  EXPECT_EQ(whole.outcome.usage->cached, Tokens{3});

  EXPECT_EQ(on({created, delta}).outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(on({created, delta, done}).outcome.kind, Kind::failed_after_content);
  EXPECT_EQ(on({created}, false).outcome.kind, Kind::failed_before_content);
  const auto failed =
      on({created,
          R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"boom"}}})"});
  EXPECT_EQ(failed.outcome.kind, Kind::failed_before_content);
  EXPECT_EQ(failed.outcome.error->message, "boom");
  EXPECT_EQ(on({R"({"type":"error","code":"x","message":"bang","param":null})"}).outcome.error->message,
            "bang");
}

TEST(StreamTruth, AnOpaqueStreamIsTakenAtItsWordButForErrorsAndCuts) {
  const auto on = [](const Events& events, bool clean = true) {
    return judge(EngineKind::vllm, events, clean, {}, Endpoint::opaque).outcome.kind;
  };
  EXPECT_EQ(on({R"({"type":"message_start"})", "plain text"}), Kind::complete);
  EXPECT_EQ(on({"x"}, false), Kind::failed_after_content);
  EXPECT_EQ(on({R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"}),
            Kind::failed_before_content);
}

TEST(BodyTruth, AWholeAnswerIsCompleteAndItsUsageIsRead) {
  const auto outcome = judge_body(
      Endpoint::chat, 200, {},
      R"({"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}})",
      BodyEnd::framed);
  EXPECT_EQ(outcome.kind, Kind::complete);
  EXPECT_EQ(outcome.finish_reason, "stop");
  EXPECT_EQ(outcome.usage->prompt, Tokens{1});
  EXPECT_EQ(judge_body(Endpoint::embeddings, 200, {},
                       R"({"data":[],"usage":{"prompt_tokens":2,"total_tokens":2}})", BodyEnd::framed)
                .usage->prompt,
            Tokens{2});
  EXPECT_EQ(judge_body(Endpoint::opaque, 200, {}, "RIFF....WAVE", BodyEnd::framed).kind, Kind::complete);
}

TEST(BodyTruth, WhereOnlyClosingEndsABodyItsTextMustTellThatItIsWhole) {
  const auto kind = [](Endpoint endpoint, std::string_view type, std::string_view body) {
    http::Fields fields;
    fields.add("Content-Type", type);
    return judge_body(endpoint, 200, fields, body, BodyEnd::by_close).kind;
  };
  const auto failed = Kind::failed_before_content;
  EXPECT_EQ(kind(Endpoint::opaque, "application/json; charset=utf-8", R"({"results":[1,2]})"), Kind::complete);
  EXPECT_EQ(kind(Endpoint::opaque, "application/json; charset=utf-8", R"({"results":[1,)"), failed);
  EXPECT_EQ(kind(Endpoint::opaque, "application/vnd.x+json", R"({"results":[1,)"), failed);
  EXPECT_EQ(kind(Endpoint::embeddings, "text/plain", R"({"data":[)"), failed);
  EXPECT_EQ(kind(Endpoint::opaque, "audio/wav", "RIFF....WAVE"), Kind::complete);  // cannot be told from half of it
}

TEST(BodyTruth, AnythingLessIsAFailure) {
  const auto kind = [](Endpoint endpoint, int status, std::string_view body, bool clean) {
    const auto outcome = judge_body(endpoint, status, {}, body, clean ? BodyEnd::framed : BodyEnd::cut);
    EXPECT_EQ(outcome.error.has_value(), outcome.kind != Kind::complete);
    return outcome.kind;
  };
  const auto failed = Kind::failed_before_content;
  EXPECT_EQ(kind(Endpoint::chat, 200, R"({"choices":[{"finish_reason":"stop"}]})", false), failed);
  EXPECT_EQ(kind(Endpoint::chat, 200, R"({"choices":[]})", true), failed);
  EXPECT_EQ(kind(Endpoint::chat, 200, R"({"choices":[{"finish_reason":"abort"}]})", true), failed);
  EXPECT_EQ(kind(Endpoint::chat, 200, R"({"error":{"message":"x"}})", true), failed);
  EXPECT_EQ(kind(Endpoint::chat, 200, "", true), failed);
  EXPECT_EQ(kind(Endpoint::chat, 200, "<html>", true), failed);
  EXPECT_EQ(kind(Endpoint::embeddings, 200, "[]", true), failed);
  EXPECT_EQ(kind(Endpoint::chat, 503, "", true), failed);
  EXPECT_EQ(kind(Endpoint::opaque, 302, "", true), failed);
}

}  // namespace
}  // namespace qlm::engines

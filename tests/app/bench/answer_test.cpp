#include "app/bench/answer.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "app/bench/flags.hpp"
#include "app/bench/probe.hpp"
#include "app/bench/prompt.hpp"

namespace qlm::bench {
namespace {

using report::Outcome;

http::ResponseHead head(int status) {
  http::ResponseHead head;
  head.status = status;
  return head;
}
std::string event(std::string_view data) { return "data: " + std::string(data) + "\n\n"; }
const std::string role = event(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})");
const std::string text = event(R"({"choices":[{"delta":{"content":"hi"}}]})");
const std::string usage = event(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7}})");
const std::string end = event("[DONE]");

Answer answered(const std::string& body, int status = 200) {
  Answer answer;
  answer.on_head(head(status));
  answer.on_body(body, Instant{} + 1s);
  answer.on_complete();
  return answer;
}

TEST(Answer, TimesTheFirstAndTheLastNonEmptyDelta) {
  Answer answer;
  answer.on_head(head(200));
  answer.on_body(": queued\n\n" + role, Instant{} + 1s);
  EXPECT_FALSE(answer.first_text());
  answer.on_body(text.substr(0, 20), Instant{} + 2s);
  EXPECT_FALSE(answer.first_text());
  answer.on_body(text.substr(20), Instant{} + 3s);
  answer.on_body(text, Instant{} + 4s);
  answer.on_body(usage + end, Instant{} + 5s);
  answer.on_complete();
  EXPECT_EQ(answer.outcome(), Outcome::completed);
  EXPECT_EQ(answer.first_text(), Instant{} + 3s);
  EXPECT_EQ(answer.last_text(), Instant{} + 4s);
  EXPECT_EQ(answer.tokens(), Tokens{7}) << "what the engine counted, not the number of chunks";
}

TEST(Answer, CountsDeltasWhereNoUsageCame) { EXPECT_EQ(answered(role + text + text + end).tokens(), Tokens{2}); }

TEST(Answer, IsCutWithoutItsEndMark) {
  EXPECT_EQ(answered(text).outcome(), Outcome::cut);
  EXPECT_EQ(answered(text).detail(), "ended without [DONE]");
  EXPECT_EQ(answered(text + event(R"({"error":{"message":"m","code":"engine_lost"}})") + end).detail(),
            "error in the stream: engine_lost");
  EXPECT_EQ(answered(event("garbage") + end).outcome(), Outcome::cut);
  Answer broken;
  broken.on_head(head(200));
  broken.on_failed("reset");
  EXPECT_EQ(broken.outcome(), Outcome::cut);
}

TEST(Answer, OfAnotherStatusIsRefusedWithItsReason) {
  const auto refused = answered(R"({"error":{"type":"overloaded","code":"slo_unreachable","message":"m"}})", 429);
  EXPECT_EQ(refused.outcome(), Outcome::refused);
  EXPECT_EQ(refused.status(), 429);
  EXPECT_EQ(refused.detail(), "429 slo_unreachable");
  EXPECT_EQ(answered("not json", 502).detail(), "502");
}

TEST(Answer, WithoutAHeadIsFailed) {
  Answer answer;
  answer.on_failed("connect: refused");
  EXPECT_EQ(answer.outcome(), Outcome::failed);
  EXPECT_EQ(answer.status(), 0);
}

TEST(Answer, NoticesWhatComesTwice) {
  EXPECT_EQ(answered(text + end).duplicates(), 0);
  EXPECT_EQ(answered(text + end + end).duplicates(), 1);
  EXPECT_EQ(answered(text + end + text + end).duplicates(), 2);
}

TEST(Chunk, TakesCompletionsReasoningAndToolCallsForText) {
  EXPECT_TRUE(parse_chunk(R"({"choices":[{"text":"a"}]})")->has_text);
  EXPECT_TRUE(parse_chunk(R"({"choices":[{"delta":{"reasoning_content":"a"}}]})")->has_text);
  EXPECT_TRUE(parse_chunk(R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})")->has_text);
  EXPECT_FALSE(parse_chunk(R"({"choices":[{"delta":{"content":null}}]})")->has_text);
  EXPECT_FALSE(parse_chunk("[1]")->has_text);
  EXPECT_FALSE(parse_chunk("{"));
}

TEST(Prompt, HasTheSizeAskedForAndDiffersFromEveryOther) {
  const PromptStyle style;
  const auto body = request_body(style, "m\"", Tokens{100}, Tokens{7}, 1);
  simdjson::dom::parser parser;
  const simdjson::dom::element root = parser.parse(body);
  EXPECT_EQ(std::string_view(root["messages"].at(0)["content"]).size(), 400U);
  EXPECT_EQ(std::int64_t(root["max_tokens"]), 7);
  EXPECT_EQ(std::string_view(root["model"]), "m\"");
  EXPECT_TRUE(bool(root["stream_options"]["include_usage"]));
  EXPECT_TRUE(bool(root["ignore_eos"]));
  EXPECT_NE(body.substr(0, 300), request_body(style, "m\"", Tokens{100}, Tokens{7}, 2).substr(0, 300));
  EXPECT_EQ(body, request_body(style, "m\"", Tokens{100}, Tokens{7}, 1));
}

TEST(Prompt, SaysNothingOfTheLengthWhereThatIsHidden) {
  const auto body = request_body({.hide_length = true}, "m", Tokens{1}, Tokens{7}, 1);
  simdjson::dom::parser parser;
  const simdjson::dom::element root = parser.parse(body);
  EXPECT_EQ(root["max_tokens"].error(), simdjson::NO_SUCH_FIELD);
  EXPECT_EQ(std::int64_t(root["emulated_output_tokens"]), 7);
}

TEST(Flags, TargetsAreReadAsPeopleWriteThem) {
  const auto target = parse_target("http://127.0.0.1:8000/v1/").value();
  EXPECT_EQ(target.address, (net::Address{"127.0.0.1", 8000}));
  EXPECT_EQ(target.path("/v1/models"), "/v1/models");
  EXPECT_EQ(parse_target("http://host/api/v1")->path("/v1/models"), "/api/v1/models");
  EXPECT_EQ(parse_target("host")->address, (net::Address{"host", 80}));
  for (const char* wrong : {"", "https://h:1", "ftp://h:1", "http://h:x", "http://u@h:1", "http://h:0"}) {
    EXPECT_FALSE(parse_target(wrong)) << wrong;
  }
}

TEST(Flags, SlosCarryUnits) {
  const auto slo = parse_slo("interactive=ttft:2s,tpot:200ms").value();
  EXPECT_EQ(slo.first, "interactive");
  EXPECT_EQ(slo.second, (Slo{2s, 200ms, {}}));
  for (const char* wrong : {"", "a", "a=", "a=ttft", "a=ttft:2", "a=wait:2s", "a=ttft:1s,ttft:2s"}) {
    EXPECT_FALSE(parse_slo(wrong)) << wrong;
  }
}

TEST(Metrics, AreSummedOverTheirLabelsAndNotTakenForLongerNames) {
  EXPECT_EQ(metric_sum("# HELP a x\na{m=\"1\"} 1.5\na{m=\"} 2\"} 2\nab 9\n", "a"), 3.5);
  EXPECT_FALSE(metric_sum("b 1\n", "a"));
}

}  // namespace
}  // namespace qlm::bench

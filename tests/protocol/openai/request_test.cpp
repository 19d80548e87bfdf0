#include "protocol/openai/request.hpp"

#include <gtest/gtest.h>

namespace qlm::openai {
namespace {

std::expected<RequestFacts, RequestError> read(std::string body, std::string_view path = "/v1/chat/completions") {
  return extract(path, std::make_shared<const std::string>(std::move(body)));
}

std::string_view at(const RequestFacts& facts, Span span) {
  return std::string_view(*facts.body).substr(span.begin, span.end - span.begin);
}

struct Refused {
  std::string code, param;
  bool operator==(const Refused&) const = default;
  friend void PrintTo(const Refused& r, std::ostream* out) { *out << r.code << " on '" << r.param << "'"; }
};
Refused refused(std::string body, std::string_view path = "/v1/chat/completions") {
  const auto facts = read(std::move(body), path);
  if (facts) return {"accepted", facts->model};
  EXPECT_EQ(facts.error().status, 400);
  EXPECT_FALSE(facts.error().message.empty());
  return {facts.error().code, facts.error().param};
}

TEST(Request, TellsTheEndpointsApart) {
  EXPECT_EQ(endpoint_of("/v1/chat/completions"), Endpoint::chat);
  EXPECT_EQ(endpoint_of("/v1/completions"), Endpoint::completions);
  EXPECT_EQ(endpoint_of("/v1/embeddings"), Endpoint::embeddings);
  EXPECT_EQ(endpoint_of("/v1/responses"), Endpoint::responses);
  EXPECT_EQ(endpoint_of("/v1/rerank"), Endpoint::opaque);
}

TEST(Request, ReadsWhatQueueingNeeds) {
  const auto facts = read(R"({ "model" : "mistral-7b", "stream":true, "stream_options":{"include_usage":true}, "max_tokens": 64,
    "n": 2, "service_tier":"flex", "priority": -3, "temperature": 0.5,
    "messages":[{"role":"user","content":"h\u00e9llo"}]})");
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->model, "mistral-7b");
  EXPECT_EQ(at(*facts, facts->find("model")->value), R"("mistral-7b")");
  EXPECT_EQ(at(*facts, facts->find("model")->whole), R"("model" : "mistral-7b")");
  EXPECT_TRUE(facts->stream);
  EXPECT_TRUE(facts->wants_usage);
  EXPECT_EQ(facts->max_tokens, Tokens{64});
  EXPECT_EQ(facts->choices, 2);
  EXPECT_EQ(facts->service_tier, "flex");
  EXPECT_EQ(facts->priority.vllm, -3);
  EXPECT_EQ(facts->prompt_text, Bytes{6});  // as UTF-8, however it was escaped
}

TEST(Request, NullMeansNotStated) {
  const auto facts = read(R"({"model":"m","stream":null,"max_tokens":null,"n":null,"service_tier":null,"stream_options":null,"stop":null,"tools":null,"logprobs":null})");
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_FALSE(facts->stream);
  EXPECT_FALSE(facts->max_tokens);
  EXPECT_EQ(facts->choices, 1);
  EXPECT_FALSE(facts->stop || facts->tools || facts->logprobs);
  EXPECT_TRUE(facts->stream_options && facts->stream_options->empty);
}

TEST(Request, TheTightestOfSeveralTokenLimitsCounts) {
  EXPECT_EQ(read(R"({"model":"m","max_tokens":9,"max_completion_tokens":5})")->max_tokens, Tokens{5});
  EXPECT_EQ(read(R"({"model":"m","max_output_tokens":7})", "/v1/responses")->max_tokens, Tokens{7});
  EXPECT_FALSE(read(R"({"model":"m","max_tokens":-1})")->max_tokens);  // llama.cpp: no limit
}

TEST(Request, MediaCountAsPartsAndNotAsText) {
  const auto facts = read(R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},
    {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAAAAAA"}},
    {"type":"input_audio","input_audio":{"data":"AAAAAAAA","format":"wav"}}]}]})");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->prompt_text, Bytes{3});
  EXPECT_EQ(facts->media_parts, 2U);
}

TEST(Request, ToolsAreTextOfThePrompt) {
  const auto facts = read(R"({"model":"m","tools":[{"type":"function"}]})");
  EXPECT_TRUE(facts->tools);
  EXPECT_EQ(facts->prompt_text, Bytes{std::ssize(std::string_view(R"([{"type":"function"}])"))});
  EXPECT_FALSE(read(R"({"model":"m","tools":[]})")->tools);
}

TEST(Request, PromptsMayBeTextOrTokenIds) {
  const auto prompt = [](std::string json) { return *read(R"({"model":"m","prompt":)" + json + "}", "/v1/completions"); };
  EXPECT_EQ(prompt(R"("abc")").prompt_text, Bytes{3});
  EXPECT_EQ(prompt("[1,2,3]").prompt_ids, Tokens{3});
  EXPECT_EQ(prompt("[1,2,3]").choices, 1);
  EXPECT_EQ(prompt("[[1,2],[3]]").prompt_ids, Tokens{3});
  EXPECT_EQ(prompt("[[1,2],[3]]").choices, 2);
  EXPECT_EQ(prompt(R"(["ab","c"])").prompt_text, Bytes{3});
  EXPECT_EQ(prompt(R"(["ab","c"])").choices, 2);
  EXPECT_EQ(read(R"({"model":"m","input":["ab","c"]})", "/v1/embeddings")->choices, 1);
}

TEST(Request, MarksHowItsPromptBegins) {
  const std::string system(1000, 's'), question(600, 'q');
  const auto chat = [&](const std::string& first, const std::string& second, const std::string& more = "") {
    return read(R"({"model":"m","messages":[{"role":"system","content":")" + first + R"("},{"role":"user","content":")" + second + R"("}])" + more + "}")->prefix;
  };
  const auto alike = [](const PrefixMarks& a, const PrefixMarks& b) {
    std::size_t k = 0;
    while (k < a.count && k < b.count && a.hashes[k] == b.hashes[k]) ++k;
    return k;
  };
  const PrefixMarks marks = chat(system, question);
  EXPECT_EQ(marks.count, 6U);  // 256 384 512 768 1024 1536 of 1,602 bytes
  EXPECT_EQ(marks.text, 1602U);
  EXPECT_EQ(alike(marks, chat(system, question + " and more")), 6U);
  EXPECT_EQ(alike(marks, chat(system, std::string(600, 'x'))), 4U);
  EXPECT_EQ(alike(marks, chat(system + question, "")), 4U) << "who said what makes a difference";
  EXPECT_EQ(alike(marks, chat(system, question, R"(,"max_tokens":5,"stream":true)")), 6U);
  EXPECT_EQ(alike(marks, chat(system, question, R"(,"tools":[{"type":"function"}])")), 0U) << "templates write them before all messages";
  EXPECT_EQ(alike(marks, chat(system, question, R"(,"cache_salt":"mine")")), 0U);
  EXPECT_EQ(read(R"({"model":"m","messages":[{"content":[{"type":"image_url","image_url":"x"},{"type":"text","text":")" + system + "\"}]}]}")->prefix.count, 0U);
  const std::string two = R"({"model":"m","prompt":[")" + system + R"(",")" + system + "\"]}";
  EXPECT_EQ(read(two, "/v1/completions")->prefix.count, 0U);
}

TEST(Request, NotesWhatLimitsResuming) {
  const auto chat = [](std::string more) { return *read(R"({"model":"m",)" + more + "}"); };
  EXPECT_TRUE(chat(R"("logprobs":true)").logprobs);
  EXPECT_FALSE(chat(R"("logprobs":false)").logprobs);
  EXPECT_TRUE(chat(R"("logprobs":0)").logprobs);  // completions: the chosen token's
  EXPECT_TRUE(chat(R"("stop":"x")").stop);
  EXPECT_FALSE(chat(R"("stop":[])").stop);
  EXPECT_TRUE(chat(R"("presence_penalty":0.5)").penalties);
  EXPECT_FALSE(chat(R"("presence_penalty":0.0)").penalties);
  EXPECT_FALSE(chat(R"("repetition_penalty":1)").penalties);
  EXPECT_TRUE(chat(R"("repetition_penalty":1.1)").penalties);
  EXPECT_TRUE(chat(R"("response_format":{"type":"json_object"})").structured_output);
  EXPECT_FALSE(chat(R"("response_format":{"type":"text"})").structured_output);
  EXPECT_TRUE(chat(R"("guided_json":{})").structured_output);
}

TEST(Request, ReadsDynamosPriorityHints) {
  const auto facts = read(R"({"model":"m","nvext":{"agent_hints":{"priority":4,"strict_priority":2},"x":[]}})");
  EXPECT_EQ(facts->priority.dynamo, 4);
  EXPECT_EQ(facts->priority.dynamo_strict, 2);
  // Denied fields are removed, never an error, so odd values in them are nobody's business.
  EXPECT_EQ(refused(R"({"model":"m","nvext":7,"priority":"high"})"), (Refused{"accepted", "m"}));
}

TEST(Request, BrokenJsonIsRefusedWithItsPlace) {
  for (const char* body : {"", " ", "{", R"({"model")", R"({"model":"m")", R"({"model":"m"}})", R"({"model":"m",})", R"({model:"m"})",
                           R"({'model':'m'})", R"({"model":"m" "n":1})", R"({"model":"m","x":[tru,,1 2]})", R"({"model":"m","x":"\q"})",
                           R"({"model":"m","x":"\u12"})", R"({"model":"m","x":"\ud800"})", R"({"model":"m","x":"\udc00\ud800"})",
                           R"({"model":"m","x":01})", R"({"model":"m","x":1.})", R"({"model":"m","x":-})", R"({"model":"m","x":1e})",
                           R"({"model":"m","x":NaN})", R"({"model":"m","x":[1,]})", "{\"model\":\"m\",\"x\":\"a\nb\"}",
                           "\xEF\xBB\xBF{\"model\":\"m\"}", "nonsense", R"({"model":"m"}//)"}) {
    EXPECT_EQ(refused(body).code, "invalid_json") << body;
  }
  EXPECT_NE(read(R"({"model":"m","x":[1,]})").error().message.find("at byte 20"), std::string::npos);
}

TEST(Request, OnlyAnObjectIsARequest) {
  for (const char* body : {"[]", "null", "3", R"("model")"}) EXPECT_EQ(refused(body).code, "invalid_type") << body;
}

TEST(Request, TextMustBeUtf8) {
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_EQ(refused(std::string(R"({"model":"m","x":")") + bad + "\"}").code, "invalid_utf8");
  }
  EXPECT_NE(read(std::string(R"({"model":"mé","x":")") + "\xff\"}").error().message.find("byte 20"), std::string::npos);
}

TEST(Request, NestingIsBounded) {
  const auto nested = [](std::size_t depth) { return R"({"model":"m","x":)" + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  EXPECT_EQ(refused(nested(max_json_depth - 1)).code, "accepted");
  EXPECT_EQ(refused(nested(max_json_depth)).code, "json_too_deep");
  EXPECT_EQ(refused(R"({"model":"m","x":)" + std::string(1'000'000, '[')).code, "json_too_deep");
  EXPECT_EQ(refused(std::string(1'000'000, '[')).code, "json_too_deep");
}

TEST(Request, FieldsAreBounded) {
  std::string body = R"({"model":"m")";
  for (int i = 0; i < 2000; ++i) body += R"(,"":0)";
  EXPECT_EQ(refused(body + "}").code, "too_many_fields");
}

TEST(Request, TheModelIsRequired) {
  EXPECT_EQ(refused("{}"), (Refused{"missing_field", "model"}));
  EXPECT_EQ(refused(R"({"model":""})"), (Refused{"invalid_value", "model"}));
  EXPECT_EQ(refused(R"({"model":null})"), (Refused{"invalid_type", "model"}));
  EXPECT_EQ(refused(R"({"model":["m"]})"), (Refused{"invalid_type", "model"}));
}

TEST(Request, WrongTypesNameTheirField) {
  const auto with = [](std::string more) { return refused(R"({"model":"m",)" + more + "}"); };
  EXPECT_EQ(with(R"("stream":"true")"), (Refused{"invalid_type", "stream"}));
  EXPECT_EQ(with(R"("stream":1)"), (Refused{"invalid_type", "stream"}));
  EXPECT_EQ(with(R"("max_tokens":"9")"), (Refused{"invalid_type", "max_tokens"}));
  EXPECT_EQ(with(R"("max_tokens":9.5)"), (Refused{"invalid_type", "max_tokens"}));
  EXPECT_EQ(with(R"("max_tokens":99999999999999999999)"), (Refused{"invalid_type", "max_tokens"}));
  EXPECT_EQ(with(R"("max_completion_tokens":-2)"), (Refused{"invalid_value", "max_completion_tokens"}));
  EXPECT_EQ(with(R"("n":0)"), (Refused{"invalid_value", "n"}));
  EXPECT_EQ(with(R"("n":[])"), (Refused{"invalid_type", "n"}));
  EXPECT_EQ(with(R"("stream_options":true)"), (Refused{"invalid_type", "stream_options"}));
  EXPECT_EQ(with(R"("stream_options":{"include_usage":"yes"})"), (Refused{"invalid_type", "stream_options.include_usage"}));
  EXPECT_EQ(with(R"("service_tier":1)"), (Refused{"invalid_type", "service_tier"}));
}

TEST(Request, ASecondSpellingOfAFieldIsRefused) {
  EXPECT_EQ(refused(R"({"model":"a","model":"b"})"), (Refused{"duplicate_field", "model"}));
  EXPECT_EQ(refused(R"({"model":"a","priority":1,"priority":2})"), (Refused{"duplicate_field", "priority"}));
  EXPECT_EQ(refused(R"({"model":"a","prior\u0069ty":1})"), (Refused{"misspelled_field", "priority"}));
  EXPECT_EQ(refused(R"({"mod\u0065l":"a"})"), (Refused{"misspelled_field", "model"}));
  EXPECT_EQ(refused(R"({"model":"a","Model":"b"})"), (Refused{"misspelled_field", "model"}));
  EXPECT_EQ(refused(R"({"model":"a","ſtream":true})"), (Refused{"misspelled_field", "stream"}));
  EXPECT_EQ(refused(R"({"model":"a","stream_options":{"include_usage":true,"include_usage":false}})").code, "duplicate_field");
  EXPECT_EQ(refused(R"({"model":"a","stream_options":{"include_us\u0061ge":true}})").code, "duplicate_field");
  // What QLM does not read is the engine's to judge.
  EXPECT_EQ(refused(R"({"model":"a","x":1,"x":2,"\u0078":3})").code, "accepted");
}

TEST(Request, ABodyWithoutRoomBehindItIsReadTheSame) {
  // The reader looks at eight bytes at a time but never past the end: the sanitizers watch this.
  for (std::size_t pad = 0; pad < 24; ++pad) {
    std::string body = R"({"x":")" + std::string(pad, 'a') + R"(","model":")" + std::string(pad + 1, 'm') + "\"}";
    body.shrink_to_fit();
    const auto facts = read(body);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->model.size(), pad + 1);
  }
}

}  // namespace
}  // namespace qlm::openai

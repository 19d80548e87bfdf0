#include "protocol/engines/error.hpp"

#include <gtest/gtest.h>

namespace qlm::engines {
namespace {

EngineError read(int status, std::string_view body) { return read_error(status, {}, body); }

TEST(EngineErrors, VllmsUnknownModelIsA404ThatIsNotRetried) {
  const auto e = read(
      404,
      R"({"error":{"message":"The model `x` does not exist.","type":"NotFoundError","param":"model","code":404}})");
  EXPECT_EQ(e.status, 404);
  EXPECT_EQ(e.message, "The model `x` does not exist.");
  EXPECT_EQ(e.param, "model");
  EXPECT_EQ(e.code, "model_not_found");
  EXPECT_FALSE(e.retryable_elsewhere);
}

TEST(EngineErrors, ContextErrorsOfEveryEngineBecomeOneAndAreNotRetried) {
  struct Case {
    int status;
    const char* body;
    std::optional<std::int64_t> prompt;
    std::optional<std::int64_t> context;
  };
  const Case cases[] = {
      {400,
       R"({"error":{"message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.","type":"BadRequestError","param":"input_tokens","code":400}})",
       5000, 4096},
      {400,
       R"({"error":{"code":400,"message":"request (3000 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":3000,"n_ctx":2048}})",
       3000, 2048},
      {400,
       R"({"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","type":"BadRequestError","param":null,"code":400})",
       9000, 8192},
      {400,
       R"({"object":"error","message":"Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 9000 tokens","type":"BadRequestError","code":400})",
       9000, 8192},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto e = read(c.status, c.body);
    EXPECT_TRUE(e.context_exceeded);
    EXPECT_EQ(e.status, 400);
    EXPECT_EQ(e.code, "context_length_exceeded");
    EXPECT_EQ(e.type, "invalid_request_error");
    EXPECT_FALSE(e.retryable_elsewhere);
    EXPECT_EQ(e.prompt, c.prompt ? std::optional(Tokens{*c.prompt}) : std::nullopt);
    EXPECT_EQ(e.context, c.context ? std::optional(Tokens{*c.context}) : std::nullopt);
  }
}

TEST(EngineErrors, ARefusedEngineKeyIsNotTheClientsFault) {
  for (const auto* body :
       {R"({"error":"Unauthorized"})",
        R"({"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}})"}) {
    const auto e = read(401, body);
    EXPECT_EQ(e.status, 502) << body;
    EXPECT_EQ(e.code, "engine_credentials");
    EXPECT_TRUE(e.retryable_elsewhere);
  }
}

TEST(EngineErrors, OverloadAndLoadingAreRetriedElsewhere) {
  struct Case {
    const char* body;
    const char* message;
  };
  const Case cases[] = {
      {R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})", "Loading model"},
      {R"({"error":{"message":"server busy, please try again.  maximum pending requests exceeded","type":"api_error","param":null,"code":null}})",
       "server busy, please try again.  maximum pending requests exceeded"},
      {R"({"object":"error","message":"The request queue is full.","type":"SERVICE_UNAVAILABLE","code":503})",
       "The request queue is full."},
      {R"({"error":"server busy"})", "server busy"},
      {"", "the engine failed with status 503 and no message"},
  };
  for (const auto& c : cases) {
    const auto e = read(503, c.body);
    EXPECT_EQ(e.status, 503) << c.body;
    EXPECT_EQ(e.message, c.message);
    EXPECT_FALSE(e.type.empty());
    EXPECT_TRUE(e.retryable_elsewhere);
  }
}

TEST(EngineErrors, WhoIsWrongDecidesWhetherToRetry) {
  for (const int status : {400, 404, 405, 409, 413, 422, 501})
    EXPECT_FALSE(read(status, "{}").retryable_elsewhere) << status;
  for (const int status : {401, 403, 408, 429, 500, 502, 503, 504})
    EXPECT_TRUE(read(status, "{}").retryable_elsewhere) << status;
}

TEST(EngineErrors, FastApiDetailsAreReadInBothShapes) {
  EXPECT_EQ(read(404, R"({"detail":"Not Found"})").message, "Not Found");
  EXPECT_EQ(read(422, R"({"detail":[{"type":"missing","loc":["body","messages",0],"msg":"Field required"}]})")
                .message,
            "body.messages.#: Field required");
  EXPECT_EQ(read(422, R"({"detail":[]})").message, "the engine failed with status 422 and no message");
}

TEST(EngineErrors, OllamaSaysAMissingModelInWords) {
  const auto e = read(
      404,
      R"({"error":{"message":"model \"x\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}})");
  EXPECT_EQ(e.code, "model_not_found");
  EXPECT_FALSE(e.retryable_elsewhere);
}

TEST(EngineErrors, TheLlamaRoutersMissingModelIsA404LikeEverybodyElses) {
  const auto e = read(
      400, R"({"error":{"code":400,"message":"model 'nope' not found","type":"invalid_request_error"}})");
  EXPECT_EQ(e.status, 404);
  EXPECT_EQ(e.code, "model_not_found");
  EXPECT_FALSE(e.retryable_elsewhere);
  const auto broken = read(
      500, R"({"error":{"code":500,"message":"model name=broken failed to load","type":"server_error"}})");
  EXPECT_TRUE(broken.retryable_elsewhere);
}

TEST(EngineErrors, TextHtmlAndBytesThatAreNoTextStayOneCleanLine) {
  EXPECT_EQ(read(500, "Internal Server Error\n").message, "Internal Server Error");
  EXPECT_EQ(read(502, "<html><body>502</body></html>").message,
            "the engine, or a proxy before it, answered 502 with an HTML page");
  EXPECT_EQ(read(500, "a\r\nb\tc\xff").message, "a  b c?");
}

TEST(EngineErrors, MessagesAreBoundedAndCutBetweenCharacters) {
  std::string text(999, 'x');
  text += "\xc3\xa9\xc3\xa9";  // the limit of 1000 bytes falls into the first of them
  const auto e = read(500, text);
  EXPECT_EQ(e.message, std::string(999, 'x') + "...");
}

TEST(EngineErrors, RetryAfterIsKeptWhenItIsANumber) {
  http::Fields fields;
  fields.add("Retry-After", "7");
  EXPECT_EQ(read_error(429, fields, "{}").retry_after, 7s);
  http::Fields date;
  date.add("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT");
  EXPECT_EQ(read_error(429, date, "{}").retry_after, std::nullopt);
}

TEST(EngineErrors, FindsErrorsInPayloadsAndOnlyThere) {
  EXPECT_FALSE(find_error(R"({"choices":[]})").has_value());
  EXPECT_FALSE(find_error(R"({"error":null,"choices":[]})").has_value());
  EXPECT_FALSE(find_error(R"({"error":""})").has_value());
  EXPECT_FALSE(find_error(R"({"choices":[{"delta":{"content":"\"error\": {}"}}]})").has_value());
  EXPECT_FALSE(find_error("not json").has_value());

  const auto transformers = find_error(R"({"error": "CUDA out of memory"})");
  ASSERT_TRUE(transformers);
  EXPECT_EQ(transformers->message, "CUDA out of memory");
  EXPECT_EQ(transformers->status, 502);
  EXPECT_TRUE(transformers->retryable_elsewhere);

  const auto sglang = find_error(
      R"({"error":{"object":"error","message":"The request queue is full.","type":"SERVICE_UNAVAILABLE","param":null,"code":503}})");
  ASSERT_TRUE(sglang);
  EXPECT_EQ(sglang->status, 503);
  EXPECT_TRUE(sglang->retryable_elsewhere);

  const auto bad = find_error(
      R"({"error":{"message":"no such grammar","type":"BadRequestError","param":null,"code":400}})");
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 400);
  EXPECT_FALSE(bad->retryable_elsewhere);
}

TEST(EngineErrors, OnlyAnErrorObjectWithTheStatusItCameWithIsPassedOnAsItCame) {
  EXPECT_TRUE(read(400, R"({"error":{"message":"no","type":"BadRequestError","param":null,"code":400}})").openai_shaped);
  EXPECT_FALSE(read(404, R"({"detail":"Not Found"})").openai_shaped);
  EXPECT_FALSE(read(400, R"({"object":"error","message":"no","type":"BadRequest","code":400})").openai_shaped);
  EXPECT_FALSE(read(400, R"({"error":"no"})").openai_shaped);
  // The router's 400 means 404.
  EXPECT_FALSE(
      read(400, R"({"error":{"code":400,"message":"model 'x' not found","type":"invalid_request_error"}})").openai_shaped);
}

TEST(EngineErrors, LlamaCppsServerErrorOverARequestItCannotReadIsTheRequestsFault) {
  const auto e = read(
      500, R"({"error":{"code":500,"message":"Failed to parse tools: Expected 'tools' to be an array","type":"server_error"}})");
  EXPECT_EQ(e.status, 400);
  EXPECT_EQ(e.type, "invalid_request_error");
  EXPECT_FALSE(e.retryable_elsewhere);
  EXPECT_FALSE(e.openai_shaped);
  // What the model said is the engine's to read.
  EXPECT_TRUE(read(500, R"({"error":{"code":500,"message":"Failed to parse input at pos 3","type":"server_error"}})")
                  .retryable_elsewhere);
}

TEST(EngineErrors, AnErrorIsNeverWithoutTypeOrMessageAndItsStatusIsAnError) {
  for (const int status : {100, 200, 302, 400, 500, 599, 600, 999}) {
    for (const auto* body : {"", "{}", "[]", "null", "1", "{\"error\":{}}", "{\"error\":[]}",
                             "{\"error\":{\"message\":5,\"code\":\"x\"}}"}) {
      const auto e = read(status, body);
      EXPECT_FALSE(e.type.empty());
      EXPECT_FALSE(e.message.empty());
      EXPECT_GE(e.status, 400);
      EXPECT_LE(e.status, 599);
    }
  }
  EXPECT_EQ(connection_error("").message, "the engine's connection failed");
}

}  // namespace
}  // namespace qlm::engines

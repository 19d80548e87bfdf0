#include "protocol/openai/errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace qlm::openai {
namespace {

std::string header(const ErrorReply& reply, std::string_view name) {
  const auto found = std::ranges::find(reply.headers, name, &std::pair<std::string, std::string>::first);
  return found == reply.headers.end() ? "" : found->second;
}

TEST(Errors, AreOpenAIsErrorObject) {
  EXPECT_EQ(error_body("overloaded", "queue_full", "say \"why\"", "x"),
            R"({"error":{"message":"say \"why\"","type":"overloaded","param":"x","code":"queue_full"}})");
  EXPECT_EQ(error_body("t", "", "m", ""), R"({"error":{"message":"m","type":"t","param":null,"code":null}})");
}

TEST(Errors, EveryReasonHasItsStatusAndACodeOfItsOwn) {
  std::set<std::string_view> codes;
  for (const RefusalRule& rule : refusal_rules()) {
    EXPECT_EQ(&rule_of(rule.reason), &rule);
    EXPECT_TRUE(codes.insert(rule.code).second) << rule.code;
    EXPECT_GE(rule.status, 400);
  }
  const auto status = [](RefusalReason reason) { return rule_of(reason).status; };
  EXPECT_EQ(status(RefusalReason::queue_full), 429);
  EXPECT_EQ(status(RefusalReason::slo_unreachable), 429);
  EXPECT_EQ(status(RefusalReason::no_instance), 503);
  EXPECT_EQ(status(RefusalReason::model_unknown), 404);
  EXPECT_EQ(status(RefusalReason::body_too_large), 413);
  EXPECT_EQ(status(RefusalReason::deadline_passed), 504);
  EXPECT_EQ(status(RefusalReason::client_gone), 499);
}

TEST(Errors, SdksAreToldWhenRetryingHelps) {
  const auto soon = error_reply(Refusal{RefusalReason::queue_full, "m", "", 36100ms});
  EXPECT_EQ(header(soon, "Retry-After"), "37");
  EXPECT_EQ(header(soon, "x-should-retry"), "");
  EXPECT_EQ(header(error_reply(Refusal{RefusalReason::queue_full, "m", "", 60s}), "x-should-retry"), "");
  EXPECT_EQ(header(error_reply(Refusal{RefusalReason::queue_full, "m", "", 61s}), "x-should-retry"), "false");
  const auto late = error_reply(Refusal{RefusalReason::deadline_passed, "m", "", {}});
  EXPECT_EQ(header(late, "Retry-After"), "");
  EXPECT_EQ(header(late, "x-should-retry"), "false");
  EXPECT_EQ(retry_after_value(0s), "1");
  EXPECT_EQ(retry_after_value(-5s), "1");
}

TEST(Errors, RequestErrorsKeepTheirCodeAndParam) {
  const auto reply = error_reply(RequestError{400, "invalid_type", "m", "n"});
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body, R"({"error":{"message":"m","type":"invalid_request_error","param":"n","code":"invalid_type"}})");
}

TEST(Errors, InBandErrorsAreOneEvent) {
  EXPECT_EQ(sse_error_event({RefusalReason::engine_error, "gone\n\ndata: x", "", {}}),
            "data: {\"error\":{\"message\":\"gone\\n\\ndata: x\",\"type\":\"server_error\",\"param\":null,\"code\":\"engine_error\"}}\n\n");
}

TEST(NearestName, FindsWhatWasMeant) {
  const std::vector<std::string> models{"mistral-7b", "llama-3-8b", "Qwen2.5-7B"};
  EXPECT_EQ(nearest_name("mistral7b", models), "mistral-7b");
  EXPECT_EQ(nearest_name("mistarl-7b", models), "mistral-7b");
  EXPECT_EQ(nearest_name("qwen2.5-7b", models), "Qwen2.5-7B");
  EXPECT_FALSE(nearest_name("gpt-4o", models));
  EXPECT_FALSE(nearest_name(std::string(100'000, 'm'), models));
  EXPECT_FALSE(nearest_name("", models));
}

}  // namespace
}  // namespace qlm::openai

#include "protocol/openai/deny_list.hpp"

#include <gtest/gtest.h>

namespace qlm::openai {
namespace {

using Names = std::vector<std::string>;

TEST(DenyList, TakesSteeringFieldsOutOfTheBodyAndNamesThem) {
  auto facts = extract("/v1/chat/completions",
                       std::make_shared<const std::string>(
                           R"({"priority":-100,"model":"m","id_slot":0,"kv_transfer_params":{"a":[1]},"request_id":"r","cache_salt":"s"})"));
  ASSERT_TRUE(facts);
  const auto shared = std::make_shared<const RequestFacts>(std::move(*facts));
  Splice splice(shared);
  EXPECT_EQ(remove_denied_fields(*shared, splice), (Names{"priority", "id_slot", "kv_transfer_params", "request_id"}));
  EXPECT_EQ(splice.assemble().str(), R"({"model":"m","cache_salt":"s"})");
}

TEST(DenyList, EngineSeesNeitherSecretsNorSteeringNorThisHopsHeaders) {
  http::Fields in;
  for (const auto& [name, value] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"Host", "qlm"}, {"Content-Type", "application/json"}, {"Authorization", "Bearer s"}, {"Cookie", "c"}, {"Connection", "close, X-Hop"},
           {"X-Hop", "1"}, {"Transfer-Encoding", "chunked"}, {"Content-Length", "3"}, {"TE", "trailers"}, {"Expect", "100-continue"},
           {"Accept-Encoding", "gzip"}, {"traceparent", "00-a-b-01"}, {"X-SLO-Class", "chat"}, {"X-QLM-Wait", "allow"},
           {"X-Vllm-Priority", "-1"}, {"X-data-parallel-rank", "0"}, {"X-Conversation-Id", "c"}, {"X-Request-Id", "r"}, {"x-request-id", "r"}}) {
    in.add(name, value);
  }
  Names removed;
  const auto out = forwarded_headers(in, false, removed);
  Names kept;
  for (const auto& field : out.all()) kept.push_back(field.name);
  EXPECT_EQ(kept, (Names{"Content-Type", "traceparent"}));
  EXPECT_EQ(removed, (Names{"x-vllm-priority", "x-data-parallel-rank", "x-conversation-id", "x-request-id"}));

  removed.clear();
  const auto trusted = forwarded_headers(in, true, removed);
  EXPECT_TRUE(trusted.contains("x-vllm-priority"));
  EXPECT_FALSE(trusted.contains("authorization"));
  EXPECT_TRUE(removed.empty());
}

TEST(DenyList, PathsThatActOnTheEngineAreTold) {
  for (const auto* path : {"/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/x/sleep"}) EXPECT_TRUE(denied_path(path)) << path;
  for (const auto* path : {"/v1/chat/completions", "/v1/rerank", "/v1/sleep/notes"}) EXPECT_FALSE(denied_path(path)) << path;
}

TEST(DenyList, ClientSeesTheEnginesHeadersButThisHopsItsCookiesAndItsName) {
  http::Fields in;
  in.add("Content-Type", "text/event-stream");
  in.add("Transfer-Encoding", "chunked");
  in.add("Keep-Alive", "timeout=5");
  in.add("x-qlm-instance", "forged");
  in.add("Set-Cookie", "session=1");
  in.add("Server", "uvicorn");
  in.add("X-Accel-Buffering", "no");
  const auto out = returned_headers(in);
  EXPECT_EQ(out.all().size(), 2U);
  EXPECT_TRUE(out.contains("content-type") && out.contains("x-accel-buffering"));
}

}  // namespace
}  // namespace qlm::openai

// The emulated engine over loopback, held to what engines of its kind answer.
#include "engine_fixture.hpp"

namespace qlm::emulator {
namespace {

TEST_F(Contract, ChatStreamHasRoleDeltasFinishUsageAndDone) {
  start(fast());
  const auto list =
      events(post(chat, R"({"model":"mistral-7b","messages":[{"role":"user","content":"hello there"}],
      "max_tokens":3,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}})"));
  ASSERT_EQ(list.size(), 6U);
  EXPECT_TRUE(
      has(list[0], R"("delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null)"))
      << list[0];
  EXPECT_TRUE(has(list[1], R"("object":"chat.completion.chunk")"));
  EXPECT_TRUE(has(list[2], R"("finish_reason":null)"));
  EXPECT_TRUE(has(list[3], R"("finish_reason":"length","stop_reason":null)"));
  EXPECT_TRUE(
      has(list[4], R"("choices":[],"usage":{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3},"system_fingerprint")"))
      << list[4];
  EXPECT_EQ(list[5], "[DONE]");
}

TEST_F(Contract, WholeAndStreamedTextAreTheSame) {
  start(fast());
  const std::string whole = post(completions, R"({"prompt":"hello","max_tokens":20,"ignore_eos":true})");
  std::string streamed;
  for (const auto& event :
       events(post(completions, R"({"prompt":"hello","max_tokens":20,"ignore_eos":true,"stream":true})"))) {
    const auto at = event.find(R"("text":")");
    if (at != event.npos) streamed += event.substr(at + 8, event.find('"', at + 8) - at - 8);
  }
  EXPECT_EQ(streamed.size(), 100U);
  EXPECT_TRUE(has(whole, R"("text":")" + streamed + "\"")) << whole;
}

TEST_F(Contract, TokenIdsResumeTheSameText) {
  start(fast());
  const std::string whole =
      post(completions, R"({"prompt":[5,6,7],"max_tokens":4,"ignore_eos":true,"return_token_ids":true})");
  const auto at = whole.find(R"("token_ids":[)") + 13;
  ASSERT_NE(at, std::string::npos + 13);
  const std::string ids = whole.substr(at, whole.find(']', at) - at);
  const std::string first_two = ids.substr(0, ids.find(',', ids.find(',') + 1));
  const std::string rest = ids.substr(first_two.size() + 1);
  const std::string resumed =
      post(completions, R"({"prompt":[5,6,7,)" + first_two +
                            R"(],"max_tokens":2,"ignore_eos":true,"return_token_ids":true})");
  EXPECT_TRUE(has(resumed, R"("token_ids":[)" + rest + "]")) << ids << " then " << resumed;
  EXPECT_TRUE(has(resumed, R"("prompt_token_ids":[5,6,7,)" + first_two + "]")) << resumed;
}

TEST_F(Contract, SeveralPromptsAndChoicesAreIndexed) {
  start(fast());
  const std::string body =
      post(completions, R"({"prompt":["a","b"],"n":2,"max_tokens":1,"ignore_eos":true})");
  for (const auto* index : {R"("index":0)", R"("index":3)"}) EXPECT_TRUE(has(body, index)) << body;
  EXPECT_FALSE(has(body, R"("index":4)"));
  EXPECT_TRUE(has(body, R"("prompt_tokens":2,"total_tokens":6,"completion_tokens":4)")) << body;
}

TEST_F(Contract, AStopStringEndsTheTextBeforeIt) {
  start(fast());
  const std::string free = post(completions, R"({"prompt":"x","max_tokens":3,"ignore_eos":true})");
  const auto at = free.find(R"("text":")") + 8;
  const std::string second_word = free.substr(at + 6, 4);
  const std::string stopped = post(
      completions, R"({"prompt":"x","max_tokens":3,"ignore_eos":true,"stop":[")" + second_word + R"("]})");
  EXPECT_TRUE(has(stopped, R"("text":")" + free.substr(at, 6) + "\"")) << stopped;
  EXPECT_TRUE(has(stopped, R"("finish_reason":"stop","stop_reason":")" + second_word)) << stopped;
}

TEST_F(Contract, WhatIsAskedBeyondTheContextIsCutToIt) {
  auto options = fast();
  options.profile = find_profile("a100-80/mistral-7b").value();
  options.profile.max_model_len = Tokens{100};
  start(std::move(options));
  const std::string answer = post(completions, R"({"prompt":"x","max_tokens":100,"ignore_eos":true})");
  EXPECT_TRUE(has(answer, R"("prompt_tokens":1,"total_tokens":100,"completion_tokens":99)")) << answer;
  EXPECT_TRUE(has(answer, R"("finish_reason":"length")")) << answer;
}

TEST_F(Contract, AnOutputEndsByItselfWhereTheLoadGeneratorSaidItWould) {
  start(fast());
  for (const std::string more : {"", R"(,"max_tokens":50)"}) {
    const std::string answer = post(completions, R"({"prompt":"x","emulated_output_tokens":20,"ignore_eos":true)" + more + "}");
    EXPECT_TRUE(has(answer, R"("completion_tokens":20)")) << answer;
    EXPECT_TRUE(has(answer, R"("finish_reason":"stop")")) << answer;
  }
}

TEST_F(Contract, AForcedToolCallSaysTheLeastTheSchemaAllows) {
  start(fast());
  const std::string body =
      R"({"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"look","parameters":
      {"type":"object","properties":{"at":{"enum":["x"]},"far":{"type":"integer"},"not":{}},"required":["at","far"]}}}],)";
  const std::string forced = post(chat, body + R"("tool_choice":"required"})");
  EXPECT_TRUE(has(forced, R"("function":{"name":"look","arguments":"{\"at\":\"x\",\"far\":0}"})")) << forced;
  EXPECT_TRUE(has(forced, R"("finish_reason":"tool_calls")")) << forced;
  const auto list = events(post(chat, body + R"("stream":true,"tool_choice":{"function":{"name":"look"}}})"));
  EXPECT_TRUE(has(list[1], R"("tool_calls":[{"id":"chatcmpl-tool-)")) << list[1];
  EXPECT_TRUE(has(list[list.size() - 2], R"("finish_reason":"stop")")) << list[list.size() - 2];
  EXPECT_TRUE(has(post(chat, body + R"("tool_choice":"auto"})"), R"("content":" )")) << "only when forced";
  refused(400, chat, body + R"("tool_choice":{"function":{"name":"jump"}}})");
  refused(400, chat, R"({"messages":[{"role":"user","content":"x"}],"tools":"nonsense"})");
}

TEST_F(Contract, AnEchoBeginsWithThePrompt) {
  start(fast());
  EXPECT_TRUE(has(post(completions, R"({"prompt":["a\"b","c"],"max_tokens":1,"echo":true})"), R"("text":"a\"b )"));
  const auto list = events(post(completions, R"({"prompt":[0,1],"max_tokens":2,"echo":true,"stream":true})"));
  EXPECT_TRUE(has(list[0], R"("text":" baba babe )")) << list[0];
  EXPECT_FALSE(has(list[1], "baba babe")) << list[1];
}

TEST_F(Contract, ContinuousUsageCountsUpInEveryChunk) {
  start(fast());
  const auto list = events(post(
      chat, R"({"messages":[{"role":"user","content":"x"}],"max_tokens":2,"ignore_eos":true,"stream":true,
      "stream_options":{"include_usage":true,"continuous_usage_stats":true}})"));
  ASSERT_EQ(list.size(), 5U);
  for (int k = 0; k < 3; ++k) {
    EXPECT_TRUE(has(list[static_cast<std::size_t>(k)], "\"completion_tokens\":" + std::to_string(k) + ",")) << list[static_cast<std::size_t>(k)];
  }
}

TEST_F(Contract, ResponsesAreAnsweredWholeAndAsNamedEvents) {
  start(fast());
  const std::string ask = R"({"model":"mistral-7b","input":"hello","max_output_tokens":3)";
  const std::string whole = post("/v1/responses", ask + "}");
  EXPECT_TRUE(has(whole, R"("object":"response")")) << whole;
  const std::string streamed = post("/v1/responses", ask + R"(,"stream":true})");
  EXPECT_TRUE(streamed.starts_with("event: response.created\ndata: {")) << streamed;
  const auto list = events(streamed);
  ASSERT_EQ(list.size(), 11U);
  EXPECT_TRUE(has(list[4], R"("type":"response.output_text.delta")")) << list[4];
  EXPECT_TRUE(has(list[10], R"("sequence_number":10,"type":"response.completed")")) << list[10];
  const auto text = [](const std::string& body) {
    const auto at = body.find(R"("text":" )");
    return body.substr(at, body.find('"', at + 9) - at);
  };
  EXPECT_EQ(text(list[7]), text(whole));
  EXPECT_TRUE(has(refused(400, "/v1/responses", "{}"), "body.input"));
}

TEST_F(Contract, LogprobsHaveTheirShapes) {
  start(fast());
  const std::string completion = post(completions, R"({"prompt":"x","max_tokens":1,"logprobs":2})");
  EXPECT_TRUE(has(completion, R"("logprobs":{"text_offset":[0],"token_logprobs":[-)")) << completion;
  const std::string talk =
      post(chat,
           R"({"messages":[{"role":"user","content":"x"}],"max_tokens":1,"logprobs":true,"top_logprobs":1})");
  EXPECT_TRUE(has(talk, R"("logprobs":{"content":[{"token":")")) << talk;
}

TEST_F(Contract, ErrorsAreThoseOfTheRealEngine) {
  auto options = fast();
  options.profile = find_profile("a100-80/vicuna-13b").value();
  options.profile.max_model_len = Tokens{100};
  start(std::move(options));
  EXPECT_EQ(
      refused(404, chat, R"({"model":"gpt-9","messages":[{"role":"user","content":"x"}]})"),
      R"({"error":{"message":"The model `gpt-9` does not exist. Valid aliases: vicuna-13b.","type":"NotFoundError","param":"model","code":404}})");
  EXPECT_TRUE(
      has(refused(400, chat, R"({"messages":[{"role":)"), R"("type":"Bad Request","param":"body","code":400)"));
  EXPECT_TRUE(has(refused(400, chat, R"({"model":"vicuna-13b"})"), "messages"));
  EXPECT_TRUE(has(refused(400, completions, R"({"prompt":"x","max_tokens":0})"),
                  "max_tokens must be at least 1, got 0."));
  EXPECT_TRUE(has(refused(400, completions, R"({"prompt":"x","stream":"yes"})"), R"("param":"body.stream")"));
  EXPECT_TRUE(has(refused(400, completions, R"({"prompt":"x","stream_options":{"include_usage":true}})"),
                  "stream=True"));
  const std::string too_many = refused(400, completions, R"({"prompt":"x","max_tokens":101})");
  EXPECT_TRUE(has(too_many, "max_tokens=101 cannot be greater than max_model_len=100.")) << too_many;
  const std::string too_long = refused(400, completions, R"({"prompt":")" + std::string(404, 'x') + R"("})");
  EXPECT_TRUE(has(too_long, "This model's maximum context length is 100 tokens.")) << too_long;
  EXPECT_TRUE(has(too_long, R"("type":"BadRequestError","param":"input_tokens")")) << too_long;
  EXPECT_TRUE(has(refused(400, chat, R"({"messages":[{"role":"user","content":"x"}],"n":2,"temperature":0})"),
                  "n must be 1 when using greedy sampling, got 2."));
  EXPECT_EQ(refused(405, "/health", "{}"), R"({"detail":"Method Not Allowed"})");
  EXPECT_EQ(refused(404, "/v1/nothing", "{}"), R"({"detail":"Not Found"})");
  EXPECT_EQ(get("/health"), "");
}

TEST_F(Contract, ABareEngineTellsItsModelsAndNothingElse) {
  auto options = fast();
  options.bare = true;
  start(std::move(options));
  EXPECT_FALSE(has(get("/v1/models"), "vllm"));
  for (const auto* path : {"/metrics", "/health", "/version", "/load"}) expect(404, request("GET", path, ""));
  post(completions, R"({"prompt":"x","max_tokens":1})");
}

TEST_F(Contract, KeysGuardOnlyV1) {
  auto options = fast();
  options.api_keys = {"sesame"};
  start(std::move(options));
  EXPECT_EQ(expect(401, request("GET", "/v1/models", "")), R"({"error":"Unauthorized"})");
  expect(401, request("GET", "/v1/models", "", "wrong"));
  EXPECT_TRUE(has(expect(200, request("GET", "/v1/models", "", "sesame")), R"("owned_by":"vllm")"));
  get("/metrics");
}

TEST_F(Contract, TokenizeEmbedAndModels) {
  auto options = fast();
  options.served_as = {"alias", "other"};
  start(std::move(options));
  EXPECT_TRUE(
      has(post("/tokenize", R"({"prompt":"hello"})"), R"({"count":2,"max_model_len":32768,"tokens":[)"));
  EXPECT_EQ(post("/detokenize", R"({"tokens":[0,1]})"), R"({"prompt":" baba babe"})");
  EXPECT_TRUE(has(post("/v1/embeddings", R"({"model":"other","input":["a","b"],"dimensions":2})"),
                  R"({"index":1,"object":"embedding")"));
  EXPECT_TRUE(has(post("/v1/embeddings", R"({"input":"a","encoding_format":"base64"})"), R"("embedding":")"));
  const std::string models = get("/v1/models");
  EXPECT_TRUE(has(models, R"("id":"alias")")) << models;
  EXPECT_TRUE(has(models, R"("max_model_len":32768)")) << models;
}

TEST_F(Contract, AdaptersComeAndGoAndAreServedByTheirNames) {
  auto options = fast();
  options.lora = options.prefix_cache = true;
  start(std::move(options));
  const auto ask = [](std::string_view model) {
    return R"({"model":")" + std::string(model) + R"(","prompt":")" + std::string(100, 'x') + R"(","max_tokens":8,"ignore_eos":true})";
  };
  const auto text = [](const std::string& body) { return body.substr(body.find(R"("text":)"), 50); };
  const std::string base = post(completions, ask("mistral-7b"));
  refused(404, completions, ask("polite"));
  const std::string load = R"({"lora_name":"polite","lora_path":"/adapters/polite"})";
  EXPECT_EQ(post("/v1/load_lora_adapter", load), "Success: LoRA adapter 'polite' added successfully.");
  EXPECT_TRUE(has(get("/v1/models"), R"("root":"/adapters/polite","parent":"mistral-7b","max_model_len":null)"));
  const std::string polite = post(completions, ask("polite"));
  EXPECT_TRUE(has(polite, R"("model":"polite")")) << polite;
  EXPECT_TRUE(has(polite, R"("cached_tokens":0)")) << "the base's blocks are not the adapter's: " << polite;
  EXPECT_NE(text(polite), text(base));
  EXPECT_EQ(text(post(completions, ask("mistral-7b"))), text(base));
  EXPECT_TRUE(has(refused(400, "/v1/load_lora_adapter", load), "InvalidUserInput"));
  EXPECT_TRUE(has(refused(400, "/v1/load_lora_adapter", R"({"lora_name":"x"})"), "InvalidUserInput"));
  EXPECT_EQ(post("/v1/unload_lora_adapter", R"({"lora_name":"polite"})"), "Success: LoRA adapter 'polite' removed successfully.");
  EXPECT_TRUE(has(refused(404, "/v1/unload_lora_adapter", R"({"lora_name":"polite"})"), "cannot be found"));
  refused(404, completions, ask("polite"));
  EXPECT_FALSE(has(get("/v1/models"), "polite"));
}

TEST_F(Contract, WhoTakesNoAdaptersHasNoEndpointsForThem) {
  start(fast());
  refused(404, "/v1/load_lora_adapter", R"({"lora_name":"a","lora_path":"/a"})");
  refused(404, "/v1/unload_lora_adapter", R"({"lora_name":"a"})");
}

TEST_F(Contract, MetricsCountWhatWasServed) {
  start(fast());
  post(completions, R"({"prompt":"12345678","max_tokens":5,"ignore_eos":true})");
  const std::string text = get("/metrics");
  EXPECT_TRUE(has(text, "vllm:num_requests_running{engine=\"0\",model_name=\"mistral-7b\"} 0\n")) << text;
  EXPECT_TRUE(has(text, "vllm:prompt_tokens_total{engine=\"0\",model_name=\"mistral-7b\"} 2\n")) << text;
  EXPECT_TRUE(has(text, "vllm:generation_tokens_total{engine=\"0\",model_name=\"mistral-7b\"} 5\n"));
  EXPECT_TRUE(has(text, "finished_reason=\"length\"} 1\n"));
  EXPECT_TRUE(
      has(text, "vllm:cache_config_info{block_size=\"16\",engine=\"0\",kv_cache_size_tokens=\"464016\",num_gpu_blocks=\"29001\"} 1\n"));
}

TEST_F(Contract, AClientThatLeavesFreesItsPlace) {
  start();
  Listener listener;
  auto call = client_->send(
      {"127.0.0.1", engine_->port()},
      request("POST", completions, R"({"prompt":"x","max_tokens":30000,"ignore_eos":true,"stream":true})"),
      listener);
  until([&] { return !listener.body.empty(); });
  EXPECT_EQ(engine_->engine().running(), 1);
  call.reset();
  until([&] { return engine_->engine().running() == 0 && engine_->requests_in_flight() == 0; });
  EXPECT_EQ(engine_->engine().kv_blocks_used(), 0);
  EXPECT_TRUE(has(get("/metrics"), "finished_reason=\"abort\"} 1\n"));
}

// One runs; of those that wait the last to come has the lowest number.
class Priority : public Contract {
 protected:
  std::string first_to_end(bool by_priority, const std::string& member, std::string_view header = {}) {
    auto options = fast();
    options.speed = 20;
    options.by_priority = by_priority;
    options.profile = find_profile("a100-80/mistral-7b").value();
    options.profile.max_num_seqs = 1;
    start(std::move(options));
    const auto body = [&](int tokens, const std::string& more) {
      return R"({"prompt":"x","ignore_eos":true,"max_tokens":)" + std::to_string(tokens) + more + "}";
    };
    Listener running, patient, hurried;
    const auto send_now = [&](net::ClientRequest made, Listener& listener, std::int64_t waiting) {
      auto call = client_->send({"127.0.0.1", engine_->port()}, std::move(made), listener);
      until([&] { return engine_->engine().running() == 1 && engine_->engine().waiting() == waiting; });
      return call;
    };
    const auto one = send_now(request("POST", completions, body(200, "")), running, 0);
    const auto two = send_now(request("POST", completions, body(100, "")), patient, 1);
    auto three_request = request("POST", completions, body(100, member));
    if (!header.empty()) three_request.fields.add("X-Vllm-Priority", header);
    const auto three = send_now(std::move(three_request), hurried, 2);
    until([&] { return patient.complete || hurried.complete; });
    return hurried.complete ? "hurried" : "patient";
  }
};

TEST_F(Priority, OfThoseThatWaitALowerOneIsFirst) {
  EXPECT_EQ(first_to_end(true, R"(,"priority":-1)"), "hurried");
}

TEST_F(Priority, TheHeaderSaysItToo) {
  EXPECT_EQ(first_to_end(true, R"(,"priority":9)", "-3"), "hurried");
}

TEST_F(Priority, WhereArrivalIsTheOrderItIsIgnored) {
  EXPECT_EQ(first_to_end(false, R"(,"priority":-1)"), "patient");
}

TEST_F(Contract, StepsTakeTheProfilesTime) {
  start();
  const Instant begun = loop_.now();
  post(completions, R"({"prompt":"x","max_tokens":10,"ignore_eos":true})");
  const auto profile = find_profile("a100-80/mistral-7b").value();
  EXPECT_GE(loop_.now() - begun, 10 * profile.step({.decoding = 1}));  // machines can be late, never early
  EXPECT_EQ(engine_->engine().totals().steps, 10);
}

TEST_F(Contract, FaultsAreDoneAsOrderedAndThenOver) {
  start(fast());
  const std::string body = R"({"prompt":"x","max_tokens":8,"ignore_eos":true,"stream":true})";
  post("/emulator/fault", R"({"kind":"http_503","count":1})");
  EXPECT_TRUE(has(refused(503, completions, body), "ServiceUnavailableError"));
  post("/emulator/fault", R"({"kind":"http_500","count":1})");
  refused(500, completions, body);
  post("/emulator/fault",
       R"({"kind":"refuse"})");  // no count: the client tries a kept connection's request again
  EXPECT_FALSE(send(request("POST", completions, body)));
  post("/emulator/fault", R"({"kind":"none"})");
  post("/emulator/fault", R"({"kind":"cut","after_tokens":3,"count":1})");
  EXPECT_FALSE(send(request("POST", completions, body)));
  post("/emulator/fault", R"({"kind":"garbage","after_tokens":3,"count":1})");
  const std::string garbage = post(completions, body);
  EXPECT_TRUE(has(garbage, "proxy error")) << garbage;
  EXPECT_FALSE(has(garbage, "[DONE]"));
  EXPECT_TRUE(has(post(completions, body), "data: [DONE]"));
  EXPECT_TRUE(has(refused(400, "/emulator/fault", R"({"kind":"gremlin"})"), "no fault"));
}

TEST_F(Contract, AStalledStreamStaysOpenAndSilent) {
  auto options = fast();
  options.fault = {.kind = Fault::Kind::stall, .after_tokens = 2, .count = 1};
  start(std::move(options));
  Listener listener;
  auto call = client_->send(
      {"127.0.0.1", engine_->port()},
      request("POST", completions, R"({"prompt":"x","max_tokens":50,"ignore_eos":true,"stream":true})"),
      listener);
  until([&] { return engine_->engine().totals().generated == Tokens{50}; });
  post(completions, R"({"prompt":"x","max_tokens":2})");  // all that was to come would have come by now
  EXPECT_EQ(events(listener.body).size(), 2U);
  EXPECT_FALSE(listener.complete || listener.failed);
  EXPECT_EQ(engine_->requests_in_flight(), 1U);
  call.reset();
  until([&] { return engine_->requests_in_flight() == 0; });
}

TEST_F(Contract, DyingCallsForTheEnd) {
  auto options = fast();
  bool died = false;
  options.on_die = [&] { died = true; };
  options.fault = {.kind = Fault::Kind::die, .after_tokens = 1};
  start(std::move(options));
  EXPECT_FALSE(send(request("POST", completions, R"({"prompt":"x","max_tokens":5,"ignore_eos":true})")));
  EXPECT_TRUE(died);
}

}  // namespace
}  // namespace qlm::emulator

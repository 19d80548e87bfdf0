// Each engine as a table of what it answers to which path; the probe is walked through it. llama.cpp's
// answers were taken from a running server; the others' were written after their sources.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "protocol/engines/driver.hpp"

namespace qlm::engines {
namespace {

struct Answer {
  int status = 200;  // 0: no answer
  std::string body;
};

struct Walk {
  ProbeResult result;
  std::vector<std::string> asked;
};

// A path that is not in the table is answered as the engine answers unknown paths.
Walk walk(const std::map<std::string, Answer>& engine, Probe probe = {},
          const Answer& otherwise = {404, R"({"detail":"Not Found"})"}) {
  Walk out;
  while (const auto ask = probe.next()) {
    EXPECT_EQ(ask->method, "GET") << "a probe must change nothing";
    EXPECT_EQ(ask->target.find("model="), std::string::npos) << "a router would load that model";
    out.asked.push_back(ask->target);
    if (out.asked.size() > 12) {
      ADD_FAILURE() << "the probe does not end";
      break;
    }
    const auto found = engine.find(ask->target);
    const auto& answer = found == engine.end() ? otherwise : found->second;
    if (answer.status == 0) {
      probe.failed("connection refused");
    } else {
      probe.answered(answer.status, {}, answer.body);
    }
  }
  out.result = probe.result();
  return out;
}

using Paths = std::vector<std::string>;

const std::string vllm_models = R"({"object":"list","data":[
  {"id":"mistral","object":"model","created":1,"owned_by":"vllm","root":"mistralai/Mistral-7B","parent":null,"max_model_len":32768,"permission":[]},
  {"id":"sql-lora","object":"model","created":1,"owned_by":"vllm","root":"/adapters/sql","parent":"mistral","max_model_len":null}]})";
const std::string vllm_metrics =
    "vllm:num_requests_running{engine=\"0\",model_name=\"mistral\"} 0.0\n"
    "vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 1.0\n"
    "vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",num_gpu_blocks=\"2000\"} 1.0\n";

TEST(Probe, KnowsVllmAndReadsItsModelsAndKvCache) {
  const auto [r, asked] = walk({{"/v1/models", {200, vllm_models}},
                                {"/metrics", {200, vllm_metrics}},
                                {"/version", {200, R"({"version":"0.29.0"})"}},
                                {"/health", {200, ""}}});
  EXPECT_EQ(asked, (Paths{"/v1/models", "/metrics", "/version", "/health"}));
  EXPECT_EQ(r.kind, EngineKind::vllm);
  EXPECT_EQ(r.health.readiness, Readiness::ready);
  EXPECT_EQ(r.version, "0.29.0");
  EXPECT_EQ(r.kv_capacity, Tokens{32000});
  EXPECT_EQ(r.kv_block, Tokens{16});
  EXPECT_EQ(r.slots, std::nullopt);  // it does not say
  ASSERT_EQ(r.models.size(), 2u);
  EXPECT_EQ(r.models[0].id, "mistral");
  EXPECT_EQ(r.models[0].root, "mistralai/Mistral-7B");
  EXPECT_EQ(r.models[0].context, Tokens{32768});
  EXPECT_EQ(r.models[1].parent, "mistral");
  EXPECT_EQ(r.models[1].context, std::nullopt);
  EXPECT_TRUE(r.capabilities.metrics && r.capabilities.kv_metrics && r.capabilities.drops_queued_requests);
}

TEST(Probe, TakesAwayWhatThisVllmLacks) {
  const auto r = walk({{"/v1/models", {200, vllm_models}},
                       {"/metrics", {200, "python_info 1\n"}},
                       {"/health", {200, ""}}})
                     .result;
  EXPECT_EQ(r.kind, EngineKind::vllm);
  EXPECT_FALSE(r.capabilities.metrics || r.capabilities.kv_metrics);
  EXPECT_EQ(r.health.readiness, Readiness::ready);
}

TEST(Probe, AVllmWhoseEngineDiedIsDown) {
  const auto r =
      walk({{"/v1/models", {200, vllm_models}}, {"/metrics", {200, vllm_metrics}}, {"/health", {503, ""}}})
          .result;
  EXPECT_EQ(r.health.readiness, Readiness::down);
  EXPECT_FALSE(r.health.reason.empty());
}

TEST(Probe, AVllmAsleepIsNotReadyThoughItsHealthSaysSo) {
  const auto r = walk({{"/v1/models", {200, vllm_models}},
                       {"/metrics",
                        {200,
                         "vllm:engine_sleep_state{sleep_state=\"awake\"} "
                         "0.0\nvllm:engine_sleep_state{sleep_state=\"weights_offloaded\"} 1.0\n"}},
                       {"/health", {200, ""}}})
                     .result;
  EXPECT_EQ(r.health.readiness, Readiness::loading);
  EXPECT_NE(r.health.reason.find("asleep"), std::string::npos);
  EXPECT_EQ(r.models[0].residency, Residency::asleep);
}

const std::string llama_models =
    R"({"models":[{"name":"tiny-a.gguf"}],"object":"list","data":[{"id":"tiny-a.gguf","aliases":["tiny-a.gguf","tiny"],"tags":[],"object":"model","created":1,"owned_by":"llamacpp","meta":{"vocab_type":2,"n_vocab":771,"n_ctx":2048,"n_ctx_train":8192,"n_embd":64,"n_params":1,"size":1}}]})";
const std::string llama_props =
    R"({"default_generation_settings":{"id":0,"n_ctx":2048,"params":{}},"total_slots":4,"model_path":"tiny-a.gguf","build_info":"b11669-Debian","is_sleeping":false})";

TEST(Probe, KnowsLlamaCppAndReadsItsSlots) {
  const auto [r, asked] = walk({{"/v1/models", {200, llama_models}},
                                {"/props", {200, llama_props}},
                                {"/metrics", {200, "llamacpp:requests_processing 0\n"}}});
  EXPECT_EQ(asked, (Paths{"/v1/models", "/props", "/metrics"}));
  EXPECT_EQ(r.kind, EngineKind::llamacpp);
  EXPECT_EQ(r.slots, 4);
  EXPECT_EQ(r.version, "b11669-Debian");
  ASSERT_EQ(r.models.size(), 1u);
  EXPECT_EQ(r.models[0].aliases, (std::vector<std::string>{"tiny"}));
  EXPECT_EQ(r.models[0].context, Tokens{2048});  // one slot's share, not the model's training length
  EXPECT_TRUE(r.capabilities.metrics);
  EXPECT_FALSE(r.capabilities.drops_queued_requests);
}

TEST(Probe, ALlamaCppWithoutMetricsHasNoneToAsk) {
  const auto r =
      walk(
          {{"/v1/models", {200, llama_models}},
           {"/props", {200, llama_props}},
           {"/metrics",
            {501,
             R"({"error":{"code":501,"message":"This server does not support metrics endpoint. Start it with `--metrics`","type":"not_supported_error"}})"}}})
          .result;
  EXPECT_FALSE(stats_request(r.kind, r.capabilities));
  EXPECT_EQ(r.health.readiness, Readiness::ready);
}

TEST(Probe, ALlamaCppThatLoadsIsLoadingAndAskedNothingMore) {
  const Answer loading{503, R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})"};
  const auto [r, asked] = walk({{"/v1/models", loading}}, {}, loading);
  EXPECT_EQ(asked.size(), 1u);
  EXPECT_EQ(r.kind, EngineKind::llamacpp);
  EXPECT_EQ(r.health.readiness, Readiness::loading);
  EXPECT_EQ(r.health.reason, "Loading model");
}

TEST(Probe, KnowsTheRouterAndNeverMakesItLoad) {
  const auto [r, asked] =
      walk({{"/v1/models", {200, R"({"object":"list","data":[
      {"id":"a","object":"model","owned_by":"llamacpp","status":{"value":"loaded","args":[]},"context_length":8192},
      {"id":"b","object":"model","owned_by":"llamacpp","status":{"value":"unloaded"}},
      {"id":"c","object":"model","owned_by":"llamacpp","status":{"value":"unloaded","failed":true,"exit_code":1}},
      {"id":"d","object":"model","owned_by":"llamacpp","status":{"value":"loading"}},
      {"id":"e","object":"model","owned_by":"llamacpp","status":{"value":"sleeping"}}]})"}},
            {"/props", {200, R"({"role":"router","max_instances":4,"models_autoload":true})"}}});
  EXPECT_EQ(asked, (Paths{"/v1/models", "/props"}));
  EXPECT_EQ(r.kind, EngineKind::llamacpp_router);
  ASSERT_EQ(r.models.size(), 5u);
  EXPECT_EQ(r.models[0].residency, Residency::loaded);
  EXPECT_EQ(r.models[0].context, Tokens{8192});
  EXPECT_EQ(r.models[1].residency, Residency::unloaded);
  EXPECT_EQ(r.models[2].residency, Residency::failed);
  EXPECT_EQ(r.models[3].residency, Residency::loading);
  EXPECT_EQ(r.models[4].residency, Residency::unloaded) << "a request wakes it";
  EXPECT_EQ(r.slots, 4) << "what its servers take where nobody says";
  EXPECT_TRUE(r.capabilities.checks_model && r.capabilities.loads_models);
}

TEST(Probe, ReadsOfTheRouterWhatEachModelsServerIsStartedWith) {
  const auto [r, asked] =
      walk({{"/v1/models", {200, R"({"object":"list","data":[
      {"id":"a","object":"model","owned_by":"llamacpp","context_length":8192,
       "status":{"value":"unloaded","args":["llama-server","--ctx-size","8192","--parallel","2"]}},
      {"id":"b","object":"model","owned_by":"llamacpp","context_length":9000,
       "status":{"value":"unloaded","args":["llama-server","--ctx-size","9000","--parallel","3","--kv-unified"]}},
      {"id":"c","object":"model","owned_by":"llamacpp","context_length":8192,"meta":{"n_ctx":1024},
       "status":{"value":"loaded","args":["llama-server","--parallel","8"]}}]})"}},
            {"/props", {200, R"({"role":"router","max_instances":4,"models_autoload":true})"}}});
  EXPECT_EQ(r.slots, 2) << "the fewest, so that none queues inside whichever model they are for";
  ASSERT_EQ(r.models.size(), 3u);
  EXPECT_EQ(r.models[0].context, Tokens{4096}) << "shared out among the slots";
  EXPECT_EQ(r.models[1].context, Tokens{9000});
  EXPECT_EQ(r.models[2].context, Tokens{1024}) << "what runs knows best";
}

TEST(Probe, ACanaryLoadsNoModelOfARouter) {
  EXPECT_EQ(canary_request(EngineKind::llamacpp_router, "a").target, "/v1/completions?autoload=false");
  const auto other = canary_request(EngineKind::vllm, "a\"b");
  EXPECT_EQ(other.target, "/v1/completions");
  EXPECT_EQ(other.body, R"({"model":"a\"b","prompt":"1","max_tokens":1})");
}

const std::string sglang_models =
    R"({"object":"list","data":[{"id":"llama","object":"model","created":1,"owned_by":"sglang","root":"llama","parent":null,"max_model_len":8192}]})";

TEST(Probe, KnowsSglangAndReadsItsLimits) {
  const auto [r, asked] = walk(
      {{"/v1/models", {200, sglang_models}},
       {"/server_info",
        {200,
         R"({"max_running_requests":48,"max_total_num_tokens":100000,"enable_priority_scheduling":true,"version":"0.5"})"}},
       {"/metrics",
        {200, "sglang:num_running_reqs{model_name=\"llama\"} 0\nsglang:max_total_num_tokens 120000\n"}},
       {"/health", {200, ""}}});
  EXPECT_EQ(asked, (Paths{"/v1/models", "/server_info", "/metrics", "/health"}));
  EXPECT_EQ(r.kind, EngineKind::sglang);
  EXPECT_EQ(r.slots, 48);
  EXPECT_EQ(r.kv_capacity, Tokens{120000});
  EXPECT_EQ(r.capabilities.priority, PriorityOrder::higher_first);
  EXPECT_EQ(r.models[0].context, Tokens{8192});
}

TEST(Probe, ASglangWithoutMetricsIsAskedForItsLoads) {
  const auto r =
      walk(
          {{"/v1/models", {200, sglang_models}},
           {"/server_info",
            {200,
             R"({"max_running_requests":null,"internal_states":[{"effective_max_running_requests_per_dp":20},{"effective_max_running_requests_per_dp":20}]})"}},
           {"/v1/loads", {200, R"({"loads":[{"dp_rank":0,"num_running_reqs":0,"num_waiting_reqs":0}]})"}},
           {"/health", {503, ""}}})
          .result;
  EXPECT_EQ(r.slots, 40);
  EXPECT_EQ(r.capabilities.priority, PriorityOrder::none);
  EXPECT_EQ(stats_request(r.kind, r.capabilities)->target, "/v1/loads");
  EXPECT_EQ(r.health.readiness, Readiness::loading);  // 503 until its own warm-up passed
}

TEST(Probe, KnowsOllamaByItsVersionAndWhatItHasLoaded) {
  const auto [r, asked] = walk(
      {{"/v1/models",
        {200,
         R"({"object":"list","data":[{"id":"llama3:latest","object":"model","created":1,"owned_by":"library"},{"id":"qwen:7b","object":"model","created":1,"owned_by":"library"}]})"}},
       {"/api/version", {200, R"({"version":"0.12.0"})"}},
       {"/api/ps",
        {200, R"({"models":[{"name":"qwen:7b","model":"qwen:7b","size":1,"context_length":4096}]})"}}},
      {}, {404, "404 page not found"});
  EXPECT_EQ(asked, (Paths{"/v1/models", "/metrics", "/api/version", "/api/ps"}));
  EXPECT_EQ(r.kind, EngineKind::ollama);
  EXPECT_EQ(r.models[0].residency, Residency::unloaded);
  EXPECT_EQ(r.models[1].residency, Residency::loaded);
  EXPECT_EQ(r.models[1].context, Tokens{4096});
  EXPECT_FALSE(stats_request(r.kind, r.capabilities));
}

TEST(Probe, AnOllamaWithoutModelsIsReadyAndEmpty) {
  const auto r = walk({{"/v1/models", {200, R"({"object":"list","data":null})"}},
                       {"/api/version", {200, R"({"version":"0.12.0"})"}}})
                     .result;
  EXPECT_EQ(r.kind, EngineKind::ollama);
  EXPECT_EQ(r.health.readiness, Readiness::ready);
  EXPECT_TRUE(r.models.empty());
}

TEST(Probe, KnowsTransformersByAPathOnlyItHasWithoutLoadingAnything) {
  const auto r =
      walk(
          {{"/v1/models",
            {200,
             R"({"object":"list","data":[{"id":"Qwen/Qwen2.5-0.5B","owned_by":"Qwen","object":"model","created":1}]})"}},
           {"/load_model", {405, R"({"detail":"Method Not Allowed"})"}}})
          .result;
  EXPECT_EQ(r.kind, EngineKind::transformers);
  EXPECT_EQ(r.slots, 1);
  EXPECT_FALSE(r.capabilities.stream_usage);
}

TEST(Probe, AnythingElseIsGeneric) {
  const auto r = walk({{"/v1/models",
                        {200, R"({"data":[{"id":"gpt","owned_by":"somebody","context_window":131072}]})"}}})
                     .result;
  EXPECT_EQ(r.kind, EngineKind::openai);
  EXPECT_EQ(r.health.readiness, Readiness::ready);
  EXPECT_EQ(r.models[0].context, Tokens{131072});
  // ... also when nothing but the model list is answered at all.
  const auto silent = walk({{"/v1/models", {200, R"({"data":[{"id":"gpt"}]})"}}}, {}, {0, ""}).result;
  EXPECT_EQ(silent.kind, EngineKind::openai);
  EXPECT_EQ(silent.health.readiness, Readiness::ready);
}

TEST(Probe, AnEngineThatDoesNotSignIsKnownByItsMetrics) {
  const auto [r, asked] = walk({{"/v1/models", {200, R"({"data":[{"id":"m","owned_by":"acme"}]})"}},
                                {"/metrics", {200, vllm_metrics}},
                                {"/health", {200, ""}}});
  EXPECT_EQ(r.kind, EngineKind::vllm);
  EXPECT_EQ(r.kv_capacity, Tokens{32000});
  EXPECT_EQ(asked, (Paths{"/v1/models", "/metrics", "/version", "/health"}));
}

TEST(Probe, AConfiguredKindIsBelieved) {
  const auto [r, asked] = walk({{"/v1/models", {200, vllm_models}}}, Probe(EngineKind::openai));
  EXPECT_EQ(r.kind, EngineKind::openai);
  EXPECT_EQ(asked, (Paths{"/v1/models"}));
}

TEST(Probe, NoListOfModelsIsNoFailureOfAnEngineThatAnswers) {
  const auto r = walk({}).result;
  EXPECT_EQ(r.kind, EngineKind::openai);
  EXPECT_EQ(r.health.readiness, Readiness::ready);
  EXPECT_TRUE(r.models.empty());
}

TEST(Probe, SaysInASentenceWhyAnEngineCannotBeUsed) {
  struct Case {
    Answer models;
    Readiness readiness;
    const char* reason;
  };
  const Case cases[] = {
      {{0, ""}, Readiness::down, "connection refused"},
      {{401, R"({"error":"Unauthorized"})"},
       Readiness::down,
       "it answers 401 to /v1/models: it wants an api_key, or another one"},
      {{500, "oops"}, Readiness::down, "it answers 500 to /v1/models: oops"},
      {{200, "<html>hello</html>"},
       Readiness::down,
       "its /v1/models is not a list of models: is this an OpenAI-compatible server?"},
      {{200, R"({"data":"x"})"},
       Readiness::down,
       "its /v1/models is not a list of models: is this an OpenAI-compatible server?"},
      {{503, ""}, Readiness::loading, "the engine failed with status 503 and no message"},
  };
  for (const auto& c : cases) {
    const auto [r, asked] = walk({{"/v1/models", c.models}});
    EXPECT_EQ(asked.size(), 1u);
    EXPECT_EQ(r.health.readiness, c.readiness);
    EXPECT_EQ(r.health.reason, c.reason);
  }
}

TEST(Probe, OddAnswersAfterTheModelListCostNothingButTheirFacts) {
  for (const auto& models : {vllm_models, llama_models, sglang_models}) {
    for (const auto* body : {"", "{}", "[]", "null", "7", "{\"total_slots\":\"4\"}",
                             "{\"total_slots\":-1,\"max_running_requests\":99999999999}",
                             "{\"internal_states\":[1,{}],\"loads\":{}}", "<html>",
                             "vllm:cache_config_info{block_size=\"x\",num_gpu_blocks=\"-5\"} 1\n"}) {
      const auto r = walk({{"/v1/models", {200, models}}, {"/health", {200, ""}}}, {}, {200, body}).result;
      EXPECT_EQ(r.health.readiness, Readiness::ready) << body;
      EXPECT_EQ(r.slots, std::nullopt) << body;
      EXPECT_EQ(r.kv_capacity, std::nullopt) << body;
    }
  }
}

TEST(Probe, AListWithOddEntriesKeepsTheGoodOnes) {
  const auto r =
      walk(
          {{"/v1/models",
            {200,
             R"({"data":[1,null,{},{"id":5},{"id":""},{"id":"good","max_model_len":-3,"aliases":[7,"g"]}]})"}}})
          .result;
  ASSERT_EQ(r.models.size(), 1u);
  EXPECT_EQ(r.models[0].id, "good");
  EXPECT_EQ(r.models[0].context, std::nullopt);
  EXPECT_EQ(r.models[0].aliases, (std::vector<std::string>{"g"}));
}

TEST(Health, MeansWhatEachEngineMeansByIt) {
  const auto readiness = [](EngineKind kind, int status, std::string_view body) {
    return parse_health(kind, status, body).readiness;
  };
  EXPECT_EQ(readiness(EngineKind::vllm, 200, ""), Readiness::ready);
  EXPECT_EQ(readiness(EngineKind::vllm, 503, ""), Readiness::down);  // it refuses connections while it loads
  EXPECT_EQ(readiness(EngineKind::llamacpp, 503,
                      R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})"),
            Readiness::loading);
  EXPECT_EQ(readiness(EngineKind::sglang, 503, ""), Readiness::loading);
  EXPECT_EQ(readiness(EngineKind::openai, 404, ""), Readiness::ready);
  EXPECT_EQ(readiness(EngineKind::openai, 401, ""), Readiness::down);
  EXPECT_EQ(readiness(EngineKind::llamacpp, 500, ""), Readiness::down);
  EXPECT_EQ(parse_health(EngineKind::llamacpp, 503, R"({"error":{"message":"Loading model"}})").reason,
            "its health check answers 503: Loading model");
  EXPECT_TRUE(parse_health(EngineKind::vllm, 200, "").reason.empty());
  EXPECT_EQ(health_request(EngineKind::ollama).target, "/api/version");
}

}  // namespace
}  // namespace qlm::engines

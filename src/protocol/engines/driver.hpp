// What QLM knows of each engine kind: how to find out what it is, ask how it does, put a request to it, and
// name its errors. A driver does no I/O. It says which HTTP request to make and turns the answer into a
// value; the caller adds the base URL, Host and Authorization, keeps the timeout, and reports what came.
// Whether a stream ended well is stream.hpp's business.
//
// Seen to agree with real servers (docs/engines.md): llama.cpp, its router, vLLM. SGLang, Ollama and transformers were
// written from their sources and documents; their tests replay transcripts and prove no more than that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "core/domain/request.hpp"
#include "protocol/engines/error.hpp"
#include "protocol/http/message.hpp"

namespace qlm::engines {

enum class EngineKind : std::uint8_t {
  openai,
  vllm,
  llamacpp,
  llamacpp_router,
  sglang,
  ollama,
  transformers
};

std::string_view to_string(EngineKind kind);  // as the configuration spells it: "llamacpp-router"
std::optional<EngineKind> engine_kind(std::string_view name);

enum class PriorityOrder : std::uint8_t { none, lower_first, higher_first };

// What an engine can do. capabilities() gives what its kind promises; a probe takes away what this one lacks.
struct Capabilities {
  bool stream_usage = true;  // understands stream_options.include_usage; otherwise the field must not be sent
  bool done_marker = true;  // a whole stream always ends with `data: [DONE]`; if not, a finish_reason must do
  bool metrics = false;     // tells running and waiting requests: stats_request() has something to ask
  bool kv_metrics = false;  // ... and how full its KV cache is
  bool token_ids = false;   // can hand out token ids beside the text, for an exact resume
  bool tokenizer = false;   // counts tokens on request
  bool adapters = false;    // loads LoRA adapters at run time
  bool loads_models = false;  // loads and unloads models on request
  bool checks_model =
      false;  // refuses a model name it does not serve; otherwise it answers as the one it has
  bool abort_on_disconnect = false;  // a running stream ends soon after its client left
  bool drops_queued_requests =
      false;  // so does a request still queued inside; if not, never let one queue there
  bool head_with_answer = true;  // an answer in one piece is computed before its head is sent
  PriorityOrder priority = PriorityOrder::none;
  int sleep_level = 0;           // highest level it can be put to sleep at; 0: it cannot
  Duration idle_keep_alive{5s};  // closes idle connections after this: a pool must let go sooner
  Duration poll_interval{2s};    // ask for health or stats no more often
};
Capabilities capabilities(EngineKind kind);

// How well a generation that was broken off there can go on. `exact`: ids come in the stream, and /v1/completions takes them.
ResumeLevel resume_level(EngineKind kind, const Capabilities& capabilities);

struct EngineRequest {
  std::string method = "GET";
  std::string target{};
  std::string body{};  // JSON, or empty
  Duration timeout{5s};
};

enum class Readiness : std::uint8_t { ready, loading, down };

struct Health {
  Readiness readiness = Readiness::down;
  std::string reason = "not asked yet";  // a sentence for people; empty when ready
};

enum class Residency : std::uint8_t {
  loaded,
  loading,
  asleep,    // takes requests and holds them until somebody wakes it
  unloaded,  // a request makes the engine load it
  failed
};

struct Model {
  std::string id;                    // how a request names it
  std::vector<std::string> aliases;  // other names it answers to
  std::optional<Tokens> context;     // the longest prompt and answer together, of one request
  std::optional<int> slots;          // requests for it run at once, where each model has its own (router)
  std::string root;                  // where its weights came from
  std::string parent;                // the base model, when this is an adapter
  Residency residency = Residency::loaded;
};

struct ProbeResult {
  EngineKind kind = EngineKind::openai;  // settled once the engine is ready; until then the best guess
  Capabilities capabilities;
  Health health;
  std::vector<Model> models;
  std::optional<int>
      slots;  // requests it runs at once; nothing: it does not say, so find out by raising load
  std::optional<Tokens> kv_capacity;  // tokens its KV cache holds
  std::optional<Tokens> kv_block;     // tokens in one block of it
  std::string version;
};

// Finds out what answers at a URL with the fewest questions, none of which makes an engine load or wake a
// model.
//
//   Probe probe;
//   while (auto ask = probe.next()) { ... probe.answered(status, fields, body) or probe.failed("connection
//   refused"); } use(probe.result());
class Probe {
 public:
  Probe() = default;
  explicit Probe(EngineKind configured);  // skips finding out the kind

  std::optional<EngineRequest> next() const;
  void answered(int status, const http::Fields& fields, std::string_view body);
  void failed(std::string_view why);  // no answer: refused, reset, timed out
  const ProbeResult& result() const { return result_; }

 private:
  enum class Step : std::uint8_t {
    models,
    props,
    metrics,
    loads,
    version,
    health,
    server_info,
    ollama_version,
    running_models,
    load_model
  };
  std::optional<Step> step() const;  // the first of this kind's steps not taken yet
  void identified(EngineKind kind);
  void answered_nothing(Step at);
  void read_models(int status, const http::Fields& fields, std::string_view body);
  void read_metrics(int status, std::string_view body);
  void read_props(int status, std::string_view body);
  void read_server_info(int status, std::string_view body);
  void read_running_models(int status, std::string_view body);
  void stop(Readiness readiness, std::string reason);  // nothing more to ask

  bool kind_known_ = false;
  bool stopped_ = false;
  bool asleep_ = false;
  std::uint32_t taken_ = 0;  // a bit a step
  ProbeResult result_;
};

// Is it there, and will it answer? Some engines' health check generates a token (SGLang): mind poll_interval.
EngineRequest health_request(EngineKind kind);
Health parse_health(EngineKind kind, int status, std::string_view body);

// What an engine reports of itself. Everything it does not tell is absent; counters count from its start.
struct EngineStats {
  std::optional<std::int64_t> running;
  std::optional<std::int64_t> waiting;
  std::optional<double> kv_usage;  // 0..1; of several data-parallel ranks the fullest
  std::optional<std::int64_t> preemptions;
  std::optional<Tokens> prompt_tokens;
  std::optional<Tokens> cached_tokens;
  std::optional<Tokens> generated_tokens;
  bool asleep = false;
};
std::optional<EngineRequest> stats_request(EngineKind kind, const Capabilities& capabilities);
Result<EngineStats> parse_stats(EngineKind kind, int status, std::string_view body);

// For an engine that may sleep (launch.hpp), with nothing running: its weights go to the host's memory and come back. Answered with
// status 200 when that is done; the timeout is the caller's.
EngineRequest sleep_request();
EngineRequest wake_request();
// Whether it sleeps: one that an earlier QLM left asleep looks well otherwise.
EngineRequest is_sleeping_request();
std::optional<bool> parse_is_sleeping(int status, std::string_view body);

// One token, to learn whether an engine that stood still generates again.
EngineRequest canary_request(EngineKind kind, std::string_view model);
// Why that is no token; nothing where it is one. `status` 0: there was no answer, and `body` says why.
std::optional<std::string> canary_failure(int status, const http::Fields& fields, std::string_view body);

// How a client's request must be changed for this engine.
struct DispatchFacts {
  std::string_view path;   // "/v1/chat/completions"
  std::string_view model;  // the id of Model the request goes to
  bool stream = true;      // QLM wants it streamed: whenever the reply can be put together again
  std::optional<std::int32_t> urgency{};  // higher is more urgent; absent: leave the engine's order alone
  bool want_token_ids = false;
};
struct DispatchRewrite {
  std::string target{};
  std::string model;
  bool stream = true;          // what `stream` must say
  bool include_usage = false;  // stream_options must be {"include_usage": true}, whatever the client wrote
  bool remove_stream_options = false;
  bool return_token_ids = false;
  std::optional<std::int32_t> priority;  // the body's `priority`
};
DispatchRewrite rewrite(EngineKind kind, const Capabilities& capabilities, const DispatchFacts& facts);

}  // namespace qlm::engines

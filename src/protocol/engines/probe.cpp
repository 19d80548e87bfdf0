// The order of questions. /v1/models first: every kind answers it, without loading anything, and most sign it
// in `owned_by`. Then what only that kind knows; for one that did not sign, a few questions that only one
// kind answers.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "protocol/engines/driver.hpp"
#include "protocol/engines/json.hpp"
#include "protocol/engines/metrics_text.hpp"
#include "protocol/engines/stream.hpp"
#include "protocol/openai/json_write.hpp"

namespace qlm::engines {
namespace {

constexpr int router_slots = 4;             // what llama.cpp takes where nobody says
constexpr std::size_t max_models = 10'000;  // a list longer than this is somebody's mistake

struct Owner {
  std::string_view owned_by;
  EngineKind kind;
};
constexpr std::array owners{
    Owner{"vllm", EngineKind::vllm},
    Owner{"llamacpp", EngineKind::llamacpp},
    Owner{"sglang", EngineKind::sglang},
};

std::optional<EngineKind> kind_by_owner(std::string_view owned_by) {
  const auto owner = std::ranges::find(owners, owned_by, &Owner::owned_by);
  return owner == owners.end() ? std::nullopt : std::optional(owner->kind);
}

std::optional<EngineKind> kind_by_metric(std::string_view name) {
  if (name.starts_with("vllm:")) return EngineKind::vllm;
  if (name.starts_with("sglang:")) return EngineKind::sglang;
  if (name.starts_with("llamacpp:")) return EngineKind::llamacpp;
  return {};
}

std::optional<std::int64_t> positive(json::Value object, std::string_view key) {
  const auto n = json::get<std::int64_t>(object, key);
  return n && *n > 0 ? n : std::nullopt;
}

std::optional<Tokens> tokens(json::Value object, std::string_view key) {
  const auto n = positive(object, key);
  return n ? std::optional(Tokens{*n}) : std::nullopt;
}

std::optional<int> small(std::optional<std::int64_t> n) {
  if (!n || *n <= 0 || *n > 1'000'000) return {};
  return static_cast<int>(*n);
}

// What a llama.cpp router starts a model's server with, whether it has been started yet or not.
struct Started {
  std::optional<std::int64_t> parallel, context;
  bool unified = false;  // the slots share one context
};
Started started_with(json::Value status) {
  Started out;
  const auto args = json::get<json::Array>(status, "args");
  if (!args) return out;
  std::string_view option;
  for (const auto each : *args) {
    const auto word = json::as<std::string_view>(each).value_or("");
    std::int64_t n = 0;
    const bool number = std::from_chars(word.data(), word.data() + word.size(), n).ec == std::errc{} && n > 0;
    if (number && option == "--parallel") out.parallel = n;
    if (number && option == "--ctx-size") out.context = n;
    out.unified = out.unified || word == "--kv-unified";
    option = word;
  }
  return out;
}

std::optional<Tokens> context_of(json::Value entry) {
  // llama.cpp: each slot's own, known once it runs. What its router says beside it is the whole server's.
  if (const auto meta = json::find(entry, "meta")) {
    if (const auto n = tokens(*meta, "n_ctx")) return n;
  }
  if (const auto status = json::find(entry, "status")) {
    const Started started = started_with(*status);
    if (started.context && started.parallel && !started.unified) return Tokens{*started.context / *started.parallel};
  }
  for (const auto key : {"max_model_len", "context_length", "context_window"}) {
    if (const auto n = tokens(entry, key)) return n;
  }
  return {};
}

// Only llama.cpp's router says anything: {"status": {"value": "unloaded", "failed": true, ...}}.
Residency residency_of(json::Value entry) {
  const auto status = json::find(entry, "status");
  if (!status) return Residency::loaded;
  if (json::get<bool>(*status, "failed").value_or(false)) return Residency::failed;
  const auto value = json::text(*status, "value");
  if (value == "loading" || value == "downloading") return Residency::loading;
  return value == "unloaded" || value == "sleeping" ? Residency::unloaded : Residency::loaded;
}

Model read_model(json::Value entry) {
  Model model;
  model.id = json::text(entry, "id");
  model.root = json::text(entry, "root");
  model.parent = json::text(entry, "parent");
  model.context = context_of(entry);
  model.residency = residency_of(entry);
  if (const auto status = json::find(entry, "status")) model.slots = small(started_with(*status).parallel);
  if (const auto aliases = json::get<json::Array>(entry, "aliases")) {
    for (const auto alias : *aliases) {
      const auto name = json::as<std::string_view>(alias).value_or("");
      if (!name.empty() && name != model.id) model.aliases.emplace_back(name);
    }
  }
  return model;
}

std::optional<std::int64_t> label_number(const MetricSample& sample, std::string_view key) {
  const auto text = sample.label(key).value_or("");
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n <= 0) return {};
  return n;
}

}  // namespace

Probe::Probe(EngineKind configured) { identified(configured); }

void Probe::identified(EngineKind kind) {
  kind_known_ = true;
  result_.kind = kind;
  result_.capabilities = capabilities(kind);
}

std::optional<Probe::Step> Probe::step() const {
  static constexpr std::array unknown{Step::models, Step::metrics, Step::ollama_version, Step::load_model};
  static constexpr std::array generic{Step::models};
  static constexpr std::array vllm{Step::models, Step::metrics, Step::version, Step::health};
  static constexpr std::array llamacpp{Step::models, Step::props, Step::metrics};
  static constexpr std::array router{Step::models, Step::props};
  static constexpr std::array sglang{Step::models, Step::server_info, Step::metrics, Step::loads,
                                     Step::health};
  static constexpr std::array ollama{Step::models, Step::ollama_version, Step::running_models};
  const auto steps = [&]() -> std::span<const Step> {
    if (!kind_known_) return unknown;
    switch (result_.kind) {
      case EngineKind::vllm:
        return vllm;
      case EngineKind::llamacpp:
        return llamacpp;
      case EngineKind::llamacpp_router:
        return router;
      case EngineKind::sglang:
        return sglang;
      case EngineKind::ollama:
        return ollama;
      case EngineKind::transformers:
      case EngineKind::openai:
        break;
    }
    return generic;
  }();
  if (stopped_) return {};
  for (const auto each : steps) {
    if ((taken_ & (1u << static_cast<unsigned>(each))) == 0) return each;
  }
  return {};
}

std::optional<EngineRequest> Probe::next() const {
  const auto at = step();
  if (!at) return {};
  const auto get = [](std::string_view target, Duration timeout) {
    return EngineRequest{.method = "GET", .target = std::string(target), .timeout = timeout};
  };
  switch (*at) {
    case Step::models:
      return get("/v1/models", 5s);
    case Step::props:
      return get("/props", 5s);
    case Step::metrics:
      return get("/metrics", 5s);
    case Step::loads:
      return get("/v1/loads", 5s);
    case Step::version:
      return get("/version", 5s);
    case Step::health:
      return health_request(result_.kind);
    case Step::server_info:
      return get("/server_info", 5s);
    case Step::ollama_version:
      return get("/api/version", 5s);
    case Step::running_models:
      return get("/api/ps", 5s);
    // transformers loads a model on POST; a GET there is 405 from it and 404 from everything else.
    case Step::load_model:
      return get("/load_model", 5s);
  }
  return {};
}

void Probe::stop(Readiness readiness, std::string reason) {
  result_.health = {readiness, std::move(reason)};
  stopped_ = true;
}

void Probe::failed(std::string_view why) {
  const auto at = step();
  if (!at) return;
  taken_ |= 1u << static_cast<unsigned>(*at);
  if (*at == Step::models || *at == Step::health) return stop(Readiness::down, std::string(why));
  answered_nothing(*at);
}

void Probe::answered_nothing(Step at) {
  if (at == Step::metrics) result_.capabilities.metrics = result_.capabilities.kv_metrics = false;
  if (at == Step::load_model) identified(EngineKind::openai);
}

void Probe::answered(int status, const http::Fields& fields, std::string_view body) {
  const auto at = step();
  if (!at) return;
  taken_ |= 1u << static_cast<unsigned>(*at);
  switch (*at) {
    case Step::models:
      return read_models(status, fields, body);
    case Step::props:
      return read_props(status, body);
    case Step::metrics:
      return read_metrics(status, body);
    case Step::loads:
      if (parse_stats(EngineKind::sglang, status, body)) result_.capabilities.metrics = true;
      return;
    case Step::version: {
      json::Document document;
      const auto value = status == 200 ? document.parse(body) : std::nullopt;
      if (value) result_.version = json::text(*value, "version");
      return;
    }
    case Step::health:
      result_.health = asleep_ ? result_.health : parse_health(result_.kind, status, body);
      return;
    case Step::server_info:
      return read_server_info(status, body);
    case Step::ollama_version: {
      json::Document document;
      const auto value = status == 200 ? document.parse(body) : std::nullopt;
      if (!value || json::text(*value, "version").empty()) return;
      if (!kind_known_) identified(EngineKind::ollama);
      result_.version = json::text(*value, "version");
      return;
    }
    case Step::running_models:
      return read_running_models(status, body);
    case Step::load_model:
      identified(status == 405 ? EngineKind::transformers : EngineKind::openai);
      if (status == 405) result_.slots = 1;  // its batching is a flag that shows nowhere
      return;
  }
}

void Probe::read_models(int status, const http::Fields& fields, std::string_view body) {
  if (status == 404 || status == 405) {
    result_.health = {Readiness::ready, {}};  // speaks HTTP and lists nothing; its models must be configured
    return;
  }
  if (status < 200 || status >= 300) {
    const auto error = read_error(status, fields, body);
    if (status == 503) {
      if (!kind_known_ && error.message == "Loading model") identified(EngineKind::llamacpp);
      return stop(Readiness::loading, error.message);
    }
    if (status == 401 || status == 403) {
      return stop(Readiness::down,
                  fmt::format("it answers {} to /v1/models: it wants an api_key, or another one", status));
    }
    return stop(Readiness::down, fmt::format("it answers {} to /v1/models: {}", status, error.message));
  }

  json::Document document;
  const auto value = document.parse(body);
  const auto data = value ? json::get<json::Array>(*value, "data") : std::nullopt;
  if (!data) {
    // Ollama without a model says "data": null.
    if (value && json::text(*value, "object") == "list") {
      result_.health = {Readiness::ready, {}};
      return;
    }
    return stop(Readiness::down,
                "its /v1/models is not a list of models: is this an OpenAI-compatible server?");
  }
  for (const auto entry : *data) {
    auto model = read_model(entry);
    if (model.id.empty() || result_.models.size() == max_models) continue;
    if (!kind_known_) {
      if (const auto kind = kind_by_owner(json::text(entry, "owned_by"))) identified(*kind);
    }
    result_.models.push_back(std::move(model));
  }
  if (kind_known_ && result_.kind == EngineKind::transformers) result_.slots = 1;
  result_.health = {Readiness::ready, {}};
}

void Probe::read_metrics(int status, std::string_view body) {
  auto& able = result_.capabilities;
  bool found = false;
  asleep_ = false;
  MetricsReader reader(status == 200 ? body : std::string_view{});
  while (const auto sample = reader.next()) {
    const auto kind = kind_by_metric(sample->name);
    if (!kind) continue;
    if (!kind_known_) identified(*kind);
    found = found || *kind == result_.kind;
    if (sample->name == "vllm:cache_config_info") {
      const auto blocks = label_number(*sample, "num_gpu_blocks");
      const auto size = label_number(*sample, "block_size");
      if (size) result_.kv_block = Tokens{*size};
      std::int64_t capacity = 0;
      if (const auto told = label_number(*sample, "kv_cache_size_tokens")) {  // some kinds of layer need no block
        result_.kv_capacity = Tokens{*told};
      } else if (blocks && size && !__builtin_mul_overflow(*blocks, *size, &capacity))
        result_.kv_capacity = Tokens{capacity};
    } else if (sample->name == "vllm:engine_sleep_state") {
      asleep_ = asleep_ || (sample->value > 0 && sample->label("sleep_state").value_or("awake") != "awake");
    } else if (sample->name == "sglang:max_total_num_tokens" && sample->value >= 1 && sample->value < 9e15) {
      result_.kv_capacity = Tokens{static_cast<std::int64_t>(sample->value)};
    }
  }
  if (kind_known_ && !found) able.metrics = able.kv_metrics = false;
  if (found) taken_ |= 1u << static_cast<unsigned>(Step::loads);  // would say the same
  if (result_.kind == EngineKind::vllm && asleep_) {
    // It would take requests and hold them until somebody wakes it.
    for (auto& model : result_.models) model.residency = Residency::asleep;
    result_.health = {Readiness::loading, "it is asleep: POST /wake_up"};
  }
}

void Probe::read_props(int status, std::string_view body) {
  json::Document document;
  const auto value = status == 200 ? document.parse(body) : std::nullopt;
  if (!value) return;
  if (json::text(*value, "role") == "router") {
    identified(EngineKind::llamacpp_router);
    // It does not drop what queues inside, so all models together get what the narrowest one can run.
    for (const auto& model : result_.models) {
      const int slots = model.slots.value_or(router_slots);
      result_.slots = std::min(result_.slots.value_or(slots), slots);
    }
    return;
  }
  result_.slots = small(positive(*value, "total_slots"));
  result_.version = json::text(*value, "build_info");
  const auto settings = json::find(*value, "default_generation_settings");
  const auto context = settings ? tokens(*settings, "n_ctx") : std::nullopt;
  const bool asleep = json::get<bool>(*value, "is_sleeping").value_or(false);
  for (auto& model : result_.models) {
    if (!model.context) model.context = context;
    if (asleep) model.residency = Residency::unloaded;  // it wakes by itself when asked something
  }
}

void Probe::read_server_info(int status, std::string_view body) {
  json::Document document;
  const auto value = status == 200 ? document.parse(body) : std::nullopt;
  if (!value) return;
  result_.slots = small(positive(*value, "max_running_requests"));
  result_.version = json::text(*value, "version");
  result_.kv_capacity = tokens(*value, "max_total_num_tokens");
  if (!json::get<bool>(*value, "enable_priority_scheduling").value_or(false)) {
    result_.capabilities.priority = PriorityOrder::none;
  } else if (json::get<bool>(*value, "schedule_low_priority_values_first").value_or(false)) {
    result_.capabilities.priority = PriorityOrder::lower_first;
  }
  // Left to choose its own limit, it tells what it chose only in here, one entry a data-parallel rank.
  const auto states = json::get<json::Array>(*value, "internal_states");
  if (!states) return;
  std::int64_t sum = 0;
  for (const auto state : *states) {
    sum += std::min<std::int64_t>(positive(state, "effective_max_running_requests_per_dp").value_or(0),
                                  1'000'000);
  }
  if (!result_.slots) result_.slots = small(sum);
}

void Probe::read_running_models(int status, std::string_view body) {
  json::Document document;
  const auto value = status == 200 ? document.parse(body) : std::nullopt;
  const auto running = value ? json::get<json::Array>(*value, "models") : std::nullopt;
  if (!running) return;
  for (auto& model : result_.models) model.residency = Residency::unloaded;
  for (const auto entry : *running) {
    const auto name = json::text(entry, "name");
    const auto model = std::ranges::find(result_.models, name, &Model::id);
    if (model == result_.models.end()) continue;
    model->residency = Residency::loaded;
    if (const auto context = tokens(entry, "context_length")) model->context = context;
  }
}

EngineRequest canary_request(EngineKind kind, std::string_view model) {
  EngineRequest request;
  request.method = "POST";
  // A router would load the model for it.
  request.target = kind == EngineKind::llamacpp_router ? "/v1/completions?autoload=false" : "/v1/completions";
  request.body = fmt::format(R"({{"model":{},"prompt":"1","max_tokens":1}})", openai::json_string(model));
  return request;
}

std::optional<std::string> canary_failure(int status, const http::Fields& fields, std::string_view body) {
  if (status == 0) return std::string(body);
  if (status != 200) return fmt::format("a one-token request got status {}", status);
  if (judge_body(openai::Endpoint::completions, status, fields, body, BodyEnd::framed).kind == Outcome::Kind::complete) return std::nullopt;
  return "what a one-token request got is no answer";
}

EngineRequest health_request(EngineKind kind) {
  EngineRequest request;
  request.timeout = 2s;  // one that stands still must be noticed soon
  switch (kind) {
    case EngineKind::openai:
      request.target = "/v1/models";
      break;
    case EngineKind::ollama:
      request.target = "/api/version";
      break;
    case EngineKind::sglang:
      request.target = "/health";
      request.timeout = 25s;  // it generates a token, and says 503 itself after 20 s without one
      break;
    default:
      request.target = "/health";
      break;
  }
  return request;
}

Health parse_health(EngineKind kind, int status, std::string_view body) {
  if (status >= 200 && status < 300) return {Readiness::ready, {}};
  // Not every OpenAI-compatible server lists its models, and being asked too often is a sign of life.
  if (kind == EngineKind::openai && (status == 404 || status == 405 || status == 429))
    return {Readiness::ready, {}};
  const auto error = read_error(status, {}, body);
  const auto said = body.empty() ? fmt::format("its health check answers {}", status)
                                 : fmt::format("its health check answers {}: {}", status, error.message);
  // vLLM refuses connections while it loads; its 503 means that the engine behind it has died.
  const bool loading = status == 503 && kind != EngineKind::vllm;
  return {loading ? Readiness::loading : Readiness::down, said};
}

}  // namespace qlm::engines

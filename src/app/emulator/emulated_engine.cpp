#include "app/emulator/emulated_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "app/emulator/completion.hpp"
#include "app/emulator/metrics.hpp"
#include "app/emulator/request.hpp"
#include "app/emulator/response.hpp"
#include "app/emulator/step_loop.hpp"
#include "protocol/openai/json_write.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::emulator {
namespace {

using openai::json_string;
using ExchangePtr = std::shared_ptr<net::Exchange>;

constexpr std::string_view json_type = "application/json";

http::Fields content_type(std::string_view type) {
  http::Fields fields;
  fields.add("Content-Type", type);
  return fields;
}

void answer(net::Exchange& exchange, std::string body, std::string_view type = json_type) {
  exchange.respond(200, content_type(type), std::move(body));
}

void answer(net::Exchange& exchange, const Refusal& refusal) {
  exchange.respond(refusal.status, content_type(json_type), refusal.body());
}

// Every prompt of one /v1/embeddings request has to pass through the engine before it is answered.
class EmbeddingWork final : public StepLoop::Listener {
 public:
  EmbeddingWork(StepLoop& steps, ExchangePtr exchange, std::size_t prompts, std::string reply, std::function<void()> on_end)
      : steps_(steps),
        exchange_(std::move(exchange)),
        left_(prompts),
        reply_(std::move(reply)),
        on_end_(std::move(on_end)) {}
  void on_tokens(std::uint32_t, std::int64_t, bool finished) override {
    if (!finished || --left_ > 0) return;
    answer(*exchange_, std::move(reply_));
    on_end_();
  }
  void on_stopped(Stop) override {
    abandon();
    answer(*exchange_, engine_failure());
    on_end_();
  }
  void runs_as(StepLoop::Ticket ticket) { tickets_.push_back(ticket); }
  void abandon() {
    for (const auto ticket : std::exchange(tickets_, {})) steps_.abort(ticket);
  }

 private:
  StepLoop& steps_;
  std::vector<StepLoop::Ticket> tickets_;
  ExchangePtr exchange_;
  std::size_t left_;
  std::string reply_;
  std::function<void()> on_end_;
};

// A unit vector that only the ids determine.
std::string embedding_json(const std::vector<TokenId>& ids, const Embedding& request) {
  std::uint64_t state = 0;
  for (const TokenId id : ids) state = mix(state ^ static_cast<std::uint64_t>(id));
  std::vector<float> vector;
  double squares = 0;
  for (std::int64_t i = 0; i < request.dimensions; ++i) {
    state = mix(state);
    const double value = static_cast<double>(state >> 11) * 0x1.0p-52 - 1;
    squares += value * value;
    vector.push_back(static_cast<float>(value));
  }
  for (float& value : vector) value /= static_cast<float>(std::sqrt(squares));
  if (!request.base64) return fmt::format("[{}]", fmt::join(vector, ","));
  std::vector<std::uint8_t> bytes;
  for (const float value : vector) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::uint8_t>(bits >> shift));
  }
  return "\"" + base64(bytes) + "\"";
}

}  // namespace

struct EmulatedEngine::Impl : std::enable_shared_from_this<Impl> {
  Impl(net::Loop& loop_in, EmulatorOptions options_in)
      : loop(loop_in),
        options(std::move(options_in)),
        max_model_len(
            std::min(options.profile.max_model_len, options.profile.kv_tokens - EngineModel::block_size)
                .count),
        steps(loop, options.profile, options.speed, options.prefix_cache) {
    if (options.sleep) {
      sleeper.emplace(loop, steps, *options.sleep, options.speed, [this](StepLoop::Listener::Stop why) { stop_all(why); });
    }
    if (options.served_as.empty()) options.served_as.emplace_back(options.profile.model);
    started_at = unix_seconds();
    set_fault(options.fault);
  }

  std::int64_t unix_seconds() const {
    return std::chrono::duration_cast<std::chrono::seconds>(loop.wall().time_since_epoch()).count();
  }

  void set_fault(const Fault& to) {
    fault = to;
    steps.set_slowness(to.kind == Fault::Kind::slow ? to.factor : 1);
  }

  // The fault that befalls the request at hand, spent.
  Fault take_fault() {
    if (fault.kind == Fault::Kind::none || fault.kind == Fault::Kind::slow) return {};
    const Fault taken = fault;
    if (--fault.count <= 0) set_fault({});
    return taken;
  }

  void stop_all(StepLoop::Listener::Stop why) {
    const auto all = in_flight;  // it shrinks only later, but new ones may come of what clients are told
    for (const auto& [number, work] : all) work->on_stopped(why);
  }

  void handle(ExchangePtr exchange);
  bool dispatch_lora(const ExchangePtr& exchange, std::string_view method, std::string_view path);
  bool dispatch_sleep(const ExchangePtr& exchange, std::string_view method, std::string_view path);
  void dispatch(const ExchangePtr& exchange, std::string_view method, std::string_view path);
  bool authorized(const net::Exchange& exchange) const;
  std::optional<Refusal> unknown_model(const std::string& model) const;
  std::string models() const;
  void generate(const ExchangePtr& exchange, std::string_view path);
  std::optional<Refusal> too_long(const Generation& request) const;
  void embed(const ExchangePtr& exchange);
  std::string next_id(const net::Exchange& exchange, std::string_view prefix);
  void keep(std::shared_ptr<StepLoop::Listener> work, std::uint64_t number) {
    in_flight.emplace(number, std::move(work));
  }
  // Later, because the work is in the middle of a call when it says that it has ended.
  std::function<void()> forget_later(std::uint64_t number) {
    return [weak = weak_from_this(), number] {
      const auto self = weak.lock();
      if (!self) return;
      self->loop.post([weak, number] {
        if (const auto again = weak.lock()) again->in_flight.erase(number);
      });
    };
  }

  net::Loop& loop;
  EmulatorOptions options;
  std::int64_t max_model_len;
  StepLoop steps;
  std::optional<Sleeper> sleeper;
  std::map<std::string, std::string, std::less<>> adapters;  // their paths by their names
  Metrics metrics;
  Fault fault;
  std::int64_t started_at = 0;
  std::uint64_t requests = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<StepLoop::Listener>> in_flight;
  std::unique_ptr<net::HttpServer> server;
};

bool EmulatedEngine::Impl::authorized(const net::Exchange& exchange) const {
  if (options.api_keys.empty()) return true;
  const auto given = exchange.head().fields.find("Authorization").value_or("");
  return given.starts_with("Bearer ") && std::ranges::count(options.api_keys, given.substr(7)) > 0;
}

std::optional<Refusal> EmulatedEngine::Impl::unknown_model(const std::string& model) const {
  if (model.empty() || std::ranges::count(options.served_as, model) > 0 || adapters.contains(model)) return std::nullopt;
  return Refusal{.status = 404,
                 .message = fmt::format("The model `{}` does not exist. Valid aliases: {}.", model,
                                        fmt::join(options.served_as, ", ")),
                 .type = "NotFoundError",
                 .param = "model"};
}

void EmulatedEngine::Impl::handle(ExchangePtr exchange) {
  const std::string_view method = exchange->head().method;
  const std::string_view path = exchange->head().path();
  if (path.starts_with("/v1") && !authorized(*exchange)) {
    exchange->respond(401, content_type(json_type), R"({"error":"Unauthorized"})");
    return;
  }
  dispatch(exchange, method, path);
}

void EmulatedEngine::Impl::dispatch(const ExchangePtr& exchange, std::string_view method,
                                    std::string_view path) {
  const auto get = [&](std::string_view known) { return path == known && method == "GET"; };
  const auto post = [&](std::string_view known) { return path == known && method == "POST"; };
  if (options.bare && !path.starts_with("/v1/") && path != "/emulator/fault") {
    return exchange->respond(404, content_type(json_type), R"({"detail":"Not Found"})");
  }
  if (get("/health") || (path == "/ping" && (method == "GET" || method == "POST"))) {
    return exchange->respond(200, {}, "");
  }
  if (get("/v1/models")) return answer(*exchange, models());
  if (get("/version")) return answer(*exchange, R"({"version":"0.32.0+qlm.emulator"})");
  if (get("/load")) return answer(*exchange, fmt::format(R"({{"server_load":{}}})", in_flight.size()));
  if (get("/metrics")) {
    return answer(*exchange, metrics.text(options.served_as.front(), steps.engine(), steps.busy(), sleeper ? sleeper->state() : "awake"),
                  "text/plain; version=1.0.0; charset=utf-8");
  }
  if (post("/emulator/fault")) {
    const auto asked = parse_fault(*exchange->body());
    if (!asked) return answer(*exchange, asked.error());
    set_fault(*asked);
    return answer(*exchange, "{}");
  }
  if (sleeper && dispatch_sleep(exchange, method, path)) return;
  if (options.lora && dispatch_lora(exchange, method, path)) return;
  const bool generation = post("/v1/chat/completions") || post("/v1/completions") || post("/v1/responses");
  if (!generation && !post("/v1/embeddings") && !post("/tokenize") && !post("/detokenize")) {
    constexpr std::string_view known[] = {
        "/health",         "/v1/models",           "/version",        "/load",          "/metrics",
        "/emulator/fault", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize",
        "/detokenize",     "/v1/responses",        "/ping"};
    // Its web framework answers these, in words and a shape of its own.
    if (std::ranges::count(known, path) > 0) {
      return exchange->respond(405, content_type(json_type), R"({"detail":"Method Not Allowed"})");
    }
    return exchange->respond(404, content_type(json_type), R"({"detail":"Not Found"})");
  }
  const auto type = exchange->head().fields.find("Content-Type").value_or("");
  if (!http::equals_ignoring_case(type.substr(0, json_type.size()), json_type)) {
    return answer(*exchange, Refusal{.message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed",
                                     .type = "Bad Request"});
  }
  if (sleeper && sleeper->talks_garbage() && (generation || path == "/v1/embeddings")) return answer(*exchange, engine_failure());
  if (generation) return generate(exchange, path);
  if (path == "/v1/embeddings") return embed(exchange);

  const bool forth = path == "/tokenize";
  const auto request = forth ? parse_tokenize(*exchange->body()) : parse_detokenize(*exchange->body());
  if (!request) return answer(*exchange, request.error());
  if (const auto refusal = unknown_model(request->model)) return answer(*exchange, *refusal);
  if (!forth)
    return answer(*exchange, fmt::format(R"({{"prompt":{}}})", json_string(detokenize(request->tokens))));
  answer(*exchange, fmt::format(R"({{"count":{},"max_model_len":{},"tokens":[{}],"token_strs":null}})",
                                request->tokens.size(), max_model_len, fmt::join(request->tokens, ",")));
}

// False: none of them. The answers' order is that of the requests.
bool EmulatedEngine::Impl::dispatch_sleep(const ExchangePtr& exchange, std::string_view method, std::string_view path) {
  constexpr std::string_view posts[] = {"/sleep", "/wake_up", "/collective_rpc", "/reset_prefix_cache"};
  if (path == "/is_sleeping" && method == "GET") {
    answer(*exchange, fmt::format(R"({{"is_sleeping":{}}})", sleeper->sleeping()));
    return true;
  }
  if (path != "/is_sleeping" && std::ranges::count(posts, path) == 0) return false;
  if (path == "/is_sleeping" || method != "POST") {
    exchange->respond(405, content_type(json_type), R"({"detail":"Method Not Allowed"})");
    return true;
  }
  const auto done = [exchange](std::string body) {
    return [exchange, body = std::move(body)](bool ok) {
      if (!ok) return answer(*exchange, engine_failure());
      exchange->respond(200, body.empty() ? http::Fields{} : content_type(json_type), body);
    };
  };
  if (path == "/sleep") {
    const auto asked = parse_sleep(exchange->head().query());
    if (asked) {
      sleeper->sleep(asked->level, asked->mode, done(""));
    } else {
      answer(*exchange, asked.error());
    }
  } else if (path == "/wake_up") {
    const auto asked = parse_wake_up(exchange->head().query());
    if (asked) {
      sleeper->wake_up(asked->weights, asked->kv_cache, done(""));
    } else {
      answer(*exchange, asked.error());
    }
  } else if (path == "/reset_prefix_cache") {
    sleeper->reset_prefix_cache(done(""));
  } else if (const auto named = parse_collective_rpc(*exchange->body()); !named) {
    answer(*exchange, named.error());
  } else {
    sleeper->reload_weights(done(R"({"results":[null]})"));
  }
  return true;
}

// False: none of them.
bool EmulatedEngine::Impl::dispatch_lora(const ExchangePtr& exchange, std::string_view method, std::string_view path) {
  const bool load = path == "/v1/load_lora_adapter";
  if (!load && path != "/v1/unload_lora_adapter") return false;
  if (method != "POST") {
    exchange->respond(405, content_type(json_type), R"({"detail":"Method Not Allowed"})");
    return true;
  }
  const auto refuse = [&](const Refusal& refusal) {
    answer(*exchange, refusal);
    return true;
  };
  constexpr std::string_view done = "Success: LoRA adapter '{}' {} successfully.";
  if (load) {
    const auto asked = parse_load_lora(*exchange->body());
    if (!asked) return refuse(asked.error());
    if (!adapters.emplace(asked->name, asked->path).second) {
      return refuse({.message = fmt::format("The lora adapter '{}' has already been loaded.", asked->name),
                     .type = "InvalidUserInput"});
    }
    answer(*exchange, fmt::format(done, asked->name, "added"), "text/plain; charset=utf-8");
    return true;
  }
  const auto asked = parse_unload_lora(*exchange->body());
  if (!asked) return refuse(asked.error());
  if (adapters.erase(*asked) == 0) {
    return refuse({.status = 404,
                   .message = fmt::format("The lora adapter '{}' cannot be found.", *asked),
                   .type = "NotFoundError"});
  }
  answer(*exchange, fmt::format(done, *asked, "removed"), "text/plain; charset=utf-8");
  return true;
}

std::string EmulatedEngine::Impl::models() const {
  std::string list;
  const auto add = [&](const std::string& name, std::string_view root, const std::string& parent, const std::string& context) {
    if (!list.empty()) list += ',';
    list += fmt::format(
        R"({{"id":{},"object":"model","created":{},"owned_by":"{}","root":{},"parent":{},"max_model_len":{},"permission":[{{"id":"modelperm-{:016x}","object":"model_permission","created":{},"allow_create_engine":false,"allow_sampling":true,"allow_logprobs":true,"allow_search_indices":false,"allow_view":true,"allow_fine_tuning":false,"organization":"*","group":null,"is_blocking":false}}]}})",
        json_string(name), started_at, options.bare ? "somebody" : "vllm", json_string(root), parent, context,
        mix(static_cast<std::uint64_t>(started_at)), started_at);
  };
  for (const auto& name : options.served_as) add(name, options.profile.model, "null", std::to_string(max_model_len));
  for (const auto& [name, path] : adapters) add(name, path, json_string(options.served_as.front()), "null");
  return fmt::format(R"({{"object":"list","data":[{}]}})", list);
}

std::string EmulatedEngine::Impl::next_id(const net::Exchange& exchange, std::string_view prefix) {
  ++requests;
  if (const auto given = exchange.head().fields.find("X-Request-Id"))
    return fmt::format("{}-{}", prefix, *given);
  return fmt::format("{}-{:016x}", prefix, mix(options.seed ^ requests ^ mix(static_cast<std::uint64_t>(started_at))));
}

// What is asked for beyond the context is cut to it, never refused, as long as there is room for one token.
std::optional<Refusal> EmulatedEngine::Impl::too_long(const Generation& request) const {
  if (request.max_tokens && *request.max_tokens > max_model_len) {
    return Refusal{.message = fmt::format("max_tokens={0} cannot be greater than max_model_len={1}. Please request fewer "
                                          "output tokens. (parameter=max_tokens, value={0})",
                                          *request.max_tokens, max_model_len),
                   .param = "max_tokens"};
  }
  for (const auto& prompt : request.prompts) {
    const auto length = static_cast<std::int64_t>(prompt.size());
    if (length == max_model_len) {
      return Refusal{.message = "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
                     .param = "max_tokens"};
    }
    if (length > max_model_len) {
      return Refusal{.message = fmt::format(
                         "This model's maximum context length is {} tokens. However, your prompt contains at least {} "
                         "input tokens, which exceeds this limit even without any output tokens. Please reduce the "
                         "length of the input prompt. (parameter=input_tokens, value={})",
                         max_model_len, length, length),
                     .param = "input_tokens"};
    }
  }
  return std::nullopt;
}

void EmulatedEngine::Impl::generate(const ExchangePtr& exchange, std::string_view path) {
  const bool chat = path == "/v1/chat/completions", response = path == "/v1/responses";
  auto request = chat       ? parse_chat(*exchange->body())
                 : response ? parse_response(*exchange->body())
                            : parse_completion(*exchange->body());
  if (!request) return answer(*exchange, request.error());
  if (const auto refusal = unknown_model(request->model)) return answer(*exchange, *refusal);
  if (const auto refusal = too_long(*request)) return answer(*exchange, *refusal);
  if (const auto stated = exchange->head().fields.find("X-Vllm-Priority")) {
    const auto read = std::from_chars(stated->data(), stated->data() + stated->size(), request->priority);
    if (read.ec != std::errc{} || read.ptr != stated->data() + stated->size()) {
      return answer(*exchange, Refusal{.message = fmt::format("Invalid X-Vllm-Priority header: {}", *stated)});
    }
  }
  if (!options.by_priority) request->priority = 0;
  const Fault strikes = take_fault();
  switch (strikes.kind) {
    case Fault::Kind::refuse:
      return exchange->abort();
    case Fault::Kind::http_500:
      return answer(*exchange, engine_failure());
    case Fault::Kind::http_503:
      return answer(
          *exchange,
          Refusal{.status = 503, .message = "The server is overloaded.", .type = "ServiceUnavailableError"});
    default:
      break;
  }
  CompletionContext context{.loop = loop,
                            .steps = steps,
                            .metrics = metrics,
                            .id = next_id(*exchange, chat ? "chatcmpl" : response ? "resp" : "cmpl"),
                            .model = request->model.empty() ? options.served_as.front() : request->model,
                            .max_model_len = max_model_len,
                            .mean_output = options.mean_output.count,
                            .prefix_cache = options.prefix_cache,
                            .seed = options.seed,
                            .adapter = adapters.contains(request->model) ? mix(std::hash<std::string>{}(request->model)) : 0,
                            .fault = strikes,
                            .on_die = options.on_die,
                            .on_end = forget_later(requests)};
  if (response) {
    const auto work = std::make_shared<ResponseWork>(std::move(*request), exchange, std::move(context));
    keep(work, requests);
    return work->start();
  }
  const auto completion = std::make_shared<Completion>(std::move(*request), exchange, std::move(context));
  keep(completion, requests);
  completion->start();
}

void EmulatedEngine::Impl::embed(const ExchangePtr& exchange) {
  const auto request = parse_embedding(*exchange->body());
  if (!request) return answer(*exchange, request.error());
  if (const auto refusal = unknown_model(request->model)) return answer(*exchange, *refusal);
  std::string data;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < request->inputs.size(); ++i) {
    const auto& ids = request->inputs[i];
    if (static_cast<std::int64_t>(ids.size()) >= max_model_len) {
      return answer(
          *exchange,
          Refusal{.message = fmt::format(
                      "This model's maximum context length is {} tokens. However, you requested {} "
                      "tokens in the input for embedding generation. Please reduce the length of the input.",
                      max_model_len, ids.size()),
                  .param = "input_tokens"});
    }
    tokens += ids.size();
    data += fmt::format(R"({}{{"index":{},"object":"embedding","embedding":{}}})", i > 0 ? "," : "", i,
                        embedding_json(ids, *request));
  }
  const std::string id = next_id(*exchange, "embd");
  std::string reply = fmt::format(
      R"({{"id":"{}","object":"list","created":{},"model":{},"data":[{}],"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":0,"prompt_tokens_details":null}}}})",
      id, unix_seconds(), json_string(request->model.empty() ? options.served_as.front() : request->model),
      data, tokens, tokens);
  const auto work = std::make_shared<EmbeddingWork>(steps, exchange, request->inputs.size(), std::move(reply),
                                                    forget_later(requests));
  keep(work, requests);
  for (std::uint32_t i = 0; i < request->inputs.size(); ++i) {
    const auto ticket =
        steps.submit(*work, i, Tokens{static_cast<std::int64_t>(request->inputs[i].size())}, Tokens{1});
    if (ticket) work->runs_as(*ticket);  // below max_model_len it always fits
  }
  exchange->on_gone([weak = weak_from_this(), weak_work = std::weak_ptr(work), number = requests] {
    const auto self = weak.lock();
    if (!self) return;
    if (const auto leaving = weak_work.lock()) leaving->abandon();
    self->forget_later(number)();
  });
}

Result<std::unique_ptr<EmulatedEngine>> EmulatedEngine::start(net::Loop& loop, EmulatorOptions options) {
  const net::Address address = options.listen;
  auto impl = std::make_shared<Impl>(loop, std::move(options));
  const auto refusal_body = [](int status, const std::string& message) {
    return Refusal{.status = status, .message = message, .type = "Bad Request"}.body();
  };
  auto server = net::HttpServer::listen(loop, address, {}, refusal_body,
                                        [weak = std::weak_ptr(impl)](ExchangePtr exchange) {
                                          if (const auto self = weak.lock())
                                            self->handle(std::move(exchange));
                                        });
  if (!server) return std::unexpected(server.error());
  impl->server = std::move(*server);
  return std::unique_ptr<EmulatedEngine>(new EmulatedEngine(std::move(impl)));
}

EmulatedEngine::~EmulatedEngine() = default;

std::uint16_t EmulatedEngine::port() const { return impl_->server->port(); }
void EmulatedEngine::set_fault(const Fault& fault) { impl_->set_fault(fault); }
void EmulatedEngine::drain() { impl_->server->drain(); }
const EngineModel& EmulatedEngine::engine() const { return impl_->steps.engine(); }
std::size_t EmulatedEngine::requests_in_flight() const { return impl_->in_flight.size(); }

}  // namespace qlm::emulator

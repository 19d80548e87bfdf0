#include "app/gateway/front_door.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/gateway/replies.hpp"
#include "app/gateway/slo_resolution.hpp"
#include "protocol/openai/deny_list.hpp"
#include "protocol/openai/request.hpp"
#include "protocol/openai/resume.hpp"
#include "protocol/openai/slo.hpp"

namespace qlm::gateway {
namespace {

using openai::Refusal;
using openai::RefusalReason;

constexpr std::string_view api_prefix = "/v1/";
constexpr double tokens_per_byte_at_first = 0.25;  // English text in common vocabularies
constexpr double learning_rate = 0.1;
constexpr std::int64_t least_stream_buffer = 64 * 1024;
constexpr std::int64_t learn_from_bytes = 200;     // shorter prompts are mostly chat template

std::optional<std::string_view> bearer_key(const http::Fields& fields) {
  const auto value = fields.find("Authorization");
  constexpr std::string_view scheme = "bearer ";
  if (!value || value->size() <= scheme.size()) return std::nullopt;
  if (!http::equals_ignoring_case(value->substr(0, scheme.size()), scheme)) return std::nullopt;
  return value->substr(value->find_first_not_of(' ', scheme.size() - 1));
}

constexpr std::string_view readers = "GET, HEAD", writers = "POST";

// Paths that QLM answers itself; the others are for engines.
bool is_view(std::string_view path) {
  return path == "/v1/models" || path.starts_with("/v1/models/") || path == "/v1/queue" || path.starts_with("/v1/queue/");
}

// Without a second reading that would lead an engine, or a proxy before it, to another place than the one read here.
bool is_plain(std::string_view path) {
  if (path.find_first_of("%\\") != std::string_view::npos) return false;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size());
    if (part == "." || part == ".." || (part.empty() && !path.empty())) return false;
  }
  return true;
}

Refusal wrong_method(std::string_view path, std::string_view method, std::string_view allow) {
  return {RefusalReason::method_not_allowed, fmt::format("'{}' takes {}, not {}.", openai::excerpt(path), allow, method), {}, {}, allow};
}

Refusal nothing_at(std::string_view path) {
  return {RefusalReason::path_unknown, fmt::format("There is nothing at '{}'. The API is under /v1/.", openai::excerpt(path)), {}, {}};
}

}  // namespace

FrontDoor::FrontDoor(net::Loop& loop, net::HttpClient& client, ControllerHost& host, Fleet& fleet, Registry& registry,
                     Accounting& accounting, const config::Configuration& configuration)
    : loop_(loop),
      host_(host),
      fleet_(fleet),
      registry_(registry),
      accounting_(accounting),
      services_{loop, client, host, fleet, [&accounting](Duration residence) { accounting.request_resided(residence); }},
      // Larger than any id of a former run, so that an old id never names a new request.
      last_id_(static_cast<std::uint64_t>(loop.wall().time_since_epoch() / 1ms) << 20),
      keep_alive_timer_(loop) {
  apply(configuration);
}

void FrontDoor::apply(const config::Configuration& configuration) {
  keys_needed_ = configuration.auth == config::Auth::keys;
  limits_ = configuration.limits;
  if (std::exchange(keepalive_interval_, configuration.stream_keepalive) > configuration.stream_keepalive) {
    // Who waits already waits for the new interval only, and the list stays in the order of time.
    for (auto& [due, id] : keep_alives_) due = std::min(due, add(loop_.now(), keepalive_interval_));
    if (!keep_alives_.empty()) keep_alive_timer_.at(keep_alives_.front().first, [this] { run_keep_alives(); });
  }
  services_.client_stall = configuration.limits.client_stall;
}

// -- routes

void FrontDoor::handle(Shared exchange) {
  const http::RequestHead& head = exchange->head();
  const std::string_view path = head.path();
  if (!path.starts_with(api_prefix)) {
    return turn_away(*exchange, nothing_at(path), nullptr);
  }
  const TenantFacts* tenant = authenticate(*exchange);
  if (!tenant) {
    return turn_away(*exchange, {RefusalReason::unauthorized, "A valid API key is needed: 'Authorization: Bearer KEY'.", {}, {}}, nullptr);
  }
  const bool reads = head.method == "GET" || head.method == "HEAD";
  if (is_view(path)) return reads ? get(exchange, *tenant) : turn_away(*exchange, wrong_method(path, head.method, readers), tenant);
  if (head.method == "POST") return accept(exchange, *tenant);
  const bool unknown = reads && openai::endpoint_of(path) == openai::Endpoint::opaque;
  turn_away(*exchange, unknown ? nothing_at(path) : wrong_method(path, head.method, writers), tenant);
}

const TenantFacts* FrontDoor::authenticate(const net::Exchange& exchange) const {
  if (const auto key = bearer_key(exchange.head().fields)) {
    if (const TenantFacts* known = registry_.tenant_of_key(*key)) return known;
  }
  return keys_needed_ ? nullptr : &registry_.anonymous();
}

void FrontDoor::get(const Shared& exchange, const TenantFacts& tenant) {
  const std::string_view path = exchange->head().path();
  constexpr std::string_view models = "/v1/models", queue = "/v1/queue";
  if (path == models) return answer_models(*exchange, {});
  if (path == queue) return answer_queue(*exchange);
  if (path.starts_with("/v1/models/")) return answer_models(*exchange, path.substr(models.size() + 1));
  answer_request(*exchange, path.substr(queue.size() + 1), &tenant);
}

// -- a request for an engine

void FrontDoor::accept(const Shared& exchange, const TenantFacts& tenant) {
  const std::string_view path = exchange->head().path();
  if (!is_plain(path)) {
    return turn_away(*exchange, {RefusalReason::bad_request,
                                 fmt::format("The path '{}' must be written plainly: without '%' and '\\', and no part of it empty, '.' or '..'.",
                                             openai::excerpt(path)), {}, {}}, &tenant);
  }
  if (openai::denied_path(path) && !tenant.trusted) {
    return turn_away(*exchange, {RefusalReason::path_unknown,
                                 fmt::format("'{}' acts on the engine itself and is open to trusted tenants only.", openai::excerpt(path)), {}, {}}, &tenant);
  }
  if (const auto error = openai::check_media(exchange->head().fields)) return turn_away(*exchange, *error, tenant);
  auto extracted = openai::extract(path, exchange->body());
  if (!extracted) return turn_away(*exchange, extracted.error(), tenant);
  const auto facts = std::make_shared<const openai::RequestFacts>(std::move(*extracted));

  const auto model = registry_.find_model(facts->model);
  // One that was served and is no more is as unknown as one that never was, unless the operator named it.
  const bool known = model && (fleet_.offers(*model) || registry_.is_configured(*model));
  if (!known) return turn_away(*exchange, unknown_model(facts->model), &tenant, facts->model);

  const auto longest = registry_.longest_output(*model);
  if (longest && facts->max_tokens && *facts->max_tokens > *longest) {
    return turn_away(*exchange, {RefusalReason::bad_request,
                                 fmt::format("It asks for up to {} output tokens; '{}' allows {} (models.{}.max_output_tokens).",
                                             facts->max_tokens->count, facts->model, longest->count, registry_.model_name(*model)),
                                 "max_tokens", {}}, &tenant, facts->model);
  }

  const http::Fields& fields = exchange->head().fields;
  const auto stated = openai::stated_slo(fields, *facts, loop_.wall());
  if (!stated) return turn_away(*exchange, stated.error(), tenant);
  const openai::ClientHints hints = openai::client_hints(fields);
  // The time-out that an SDK announces is between two bytes, and comments come to a stream that waits.
  const bool kept_alive = facts->stream && facts->endpoint != openai::Endpoint::opaque && hints.read_timeout > keepalive_interval_;
  const auto resolved = resolve_slo(*stated, kept_alive ? std::nullopt : hints.read_timeout, tenant, registry_, loop_.now(), loop_.wall());
  if (!resolved) return turn_away(*exchange, resolved.error(), &tenant, facts->model);

  RequestDescription description;
  description.id = RequestId{++last_id_};
  description.model = *model;
  description.service_class = resolved->service_class;
  description.tenant = tenant.id;
  description.slo = resolved->slo;
  description.deadline = resolved->deadline;
  description.prompt = prompt_size(*model, *facts);
  description.prefix = facts->prefix;
  description.max_output = facts->max_tokens;
  description.body = Bytes{static_cast<std::int64_t>(exchange->body()->size())};
  description.client_timeout = resolved->patience;
  description.streaming = facts->stream;
  description.waits_gladly = stated->waits_gladly;
  description.resume = openai::resume_level(*facts);

  observe::RequestRecord record = record_of(*exchange);
  record.id = names_.of(description.id);
  record.tenant = registry_.tenant_name(tenant.id);
  record.model = registry_.model_name(*model);
  record.class_name = registry_.service_class(resolved->service_class).name;
  record.slo = resolved->slo;
  record.streamed = facts->stream;
  record.client_retries = hints.retry_count;
  record.prompt_tokens = description.prompt;

  auto session = std::make_shared<RequestSession>(
      services_, RequestSession::Request{exchange, facts, description, tenant.trusted, std::move(record)});
  sessions_.emplace(description.id, session);
  // Each stream's share of the memory set aside for clients that read slowly.
  services_.stream_buffer = static_cast<std::size_t>(std::clamp(
      limits_.stream_buffers.count / static_cast<std::int64_t>(sessions_.size()), least_stream_buffer,
      std::max(limits_.stream_buffer.count, least_stream_buffer)));
  session->start();
  if (facts->stream && facts->endpoint != openai::Endpoint::opaque) keep_alive_later(description.id);
}

Refusal FrontDoor::unknown_model(const std::string& name) const {
  if (!fleet_.every_instance_seen()) {
    return {RefusalReason::no_instance, fmt::format("Nobody known serves '{}', but not every instance has answered yet. Retry soon.", openai::excerpt(name)), "model", 2s};
  }
  std::vector<std::string> known;
  for (const ModelFacts& model : fleet_.models()) known.push_back(model.name);
  const auto nearest = openai::nearest_name(name, known);
  return {RefusalReason::model_unknown,
          nearest ? fmt::format("There is no model '{}'. Did you mean '{}'?", openai::excerpt(name), *nearest)
                  : fmt::format("There is no model '{}'. GET /v1/models lists those there are.", openai::excerpt(name)),
          "model", {}};
}

observe::RequestRecord FrontDoor::record_of(const net::Exchange& exchange) const {
  observe::RequestRecord record;
  record.path = exchange.head().path();
  record.arrived = loop_.wall() - (loop_.now() - exchange.received_at());
  record.traceparent = exchange.head().fields.find("traceparent").value_or(std::string_view{});
  return record;
}

void FrontDoor::turn_away(net::Exchange& exchange, const Refusal& refusal, const TenantFacts* tenant,
                          const std::string& model) {
  observe::RequestRecord record = record_of(exchange);
  const int status = respond_refusal(exchange, {}, refusal);
  record.error = openai::rule_of(refusal.reason).code;
  log_turned_away(std::move(record), tenant, status, model);
}

void FrontDoor::turn_away(net::Exchange& exchange, const openai::RequestError& error, const TenantFacts& tenant) {
  observe::RequestRecord record = record_of(exchange);
  const int status = respond_refusal(exchange, {}, error);
  record.error = error.code;
  log_turned_away(std::move(record), &tenant, status, {});
}

void FrontDoor::log_turned_away(observe::RequestRecord record, const TenantFacts* tenant, int status,
                                const std::string& model) {
  record.model = openai::excerpt(model);
  record.model_known = !model.empty() && registry_.find_model(model).has_value();
  if (tenant) record.tenant = registry_.tenant_name(tenant->id);
  record.status = status;
  record.outcome = Outcome::rejected;
  record.e2e = loop_.wall() - record.arrived;
  accounting_.finished(record);
}

// -- sessions

RequestSession* FrontDoor::session(RequestId id) const {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void FrontDoor::perform(const Action& action) {
  std::visit(
      [this](const auto& each) {
        using Each = std::decay_t<decltype(each)>;
        if constexpr (std::is_same_v<Each, action::Admitted>) {
          if (auto* s = session(each.request)) s->admitted(each);
        } else if constexpr (std::is_same_v<Each, action::Dispatch>) {
          if (auto* s = session(each.key.request)) s->dispatch(each);
        } else if constexpr (std::is_same_v<Each, action::Abort>) {
          if (auto* s = session(each.key.request)) s->abort(each);
        } else if constexpr (std::is_same_v<Each, action::Reject>) {
          if (auto* s = session(each.request)) s->reject(each), end(each.request);
        } else if constexpr (std::is_same_v<Each, action::Finish>) {
          if (auto* s = session(each.request)) s->finish(each), end(each.request);
        }
      },
      action);
}

void FrontDoor::end(RequestId id) {
  const auto found = sessions_.find(id);
  const RequestSession& ended = *found->second;
  learn_prompt_size(ended);
  accounting_.finished(ended.record());
  sessions_.erase(found);
}

void FrontDoor::give_up_all() {
  std::vector<RequestId> ids;
  for (const auto& [id, session] : sessions_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (const RequestId id : ids) {
    action::Reject stopping;
    stopping.request = id;
    stopping.reason = Reason::draining;
    stopping.retry_after = 5s;
    sessions_.at(id)->reject(stopping);
    end(id);
  }
}

void FrontDoor::keep_alive_later(RequestId id) {
  const bool first = keep_alives_.empty();
  const Instant due = add(loop_.now(), keepalive_interval_);
  keep_alives_.emplace_back(due, id);
  if (first) keep_alive_timer_.at(due, [this] { run_keep_alives(); });
}

void FrontDoor::run_keep_alives() {
  const Instant now = loop_.now();
  for (std::size_t left = keep_alives_.size(); left > 0 && keep_alives_.front().first <= now; --left) {
    const RequestId id = keep_alives_.front().second;
    keep_alives_.pop_front();
    auto* waiting = session(id);
    if (waiting && waiting->keep_alive()) keep_alives_.emplace_back(add(now, keepalive_interval_), id);
  }
  if (!keep_alives_.empty()) keep_alive_timer_.at(keep_alives_.front().first, [this] { run_keep_alives(); });
}

// -- prompt sizes, before an engine counted

Tokens FrontDoor::prompt_size(ModelId model, const openai::RequestFacts& facts) const {
  const auto learned = tokens_per_byte_.find(model);
  const double ratio = learned == tokens_per_byte_.end() ? tokens_per_byte_at_first : learned->second;
  const double text = static_cast<double>(facts.prompt_text.count) * ratio;
  return facts.prompt_ids + Tokens{static_cast<std::int64_t>(text) + 1};
}

void FrontDoor::learn_prompt_size(const RequestSession& session) {
  const openai::RequestFacts& facts = session.facts();
  const std::int64_t counted = session.record().prompt_tokens.count - facts.prompt_ids.count;
  const bool from_engine = session.record().prompt_tokens != session.description().prompt;
  if (!from_engine || facts.media_parts > 0 || facts.prompt_text.count < learn_from_bytes || counted <= 0) return;
  const double seen = static_cast<double>(counted) / static_cast<double>(facts.prompt_text.count);
  double& ratio = tokens_per_byte_.emplace(session.description().model, tokens_per_byte_at_first).first->second;
  ratio += learning_rate * (seen - ratio);
}

}  // namespace qlm::gateway

// GET answers of the client listener: the models there are, and the queue as a client may see it.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "app/gateway/front_door.hpp"
#include "app/gateway/replies.hpp"
#include "core/domain/names.hpp"
#include "protocol/openai/json_write.hpp"

namespace qlm::gateway {
namespace {

using openai::JsonWriter;

void write_wait(JsonWriter& json, const WaitEstimate& wait) {
  json.key("wait").begin_object();
  json.member("estimate_ms", wait.expected / 1ms).member("bound_ms", wait.bound / 1ms);
  json.member("provisional", wait.provisional).end_object();
}

void write_model(JsonWriter& json, const ModelFacts& model) {
  json.begin_object().member("id", model.name).member("object", "model").member("created", 0);
  json.member("owned_by", "qlm");
  if (model.context_length) json.member("max_model_len", model.context_length->count);
  json.key("instances").begin_array();
  for (const std::string& name : model.instances) json.value(name);
  json.end_array().end_object();
}

// What a decision's count counts; empty where it has none.
std::string_view count_name(Decision decision) {
  switch (decision) {
    case Decision::admitted: return "ahead";
    case Decision::dispatched: return "left_waiting";
    case Decision::rejected: return "queued";
    default: return {};
  }
}

// Of a request that is over: how it ended. Nothing where that is forgotten, whatever came after it is not.
const ExplainRecord* end_among(const std::vector<ExplainRecord>& records) {
  for (const ExplainRecord& record : records) {
    switch (record.decision) {
      case Decision::completed:
      case Decision::failed:
      case Decision::cancelled:
      case Decision::expired:
      case Decision::rejected: return &record;
      default: break;
    }
  }
  return nullptr;
}

}  // namespace

void FrontDoor::answer_models(net::Exchange& exchange, std::string_view one) const {
  const std::vector<ModelFacts> models = fleet_.models();
  std::string body;
  JsonWriter json(body);
  if (!one.empty()) {
    const std::string name = unescaped(one);
    const auto found = std::find_if(models.begin(), models.end(), [&](const ModelFacts& each) { return each.name == name; });
    if (found == models.end()) {
      respond_refusal(exchange, {}, unknown_model(name));
      return;
    }
    write_model(json, *found);
    return respond_json(exchange, 200, std::move(body));
  }
  json.begin_object().member("object", "list").key("data").begin_array();
  for (const ModelFacts& model : models) write_model(json, model);
  json.end_array().end_object();
  respond_json(exchange, 200, std::move(body));
}

void FrontDoor::answer_queue(net::Exchange& exchange) const {
  const Controller& controller = host_.controller();
  const Totals totals = controller.totals();
  std::string body;
  JsonWriter json(body);
  json.begin_object().member("object", "queue").member("queued", totals.queued).member("in_flight", totals.in_flight);
  json.key("queues").begin_array();
  for (const QueueView& queue : controller.queues()) {
    json.begin_object().member("model", registry_.model_name(queue.model));
    json.member("class", registry_.service_class(queue.service_class).name);
    json.member("requests", queue.requests).member("tokens", queue.tokens.count).end_object();
  }
  json.end_array().key("models").begin_array();
  for (const ModelFacts& model : fleet_.models()) {
    json.begin_object().member("id", model.name);
    const auto id = registry_.find_model(model.name);
    if (const auto wait = id ? controller.estimate(*id) : std::nullopt) write_wait(json, *wait);
    json.end_object();
  }
  json.end_array().end_object();
  respond_json(exchange, 200, std::move(body));
}

// From the request's first decision on, or from its arrival while that is known.
void FrontDoor::write_decisions(openai::JsonWriter& json, const std::vector<ExplainRecord>& records, Instant from) const {
  json.key("decisions").begin_array();
  for (const ExplainRecord& record : records) {
    json.begin_object().member("at_ms", (record.at - from) / 1ms).member("decision", name(record.decision));
    json.member("policy", name(record.policy));
    if (record.instance) json.member("instance", registry_.instance_name(*record.instance));
    if (record.attempt != no_attempt) json.member("attempt", record.attempt.value);
    if (record.reason != Reason::none) json.member("reason", name(record.reason));
    if (record.decision == Decision::dispatched) json.member("because", name(record.because)).member("expected_cached_tokens", record.cached.count);
    if (const std::string_view counted = count_name(record.decision); !counted.empty()) json.member(counted, record.count);
    if (record.limit != 0) json.member("limit", record.limit);
    if (record.wait) write_wait(json, *record.wait);
    if (record.lost.why != Loss::none) json.member("cause", name(record.lost.why));
    if (record.lost.status != 0) json.member("status", record.lost.status);
    if (record.rest > Duration{}) json.member("rest_ms", record.rest / 1ms);
    json.end_object();
  }
  json.end_array();
}

// "12 requests are before it (10 chat, 2 bulk): they must start earlier to be on time. gpu0 is full (32 of 32), gpu1 is not
// taking work."
std::string FrontDoor::why_it_waits(const RequestView& view, const Standing& standing) const {
  if (const Instant now = loop_.now(); view.rests_until > now) {
    return fmt::format("{} refused or failed it; it is tried again in {} ms.", registry_.instance_name(*view.instance),
                       (view.rests_until - now) / 1ms);
  }
  const std::int64_t ahead = view.position.value_or(0);
  std::string why = "It is next";
  if (ahead > 0) {
    std::map<ClassId, std::int64_t> by_class;
    for (const Standing::Ahead& each : standing.ahead) by_class[each.service_class] += each.requests;
    std::string classes;
    for (const auto& [of_class, count] : by_class) {
      classes += fmt::format("{}{} {}", classes.empty() ? "" : ", ", count, registry_.service_class(of_class).name);
    }
    why = fmt::format("{} request{} before it ({})", ahead, ahead == 1 ? " is" : "s are", classes);
    if (standing.phase == QueuePhase::kept) why += fmt::format(": {}", order_reason(host_.controller().policy()));
  }
  switch (standing.phase) {
    case QueuePhase::kept: break;
    case QueuePhase::given_up:
      why += standing.priced_out ? "; the load leaves no room for it, and it is served when those it has room for are"
                                 : "; not all can be on time, and it was given up so that most are";
      break;
    case QueuePhase::late: why += "; it cannot be on time any more, and is served after those that can"; break;
  }
  std::string places;
  for (const InstancePicture& each : standing.instances) {
    places += places.empty() ? "; " : ", ";
    switch (each.binding) {
      case Binding::none: places += fmt::format("{} runs {} of {} and takes another first", each.name, each.in_flight, each.room); break;
      case Binding::slots: places += fmt::format("{} is full ({} of {})", each.name, each.in_flight, each.room); break;
      case Binding::memory: places += fmt::format("{} runs {} of {} and keeps its memory for them", each.name, each.in_flight, each.room); break;
      case Binding::refused: places += each.name + " refused and is let alone for a moment"; break;
      case Binding::gathering: places += each.name + " starts several together in a moment"; break;
      case Binding::unavailable: places += each.name + " is not taking work"; break;
      case Binding::absent: places += each.name + " serves another model now"; break;
      case Binding::swapping: places += each.name + " is loading its model"; break;
      case Binding::cordoned: places += each.name + " is cordoned"; break;
    }
  }
  return why + (places.empty() ? "; no instance that serves its model is up" : places) + ".";
}

namespace {

// What was foretold when it was admitted, beside what came.
void write_foretold(JsonWriter& json, const std::vector<ExplainRecord>& records) {
  const auto find = [&](Decision decision) { return std::ranges::find(records, decision, &ExplainRecord::decision); };
  const auto admitted = find(Decision::admitted), dispatched = find(Decision::dispatched);
  if (admitted == records.end()) return;
  json.key("foretold").begin_object();
  if (admitted->wait) json.member("wait_ms", admitted->wait->expected / 1ms).member("wait_bound_ms", admitted->wait->bound / 1ms);
  json.member("output_tokens", admitted->output.count).end_object();
  const ExplainRecord* end = end_among(records);
  if (dispatched == records.end() && !end) return;
  json.key("came").begin_object();
  if (dispatched != records.end()) {
    const Duration waited = dispatched->at - admitted->at;
    json.member("wait_ms", waited / 1ms);
    if (admitted->wait) json.member("within_bound", waited <= admitted->wait->bound);
  }
  if (end && end->output.count > 0) json.member("output_tokens", end->output.count);
  json.end_object();
}

void write_standing(JsonWriter& json, const Standing& standing, const Registry& registry) {
  json.member("standing", name(standing.phase));
  if (standing.phase == QueuePhase::given_up) json.member("given_up_by", standing.priced_out ? "price" : "on_time_set");
  json.key("ahead").begin_array();
  for (const Standing::Ahead& each : standing.ahead) {
    json.begin_object().member("class", registry.service_class(each.service_class).name).member("standing", name(each.phase));
    json.member("requests", each.requests).member("tokens", each.tokens.count).end_object();
  }
  json.end_array().key("constraints").begin_array();
  for (const InstancePicture& each : standing.instances) {
    json.begin_object().member("instance", each.name).member("by", name(each.binding));
    json.member("in_flight", each.in_flight).member("room", each.room);
    if (each.kv_capacity) json.member("kv_tokens", each.kv.count).member("kv_capacity", each.kv_capacity->count);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

void FrontDoor::answer_request(net::Exchange& exchange, std::string_view rest, const TenantFacts* tenant) const {
  constexpr std::string_view explain = "/explain";
  const bool explained = !tenant || rest.ends_with(explain);
  if (rest.ends_with(explain)) rest.remove_suffix(explain.size());
  const auto id = names_.id(rest);
  const Instant now = loop_.now();
  const auto view = id ? host_.controller().request(*id, now) : std::nullopt;
  const auto records = id && (explained || !view) ? host_.controller().explain(*id) : std::vector<ExplainRecord>{};
  const ExplainRecord* end = view ? nullptr : end_among(records);
  // Somebody else's request and none at all look the same.
  const bool known = view || end;
  if (!known || (tenant && (view ? view->tenant : end->tenant) != tenant->id)) {
    respond_refusal(exchange, {}, openai::Refusal{openai::RefusalReason::request_unknown,
                                                  tenant ? "No request of yours with this id is in the system, nor was one lately."
                                                         : "No request with this id is in the system, nor was one lately.", {}, {}});
    return;
  }
  if (!view && !explained) {
    respond_refusal(exchange, {}, openai::Refusal{openai::RefusalReason::request_ended,
                                                  fmt::format("This request ended: {}. GET /v1/queue/{}/explain tells how it went.",
                                                              name(end->decision), rest), {}, {}});
    return;
  }
  if (!view) {
    std::string body;
    JsonWriter json(body);
    json.begin_object().member("object", "queue.request").member("id", rest).member("state", name(RequestState::finished));
    if (!tenant) json.member("tenant", registry_.tenant_name(end->tenant)).member("outcome", name(end->decision));
    write_foretold(json, records);
    write_decisions(json, records, records.front().at);
    json.end_object();
    return respond_json(exchange, 200, std::move(body));
  }
  std::string body;
  JsonWriter json(body);
  json.begin_object().member("object", "queue.request").member("id", rest).member("state", name(view->state));
  json.member("model", registry_.model_name(view->model)).member("class", registry_.service_class(view->service_class).name);
  if (!tenant) json.member("tenant", registry_.tenant_name(view->tenant));
  json.member("age_ms", (now - view->arrived) / 1ms).member("attempts", view->attempt.value);
  if (view->instance) json.member("instance", registry_.instance_name(*view->instance));
  if (view->deadline != never) json.member("deadline_in_ms", (view->deadline - now) / 1ms);
  if (view->position) json.member("position", *view->position);
  if (view->tokens_ahead) json.member("tokens_ahead", view->tokens_ahead->count);
  if (view->wait) write_wait(json, *view->wait);
  if (const auto standing = host_.controller().standing(*id)) {
    json.member("why", why_it_waits(*view, *standing));
    if (explained) write_standing(json, *standing, registry_);
  }
  if (explained) {
    write_foretold(json, records);
    write_decisions(json, records, view->arrived);
  }
  json.end_object();
  respond_json(exchange, 200, std::move(body));
}

}  // namespace qlm::gateway

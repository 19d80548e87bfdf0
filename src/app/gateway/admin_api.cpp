#include "app/gateway/admin_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "app/gateway/accounting.hpp"
#include "app/gateway/replies.hpp"
#include "core/domain/names.hpp"
#include "protocol/openai/json_read.hpp"
#include "runtime/config/units.hpp"

namespace qlm::gateway {
namespace {

using openai::JsonWriter;
using openai::Refusal;
using openai::RefusalReason;

constexpr std::size_t requests_shown = 1000;
constexpr std::size_t decisions_looked_through = 5000, decisions_shown = 20;

Refusal bad(std::string message, std::string param = {}) { return {RefusalReason::bad_request, std::move(message), std::move(param), {}}; }

// "There is no ... 'x'. Did you mean 'y'?"
std::string no_such(std::string_view what, const std::string& name, const std::vector<std::string>& known) {
  const auto nearest = openai::nearest_name(name, known);
  return fmt::format("There is no {} '{}'.{}", what, openai::excerpt(name), nearest ? fmt::format(" Did you mean '{}'?", *nearest) : "");
}

// An object of strings and truths; nothing at all is an empty one.
Result<std::map<std::string, std::string>> fields_of(const std::string& body, std::initializer_list<std::string_view> allowed) {
  std::map<std::string, std::string> found;
  if (body.find_first_not_of(" \t\r\n") == std::string::npos) return found;
  if (!openai::valid_utf8(body)) return fail("The body is not UTF-8.");
  openai::JsonReader json(body);
  std::string fault;
  const bool read = json.object([&](const openai::JsonString& key, std::size_t) {
    const std::string name = key.text();
    if (std::ranges::find(allowed, name) == allowed.end() || found.contains(name)) {
      fault = fmt::format("The body takes {}, once each, not '{}'.", fmt::join(allowed, ", "), openai::excerpt(name));
      return false;
    }
    openai::JsonString text;
    bool truth = false;
    if (json.peek() == openai::JsonKind::boolean) {
      if (!json.boolean(truth)) return false;
      found.emplace(name, truth ? "true" : "false");
      return true;
    }
    if (!json.string(text)) return false;
    found.emplace(name, text.text());
    return true;
  });
  if (!fault.empty()) return fail(fault);
  if (!read || !json.end()) return fail(fmt::format("The body must be a JSON object: {}.", json.fault() ? json.fault() : "it is not"));
  return found;
}

// A page in a browser elsewhere must not act here: browsers say where such a request comes from.
bool from_another_site(const net::Exchange& exchange) {
  const auto origin = exchange.head().fields.find("Origin");
  const auto host = exchange.head().fields.find("Host");
  return origin && (!host || *origin != fmt::format("http://{}", *host));
}

}  // namespace

void AdminApi::handle(const Shared& exchange) {
  const http::RequestHead& head = exchange->head();
  const std::string_view what = head.path().substr(std::string_view("/admin/").size());
  if (head.method == "GET" || head.method == "HEAD") return get(*exchange, what);
  if (head.method == "POST") return post(exchange, what);
  respond_refusal(*exchange, {}, Refusal{RefusalReason::method_not_allowed, fmt::format("'{}' takes GET, HEAD, POST, not {}.", openai::excerpt(head.path()), head.method), {}, {}, "GET, HEAD, POST"});
}

// -- seeing

void AdminApi::get(net::Exchange& exchange, std::string_view what) {
  constexpr std::string_view instances = "instances/", requests = "requests/";
  if (what == "instances") return respond_json(exchange, 200, instances_json());
  if (what == "requests") return respond_json(exchange, 200, requests_json());
  if (what == "tenants") return respond_json(exchange, 200, tenants_json());
  if (what == "queue") return door_.answer_queue(exchange);
  if (what.starts_with(requests)) return door_.answer_request(exchange, what.substr(requests.size()), nullptr);
  if (what.starts_with(instances)) {
    const auto found = instance(exchange, unescaped(what.substr(instances.size())));
    if (found) respond_json(exchange, 200, instance_json(found->id));
    return;
  }
  respond_refusal(exchange, {}, Refusal{RefusalReason::path_unknown, no_such("page", "/admin/" + std::string(what), {"/admin/instances", "/admin/requests", "/admin/tenants", "/admin/queue"}), {}, {}});
}

std::optional<InstanceView> AdminApi::instance(net::Exchange& exchange, const std::string& name) {
  std::vector<std::string> known;
  for (InstanceView& each : host_.controller().instances()) {
    if (each.name == name) return std::move(each);
    known.push_back(each.name);
  }
  respond_refusal(exchange, {}, Refusal{RefusalReason::path_unknown, no_such("instance", name, known), "instance", {}});
  return std::nullopt;
}

void AdminApi::write_instance(JsonWriter& json, const InstanceView& view) const {
  const auto models = [&](std::string_view key, const std::vector<ModelId>& all) {
    json.key(key).begin_array();
    for (const ModelId m : all) json.value(registry_.model_name(m));
    json.end_array();
  };
  json.member("name", view.name).member("state", state_of(view, fleet_.up(view.id)));
  models("serves", view.serves);
  if (!view.holds.empty()) models("holds", view.holds);
  if (view.next) json.member("next", registry_.model_name(*view.next));
  if (view.pinned) {
    json.member("pinned", registry_.model_name(*view.pinned));
    if (view.pinned_until != never) json.member("pinned_for_s", seconds(view.pinned_until - host_.loop().now()));
  }
  json.member("cordoned", view.cordoned).member("available", view.available).member("stalled", view.stalled).member("breaker", name(view.breaker));
  json.member("in_flight", view.in_flight).member("running", view.running).member("limit", view.limit).member("allowance", view.allowance);
  json.member("busy_s", seconds(view.busy));
}

std::string AdminApi::instances_json() const {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("instances").begin_array();
  for (const InstanceView& each : host_.controller().instances()) {
    json.begin_object();
    write_instance(json, each);
    json.end_object();
  }
  json.end_array();
  if (const auto until = host_.controller().swaps_forbidden_until()) json.member("swaps_forbidden_for_s", seconds(*until - host_.loop().now()));
  json.end_object();
  return body;
}

// What binds there, and what was decided of it lately.
std::string AdminApi::instance_json(InstanceId id) const {
  const Controller& controller = host_.controller();
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  for (const InstanceView& each : controller.instances()) {
    if (each.id == id) write_instance(json, each);
  }
  for (const InstancePicture& each : controller.picture().instances) {
    if (each.id != id) continue;
    json.member("takes_more", each.binding == Binding::none).member("room", each.room);
    if (each.binding != Binding::none) json.member("because", name(each.binding));
    if (each.kv_capacity) json.member("kv_tokens", each.kv.count).member("kv_capacity", each.kv_capacity->count);
  }
  std::vector<ExplainRecord> of;
  for (const ExplainRecord& record : controller.recent(decisions_looked_through)) {
    if (record.instance == id) of.push_back(record);
  }
  if (of.size() > decisions_shown) of.erase(of.begin(), of.end() - decisions_shown);
  const Instant now = host_.loop().now();
  json.key("decisions").begin_array();
  for (const ExplainRecord& record : of) {
    json.begin_object().member("ago_ms", (now - record.at) / 1ms).member("decision", name(record.decision));
    if (record.model) json.member("model", registry_.model_name(*record.model));
    if (record.request != RequestId{}) json.member("request", door_.names().of(record.request));
    json.end_object();
  }
  json.end_array().end_object();
  return body;
}

std::string AdminApi::requests_json() const {
  const Controller& controller = host_.controller();
  const Instant now = host_.loop().now();
  const Totals totals = controller.totals();
  std::string body;
  JsonWriter json(body);
  json.begin_object().member("queued", totals.queued).member("in_flight", totals.in_flight).key("requests").begin_array();
  for (const RequestView& each : controller.requests(requests_shown, now)) {
    json.begin_object().member("id", door_.names().of(each.id)).member("state", name(each.state)).member("tenant", registry_.tenant_name(each.tenant));
    json.member("model", registry_.model_name(each.model)).member("class", registry_.service_class(each.service_class).name);
    json.member("age_ms", (now - each.arrived) / 1ms).member("attempts", each.attempt.value);
    if (each.instance) json.member("instance", registry_.instance_name(*each.instance));
    if (each.position) json.member("position", *each.position);
    if (each.wait) json.member("wait_estimate_ms", each.wait->expected / 1ms);
    if (each.deadline != never) json.member("deadline_in_ms", (each.deadline - now) / 1ms);
    json.end_object();
  }
  json.end_array().end_object();
  return body;
}

std::string AdminApi::tenants_json() const {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("tenants").begin_array();
  for (const TenantView& each : host_.controller().tenants()) {
    json.begin_object().member("name", registry_.tenant_name(each.id)).member("in_system", each.in_system);
    json.member("queued", each.queued).member("queued_bytes", each.queued_bytes.count).end_object();
  }
  json.end_array().end_object();
  return body;
}

// -- acting

void AdminApi::audit(const net::Exchange& exchange, const std::string& what) {
  say_(log::Level::info, fmt::format("audit: {}: {}", exchange.peer(), what));
}

// What was fed is handled when this callback is over; the answer says what is true then.
void AdminApi::answer_later(const Shared& exchange, InstanceId id) {
  host_.loop().defer([this, exchange, id] { respond_json(*exchange, 200, instance_json(id)); });
}

void AdminApi::post(const Shared& exchange, std::string_view what) {
  if (from_another_site(*exchange)) {
    return void(respond_refusal(*exchange, {}, bad("A page of another site may not act here.", "Origin")));
  }
  constexpr std::string_view instances = "instances/", requests = "requests/", cancels = "/cancel";
  if (what == "reload") return reload(*exchange);
  if (what == "swaps") return swaps(exchange);
  if (what.starts_with(requests) && what.ends_with(cancels) && what.size() > requests.size() + cancels.size()) {
    return cancel(exchange, std::string(what.substr(requests.size(), what.size() - requests.size() - cancels.size())));
  }
  if (const auto verb = what.rfind('/'); what.starts_with(instances) && verb > instances.size()) {
    return act_on_instance(exchange, unescaped(what.substr(instances.size(), verb - instances.size())), what.substr(verb + 1));
  }
  respond_refusal(*exchange, {}, Refusal{RefusalReason::path_unknown, no_such("act", "/admin/" + std::string(what), {"/admin/reload", "/admin/swaps"}), {}, {}});
}

void AdminApi::act_on_instance(const Shared& exchange, const std::string& name, std::string_view verb) {
  static const std::vector<std::string> verbs = {"cordon", "uncordon", "drain", "swap"};
  if (std::ranges::find(verbs, verb) == verbs.end()) {
    return void(respond_refusal(*exchange, {}, Refusal{RefusalReason::path_unknown, no_such("act on an instance", std::string(verb), verbs), {}, {}}));
  }
  const auto found = instance(*exchange, name);
  if (!found) return;
  if (verb == "swap") return swap(exchange, *found);
  audit(*exchange, fmt::format("{} {}", verb, found->name));
  host_.feed(event::Cordoned{found->id, verb != "uncordon"});
  answer_later(exchange, found->id);
}

void AdminApi::swap(const Shared& exchange, const InstanceView& instance) {
  const auto said = fields_of(*exchange->body(), {"model", "pin"});
  if (!said) return void(respond_refusal(*exchange, {}, bad(said.error().message)));
  const auto wanted = said->find("model"), pin = said->find("pin");
  if (wanted == said->end()) return void(respond_refusal(*exchange, {}, bad("The body must name a 'model'.", "model")));
  if (instance.holds.empty()) {
    return void(respond_refusal(*exchange, {}, bad(fmt::format("What '{}' serves is not QLM's to change: its engine is not of a pool.", instance.name), "instance")));
  }
  std::vector<std::string> held;
  for (const ModelId m : instance.holds) held.push_back(registry_.model_name(m));
  const auto model = registry_.find_model(wanted->second);
  if (!model || std::ranges::find(instance.holds, *model) == instance.holds.end()) {
    return void(respond_refusal(*exchange, {}, Refusal{RefusalReason::model_unknown, no_such(fmt::format("model at '{}'", instance.name), wanted->second, held), "model", {}}));
  }
  Instant until = Instant::min();
  if (pin != said->end()) {
    const auto time = config::parse_duration(pin->second);
    if (!time) return void(respond_refusal(*exchange, {}, bad(fmt::format("'pin' is '{}': {}", openai::excerpt(pin->second), time.error().message), "pin")));
    until = add(host_.loop().now(), *time);
  }
  audit(*exchange, fmt::format("swap {} to {}{}", instance.name, registry_.model_name(*model), pin == said->end() ? "" : ", pinned for " + pin->second));
  host_.feed(event::Pinned{instance.id, *model, until});
  answer_later(exchange, instance.id);
}

void AdminApi::swaps(const Shared& exchange) {
  const auto said = fields_of(*exchange->body(), {"forbid", "allow"});
  if (!said) return void(respond_refusal(*exchange, {}, bad(said.error().message)));
  const auto forbid = said->find("forbid");
  const bool allow = said->contains("allow") && said->at("allow") == "true";
  if ((forbid != said->end()) == allow || said->size() != 1) {
    return void(respond_refusal(*exchange, {}, bad(R"(The body is {"forbid": "2h"} or {"allow": true}.)")));
  }
  Instant until = Instant::min();
  if (!allow) {
    const auto time = config::parse_duration(forbid->second);
    if (!time) return void(respond_refusal(*exchange, {}, bad(fmt::format("'forbid' is '{}': {}", openai::excerpt(forbid->second), time.error().message), "forbid")));
    until = add(host_.loop().now(), *time);
  }
  audit(*exchange, allow ? "swaps are allowed" : "swaps are forbidden for " + forbid->second);
  host_.feed(event::SwapsForbidden{until});
  host_.loop().defer([this, exchange] { respond_json(*exchange, 200, instances_json()); });
}

void AdminApi::cancel(const Shared& exchange, const std::string& name) {
  const auto id = door_.names().id(name);
  // One that is not there any more is answered as where it is looked for.
  if (!id || !host_.controller().request(*id, host_.loop().now())) {
    const auto records = id ? host_.controller().explain(*id) : std::vector<ExplainRecord>{};
    const bool ended = !records.empty();
    return void(respond_refusal(*exchange, {}, Refusal{ended ? RefusalReason::request_ended : RefusalReason::request_unknown,
                                                       ended ? "This request ended already." : "No request with this id is in the system, nor was one lately.", {}, {}}));
  }
  audit(*exchange, "cancel " + name);
  host_.feed(event::Cancelled{*id, Reason::cancelled});
  std::string body;
  JsonWriter(body).begin_object().member("id", name).member("cancelled", true).end_object();
  respond_json(*exchange, 200, std::move(body));
}

void AdminApi::reload(net::Exchange& exchange) {
  audit(exchange, "reload");
  const auto done = reload_ ? reload_() : fail("there is no configuration file");
  if (!done) return void(respond_refusal(exchange, {}, bad("The former configuration stays in force: " + done.error().message)));
  respond_json(exchange, 200, R"({"reloaded":true})");
}

}  // namespace qlm::gateway

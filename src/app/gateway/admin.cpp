#include "app/gateway/admin.hpp"

#include <fmt/format.h>

#include <utility>

#include "app/gateway/replies.hpp"
#include "core/domain/names.hpp"
#include "protocol/openai/json_write.hpp"

namespace qlm::gateway {
namespace {

std::string instances_json(const std::vector<InstanceView>& instances) {
  std::string body;
  openai::JsonWriter json(body);
  json.begin_object().key("instances").begin_array();
  for (const InstanceView& each : instances) {
    json.begin_object().member("name", each.name).member("available", each.available).member("stalled", each.stalled);
    json.member("breaker", name(each.breaker)).member("in_flight", each.in_flight).member("running", each.running);
    json.member("limit", each.limit).member("allowance", each.allowance).member("busy_s", seconds(each.busy)).end_object();
  }
  json.end_array().end_object();
  return body;
}

void respond_text(net::Exchange& exchange, int status, std::string_view type, std::string body) {
  http::Fields fields;
  fields.add("Content-Type", type);
  exchange.respond(status, fields, std::move(body));
}

void route(const AdminSources& sources, const std::shared_ptr<net::Exchange>& held) {
  if (held->head().path().starts_with("/admin/")) return sources.operate(held);
  net::Exchange& exchange = *held;
  const http::RequestHead& head = exchange.head();
  const std::string_view path = head.path();
  const bool known = path == "/health/live" || path == "/health/ready" || path == "/metrics" || path == "/instances" || path == "/plan";
  if (!known) {
    respond_refusal(exchange, {}, openai::Refusal{openai::RefusalReason::path_unknown, fmt::format("There is nothing at '{}'.", openai::excerpt(path)), {}, {}});
    return;
  }
  if (head.method != "GET" && head.method != "HEAD") {
    respond_refusal(exchange, {}, openai::Refusal{openai::RefusalReason::method_not_allowed, fmt::format("'{}' takes GET, HEAD, not {}.", path, head.method), {}, {}, "GET, HEAD"});
    return;
  }
  if (path == "/health/live") return respond_text(exchange, 200, "text/plain", "live\n");
  if (path == "/health/ready") {
    const bool ready = sources.ready();
    return respond_text(exchange, ready ? 200 : 503, "text/plain", ready ? "ready\n" : "not ready\n");
  }
  if (path == "/metrics") return respond_text(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", sources.metrics());
  if (path == "/plan") return respond_text(exchange, 200, "text/plain; charset=utf-8", sources.plan());
  respond_json(exchange, 200, instances_json(sources.instances()));
}

}  // namespace

net::HttpServer::Handler admin_routes(AdminSources sources) {
  return [sources = std::move(sources)](const std::shared_ptr<net::Exchange>& exchange) { route(sources, exchange); };
}

}  // namespace qlm::gateway

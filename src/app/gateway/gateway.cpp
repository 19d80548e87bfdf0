#include "app/gateway/gateway.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "app/gateway/accounting.hpp"
#include "app/gateway/admin.hpp"
#include "app/gateway/admin_api.hpp"
#include "app/gateway/controller_host.hpp"
#include "app/gateway/fleet.hpp"
#include "app/gateway/front_door.hpp"
#include "app/gateway/planning_thread.hpp"
#include "app/gateway/registry.hpp"
#include "protocol/openai/errors.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::gateway {
namespace {

constexpr std::string_view version = QLM_VERSION;
constexpr Duration drain_look = 20ms;
constexpr Duration say_again = 60s;     // of a want that lasts
constexpr Duration last_words = 500ms;  // for refusals to leave, at the most

// What the HTTP server says by itself of requests that it could not read.
struct Unread {
  std::string_view type, code, opening, closing;
};

Unread unread(int status, bool draining) {
  constexpr std::string_view invalid = "invalid_request_error";
  switch (status) {
    case 408: return {invalid, "request_timeout", "The request came too slowly", ""};
    case 413: return {invalid, "body_too_large", "The request is too large", " (limits.body)"};
    case 414: return {invalid, "target_too_long", "The request is too large", ""};
    case 431: return {invalid, "head_too_large", "The request is too large", ""};
    case 501:
    case 505: return {invalid, "not_implemented", "This is not done here", ""};
    case 503: return {"overloaded", draining ? "draining" : "overloaded", "Not now", ". Retry soon"};
    default: return {invalid, "bad_request", "The request is not valid HTTP", ""};
  }
}

std::string refusal_body(const Unread& words, const std::string& message) {
  return openai::error_body(words.type, words.code, fmt::format("{}: {}{}.", words.opening, message, words.closing), {});
}

net::HttpServerLimits limits_of(const config::Limits& limits) {
  net::HttpServerLimits made;
  made.body = limits.body;
  made.bodies_in_flight = limits.queued_bytes;
  made.connections = static_cast<std::size_t>(limits.connections);
  made.head_timeout = limits.head_timeout;
  made.body_timeout = limits.body_timeout;
  return made;
}

net::HttpServerLimits admin_limits() {
  net::HttpServerLimits made;
  made.body = Bytes{64 * 1024};
  made.connections = 256;
  return made;
}

// Where this system keeps what must outlive a program's end.
std::string state_folder(const config::Configuration& configuration) {
  const auto from = [](const char* name) { const char* value = std::getenv(name); return std::string(value ? value : ""); };
  if (!configuration.state.empty()) return configuration.state;
  if (const std::string own = from("STATE_DIRECTORY"); !own.empty()) return own.substr(0, own.find(':'));
  if (const std::string all = from("XDG_STATE_HOME"); !all.empty()) return all + "/qlm";
  const std::string home = from("HOME");
  return home.empty() ? "/var/lib/qlm" : home + "/.local/state/qlm";
}

// Without pools nobody looks after what an earlier configuration started, and nobody may end it unasked either.
void warn_of_engines(const std::string& path, const Gateway::Say& say) {
  std::error_code unreadable;
  if (!std::filesystem::exists(path, unreadable)) return;
  const auto folder = process::StateFolder::open(path);
  if (!folder) return;  // another QLM has it, or it is not ours
  for (const process::Record& record : folder->running()) {
    say(log::Level::warn, fmt::format("process {} serves {} for {} of an earlier configuration, and no pool has it now: end it by hand, or start QLM with its pool",
                                      record.pid, record.what, record.slot));
  }
}

net::Address address_of(const config::ListenAddress& listen) { return {listen.host, listen.port}; }

}  // namespace

struct Gateway::Parts {
  Parts(net::Loop& at, const config::Configuration& from, std::unique_ptr<Accounting> to_log, Say to)
      : loop(at),
        configuration(from),
        say(std::move(to)),
        registry(from),
        client(net::HttpClient::create(at)),
        accounting(std::move(to_log)),
        host(at, registry.controller_configuration()),
        fleet(at, *client, host, registry, say),
        door(at, *client, host, fleet, registry, *accounting, from),
        operators(host, fleet, registry, door, say),
        drain_timer(at) {}

  net::Loop& loop;
  config::Configuration configuration;
  Say say;
  Registry registry;
  std::unique_ptr<net::HttpClient> client;
  std::unique_ptr<Accounting> accounting;
  std::optional<process::StateFolder> folder;  // of engines that QLM runs itself
  ControllerHost host;
  Fleet fleet;
  FrontDoor door;
  AdminApi operators;
  bool draining = false;
  Instant drain_until = never;
  Instant leave_at = never;  // after the last refusals were written
  Instant say_descriptors = {};  // not before
  net::Loop::Task drained;
  net::Timer drain_timer;
  std::unique_ptr<net::HttpServer> server, admin;
  std::optional<PlanningThread> planning;  // from the first plan on

  void no_descriptors() {
    if (loop.now() < say_descriptors) return;
    say_descriptors = add(loop.now(), say_again);
    say(log::Level::warn,
        "no more files may be opened: requests wait instead of being sent to their engines; raise the limit of open files "
        "(ulimit -n) or lower limits.connections");
  }

  void tell_of(const action::BreakerChanged& change) {
    const std::string& who = registry.instance_name(change.instance);
    if (change.to != BreakerState::open) return say(log::Level::info, fmt::format("instance {}: breaker closed, it is given work again", who));
    const std::string times = fmt::format("{} failure{} in a row", change.count, change.count == 1 ? "" : "s");
    std::string why;
    switch (change.cause) {
      case BreakerCause::attempts_failed: why = "requests failed, " + times; break;
      case BreakerCause::health_check_failed: why = "its health check failed, " + times; break;
      case BreakerCause::stalled: why = fmt::format("it stalled with {} in flight: no token on any stream", change.count); break;
    }
    say(log::Level::warn, fmt::format("instance {}: breaker opened, it is given no work: {}", who, why));
  }

  void plan() {
    if (!planning) planning.emplace(loop, [this](Plan made) { host.feed(event::PlanReady{std::move(made)}); });
    planning->plan(host.snapshot());
  }

  void perform(const Action& action) {
    if (const auto* probe = std::get_if<action::Probe>(&action)) return fleet.probe(probe->instance);
    if (std::holds_alternative<action::StartPlanning>(action)) return plan();
    if (const auto* swap = std::get_if<action::Swap>(&action)) return fleet.swap(swap->instance, swap->to);
    if (const auto* change = std::get_if<action::BreakerChanged>(&action)) return tell_of(*change);
    door.perform(action);
  }

  // There is no request to speak of, but it was turned away all the same.
  std::string refuse_unread(int status, const std::string& message) {
    observe::RequestRecord record;
    record.arrived = loop.wall();
    record.status = status;
    record.outcome = Outcome::rejected;
    const Unread words = unread(status, draining);
    record.error = words.code;
    accounting->finished(record);
    return refusal_body(words, message);
  }

  void look_whether_drained() {
    const bool empty = host.controller().drained() && door.sessions() == 0 && server->connections() == 0;
    if (empty || loop.now() >= leave_at) return drained();
    if (leave_at == never && loop.now() >= drain_until) {
      door.give_up_all();
      leave_at = add(loop.now(), last_words);
    }
    drain_timer.after(drain_look, [this] { look_whether_drained(); });
  }
};

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::start(net::Loop& loop, const config::Configuration& configuration, Say say) {
  auto accounting = Accounting::open(configuration.log.access, version);
  if (!accounting) return std::unexpected(accounting.error());
  std::unique_ptr<Gateway> gateway(
      new Gateway(std::make_unique<Parts>(loop, configuration, std::move(*accounting), std::move(say))));
  Parts* parts = gateway->parts_.get();
  if (configuration.pools.empty()) {
    warn_of_engines(state_folder(configuration), parts->say);
  } else {
    auto folder = process::StateFolder::open(state_folder(configuration));
    if (!folder) return std::unexpected(folder.error());
    parts->folder.emplace(std::move(*folder));
  }
  parts->client->on_no_descriptors([parts] { parts->no_descriptors(); });
  parts->host.set_on_action([parts](const Action& action) { parts->perform(action); });

  auto server = net::HttpServer::listen(loop, address_of(configuration.listen), limits_of(configuration.limits),
                                        [parts](int status, const std::string& message) { return parts->refuse_unread(status, message); },
                                        [parts](std::shared_ptr<net::Exchange> exchange) { parts->door.handle(std::move(exchange)); });
  if (!server) return std::unexpected(server.error());
  parts->server = std::move(*server);
  parts->server->on_written([parts](Duration residence) { parts->accounting->chunk_resided(residence); });

  AdminSources sources;
  sources.ready = [gateway = gateway.get()] { return gateway->ready(); };
  sources.metrics = [parts] { return parts->accounting->metrics_text(parts->host.controller(), parts->registry, parts->fleet, parts->loop.now()); };
  sources.plan = [parts] { return to_text(parts->host.controller().picture(), *parts->registry.controller_configuration()); };
  sources.instances = [parts] { return parts->host.controller().instances(); };
  sources.operate = [parts](const std::shared_ptr<net::Exchange>& exchange) { parts->operators.handle(exchange); };
  auto admin = net::HttpServer::listen(loop, address_of(configuration.admin), admin_limits(),
                                       [](int status, const std::string& message) { return refusal_body(unread(status, false), message); },
                                       admin_routes(std::move(sources)));
  if (!admin) return std::unexpected(admin.error());
  parts->admin = std::move(*admin);

  parts->fleet.apply(configuration.instances);
  if (parts->folder) parts->fleet.manage(configuration.pools, *parts->folder);
  parts->accounting->reloaded(true, loop.wall());  // the first configuration was taken too
  return gateway;
}

Result<void> Gateway::reload(const config::Configuration& next) {
  const config::Changes changes = config::compare(parts_->configuration, next);
  if (changes.refused()) {
    std::string all;
    for (const std::string& each : changes.need_restart) all += (all.empty() ? "" : "; ") + each;
    reload_failed();
    return fail(all);
  }
  parts_->configuration = next;
  parts_->registry.apply(next);
  parts_->host.feed(event::ConfigurationChanged{parts_->registry.controller_configuration()});
  parts_->fleet.apply(next.instances);
  parts_->door.apply(next);
  parts_->server->set_limits(limits_of(next.limits));
  parts_->accounting->reloaded(true, parts_->loop.wall());
  if (const auto open = parts_->accounting->log_to(next.log.access); !open) {
    parts_->say(log::Level::warn, "reload: " + open.error().message + "; requests are logged where they were");
  }
  for (const std::string& each : changes.changed) parts_->say(log::Level::info, "reload: " + each);
  return {};
}

void Gateway::on_reload(std::function<Result<void>()> reload) { parts_->operators.on_reload(std::move(reload)); }

void Gateway::reload_failed() {
  parts_->accounting->reloaded(false, parts_->loop.wall());
  if (const auto open = parts_->accounting->log_again(); !open) {
    parts_->say(log::Level::warn, open.error().message + "; requests are logged where they were");
  }
}

void Gateway::drain(Duration at_most, net::Loop::Task done) {
  parts_->draining = true;
  parts_->drained = std::move(done);
  parts_->drain_until = add(parts_->loop.now(), at_most);
  parts_->server->drain();
  parts_->host.feed(event::DrainRequested{});
  parts_->drain_timer.after(drain_look, [parts = parts_.get()] { parts->look_whether_drained(); });
}

std::size_t Gateway::engines_running() const { return parts_->fleet.engines_running(); }
void Gateway::kill_engines() { parts_->fleet.kill_engines(); }
void Gateway::stop_engines(net::Loop::Task done) { parts_->fleet.stop_engines(std::move(done)); }

void Gateway::hurry() { parts_->drain_until = parts_->loop.now(); }

std::string Gateway::waiting_for() const {
  const Totals totals = parts_->host.controller().totals();
  return fmt::format("{} queued, {} running, {} connections", totals.queued, totals.in_flight, parts_->server->connections());
}

bool Gateway::idle() const {
  const Totals totals = parts_->host.controller().totals();
  return totals.queued == 0 && totals.in_flight == 0 && parts_->door.sessions() == 0;
}

std::uint16_t Gateway::port() const { return parts_->server->port(); }
std::uint16_t Gateway::admin_port() const { return parts_->admin->port(); }
bool Gateway::ready() const { return !parts_->draining && parts_->fleet.any_up(); }

}  // namespace qlm::gateway

#include "app/gateway/monitor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/gateway/ask_engine.hpp"

namespace qlm::gateway {
namespace {

constexpr int failures_to_be_down = 2;
constexpr Duration retry_first = 250ms;
constexpr Duration retry_longest = 2s;
constexpr Duration look_interval = 15s;  // a few questions, none of which costs the engine a token

// Nothing was asked, so nothing was learned.
bool ours_failed(const net::Fetched& answer) {
  return !answer && answer.error().failure == net::ClientFailure::no_descriptors;
}

}  // namespace

Fleet::Monitor::Monitor(Fleet& fleet, const config::Instance& configured, Hears hears)
    : fleet_(fleet), configured_(configured), hears_(std::move(hears)), id_(fleet.registry_.instance(configured.name)), timer_(fleet.loop_) {
  discover();
}

void Fleet::Monitor::ask(const engines::EngineRequest& request, Then then) {
  if (hushed_) return;
  call_ = ask_engine(fleet_.loop_, fleet_.client_, configured_, request,
                     [then = std::move(then)](const net::Fetched& answer) mutable { then(answer); });
}

std::optional<InstanceDescription> Fleet::Monitor::configure(const config::Instance& configured) {
  configured_ = configured;
  return seen() ? std::optional(describe(known_)) : std::nullopt;
}

// -- finding out what it is

void Fleet::Monitor::discover() {
  const auto kind = configured_kind(configured_.engine);
  probe_ = kind ? engines::Probe(*kind) : engines::Probe();
  looking_again_ = false;
  next_question();
}

void Fleet::Monitor::next_question() {
  const auto question = probe_.next();
  if (!question) return looking_again_ ? looked_again() : discovered();
  ask(*question, [this](const net::Fetched& answer) {
    if (!answer && looking_again_) {  // whether it is there at all matters more
      look_at_ = add(fleet_.loop_.now(), look_interval);
      return check_health();
    }
    if (answer) probe_.answered(answer->head.status, answer->head.fields, answer->body);
    else probe_.failed(answer.error().message);
    next_question();
  });
}

void Fleet::Monitor::discovered() {
  const engines::ProbeResult& found = probe_.result();
  if (found.health.readiness != engines::Readiness::ready) {
    const bool starting = hears_.found && !seen();  // it will take its time, and whoever started it says so
    const bool news = found.health.reason != last_reason_;
    last_reason_ = found.health.reason;
    if (news && !starting) {
      fleet_.say_(log::Level::warn, fmt::format("instance {} at {} is not ready: {}", configured_.name, config::to_string(configured_.url), last_reason_));
    }
    tell(false, found.health.reason);
    is_silent();
    const Duration pause = starting ? retry_first : std::min(retry_longest, retry_first * (1 << std::min(discoveries_failed_++, 4)));
    return timer_.after(pause, [this] { discover(); });
  }
  discoveries_failed_ = 0;
  failures_ = 0;
  last_reason_.clear();
  well_at_ = fleet_.loop_.now();

  const bool first = !seen();
  known_ = found;
  InstanceDescription description = describe(known_);
  fleet_.say_(log::Level::info,
              fmt::format("instance {} at {}: {}{}{}, {}, serving {}", configured_.name, config::to_string(configured_.url),
                          engines::to_string(found.kind), found.version.empty() ? "" : " ", found.version,
                          concurrency_text(description.slots, configured_.max_in_flight), names_of(description)));
  tell_of(std::move(description), first);
  // A first probe is an answer only where one was asked for: whoever joins is taken for healthy.
  up_ = true;
  if (!first || probe_asked_) tell(true, {});
  look_at_ = add(fleet_.loop_.now(), look_interval);
  watch();
}

void Fleet::Monitor::tell_of(InstanceDescription description, bool first) {
  fleet_.models_changed();
  // The models may be new to the controller too.
  fleet_.host_.feed(event::ConfigurationChanged{fleet_.registry_.controller_configuration()});
  if (hears_.found) return hears_.found(description);
  if (first) fleet_.host_.feed(event::InstanceJoined{std::move(description)});
  else fleet_.host_.feed(event::InstanceChanged{std::move(description)});
}

std::string Fleet::Monitor::names_of(const InstanceDescription& description) const {
  std::string names;
  for (const ModelId model : description.models) {
    names += (names.empty() ? "" : ", ") + fleet_.registry_.model_name(model);
  }
  return names.empty() ? "no model" : names;
}

// -- whether it serves what it served

void Fleet::Monitor::look_again() {
  probe_ = engines::Probe(known_.kind);
  looking_again_ = true;
  next_question();
}

void Fleet::Monitor::looked_again() {
  look_at_ = add(fleet_.loop_.now(), look_interval);
  const engines::ProbeResult& found = probe_.result();
  // Whether it is well is for its health to say.
  if (found.health.readiness != engines::Readiness::ready) return watch();
  known_.models = found.models;
  if (found.slots) known_.slots = found.slots;
  const auto former = upstream_;
  const auto former_contexts = contexts_;
  const auto former_names = named_;
  InstanceDescription description = describe(known_);
  if (upstream_->engine_names != former->engine_names || contexts_ != former_contexts || named_ != former_names) {
    fleet_.say_(log::Level::info, fmt::format("instance {} now serves {}", configured_.name, names_of(description)));
    tell_of(std::move(description), false);
  }
  watch();
}

InstanceDescription Fleet::Monitor::describe(const engines::ProbeResult& found) {
  auto upstream = std::make_shared<Upstream>();
  upstream->id = id_;
  upstream->name = configured_.name;
  upstream->address = {configured_.url.host, configured_.url.port};
  upstream->prefix = configured_.url.prefix;
  if (!configured_.api_key.empty()) upstream->authorization = "Bearer " + configured_.api_key;
  upstream->kind = found.kind;
  upstream->capabilities = found.capabilities;

  InstanceDescription description;
  description.id = id_;
  description.name = configured_.name;
  contexts_.clear();
  named_.clear();
  for (const engines::Model& model : found.models) {
    const ModelId known = fleet_.registry_.model_of_engine(model);
    const auto& wanted = configured_.models;
    const bool offered = wanted.empty() || std::find(wanted.begin(), wanted.end(), fleet_.registry_.model_name(known)) != wanted.end();
    const bool usable = model.residency != engines::Residency::failed && model.residency != engines::Residency::asleep;
    if (offered) named_.insert(known);
    if (!offered || !usable || upstream->engine_names.contains(known)) continue;
    upstream->engine_names.emplace(known, model.id);
    contexts_.emplace(known, model.context);
    if (model.context) upstream->contexts.emplace(known, *model.context);
    description.models.push_back(known);
    if (model.context && (!description.context_length || *model.context < *description.context_length)) {
      description.context_length = model.context;
    }
  }
  if (configured_.max_in_flight) description.max_in_flight = static_cast<int>(std::min<std::int64_t>(*configured_.max_in_flight, 1 << 20));
  description.slots = found.slots;
  description.kv_capacity = found.kv_capacity;
  for (const ModelId model : description.models) {
    if (!description.speed) description.speed = fleet_.registry_.speed(model);
  }
  description.reports_waiting = found.capabilities.metrics;
  // What goes on is told how much is left to it, and only the context says that of a request without a limit.
  const bool contexts_known = upstream->contexts.size() == upstream->engine_names.size();
  description.resume = contexts_known ? engines::resume_level(found.kind, found.capabilities) : ResumeLevel::restart;
  description.drops_queued = found.capabilities.drops_queued_requests;
  upstream_ = std::move(upstream);
  return description;
}

// -- watching it

void Fleet::Monitor::watch() {
  if (!probe_asked_ && fleet_.loop_.now() >= look_at_) return look_again();
  const Duration pause = std::max<Duration>(2s, upstream_->capabilities.poll_interval);
  timer_.after(probe_asked_ ? Duration{} : pause, [this] { check_health(); });
}

void Fleet::Monitor::check_health() {
  ask(engines::health_request(upstream_->kind), [this](const net::Fetched& answer) {
    if (ours_failed(answer)) return timer_.after(retry_longest, [this] { check_health(); });
    if (!answer) return health_said(false, answer.error().message);
    const engines::Health health = engines::parse_health(upstream_->kind, answer->head.status, answer->body);
    health_said(health.readiness == engines::Readiness::ready, health.reason);
  });
}

void Fleet::Monitor::health_said(bool healthy, const std::string& why) {
  if (healthy) {
    failures_ = 0;
    well_at_ = fleet_.loop_.now();
    // Health says little of an engine that stalled: only a token does.
    if (probe_asked_ && (stalled() || hears_.broken)) return canary();
    if (probe_asked_) tell(true, {});
    return read_stats();
  }
  ++failures_;
  if (probe_asked_ || failures_ >= failures_to_be_down) tell(false, why);
  if (failures_ < failures_to_be_down) return timer_.after(250ms, [this] { check_health(); });
  up_ = false;
  last_reason_ = why;
  fleet_.say_(log::Level::warn, fmt::format("instance {} is down: {}", configured_.name, why));
  timer_.after(retry_first, [this] { discover(); });  // it may come back as something else
}

void Fleet::Monitor::read_stats() {
  const auto question = engines::stats_request(upstream_->kind, upstream_->capabilities);
  if (!question) return watch();
  ask(*question, [this](const net::Fetched& answer) {
    if (answer) {
      const auto read = engines::parse_stats(upstream_->kind, answer->head.status, answer->body);
      if (read && read->running && read->waiting) {
        InstanceStats stats;
        stats.running = static_cast<int>(*read->running);
        stats.waiting = static_cast<int>(*read->waiting);
        stats.kv_usage = read->kv_usage.value_or(0);
        fleet_.host_.feed(event::StatsRead{id_, stats});
      }
    }
    watch();  // stats that cannot be read age in the controller; they stop nothing
  });
}

bool Fleet::Monitor::stalled() const {
  for (const InstanceView& view : fleet_.host_.controller().instances()) {
    if (view.id == id_) return view.stalled;
  }
  return false;
}

void Fleet::Monitor::canary() {
  if (upstream_->engine_names.empty()) return tell(true, {}), watch();
  ask(engines::canary_request(upstream_->kind, upstream_->engine_names.begin()->second), [this](const net::Fetched& answer) {
    if (ours_failed(answer)) return timer_.after(retry_longest, [this] { check_health(); });
    const auto why = engines::canary_failure(answer ? answer->head.status : 0, answer ? answer->head.fields : http::Fields{}, answer ? answer->body : answer.error().message);
    tokens_missed_ = why ? tokens_missed_ + 1 : 0;
    tell(!why, why.value_or(""));
    if (tokens_missed_ >= 2 && hears_.broken) hears_.broken(*why);
    watch();
  });
}

void Fleet::Monitor::is_silent() {
  if (hears_.silent && seen()) hears_.silent(fleet_.loop_.now() - well_at_);
}

void Fleet::Monitor::tell(bool healthy, const std::string& why) {
  probe_asked_ = false;
  if (hushed_) return;
  if (seen()) fleet_.host_.feed(event::ProbeAnswered{id_, healthy, why});
}

void Fleet::Monitor::probe_now() {
  if (probe_asked_) return;
  probe_asked_ = true;
  if (!up_) return;  // discovery is under way, and will answer
  call_.reset();     // whatever was asked matters less
  timer_.after(Duration{}, [this] { check_health(); });
}

}  // namespace qlm::gateway

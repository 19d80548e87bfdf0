#include "app/gateway/managed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/gateway/ask_engine.hpp"
#include "app/gateway/priors.hpp"
#include "protocol/engines/launch.hpp"

namespace qlm::gateway {
namespace {

constexpr Duration verify_patience = 60s;   // for one token; the first may compile kernels
constexpr Duration sorting_patience = 2s;   // whether it sleeps is answered at once
constexpr int sorting_tries = 15;           // by most
constexpr Duration sleep_patience = 120s;   // gigabytes over a link
constexpr Duration wake_patience = 120s;
constexpr Duration silence_longest = 30s;   // of an engine that was well: then it is started anew

std::string ended(const std::optional<process::Exit>& exit) {
  if (!exit) return "ended";
  return fmt::format("ended {} {}", exit->signalled ? "by signal" : "with status", exit->number);
}

std::string in_words(const net::Fetched& answer) { return answer ? fmt::format("status {}", answer->head.status) : answer.error().message; }

}  // namespace

Fleet::Managed::Managed(Fleet& fleet, const config::Pool& pool, std::string gpu, const process::StateFolder& folder)
    : fleet_(fleet),
      folder_(folder),
      pool_(pool),
      gpu_(std::move(gpu)),
      name_(config::instance_name(pool, gpu_)),
      id_(fleet.registry_.instance(name_)),
      patience_(fleet.loop_) {
  for (const config::PoolModel& model : pool_.models) models_.push_back(fleet.registry_.model_named(model.name));
}

void Fleet::Managed::say(log::Level level, const std::string& line) const { fleet_.say_(level, fmt::format("instance {}: {}", name_, line)); }

// -- what it may be

const config::PoolModel* Fleet::Managed::known(ModelId model) const {
  const auto at = std::ranges::find(models_, model);
  return at == models_.end() ? nullptr : &pool_.models[static_cast<std::size_t>(at - models_.begin())];
}

HeldModel Fleet::Managed::held(const config::PoolModel& model) const {
  const ModelId id = models_[static_cast<std::size_t>(&model - pool_.models.data())];
  HeldModel made{.model = id, .speed = fleet_.registry_.speed(id)};
  if (!model.profile.empty()) made.speed = speed_of({.profile = model.profile});
  const SwapTimes prior = swap_prior(model, pool_, fleet_.registry_.profile(id));
  made.bring_in = prior.bring_in;
  made.put_away = prior.put_away;
  return made;
}

void Fleet::Managed::join() {
  if (std::exchange(joined_, true)) return;
  InstanceDescription description;
  description.id = id_;
  description.name = name_;
  if (pool_.max_in_flight) description.max_in_flight = static_cast<int>(*pool_.max_in_flight);
  description.reports_waiting = description.drops_queued = true;
  if (engine_) wanted_ = description.coming = engine_->model;
  asked_at_ = {};
  for (const config::PoolModel& model : pool_.models) {
    description.holds.push_back(held(model));
    description.holds.back().asleep = std::ranges::count(asleep(), description.holds.back().model) > 0;
    const auto launch = engines::launch(model.command, {.port = 1, .model = model.name, .gpu = gpu_});
    const engines::Capabilities can = engines::capabilities(launch && launch->kind ? *launch->kind : engines::EngineKind::openai);
    description.reports_waiting = description.reports_waiting && can.metrics;
    description.drops_queued = description.drops_queued && can.drops_queued_requests;
  }
  fleet_.host_.feed(event::InstanceJoined{std::move(description)});
}

std::shared_ptr<const Upstream> Fleet::Managed::upstream() const { return engine_ && engine_->monitor ? engine_->monitor->upstream() : nullptr; }

std::optional<Tokens> Fleet::Managed::context(ModelId model) const {
  if (!engine_ || !engine_->monitor || engine_->model != model) return std::nullopt;
  const auto at = engine_->monitor->contexts().find(model);
  return at == engine_->monitor->contexts().end() ? std::nullopt : at->second;
}

void Fleet::Managed::probe_now() {
  if (engine_ && engine_->state == State::serving) return engine_->monitor->probe_now();
  fleet_.host_.feed(event::ProbeAnswered{id_, true, {}});  // nothing runs, so nothing holds a slot
}

// -- an engine's life

// What makes it another engine: FNV-1a, for the state folder shall hold no word of the command.
std::string Fleet::Managed::fingerprint(const config::PoolModel& model) const {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : model.command + '\n' + gpu_) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

process::EngineProcess::Hears Fleet::Managed::hears(Engine& engine) {
  return {.line = [this, &engine](std::string_view line) { say(log::Level::info, fmt::format("{} says: {}", fleet_.registry_.model_name(engine.model), line)); },
          .exited = [this, &engine](const std::optional<process::Exit>& exit) { exited(engine, exit); }};
}

void Fleet::Managed::ask(Engine& engine, engines::EngineRequest request, Duration patience, std::function<void(const net::Fetched&)> then) {
  request.timeout = patience;
  config::Instance at;
  at.url = {"127.0.0.1", engine.process->record().port, ""};
  engine.asking = ask_engine(fleet_.loop_, fleet_.client_, at, request, std::move(then));
}

void Fleet::Managed::swap(ModelId to) {
  wanted_ = to;
  asked_at_ = fleet_.loop_.now();
  put_away_ = {};
  if (!engine_) return bring(to);
  if (engine_->model != to) return leave();
  if (engine_->state == State::serving) return serves();
  // It was found starting, and will answer.
}

void Fleet::Managed::bring(ModelId model) {
  const auto sleeper = std::ranges::find_if(asleep_, [&](const auto& each) { return each->model == model; });
  if (sleeper == asleep_.end()) return start(model);
  if ((*sleeper)->state == State::stopping) return;  // and is started anew when nothing of it is left
  std::unique_ptr<Engine> engine = std::move(*sleeper);
  asleep_.erase(sleeper);
  wake(std::move(engine));
}

void Fleet::Managed::wake(std::unique_ptr<Engine> engine) {
  engine_ = std::move(engine);
  engine_->state = State::waking;
  engine_->since = fleet_.loop_.now();
  engine_->adopted = false;
  engine_->woken = true;
  say(log::Level::info, fmt::format("waking {}", fleet_.registry_.model_name(engine_->model)));
  ask(*engine_, engines::wake_request(), wake_patience, [this](const net::Fetched& answer) {
    if (!answer || answer->head.status != 200) return fail("does not wake: " + in_words(answer));
    engine_->state = State::starting;
    watch(*engine_);
    expect(*known(engine_->model));
  });
}

void Fleet::Managed::start(ModelId model) {
  const config::PoolModel* what = known(model);
  const auto port = process::free_port();
  const std::string& name = fleet_.registry_.model_name(model);
  if (!what || !port || stopped_) return answer(std::nullopt, {});
  const auto launch = engines::launch(what->command, {.port = *port, .model = name, .gpu = gpu_});
  if (!launch) {
    say(log::Level::error, fmt::format("{} cannot be started: its command {}", name, launch.error().message));
    return answer(std::nullopt, {});
  }
  auto engine = std::make_unique<Engine>();
  engine->model = model;
  engine->since = fleet_.loop_.now();
  engine->sorted = true;
  auto process = process::EngineProcess::start(fleet_.loop_, folder_, {.slot = name_, .what = name, .port = *port, .fingerprint = fingerprint(*what)},
                                               {launch->words, launch->environment}, hears(*engine));
  if (!process) {
    say(log::Level::error, fmt::format("{} cannot be started: {}", name, process.error().message));
    return answer(std::nullopt, {});
  }
  engine->process = std::move(*process);
  engine_ = std::move(engine);
  say(log::Level::info, fmt::format("starting {} on port {}, process {}", name, *port, engine_->process->record().pid));
  watch(*engine_);
  expect(*what);
}

// -- those of an earlier QLM

void Fleet::Managed::adopt(const process::Record& record) {
  const auto named = std::ranges::find(pool_.models, record.what, &config::PoolModel::name);
  const config::PoolModel* what = named == pool_.models.end() ? nullptr : &*named;
  if (!what || record.fingerprint != fingerprint(*what)) {
    ++unsorted_;
    return fleet_.end_stray(record, what ? what->stop_timeout : config::PoolModel{}.stop_timeout, [this] { sorted(); });
  }
  auto found = std::make_unique<Engine>();
  Engine& engine = *found;
  engine.model = models_[static_cast<std::size_t>(what - pool_.models.data())];
  engine.since = fleet_.loop_.now();
  engine.adopted = true;
  auto process = process::EngineProcess::adopt(fleet_.loop_, folder_, record, hears(engine));
  if (!process) return say(log::Level::info, fmt::format("{} ended while nobody watched: {}", record.what, process.error().message));
  engine.process = std::move(*process);
  say(log::Level::info, fmt::format("{} runs already, process {} on port {}", record.what, record.pid, record.port));
  engine.state = State::asleep;  // until it says otherwise
  asleep_.push_back(std::move(found));
  ++unsorted_;
  sort(engine, sorting_tries);
}

// One that listens not yet is on its way to serve; one that is slow to answer may do either.
void Fleet::Managed::sort(Engine& engine, int tries) {
  ask(engine, engines::is_sleeping_request(), sorting_patience, [this, &engine, tries](const net::Fetched& answer) {
    const bool refused = !answer && answer.error().failure == net::ClientFailure::connect;
    if (!answer && !refused && tries > 1) {
      return fleet_.loop_.post([this, &engine, tries, alive = std::weak_ptr(alive_)] {
        const bool there = !alive.expired() && std::ranges::any_of(asleep_, [&](const auto& each) { return each.get() == &engine; });
        if (there) sort(engine, tries - 1);
      });
    }
    engine.sorted = true;
    const bool sleeps = answer && engines::parse_is_sleeping(answer->head.status, answer->body).value_or(false);
    if (!sleeps) is_awake(engine);
    sorted();
  });
}

void Fleet::Managed::is_awake(Engine& engine) {
  const auto at = std::ranges::find_if(asleep_, [&](const auto& each) { return each.get() == &engine; });
  if (engine_) {  // two on one device: the other came later, or has said so first
    say(log::Level::warn, fmt::format("{} is awake too, on the same device: stopping it", fleet_.registry_.model_name(engine.model)));
    engine.state = State::stopping;
    return engine.process->stop(known(engine.model)->stop_timeout);
  }
  engine_ = std::move(*at);
  asleep_.erase(at);
  engine_->state = State::starting;
}

void Fleet::Managed::settle() {
  settling_ = true;
  ++unsorted_;
  sorted();
}

void Fleet::Managed::sorted() {
  if (--unsorted_ > 0 || !settling_ || joined_) return;
  if (engine_) {
    watch(*engine_);
    expect(*known(engine_->model));
  }
  join();
}

// -- coming

void Fleet::Managed::expect(const config::PoolModel& what) {
  patience_.after(what.load_timeout, [this, within = what.load_timeout] { fail(fmt::format("did not answer within its load_timeout, {:.0f} s: {}", seconds(within), engine_->monitor ? engine_->monitor->reason() : "")); });
}

void Fleet::Managed::watch(Engine& engine) {
  config::Instance as;
  as.name = name_;
  as.url = {"127.0.0.1", engine.process->record().port, ""};
  as.models = {fleet_.registry_.model_name(engine.model)};
  as.max_in_flight = pool_.max_in_flight;
  engine.monitor = std::make_unique<Monitor>(fleet_, as, Monitor::Hears{.found = [this](const InstanceDescription& found) { ready(found); },
                                                                        .silent = [this](Duration since) {
                                                                          if (since >= silence_longest) fail(fmt::format("has not answered for {:.0f} s", seconds(since)));
                                                                        },
                                                                        .broken = [this](const std::string& why) { fail("generates no token any more: " + why); }});
}

void Fleet::Managed::ready(const InstanceDescription& found) {
  found_ = found;
  if (engine_->state != State::starting) return;
  if (found.models.empty() || found.models.front() != engine_->model) return fail("serves something else under its port");
  engine_->state = State::verifying;
  verify();
}

void Fleet::Managed::verify() {
  const std::shared_ptr<const Upstream> upstream = engine_->monitor->upstream();
  ask(*engine_, engines::canary_request(upstream->kind, upstream->engine_names.begin()->second), verify_patience, [this](const net::Fetched& answer) {
    if (const auto why = engines::canary_failure(answer ? answer->head.status : 0, answer ? answer->head.fields : http::Fields{}, answer ? answer->body : answer.error().message)) {
      return fail("does not generate a token: " + *why);
    }
    engine_->state = State::serving;
    has_served_ = true;
    patience_.cancel();
    const Duration took = fleet_.loop_.now() - engine_->since;
    if (!engine_->adopted) engine_->brought_in = took;
    say(log::Level::info, fmt::format("{} serves, {:.1f} s after {}", fleet_.registry_.model_name(engine_->model), seconds(took),
                                      engine_->adopted ? "it was found" : engine_->woken ? "it was woken" : "its start"));
    serves();
  });
}

void Fleet::Managed::serves() {
  HeldModel found = held(*known(engine_->model));
  found.asleep = engine_->woken;
  found.slots = found_.slots;
  found.resume = found_.resume;
  found.context_length = found_.context_length;
  found.kv_capacity = found_.kv_capacity;
  // What it took counts once, and where it was seen.
  found.bring_in = std::exchange(engine_->brought_in, {});
  answer(engine_->model, found);
}

std::vector<ModelId> Fleet::Managed::asleep() const {
  std::vector<ModelId> all;
  for (const auto& each : asleep_) {
    if (each->state == State::asleep) all.push_back(each->model);
  }
  return all;
}

void Fleet::Managed::answer(std::optional<ModelId> resident, std::optional<HeldModel> found) {
  fleet_.models_changed();
  if (!joined_) return;
  if (wanted_ && asked_at_ != Instant{}) {
    ++(resident != wanted_ ? swaps_.failed : engine_->woken ? swaps_.woken : swaps_.started);
    swaps_.took += fleet_.loop_.now() - asked_at_;
  }
  if (wanted_) fleet_.host_.feed(event::Swapped{id_, resident, std::move(found), put_away_, asleep()});
  else fleet_.host_.feed(event::ResidentChanged{id_, resident, std::move(found), asleep()});
  wanted_.reset();
}

void Fleet::Managed::fail(const std::string& why) {
  if (!engine_ || engine_->state == State::stopping) return;
  say(log::Level::error, fmt::format("{} {}: stopping it", fleet_.registry_.model_name(engine_->model), why));
  engine_->failed = wanted_ == engine_->model;
  // Whoever runs there is not waited for: it does not answer.
  if (!wanted_ && joined_) fleet_.host_.feed(event::ResidentChanged{id_, std::nullopt, {}, asleep()});
  stop_engine();
}

// -- going

// Another is wanted: it sleeps, where it may, or ends.
void Fleet::Managed::leave() {
  if (engine_->state == State::serving && may_sleep(*engine_)) lie_down();
  else stop_engine();
}

Bytes Fleet::Managed::asleep_memory() const {
  Bytes all{0};
  for (const auto& each : asleep_) all += known(each->model)->memory.value_or(Bytes{0});
  const bool between = engine_ && (engine_->state == State::lying_down || engine_->state == State::waking);
  if (between) all += known(engine_->model)->memory.value_or(Bytes{0});
  return all;
}

// Makes room for it in the host's memory, where that takes no more than those of this device that slept longest. (Not the one
// that is wanted next: it leaves that memory anyway.)
bool Fleet::Managed::may_sleep(const Engine& engine) {
  const config::PoolModel* what = known(engine.model);
  const auto launch = engines::launch(what->command, {.port = 1, .model = what->name, .gpu = gpu_});
  if (!pool_.host_memory || !what->memory || !launch || !launch->sleeps) return false;
  Bytes taken = fleet_.asleep_memory(pool_.name) + *what->memory;
  std::vector<Engine*> to_end;
  for (const auto& each : asleep_) {
    if (taken <= *pool_.host_memory) break;
    if (each->state != State::asleep || each->model == wanted_) continue;
    to_end.push_back(each.get());
    taken -= *known(each->model)->memory;
  }
  if (taken > *pool_.host_memory) return false;
  for (Engine* each : to_end) {
    say(log::Level::info, fmt::format("{} sleeps no longer: {} takes its place in the host's memory", fleet_.registry_.model_name(each->model), what->name));
    each->state = State::stopping;
    each->process->stop(known(each->model)->stop_timeout);
  }
  return true;
}

void Fleet::Managed::lie_down() {
  engine_->state = State::lying_down;
  engine_->since = fleet_.loop_.now();
  engine_->monitor->hush();
  ask(*engine_, engines::sleep_request(), sleep_patience, [this](const net::Fetched& answer) {
    if (!answer || answer->head.status != 200) {
      say(log::Level::warn, fmt::format("{} does not sleep: {}; stopping it instead", fleet_.registry_.model_name(engine_->model), in_words(answer)));
      return stop_engine();
    }
    put_away_ = fleet_.loop_.now() - engine_->since;
    say(log::Level::info, fmt::format("{} sleeps, {:.1f} s after it was told", fleet_.registry_.model_name(engine_->model), seconds(put_away_)));
    engine_->state = State::asleep;
    asleep_.push_back(std::move(engine_));
    fleet_.loop_.post([this, alive = std::weak_ptr(alive_)] {  // not under the call that is let go of
      if (alive.expired()) return;
      for (const auto& each : asleep_) {
        each->monitor.reset();
        each->asking.reset();
      }
      if (wanted_ && !engine_) bring(*wanted_);
    });
  });
}

void Fleet::Managed::stop_engine() {
  if (engine_->state == State::stopping) return;
  patience_.cancel();
  engine_->state = State::stopping;
  engine_->since = fleet_.loop_.now();
  engine_->asking.reset();
  if (engine_->monitor) engine_->monitor->hush();
  engine_->process->stop(known(engine_->model)->stop_timeout);
}

void Fleet::Managed::stop() {
  stopped_ = true;
  if (engine_) stop_engine();
  for (const auto& each : asleep_) each->process->stop(known(each->model)->stop_timeout);
}

void Fleet::Managed::kill() {
  stop();
  if (engine_) engine_->process->stop(Duration{});
  for (const auto& each : asleep_) each->process->stop(Duration{});
}

void Fleet::Managed::exited(Engine& engine, const std::optional<process::Exit>& exit) {
  const std::string& name = fleet_.registry_.model_name(engine.model);
  if (&engine != engine_.get()) {
    const auto at = std::ranges::find_if(asleep_, [&](const auto& each) { return each.get() == &engine; });
    const std::unique_ptr<Engine> gone = std::move(*at);
    asleep_.erase(at);
    const bool told = gone->state == State::stopping || stopped_;
    say(told ? log::Level::info : log::Level::error, fmt::format("{} {}{}", name, ended(exit), told ? "" : " in its sleep"));
    if (!gone->sorted) return sorted();
    if (!joined_) return;
    if (wanted_ == gone->model && !engine_) return start(gone->model);
    if (!told && !wanted_) answer(engine_ && engine_->state == State::serving ? std::optional(engine_->model) : std::nullopt, {});
    return;
  }
  const std::unique_ptr<Engine> gone = std::move(engine_);
  patience_.cancel();
  if (gone->state == State::stopping) {
    const Duration took = fleet_.loop_.now() - gone->since;
    if (!gone->failed) put_away_ = took;
    say(log::Level::info, fmt::format("{} {}, {:.1f} s after it was told", name, ended(exit), seconds(took)));
    if (wanted_ && !gone->failed) bring(*wanted_);
    else if (wanted_) answer(std::nullopt, {});
    return;
  }
  const bool had_served = gone->state == State::serving || gone->state == State::lying_down;
  say(log::Level::error, fmt::format("{} {}{}", name, ended(exit), had_served ? "" : " before it served"));
  if (gone->state == State::lying_down && wanted_) bring(*wanted_);
  else answer(std::nullopt, {});
}

}  // namespace qlm::gateway

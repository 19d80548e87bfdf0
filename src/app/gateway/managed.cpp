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
constexpr Duration silence_longest = 30s;   // of an engine that was well: then it is started anew

std::string ended(const std::optional<process::Exit>& exit) {
  if (!exit) return "ended";
  return fmt::format("ended {} {}", exit->signalled ? "by signal" : "with status", exit->number);
}

}  // namespace

Fleet::Managed::Managed(Fleet& fleet, const config::Pool& pool, std::string gpu, const process::StateFolder& folder)
    : fleet_(fleet),
      folder_(folder),
      pool_(pool),
      gpu_(std::move(gpu)),
      name_(config::instance_name(pool, gpu_)),
      id_(fleet.registry_.instance(name_)),
      patience_(fleet.loop_) {}

void Fleet::Managed::say(log::Level level, const std::string& line) const { fleet_.say_(level, fmt::format("instance {}: {}", name_, line)); }

// -- what it may be

const config::PoolModel* Fleet::Managed::known(ModelId model) const {
  const auto at = std::ranges::find_if(pool_.models, [&](const config::PoolModel& each) { return fleet_.registry_.find_model(each.name) == model; });
  return at == pool_.models.end() ? nullptr : &*at;
}

HeldModel Fleet::Managed::held(const config::PoolModel& model) const {
  const ModelId id = *fleet_.registry_.find_model(model.name);
  HeldModel made{.model = id, .speed = fleet_.registry_.speed(id)};
  if (!model.profile.empty()) made.speed = speed_of({.profile = model.profile});
  const SwapTimes prior = swap_prior(model, pool_, fleet_.registry_.profile(id));
  made.bring_in = prior.bring_in;
  made.put_away = prior.put_away;
  return made;
}

void Fleet::Managed::settle() {
  if (!engine_ || engine_->state != State::stopping) join();  // else when that is over
}

void Fleet::Managed::join() {
  if (std::exchange(joined_, true)) return;
  InstanceDescription description;
  description.id = id_;
  description.name = name_;
  if (pool_.max_in_flight) description.max_in_flight = static_cast<int>(*pool_.max_in_flight);
  description.reports_waiting = description.drops_queued = true;
  if (engine_) wanted_ = description.coming = engine_->model;
  for (const config::PoolModel& model : pool_.models) {
    description.holds.push_back(held(model));
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

process::EngineProcess::Hears Fleet::Managed::hears() {
  return {.line = [this](std::string_view line) { say(log::Level::info, fmt::format("{} says: {}", fleet_.registry_.model_name(engine_->model), line)); },
          .exited = [this](const std::optional<process::Exit>& exit) { exited(exit); }};
}

void Fleet::Managed::swap(ModelId to) {
  wanted_ = to;
  asked_at_ = fleet_.loop_.now();
  put_away_ = {};
  if (!engine_) return start(to);
  if (engine_->model != to) return stop_engine();
  if (engine_->state == State::serving) return serves();
  // It was found starting, and will answer.
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
  auto process = process::EngineProcess::start(fleet_.loop_, folder_, {.slot = name_, .what = name, .port = *port, .fingerprint = fingerprint(*what)},
                                               {launch->words, launch->environment}, hears());
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

void Fleet::Managed::adopt(const process::Record& record) {
  const auto model = fleet_.registry_.find_model(record.what);
  const config::PoolModel* what = model ? known(*model) : nullptr;
  if (engine_) return fleet_.end_stray(record);
  auto engine = std::make_unique<Engine>();
  engine->model = model.value_or(ModelId{});
  engine->since = fleet_.loop_.now();
  auto process = process::EngineProcess::adopt(fleet_.loop_, folder_, record, hears());
  if (!process) return say(log::Level::info, fmt::format("{} ended while nobody watched: {}", record.what, process.error().message));
  engine->process = std::move(*process);
  engine_ = std::move(engine);
  if (!what || record.fingerprint != fingerprint(*what)) {
    say(log::Level::info, fmt::format("{} runs with another command than is configured now, process {}", record.what, record.pid));
    return stop_engine();
  }
  say(log::Level::info, fmt::format("{} runs already, process {} on port {}", record.what, record.pid, record.port));
  engine_->adopted = true;
  watch(*engine_);
  expect(*what);
}

void Fleet::Managed::expect(const config::PoolModel& what) {
  patience_.after(what.load_timeout, [this, within = what.load_timeout] { fail(fmt::format("did not answer within its load_timeout, {:.0f} s", seconds(within))); });
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
                                                                        }});
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
  auto question = engines::canary_request(upstream->kind, upstream->engine_names.begin()->second);
  question.timeout = verify_patience;
  engine_->verifying = ask_engine(fleet_.loop_, fleet_.client_, engine_->monitor->configured(), question, [this](const net::Fetched& answer) {
    if (!answer) return fail("does not generate a token: " + answer.error().message);
    if (answer->head.status >= 500) return fail(fmt::format("does not generate a token: status {}", answer->head.status));
    engine_->state = State::serving;
    patience_.cancel();
    if (!engine_->adopted) engine_->brought_in = fleet_.loop_.now() - engine_->since;
    say(log::Level::info, fmt::format("{} serves, {:.1f} s after {}", fleet_.registry_.model_name(engine_->model), seconds(fleet_.loop_.now() - engine_->since),
                                      engine_->adopted ? "it was found" : "its start"));
    serves();
  });
}

void Fleet::Managed::serves() {
  HeldModel found = held(*known(engine_->model));
  found.slots = found_.slots;
  found.kv_capacity = found_.kv_capacity;
  found.resume = found_.resume;
  // What it took counts once, and where it was seen.
  found.bring_in = std::exchange(engine_->brought_in, {});
  answer(engine_->model, found);
}

void Fleet::Managed::answer(std::optional<ModelId> resident, std::optional<HeldModel> found) {
  fleet_.models_changed();
  if (!joined_) return;
  if (wanted_ && !(engine_ && engine_->adopted)) {
    ++(resident == wanted_ ? swaps_.done : swaps_.failed);
    swaps_.took += fleet_.loop_.now() - asked_at_;
  }
  if (wanted_) fleet_.host_.feed(event::Swapped{id_, resident, std::move(found), put_away_});
  else fleet_.host_.feed(event::ResidentChanged{id_, resident, std::move(found)});
  wanted_.reset();
}

void Fleet::Managed::fail(const std::string& why) {
  if (!engine_ || engine_->state == State::stopping) return;
  say(log::Level::error, fmt::format("{} {}: stopping it", fleet_.registry_.model_name(engine_->model), why));
  engine_->failed = wanted_.has_value();
  // Whoever runs there is not waited for: it does not answer.
  if (!wanted_ && joined_) fleet_.host_.feed(event::ResidentChanged{id_, std::nullopt, {}});
  stop_engine();
}

void Fleet::Managed::stop_engine() {
  if (engine_->state == State::stopping) return;
  patience_.cancel();
  engine_->state = State::stopping;
  engine_->since = fleet_.loop_.now();
  engine_->verifying.reset();
  if (engine_->monitor) engine_->monitor->hush();
  const config::PoolModel* what = known(engine_->model);
  engine_->process->stop(what ? what->stop_timeout : config::PoolModel{}.stop_timeout);
}

void Fleet::Managed::stop() {
  stopped_ = true;
  if (engine_) stop_engine();
}

void Fleet::Managed::exited(const std::optional<process::Exit>& exit) {
  const std::unique_ptr<Engine> gone = std::move(engine_);
  patience_.cancel();
  const std::string& name = fleet_.registry_.model_name(gone->model);
  if (gone->state == State::stopping) {
    put_away_ = fleet_.loop_.now() - gone->since;
    say(log::Level::info, fmt::format("{} {}, {:.1f} s after it was told", name, ended(exit), seconds(put_away_)));
    join();
    if (wanted_ && !gone->failed) start(*wanted_);
    else if (wanted_) answer(std::nullopt, {});
    return;
  }
  say(log::Level::error, fmt::format("{} {}{}", name, ended(exit), gone->state == State::serving ? "" : " before it served"));
  join();
  answer(std::nullopt, {});
}

}  // namespace qlm::gateway

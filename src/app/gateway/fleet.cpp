#include "app/gateway/fleet.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/gateway/managed.hpp"
#include "app/gateway/monitor.hpp"

namespace qlm::gateway {
namespace {

constexpr Duration stray_patience = 30s;  // from SIGTERM to SIGKILL
constexpr Duration stop_look = 20ms;

}  // namespace

Fleet::Fleet(net::Loop& loop, net::HttpClient& client, ControllerHost& host, Registry& registry, Say say)
    : loop_(loop), client_(client), host_(host), registry_(registry), say_(std::move(say)), stop_timer_(loop) {}

Fleet::~Fleet() = default;

void Fleet::apply(const std::vector<config::Instance>& instances) {
  std::vector<std::unique_ptr<Monitor>> next;
  std::vector<InstanceDescription> changed;
  for (const config::Instance& wanted : instances) {
    // The same engine, under other terms or not, keeps what runs there.
    const auto kept = std::find_if(monitors_.begin(), monitors_.end(), [&](const auto& each) {
      if (!each) return false;
      const config::Instance& now = each->configured();
      return now.name == wanted.name && now.url == wanted.url && now.engine == wanted.engine;
    });
    if (kept != monitors_.end()) {
      next.push_back(std::move(*kept));
      if (auto description = next.back()->configure(wanted)) changed.push_back(std::move(*description));
      continue;
    }
    const auto renewed = std::find_if(monitors_.begin(), monitors_.end(), [&](const auto& each) {
      return each && each->configured().name == wanted.name;
    });
    if (renewed != monitors_.end()) {
      if ((*renewed)->seen()) host_.feed(event::InstanceLeft{(*renewed)->id()});
      renewed->reset();
    }
    next.push_back(std::make_unique<Monitor>(*this, wanted));
  }
  for (const auto& gone : monitors_) {
    if (gone && gone->seen()) host_.feed(event::InstanceLeft{gone->id()});
  }
  monitors_ = std::move(next);
  models_changed();
  if (changed.empty()) return;
  // Their models may go by names that are new to the controller too.
  host_.feed(event::ConfigurationChanged{registry_.controller_configuration()});
  for (InstanceDescription& each : changed) host_.feed(event::InstanceChanged{std::move(each)});
}

void Fleet::models_changed() {
  offered_.clear();
  for (const auto& each : monitors_) {
    offered_.insert(each->named().begin(), each->named().end());
  }
  for (const auto& each : managed_) {
    offered_.insert(each->models().begin(), each->models().end());
  }
}

void Fleet::manage(const std::vector<config::Pool>& pools, const process::StateFolder& folder) {
  folder_ = &folder;
  for (const config::Pool& pool : pools) {
    for (const std::string& gpu : pool.gpus) managed_.push_back(std::make_unique<Managed>(*this, pool, gpu, folder));
  }
  models_changed();
  host_.feed(event::ConfigurationChanged{registry_.controller_configuration()});  // their models may be new to the controller
  std::vector<process::Record> running = folder.running();
  // Where two run on one GPU, the first was being stopped when QLM ended.
  std::ranges::sort(running, std::greater<>{}, &process::Record::started);
  for (const process::Record& record : running) {
    const auto at = std::ranges::find(managed_, record.slot, [](const auto& each) { return each->name(); });
    if (at != managed_.end()) (*at)->adopt(record);
    else end_stray(record, stray_patience);
  }
  for (const auto& each : managed_) each->settle();
}

void Fleet::end_stray(const process::Record& record, Duration patience, std::function<void()> done) {
  auto process = process::EngineProcess::adopt(loop_, *folder_, record, {.line = [](std::string_view) {}, .exited = [this, done, pid = record.pid](const auto&) {
    std::erase_if(strays_, [&](const auto& each) { return each->record().pid == pid; });
    done();
  }});
  if (!process) return done();  // gone already
  say_(log::Level::warn, fmt::format("process {} serves {} for {}, which nobody wants: it is stopped", record.pid, record.what, record.slot));
  (*process)->stop(patience);
  strays_.push_back(std::move(*process));
}

void Fleet::probe(InstanceId id) {
  for (const auto& each : monitors_) {
    if (each->id() == id) each->probe_now();
  }
  for (const auto& each : managed_) {
    if (each->id() == id) each->probe_now();
  }
}

void Fleet::swap(InstanceId id, ModelId to) {
  for (const auto& each : managed_) {
    if (each->id() == id) each->swap(to);
  }
}

std::size_t Fleet::engines_running() const {
  std::size_t all = strays_.size();
  for (const auto& each : managed_) all += each->engines();
  return all;
}

Bytes Fleet::asleep_memory(std::string_view pool) const {
  Bytes all{0};
  for (const auto& each : managed_) {
    if (each->pool().name == pool) all += each->asleep_memory();
  }
  return all;
}

void Fleet::stop_engines(net::Loop::Task done) {
  stopped_ = std::move(done);
  for (const auto& each : managed_) each->stop();
  look_whether_stopped();
}

void Fleet::kill_engines() {
  for (const auto& each : managed_) each->kill();
  for (const auto& each : strays_) each->stop(Duration{});
}

void Fleet::look_whether_stopped() {
  if (engines_running() == 0) return loop_.post(std::move(stopped_));
  stop_timer_.after(stop_look, [this] { look_whether_stopped(); });
}

std::shared_ptr<const Upstream> Fleet::upstream(InstanceId id) const {
  for (const auto& each : monitors_) {
    if (each->id() == id) return each->upstream();
  }
  for (const auto& each : managed_) {
    if (each->id() == id) return each->upstream();
  }
  return nullptr;
}

std::vector<ModelFacts> Fleet::models() const {
  std::map<ModelId, ModelFacts> found;
  for (const auto& each : monitors_) {
    for (const auto& [model, context] : each->contexts()) {
      ModelFacts& facts = found[model];
      facts.name = registry_.model_name(model);
      if (context && (!facts.context_length || *facts.context_length < *context)) facts.context_length = context;
      facts.instances.push_back(each->configured().name);
    }
  }
  for (const auto& each : managed_) {
    for (const ModelId id : each->models()) {
      ModelFacts& facts = found[id];
      facts.name = registry_.model_name(id);
      if (const auto context = each->context(id); context && (!facts.context_length || *facts.context_length < *context)) facts.context_length = context;
      facts.instances.push_back(each->name());
    }
  }
  std::vector<ModelFacts> all;
  for (auto& [model, facts] : found) all.push_back(std::move(facts));
  return all;
}

bool Fleet::every_instance_seen() const {
  return std::all_of(monitors_.begin(), monitors_.end(), [](const auto& each) { return each->seen(); });
}

bool Fleet::any_up() const {
  return std::ranges::any_of(monitors_, [](const auto& each) { return each->up(); }) || std::ranges::any_of(managed_, [](const auto& each) { return each->ready(); });
}

std::optional<Swaps> Fleet::swaps(InstanceId id) const {
  const auto at = std::ranges::find(managed_, id, [](const auto& each) { return each->id(); });
  return at == managed_.end() ? std::nullopt : std::optional((*at)->swaps());
}

bool Fleet::up(InstanceId id) const {
  const auto is_up = [&](const auto& each) { return each->id() == id && each->up(); };
  return std::ranges::any_of(monitors_, is_up) || std::ranges::any_of(managed_, is_up);
}

}  // namespace qlm::gateway

#include "app/gateway/fleet.hpp"

#include <algorithm>
#include <utility>

#include "app/gateway/monitor.hpp"

namespace qlm::gateway {

Fleet::Fleet(net::Loop& loop, net::HttpClient& client, ControllerHost& host, Registry& registry, Say say)
    : loop_(loop), client_(client), host_(host), registry_(registry), say_(std::move(say)) {}

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
}

void Fleet::probe(InstanceId id) {
  for (const auto& each : monitors_) {
    if (each->id() == id) each->probe_now();
  }
}

std::shared_ptr<const Upstream> Fleet::upstream(InstanceId id) const {
  for (const auto& each : monitors_) {
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
  std::vector<ModelFacts> all;
  for (auto& [model, facts] : found) all.push_back(std::move(facts));
  return all;
}

bool Fleet::every_instance_seen() const {
  return std::all_of(monitors_.begin(), monitors_.end(), [](const auto& each) { return each->seen(); });
}

bool Fleet::any_up() const {
  return std::any_of(monitors_.begin(), monitors_.end(), [](const auto& each) { return each->up(); });
}

bool Fleet::up(InstanceId id) const {
  return std::any_of(monitors_.begin(), monitors_.end(), [&](const auto& each) { return each->id() == id && each->up(); });
}

}  // namespace qlm::gateway

// The engines behind the gateway: one monitor an instance finds out what it is, asks how it does, and tells the
// controller. The relay asks here where and how a request goes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/gateway/controller_host.hpp"
#include "app/gateway/registry.hpp"
#include "protocol/engines/driver.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/observe/log.hpp"

namespace qlm::gateway {

// What a relay must know of an instance; held by it, so that a reload may drop the instance under a running request.
struct Upstream {
  InstanceId id;
  std::string name;
  net::Address address;
  std::string prefix;         // of the path
  std::string authorization;  // "Bearer ...", or empty
  engines::EngineKind kind{};
  engines::Capabilities capabilities;
  std::map<ModelId, std::string> engine_names;  // how it names the models it serves
  std::map<ModelId, Tokens> contexts;           // prompt and answer together, where it says
};

struct ModelFacts {
  std::string name;
  std::optional<Tokens> context_length;  // the longest any instance offers
  std::vector<std::string> instances;
};

class Fleet {
 public:
  // Called with a line for the operator: found, lost, returned.
  using Say = std::function<void(log::Level level, const std::string& line)>;

  Fleet(net::Loop& loop, net::HttpClient& client, ControllerHost& host, Registry& registry, Say say);
  ~Fleet();

  // Adds what is new, drops what is gone, starts anew what changed.
  void apply(const std::vector<config::Instance>& instances);
  void probe(InstanceId id);  // answers action::Probe

  std::shared_ptr<const Upstream> upstream(InstanceId id) const;  // nothing while it was never seen
  std::vector<ModelFacts> models() const;
  bool offers(ModelId model) const { return offered_.contains(model); }  // some instance names it, able to serve it now or not
  bool every_instance_seen() const;  // each has answered a probe since it was added
  bool any_up() const;
  bool up(InstanceId id) const;

 private:
  class Monitor;
  void models_changed();

  net::Loop& loop_;
  net::HttpClient& client_;
  ControllerHost& host_;
  Registry& registry_;
  Say say_;
  std::vector<std::unique_ptr<Monitor>> monitors_;  // in the configuration's order
  std::set<ModelId> offered_;
};

}  // namespace qlm::gateway

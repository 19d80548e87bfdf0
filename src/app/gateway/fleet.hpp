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
#include "runtime/process/engine_process.hpp"

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

// Models brought to an instance since this QLM began.
struct Swaps {
  std::int64_t started = 0, woken = 0, failed = 0;
  Duration took{};  // all of them, without their drains
};

class Fleet {
 public:
  // Called with a line for the operator: found, lost, returned.
  using Say = std::function<void(log::Level level, const std::string& line)>;

  Fleet(net::Loop& loop, net::HttpClient& client, ControllerHost& host, Registry& registry, Say say);
  ~Fleet();

  // Adds what is new, drops what is gone, starts anew what changed.
  void apply(const std::vector<config::Instance>& instances);
  // The GPUs whose engines QLM runs itself; those that run since an earlier QLM are taken over. Once, at the start.
  void manage(const std::vector<config::Pool>& pools, const process::StateFolder& folder);
  void probe(InstanceId id);  // answers action::Probe
  void swap(InstanceId id, ModelId to);  // carries out action::Swap
  // Ends the engines that QLM runs, and calls back when none is left. Whoever does not, leaves them to the next QLM.
  void stop_engines(net::Loop::Task done);
  void kill_engines();  // what is being stopped, at once
  std::size_t engines_running() const;

  std::shared_ptr<const Upstream> upstream(InstanceId id) const;  // nothing while it was never seen
  std::vector<ModelFacts> models() const;
  bool offers(ModelId model) const { return offered_.contains(model); }  // some instance names it, able to serve it now or not
  bool every_instance_seen() const;  // each has answered a probe since it was added
  bool any_up() const;
  bool up(InstanceId id) const;
  std::optional<Swaps> swaps(InstanceId id) const;  // nothing where no models come and go

 private:
  class Monitor;
  class Managed;
  void models_changed();
  void end_stray(const process::Record& record, Duration patience, std::function<void()> done = [] {});
  Bytes asleep_memory(std::string_view pool) const;  // of the host, taken by its engines that sleep
  void look_whether_stopped();

  net::Loop& loop_;
  net::HttpClient& client_;
  ControllerHost& host_;
  Registry& registry_;
  Say say_;
  std::vector<std::unique_ptr<Monitor>> monitors_;  // in the configuration's order
  std::vector<std::unique_ptr<Managed>> managed_;
  std::vector<std::unique_ptr<process::EngineProcess>> strays_;  // engines that nobody wants: told to end
  const process::StateFolder* folder_ = nullptr;
  net::Loop::Task stopped_;
  net::Timer stop_timer_;
  std::set<ModelId> offered_;
};

}  // namespace qlm::gateway

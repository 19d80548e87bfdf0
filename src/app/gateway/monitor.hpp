// Watches one instance. Down: probes it from the start, again and again. Up: asks for its health, and for its stats
// where it has them, no more often than the engine bears, and now and then what it serves: engines load and unload
// adapters and models while they run. The controller hears of changes only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "app/gateway/fleet.hpp"
#include "base/result.hpp"

namespace qlm::gateway {

class Fleet::Monitor {
 public:
  // Of an engine that QLM started, who hears what else would be told to the controller.
  struct Hears {
    std::function<void(const InstanceDescription&)> found;  // ready, and what it is
    std::function<void(Duration since)> silent;             // it was well, so long ago
    std::function<void(const std::string& why)> broken;     // asked twice for a token, it gave none
  };
  Monitor(Fleet& fleet, const config::Instance& configured, Hears hears = {});

  const config::Instance& configured() const { return configured_; }
  InstanceId id() const { return id_; }
  void probe_now();
  // New terms, or new names of models, for the same engine: nothing of what it runs is touched. Returns what the
  // controller is to know of it now; nothing while it was not seen yet.
  std::optional<InstanceDescription> configure(const config::Instance& configured);

  const std::string& reason() const { return last_reason_; }  // why it was not ready when it was last asked
  void hush() { hushed_ = true; }  // asks and tells nothing more

  bool seen() const { return upstream_ != nullptr; }
  bool up() const { return up_; }
  const std::shared_ptr<const Upstream>& upstream() const { return upstream_; }
  const std::map<ModelId, std::optional<Tokens>>& contexts() const { return contexts_; }
  const std::set<ModelId>& named() const { return named_; }  // those that are asleep or failed, too

 private:
  using Then = std::move_only_function<void(const net::Fetched&)>;
  void ask(const engines::EngineRequest& request, Then then);

  void discover();
  void next_question();
  void discovered();
  void look_again();
  void looked_again();
  void tell_of(InstanceDescription description, bool first);
  std::string names_of(const InstanceDescription& description) const;
  void watch();
  void check_health();
  void read_stats();
  void health_said(bool healthy, const std::string& why);
  void canary();
  bool stalled() const;
  void tell(bool healthy, const std::string& why);
  void is_silent();
  InstanceDescription describe(const engines::ProbeResult& found);

  Fleet& fleet_;
  config::Instance configured_;
  Hears hears_;
  InstanceId id_;
  net::Timer timer_;
  std::unique_ptr<net::Call> call_;  // the monitor asks one thing at a time
  engines::Probe probe_;
  engines::ProbeResult known_;  // of the last probe that found it ready
  std::shared_ptr<const Upstream> upstream_;
  std::map<ModelId, std::optional<Tokens>> contexts_;  // of those it can serve
  std::set<ModelId> named_;
  bool up_ = false;
  bool hushed_ = false;
  Instant well_at_{};         // it last answered that it is
  bool looking_again_ = false;  // the probe under way is about its models only
  Instant look_at_{};
  bool probe_asked_ = false;  // the controller waits for an answer
  int failures_ = 0;          // health checks in a row
  int tokens_missed_ = 0;     // canaries in a row
  int discoveries_failed_ = 0;
  std::string last_reason_;
};

}  // namespace qlm::gateway

// One GPU of a pool: an instance whose engines QLM starts, watches and stops. It serves one of the pool's models at a time;
// which, is the controller's to say (action::Swap). An engine goes through
//
//   starting    its process runs; it is asked again and again what it is, until it is ready
//   verifying   it must generate one token
//   serving
//   stopping    SIGTERM, and SIGKILL after a while; when nothing of it is left the next is started
//
// and whatever fails on the way ends it and is told to the controller, which tries again later or something else.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/gateway/fleet.hpp"
#include "app/gateway/monitor.hpp"
#include "runtime/process/engine_process.hpp"

namespace qlm::gateway {

class Fleet::Managed {
 public:
  Managed(Fleet& fleet, const config::Pool& pool, std::string gpu, const process::StateFolder& folder);

  InstanceId id() const { return id_; }
  const std::string& name() const { return name_; }
  const config::Pool& pool() const { return pool_; }
  const Swaps& swaps() const { return swaps_; }

  // One that runs since an earlier QLM: taken over where it is what would be started now, else stopped.
  void adopt(const process::Record& record);
  void settle();  // no other is found: the controller may know of it

  void swap(ModelId to);  // action::Swap; Swapped answers it
  void probe_now();
  void stop();  // for good: no other engine is started

  bool runs() const { return engine_ != nullptr; }
  bool up() const { return engine_ && engine_->state == State::serving && engine_->monitor->up(); }
  std::shared_ptr<const Upstream> upstream() const;
  std::optional<Tokens> context(ModelId model) const;
  bool holds(ModelId model) const { return known(model) != nullptr; }

 private:
  enum class State { starting, verifying, serving, stopping };
  struct Engine {
    ModelId model;
    State state = State::starting;
    Instant since;      // of the state `starting`, and then of `stopping`
    std::unique_ptr<process::EngineProcess> process;
    std::unique_ptr<Monitor> monitor;
    std::unique_ptr<net::Call> verifying;
    bool adopted = false;   // its start was not seen
    Duration brought_in{};  // what it took
    bool failed = false;    // the controller waited for it
  };

  void join();
  const config::PoolModel* known(ModelId model) const;
  HeldModel held(const config::PoolModel& model) const;
  process::EngineProcess::Hears hears();
  std::string fingerprint(const config::PoolModel& model) const;
  void start(ModelId model);
  void watch(Engine& engine);
  void expect(const config::PoolModel& what);
  void ready(const InstanceDescription& found);
  void verify();
  void serves();
  void fail(const std::string& why);
  void stop_engine();
  void exited(const std::optional<process::Exit>& exit);
  void answer(std::optional<ModelId> resident, std::optional<HeldModel> found);
  void say(log::Level level, const std::string& line) const;

  Fleet& fleet_;
  const process::StateFolder& folder_;
  config::Pool pool_;
  std::string gpu_, name_;
  InstanceId id_;
  bool joined_ = false;
  bool stopped_ = false;
  std::unique_ptr<Engine> engine_;
  std::optional<ModelId> wanted_;  // the controller waits for it
  Duration put_away_{};            // of the one before
  Instant asked_at_;               // for it
  Swaps swaps_;
  InstanceDescription found_;      // as the engine's monitor saw it
  net::Timer patience_;            // for an engine's start
};

}  // namespace qlm::gateway

// One GPU of a pool: an instance whose engines QLM starts, watches and stops. It serves one of the pool's models at a time;
// which, is the controller's to say (action::Swap). An engine goes through
//
//   starting    its process runs; it is asked again and again what it is, until it is ready
//   verifying   it must generate one token
//   serving
//   lying down  it is put to sleep: its weights go to the host's memory, and the device is free for another
//   asleep      until it is wanted again, and woken, or another needs its place in the host's memory more
//   stopping    SIGTERM, and SIGKILL after a while; when nothing of it is left the next is started
//
// and whatever fails on the way ends it and is told to the controller, which tries again later or something else.
// At most one engine is in another state than asleep.
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
  void settle();  // no other is found: the controller may know of it, once those have said whether they sleep

  void swap(ModelId to);  // action::Swap; Swapped answers it
  void probe_now();
  void stop();  // for good: no other engine is started
  void kill();  // the same at once

  std::size_t engines() const { return (engine_ ? 1 : 0) + asleep_.size(); }
  Bytes asleep_memory() const;
  bool up() const { return engine_ && engine_->state == State::serving && engine_->monitor->up(); }
  // It serves, or swaps and will serve again.
  bool ready() const { return up() || (has_served_ && wanted_); }
  const std::vector<ModelId>& models() const { return models_; }  // of its pool, in that order
  std::shared_ptr<const Upstream> upstream() const;
  std::optional<Tokens> context(ModelId model) const;

 private:
  enum class State { starting, waking, verifying, serving, lying_down, asleep, stopping };
  struct Engine {
    ModelId model;
    State state = State::starting;
    Instant since;      // of `starting` or `waking`, then of `lying_down`, `asleep`, `stopping`
    std::unique_ptr<process::EngineProcess> process;
    std::unique_ptr<Monitor> monitor;
    std::unique_ptr<net::Call> asking;  // for a token, to sleep, to wake, or whether it does
    bool adopted = false;   // its start was not seen
    bool sorted = false;    // adopted: it has said whether it sleeps
    bool woken = false;     // the last time it came
    Duration brought_in{};  // what it took
    bool failed = false;    // the controller waited for it
  };

  void join();
  const config::PoolModel* known(ModelId model) const;
  HeldModel held(const config::PoolModel& model) const;
  process::EngineProcess::Hears hears(Engine& engine);
  std::string fingerprint(const config::PoolModel& model) const;
  void ask(Engine& engine, engines::EngineRequest request, Duration patience, std::function<void(const net::Fetched&)> then);
  void sort(Engine& engine, int tries);
  void is_awake(Engine& engine);
  void sorted();
  void bring(ModelId model);
  void start(ModelId model);
  void wake(std::unique_ptr<Engine> engine);
  void watch(Engine& engine);
  void expect(const config::PoolModel& what);
  void ready(const InstanceDescription& found);
  void verify();
  void serves();
  void fail(const std::string& why);
  void leave();
  bool may_sleep(const Engine& engine);
  void lie_down();
  void stop_engine();
  void exited(Engine& engine, const std::optional<process::Exit>& exit);
  void answer(std::optional<ModelId> resident, std::optional<HeldModel> found);
  std::vector<ModelId> asleep() const;
  void say(log::Level level, const std::string& line) const;

  Fleet& fleet_;
  const process::StateFolder& folder_;
  config::Pool pool_;
  std::vector<ModelId> models_;
  std::string gpu_, name_;
  InstanceId id_;
  bool joined_ = false;
  bool stopped_ = false;
  bool has_served_ = false;
  std::unique_ptr<Engine> engine_;               // on the device, or on its way there or away
  std::vector<std::unique_ptr<Engine>> asleep_;  // who slept longest first; those that are being stopped, too
  int unsorted_ = 0;                             // found running, and not yet known whether they sleep
  bool settling_ = false;
  std::optional<ModelId> wanted_;  // the controller waits for it
  Duration put_away_{};            // of the one before
  Instant asked_at_;               // for it
  Swaps swaps_;
  InstanceDescription found_;      // as the engine's monitor saw it
  net::Timer patience_;            // for an engine's start
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted tasks may outlive us
};

}  // namespace qlm::gateway

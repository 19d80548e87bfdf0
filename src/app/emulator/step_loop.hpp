// Runs an EngineModel in real time: each step ends at its own moment of an absolute schedule, so that late
// timers do not add up.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "core/enginemodel/engine_model.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::emulator {

class StepLoop {
 public:
  struct Listener {
    virtual ~Listener() = default;
    // A step ended; `choice` of this listener has `generated` tokens by now. May abort itself and others.
    // Before its first token, where the engine keeps prefixes: so much of the prompt it found.
    virtual void on_cached(std::uint32_t /*choice*/, Tokens /*cached*/) {}
    virtual void on_tokens(std::uint32_t choice, std::int64_t generated, bool finished) = 0;
    // No more will come of any choice; what came is what there is (aborted), or of no use (failed). The listener
    // aborts its tickets. Not called by this loop, which does not know what its listeners stand for.
    enum class Stop { aborted, failed };
    virtual void on_stopped(Stop why) = 0;
  };
  using Ticket = std::uint64_t;

  StepLoop(net::Loop& loop, const EngineProfile& profile, double speed, bool prefix_cache = false);

  // The listener must live until the sequence finished or its ticket was aborted.
  Result<Ticket> submit(Listener& listener, std::uint32_t choice, Tokens prompt, Tokens output,
                        std::vector<std::uint64_t> keys = {}, std::int64_t priority = 0);  // see EngineModel
  void abort(
      Ticket ticket);  // takes effect at the engine when the step under way ends; the listener hears no more

  // No more steps, from the end of the one under way on, or only when all that is submitted by now has finished or was
  // aborted; then `when_still`, once. What is submitted meanwhile waits for resume(). Not while another is being waited for.
  void pause(bool finish_first, net::Loop::Task when_still);
  void resume();
  void forget_kv() { engine_.forget_kv(); }  // only while still

  void set_slowness(double factor) { slowness_ = factor; }  // from the next step on
  const EngineModel& engine() const { return engine_; }
  Duration busy() const;  // of real time

 private:
  struct Entry {
    Listener* listener;
    std::uint32_t choice;
    SequenceId id;
    std::int64_t output;
  };

  void begin();
  void end();
  bool may_pause() const;

  net::Loop& loop_;
  net::Timer timer_;
  EngineModel engine_;
  double speed_;
  double slowness_ = 1;
  Instant step_ends_{};
  Duration step_takes_{0};
  Duration busy_{0};
  bool paused_ = false;       // or about to be, where when_still_ is set
  Ticket finish_first_ = 0;   // before it may: up to this one
  net::Loop::Task when_still_;
  Ticket last_ticket_ = 0;
  std::unordered_map<Ticket, Entry> entries_;
  std::vector<Ticket> generating_;  // those past their first token, in that order
};

}  // namespace qlm::emulator

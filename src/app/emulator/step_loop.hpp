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
  };
  using Ticket = std::uint64_t;

  StepLoop(net::Loop& loop, const EngineProfile& profile, double speed, bool prefix_cache = false);

  // The listener must live until the sequence finished or its ticket was aborted.
  Result<Ticket> submit(Listener& listener, std::uint32_t choice, Tokens prompt, Tokens output,
                        std::vector<std::uint64_t> keys = {});  // of its blocks, see EngineModel
  void abort(
      Ticket ticket);  // takes effect at the engine when the step under way ends; the listener hears no more

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

  net::Loop& loop_;
  net::Timer timer_;
  EngineModel engine_;
  double speed_;
  double slowness_ = 1;
  Instant step_ends_{};
  Duration step_takes_{0};
  Duration busy_{0};
  Ticket last_ticket_ = 0;
  std::unordered_map<Ticket, Entry> entries_;
  std::vector<Ticket> generating_;  // those past their first token, in that order
};

}  // namespace qlm::emulator

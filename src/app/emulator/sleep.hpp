// vLLM's sleep mode: what of the model is in the GPU's memory, and the time it takes to come and to go. Scheduling stops
// for as long as anything of it is away: what is submitted meanwhile waits.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>

#include "app/emulator/step_loop.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::emulator {

struct SleepTimes {
  Duration put_away{}, bring_back{};  // the weights, to the host's memory and from there: level 1
  Duration make_room{};               // for weights that were dropped: waking from level 2
  Duration reload{};                  // them from the disk
};
// core/enginemodel/swap_times.hpp's `warm`, and `nvme` without the start of an engine. Fails where those do.
Result<SleepTimes> sleep_times(std::string_view model);

class Sleeper {
 public:
  enum class Mode { abort, wait, keep };  // who runs: is ended; ends by itself; goes on after, from its prompt and words
  using Done = std::move_only_function<void(bool ok)>;

  // `stop_all` ends everything submitted, which must have left `steps` when it returns.
  Sleeper(net::Loop& loop, StepLoop& steps, const SleepTimes& times, double speed,
          std::function<void(StepLoop::Listener::Stop)> stop_all);

  // One after the other, in the order of the calls, each told when it is over. Asleep already, or awake: nothing to do.
  void sleep(int level, Mode mode, Done done);           // 0: only stops; 1: weights to the host; 2: drops them
  void wake_up(bool weights, bool kv_cache, Done done);  // on again once nothing is away any more
  void reload_weights(Done done);                        // fails where there is no room for them on the GPU
  void reset_prefix_cache(Done done);                    // nothing, where somebody holds blocks

  bool sleeping() const { return sleeping_; }  // from the stop of scheduling to its return
  std::string_view state() const;              // as the metric vllm:engine_sleep_state names it
  bool talks_garbage() const { return !sleeping_ && !loaded_; }  // woken from level 2 and never reloaded

 private:
  void enqueue(net::Loop::Task operation);
  void next();
  void take(Duration modelled, net::Loop::Task then);
  void finish(Done& done, bool ok);

  StepLoop& steps_;
  SleepTimes times_;
  double speed_;
  std::function<void(StepLoop::Listener::Stop)> stop_all_;
  net::Timer timer_;
  std::deque<net::Loop::Task> operations_;
  bool busy_ = false;
  bool sleeping_ = false;
  int level_ = 0;             // of the last sleep
  bool weights_here_ = true;  // or room for them
  bool kv_here_ = true;
  bool loaded_ = true;  // the weights are the model's, wherever they are
};

}  // namespace qlm::emulator

#include "app/emulator/sleep.hpp"

#include <utility>

#include "core/enginemodel/swap_times.hpp"

namespace qlm::emulator {

Result<SleepTimes> sleep_times(std::string_view model) {
  const auto warm = swap_times(SwapPreset::warm, model), cold = swap_times(SwapPreset::nvme, model);
  if (!warm) return std::unexpected(warm.error());
  if (!cold) return std::unexpected(cold.error());
  return SleepTimes{.put_away = warm->put_away,
                    .bring_back = warm->bring_in,
                    .make_room = warm->bring_in - warm->put_away,
                    .reload = cold->bring_in - engine_start};
}

Sleeper::Sleeper(net::Loop& loop, StepLoop& steps, const SleepTimes& times, double speed,
                 std::function<void(StepLoop::Listener::Stop)> stop_all)
    : steps_(steps), times_(times), speed_(speed), stop_all_(std::move(stop_all)), timer_(loop) {}

void Sleeper::enqueue(net::Loop::Task operation) {
  operations_.push_back(std::move(operation));
  if (!busy_) next();
}

void Sleeper::next() {
  busy_ = !operations_.empty();
  if (!busy_) return;
  auto operation = std::move(operations_.front());
  operations_.pop_front();
  operation();
}

void Sleeper::take(Duration modelled, net::Loop::Task then) {
  timer_.after(duration_from_seconds(seconds(modelled) / speed_), std::move(then));
}

void Sleeper::finish(Done& done, bool ok) {
  done(ok);
  next();
}

void Sleeper::sleep(int level, Mode mode, Done done) {
  enqueue([this, level, mode, done = std::move(done)]() mutable {
    if (sleeping_) return finish(done, true);
    sleeping_ = true;
    level_ = level;
    if (mode == Mode::abort) stop_all_(StepLoop::Listener::Stop::aborted);
    steps_.pause(mode == Mode::wait, [this, done = std::move(done)]() mutable {
      if (level_ == 0) return finish(done, true);
      steps_.forget_kv();
      weights_here_ = kv_here_ = false;
      if (level_ == 2) loaded_ = false;
      take(level_ == 1 ? times_.put_away : Duration{0},
           [this, done = std::move(done)]() mutable { finish(done, true); });
    });
  });
}

void Sleeper::wake_up(bool weights, bool kv_cache, Done done) {
  enqueue([this, weights, kv_cache, done = std::move(done)]() mutable {
    if (!sleeping_) return finish(done, true);
    const bool bring = weights && !weights_here_;
    const Duration takes = !bring ? Duration{0} : level_ == 2 ? times_.make_room : times_.bring_back;
    take(takes, [this, weights, kv_cache, done = std::move(done)]() mutable {
      weights_here_ |= weights;
      kv_here_ |= kv_cache;
      if (weights_here_ && kv_here_) {
        sleeping_ = false;
        if (!loaded_) stop_all_(StepLoop::Listener::Stop::failed);
        steps_.resume();
      }
      finish(done, true);
    });
  });
}

void Sleeper::reload_weights(Done done) {
  enqueue([this, done = std::move(done)]() mutable {
    if (!weights_here_) return finish(done, false);
    steps_.pause(false, [this, done = std::move(done)]() mutable {
      take(times_.reload, [this, done = std::move(done)]() mutable {
        loaded_ = true;
        if (!sleeping_) steps_.resume();
        finish(done, true);
      });
    });
  });
}

void Sleeper::reset_prefix_cache(Done done) {
  enqueue([this, done = std::move(done)]() mutable {
    steps_.pause(false, [this, done = std::move(done)]() mutable {
      if (steps_.engine().kv_blocks_used() == 0) steps_.forget_kv();
      if (!sleeping_) steps_.resume();
      finish(done, true);
    });
  });
}

std::string_view Sleeper::state() const {
  if (weights_here_ && kv_here_) return "awake";
  return level_ == 2 ? "discard_all" : "weights_offloaded";
}

}  // namespace qlm::emulator

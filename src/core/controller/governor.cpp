#include "core/controller/governor.hpp"

#include <algorithm>

namespace qlm {
namespace {

constexpr Duration settled = 1500ms;  // waiting for this long is no burst; below the 2 s between two readings
constexpr Duration overdue = 500ms;   // without a first token, while others start: it stands in the engine's queue

}  // namespace

void Governor::describe(const InstanceDescription& instance, const DispatchParameters& parameters) {
  if (instance.max_in_flight) {
    source_ = Source::stated;
    limit_ = std::max(1, std::min(*instance.max_in_flight, instance.slots.value_or(*instance.max_in_flight)));
    const int spare = std::max(0, *instance.max_in_flight - limit_);
    allowance_ = instance.drops_queued ? std::min(parameters.allowance, spare) : 0;
  } else if (instance.slots) {
    source_ = Source::stated;
    limit_ = std::max(1, *instance.slots);
    allowance_ = instance.drops_queued ? parameters.allowance : 0;
  } else {
    const Source found = instance.reports_waiting ? Source::waiting_gauge : Source::throughput;
    if (!described_ || source_ == Source::stated) {
      limit_ = found == Source::waiting_gauge ? parameters.initial_limit : parameters.initial_limit_generic;
    }
    source_ = found;
    allowance_ = 0;
  }
  described_ = true;
}

Governor::Change Governor::set(int limit) {
  if (limit == limit_) return Change::none;
  const Change change = limit > limit_ ? Change::raised : Change::lowered;
  limit_ = limit;
  return change;
}

// Whether the engine is known to take no more than `ceiling_`, which may have been seen under another load than ours:
// below it there is nothing to fear.
int Governor::known_to_fit(const DispatchParameters& parameters) const {
  return ceiling_ == 0 ? parameters.limit_max : std::min(ceiling_, parameters.limit_max);
}

bool Governor::starting(int in_flight, const DispatchParameters& parameters) const {
  return source_ == Source::waiting_gauge && in_flight * 2 > limit_ && limit_ < known_to_fit(parameters);
}

Governor::Change Governor::on_first_token(Duration oldest_unstarted, int in_flight, const DispatchParameters& parameters) {
  if (!starting(in_flight, parameters) || oldest_unstarted > overdue) return Change::none;
  return set(std::max(limit_, std::min(in_flight * 2, known_to_fit(parameters))));
}

Governor::Change Governor::on_stats(const InstanceStats& stats, Instant now, int in_flight,
                                    const DispatchParameters& parameters) {
  if (source_ != Source::waiting_gauge) return Change::none;
  const bool was_full = full_since_last_;
  full_since_last_ = false;
  // A burst waits for a step or two in any engine; only what waits on is a full engine.
  if (stats.waiting > parameters.allowance + stats.running / 64) {
    readings_calm_ = 0;
    if (!waiting_since_) waiting_since_ = now;
    if (now - *waiting_since_ < settled) return Change::none;
    waiting_since_.reset();
    steps_beyond_ = 0;
    ceiling_ = std::max(1, stats.running) + parameters.allowance;
    return set(std::min(limit_, ceiling_));
  }
  waiting_since_.reset();
  if (!was_full || in_flight * 10 < limit_ * 9) return Change::none;
  if (const int fits = known_to_fit(parameters); limit_ < fits) return set(std::min(limit_ * 2, fits));
  // What fits depends on the lengths in flight, too. While the allowance stands waiting the engine is full; when
  // nothing does, probe beyond the ceiling, by small steps at first.
  readings_calm_ = stats.waiting == 0 ? readings_calm_ + 1 : 0;
  if (readings_calm_ < 2) return Change::none;
  readings_calm_ = 0;
  const int step = std::max(1, limit_ / 16) << std::min(steps_beyond_++, 4);
  return set(std::min(limit_ + step, parameters.limit_max));
}

Governor::Change Governor::on_tokens(Tokens tokens, Instant now, int in_flight, const DispatchParameters& parameters) {
  if (source_ != Source::throughput) return Change::none;
  if (window_start_ == Instant::min()) window_start_ = now;
  window_tokens_ += tokens;
  const Duration elapsed = now - window_start_;
  if (elapsed < 2s) return Change::none;
  const std::int64_t rate = window_tokens_.count * 1'000 / std::max<std::int64_t>(1, elapsed / 1ms);
  const bool was_full = full_since_last_;
  full_since_last_ = false;
  window_start_ = now;
  window_tokens_ = Tokens{0};
  if (!was_full || in_flight * 10 < limit_ * 9) return Change::none;
  if (trying_) {
    trying_ = false;
    // Worth it when it brought at least a twentieth more; otherwise back, and not tried again for a while.
    if (rate * 20 <= base_rate_ * 21) {
      hold_windows_ = 5;
      return set(base_limit_);
    }
  }
  if (hold_windows_ > 0) {
    --hold_windows_;
    return Change::none;
  }
  base_rate_ = rate;
  base_limit_ = limit_;
  trying_ = true;
  return set(std::min(limit_ * 3 / 2 + 1, parameters.limit_max));
}

Governor::Change Governor::on_refused(int in_flight) {
  if (source_ == Source::stated) return Change::none;
  ceiling_ = std::max(1, in_flight);
  steps_beyond_ = 0;
  readings_calm_ = 0;
  return set(std::min(limit_, ceiling_));
}

}  // namespace qlm

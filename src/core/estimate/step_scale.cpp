#include "core/estimate/step_scale.hpp"

#include <algorithm>
#include <cmath>

namespace qlm {
namespace {

constexpr double window = 2;           // seconds
constexpr double window_min = 0.5;     // of a busy spell too short for a whole one
constexpr double kept = 0.8;           // of what was known, at each window: a change is half believed after 6 s
constexpr double kept_long = 0.99;
constexpr double contradiction = 0.08; // of one memory by the other, as a share
constexpr double surprise_max = 4;     // one window may be a hiccup; it counts no more than this times what is believed
constexpr Duration same_step = 1ms;    // first tokens this close come from one prefill step

}  // namespace

void StepScale::pass(Instant now) {
  if (running_ > 0 && now > at_) {
    const double passed = seconds(now - at_);
    elapsed_ += passed;
    running_time_ += passed * running_;
    context_time_ += passed * context_;
  }
  at_ = std::max(at_, now);
}

void StepScale::started(Instant now, Tokens prompt) {
  pass(now);
  if (running_ > 0) {  // else its prefill lies before the window
    const auto p = static_cast<double>(prompt.count);
    prefilled_ += p;
    attention_ += p * p / 2;
    if (last_prefill_ == Instant::min() || now - last_prefill_ > same_step) prefills_ += 1;
    last_prefill_ = now;
  }
  ++running_;
  context_ += static_cast<double>(prompt.count);
}

void StepScale::generated(Instant now, Tokens fresh) {
  pass(now);
  fresh_ += static_cast<double>(fresh.count);
  context_ += static_cast<double>(fresh.count);
  if (elapsed_ >= window) close();
}

void StepScale::ended(Instant now, Tokens context) {
  pass(now);
  running_ = std::max(0, running_ - 1);
  context_ = running_ == 0 ? 0 : std::max(0.0, context_ - static_cast<double>(context.count));
  if (elapsed_ >= (running_ == 0 ? window_min : window)) close();
  if (running_ == 0) elapsed_ = running_time_ = context_time_ = fresh_ = prefilled_ = attention_ = prefills_ = 0;
}

double StepScale::foretold() const {
  const double batch = running_time_ / elapsed_;
  const double steps = fresh_ / std::max(1.0, batch);
  if (steps < 1) return 0;
  const StepTimeModel& s = *profile_;
  const bool separate = s.kind == StepTimeModel::Kind::separate;
  double ms = steps * (separate ? s.decode_base_ms : s.base_ms) + (separate ? prefills_ * s.base_ms : 0);
  if (s.kind == StepTimeModel::Kind::knee) {
    ms += s.per_prefill_token_ms * steps * std::max(batch + prefilled_ / steps, s.knee_tokens);
  } else {
    ms += s.per_prefill_token_ms * prefilled_;
  }
  ms += steps * (s.per_sequence_ms * batch + s.per_context_token_ms * context_time_ / elapsed_);
  return (ms + s.per_attention_ms * attention_) / 1000;
}

void StepScale::close() {
  tokens_ = tokens_ * kept + fresh_;
  seconds_ = seconds_ * kept + elapsed_;
  if (profile_) {
    if (const double x = foretold(); x > 0) {
      const double believed = recent_.scale() * x;
      const double y = std::clamp(elapsed_, believed / surprise_max, believed * surprise_max);
      recent_.add(x, y, kept);
      settled_.add(x, y, kept_long);
      if (std::abs(recent_.scale() - settled_.scale()) > contradiction * settled_.scale()) {
        settled_ = recent_;
        ++changes_;
      }
      windows_ = windows_ * kept + 1;
    }
  }
  elapsed_ = running_time_ = context_time_ = fresh_ = prefilled_ = attention_ = prefills_ = 0;
}

double StepScale::tokens_per_second() const { return seconds_ > 0 ? tokens_ / seconds_ : 0; }

}  // namespace qlm

#include "core/plan/order.hpp"

#include <algorithm>
#include <bit>

namespace qlm {
namespace {

Duration from_ms(double ms) { return Duration{static_cast<std::int64_t>(ms * 1e6 + 0.5)}; }

// A full engine's step, with the prompts that come in beside those that decode.
double full_step_ms(const EngineLoad& load) {
  const StepTimeModel& s = load.step;
  const bool separate = s.kind == StepTimeModel::Kind::separate;
  double ms = separate ? s.decode_base_ms : s.base_ms;
  if (s.kind == StepTimeModel::Kind::knee) ms += s.per_prefill_token_ms * std::max(load.batch, s.knee_tokens);
  ms += s.per_sequence_ms * load.batch + s.per_context_token_ms * load.batch * load.context;
  return separate ? ms : ms + s.per_prefill_token_ms * load.admitted * load.prompt;
}

}  // namespace

// What is evicted goes on where its model is served next, and may be too slow then; what is not keeps others waiting. A
// twentieth is qlm's best; to the others, the paper's among them, a tenth does more good at high load.
PolicyTraits traits(Policy policy) {
  constexpr double tenth = 0.1, twentieth = 0.05;
  switch (policy) {
    case Policy::fcfs:
    case Policy::priority:
    case Policy::edf: return {};
    case Policy::edf_expire:
    case Policy::sjf: return {.late_last = true};
    case Policy::greedy:
    case Policy::shepherd: return {.late_last = true, .swaps_for_on_time = true, .evicts_rest = tenth};
    case Policy::qlm_lp:
    case Policy::qlm_sp: return {.plans = true, .paper_plans = true, .evicts_rest = tenth};
    case Policy::qlm_lp_expire: return {.late_last = true, .plans = true, .paper_plans = true, .evicts_rest = tenth};
    case Policy::qlm:
      return {.late_last = true, .gives_up = true, .gathers = true, .plans = true, .swaps_for_on_time = true, .evicts_rest = twentieth, .keeps_prefixes = true, .groups_by_size = true};
  }
  return {};
}

bool heeds_values(Policy policy) {
  switch (policy) {
    case Policy::fcfs:
    case Policy::edf:
    case Policy::edf_expire:
    case Policy::sjf: return false;
    default: return true;
  }
}

std::int64_t order_key(Policy policy, const OrderFacts& facts) {
  switch (policy) {
    case Policy::fcfs: return 0;  // arrival alone
    case Policy::priority: return -static_cast<std::int64_t>(std::clamp(facts.class_value, -1e9, 1e9) * 1e6);
    case Policy::edf:
    case Policy::edf_expire:
    case Policy::greedy:
    case Policy::shepherd:
    case Policy::qlm_lp:
    case Policy::qlm_lp_expire:
    case Policy::qlm_sp: return facts.deadline.time_since_epoch().count();
    case Policy::sjf: return facts.work.count();
    case Policy::qlm: return facts.latest_start.time_since_epoch().count();
  }
  return 0;
}

std::uint32_t size_bucket(Tokens prompt) {
  const auto tokens = static_cast<std::uint64_t>(std::max<std::int64_t>(prompt.count, 16));
  const auto octave = static_cast<std::uint32_t>(std::bit_width(tokens)) - 1;
  return octave * 2 + static_cast<std::uint32_t>(tokens >> (octave - 1) & 1U);
}

EngineLoad full_load(const StepTimeModel& step, double slots, double kv_tokens, double mean_prompt, double mean_output) {
  const double context = mean_prompt + mean_output / 2;
  const double by_memory = kv_tokens > 0 ? kv_tokens / std::max(1.0, context) : slots;
  const double batch = std::max(1.0, std::min(slots, by_memory));
  return {step, batch, context, by_memory < slots ? kv_tokens : 0, batch / std::max(1.0, mean_output), mean_prompt};
}

Duration request_work(const EngineLoad& load, Tokens prompt, double output) {
  const StepTimeModel& s = load.step;
  const auto p = static_cast<double>(prompt.count);
  const bool separate = s.kind == StepTimeModel::Kind::separate;
  const bool knee = s.kind == StepTimeModel::Kind::knee;
  const double base = separate ? s.decode_base_ms : s.base_ms;
  // Below the knee, tokens are free and the weights' reading is what a step costs.
  const double idle = knee ? s.per_prefill_token_ms * std::max(0.0, s.knee_tokens - load.batch) : 0;
  const double held = p + output / 2;
  // What each step costs whoever runs is shared by the slots, or by the memory held where that is what there is too little of.
  const double share = load.memory > 0 ? held / load.memory : 1 / load.batch;
  const double per_output = (base + idle) * share + (knee ? s.per_prefill_token_ms : 0) + s.per_sequence_ms;
  const double context = output * held * s.per_context_token_ms;
  const double prefill = p * s.per_prefill_token_ms + p * p / 2 * s.per_attention_ms;
  return std::max(Duration{1}, from_ms(prefill + per_output * output + context));
}

Duration full_step(const EngineLoad& load) { return from_ms(full_step_ms(load)); }

Duration start_margin(const EngineLoad& load, Tokens prompt, int queued) {
  const auto p = static_cast<double>(prompt.count);
  const double prefill = p * load.step.per_prefill_token_ms + (load.step.kind == StepTimeModel::Kind::separate ? load.step.base_ms : 0);
  // Slots free at random: three times the mean covers nearly all of what two of them take.
  const double steps = 1.2 + 3.0 * queued / std::max(1e-3, load.admitted);
  return from_ms(steps * full_step_ms(load) + prefill);
}

}  // namespace qlm

#include "simulate/bounds/work.hpp"

#include <algorithm>

namespace qlm::bounds {
namespace {

using Kind = StepTimeModel::Kind;

constexpr std::int64_t block = EngineModel::block_size.count;

constexpr std::int64_t blocks_for(std::int64_t tokens) { return (tokens + block - 1) / block; }

// Of blocks_for(1) .. blocks_for(n).
constexpr double sum_of_blocks(std::int64_t n) {
  const std::int64_t whole = n / block, rest = n % block;
  const std::int64_t full = whole * (whole + 1) / 2;  // of whole groups of equal size
  return static_cast<double>(full * block + (whole + 1) * rest);
}

constexpr double sum_of_integers(std::int64_t n) { return static_cast<double>(n) * static_cast<double>(n + 1) / 2; }

// A step's duration is rounded to whole nanoseconds; what rounding may have taken away is nobody's.
constexpr double rounding_ms = 0.5e-6;

constexpr EngineTime from_ms(double ms) { return EngineTime{ms * 1e-3}; }

std::int64_t slots_of(const EngineSpec& engine) { return std::max<std::int64_t>(engine.limits.max_num_seqs, 1); }
std::int64_t budget_of(const EngineSpec& engine) {
  return std::max(engine.limits.max_num_batched_tokens.count, slots_of(engine));
}
std::int64_t total_blocks_of(const EngineSpec& engine) {
  return std::max<std::int64_t>(engine.limits.kv_tokens.count / block, 1);
}

}  // namespace

LeastWork::LeastWork(const EngineSpec& engine, const CostSplit& split) {
  const StepTimeModel& step = engine.step;
  const auto slots = static_cast<double>(slots_of(engine));
  const auto blocks = static_cast<double>(total_blocks_of(engine));
  budget_ = budget_of(engine);
  separate_ = step.kind == Kind::separate;
  prefill_token_ms_ = step.per_prefill_token_ms;
  attention_ms_ = step.per_attention_ms;
  sequence_ms_ = step.per_sequence_ms;
  context_ms_ = step.per_context_token_ms;

  double base = step.base_ms;
  if (step.kind == Kind::knee) {  // max(tokens, knee) >= above * tokens + (1 - above) * knee
    base += (1 - split.above_knee) * step.per_prefill_token_ms * step.knee_tokens;
    prefill_token_ms_ *= split.above_knee;
    sequence_ms_ += prefill_token_ms_;
  }
  const double prefill_base = std::max(0.0, base - rounding_ms);
  const double decode_base = separate_ ? std::max(0.0, step.decode_base_ms - rounding_ms) : prefill_base;
  const BaseShares& shares = separate_ ? split.prefill_step : split.step;
  prefill_slot_ms_ = prefill_base * shares.slots / slots;
  prefill_block_ms_ = prefill_base * shares.kv / blocks;
  prefill_budget_ms_ = prefill_base * shares.tokens;
  sequence_ms_ += decode_base * split.step.slots / slots;
  if (!separate_) sequence_ms_ += decode_base * split.step.tokens / static_cast<double>(budget_);
  block_ms_ = decode_base * split.step.kv / blocks;

  // Were reading a token of context dearer than computing it, recomputing would be the cheaper way (see token_base_ms).
  extra_block_ms_ = std::max(0.0, block_ms_ - prefill_block_ms_);
  const double growth = context_ms_ + extra_block_ms_ / static_cast<double>(block);
  if (growth > prefill_token_ms_) {
    const double scale = prefill_token_ms_ / growth;
    context_ms_ *= scale;
    block_ms_ -= (1 - scale) * extra_block_ms_;
    extra_block_ms_ *= scale;
  }
}

double LeastWork::prefill_ms(std::int64_t prompt) const {
  const auto tokens = static_cast<double>(prompt);
  double ms = prefill_token_ms_ * tokens + attention_ms_ * tokens * tokens / 2;
  if (separate_) {  // a prompt is one step, which it fills where it is longer than the budget
    ms += prefill_slot_ms_ + prefill_block_ms_ * static_cast<double>(blocks_for(prompt));
    return ms + prefill_budget_ms_ * std::min(1.0, tokens / static_cast<double>(budget_));
  }
  ms += prefill_budget_ms_ * tokens / static_cast<double>(budget_);
  // At least so many chunks; counted from the last one back, each had at least this much in memory.
  for (std::int64_t held = prompt; held > 0; held -= budget_) {
    ms += prefill_slot_ms_ + prefill_block_ms_ * static_cast<double>(blocks_for(held));
  }
  return ms;
}

// What a token costs beside its context. Whoever was preempted makes its next token by prefilling all before it, at
// least prompt + 1 tokens; so a decoded token is charged no more than that, which matters for prompts of a few tokens.
double LeastWork::token_base_ms(std::int64_t prompt) const {
  const auto least = static_cast<double>(prompt + 1);
  const double context = context_ms_ * least + extra_block_ms_ * (least / static_cast<double>(block) + 1);
  return std::clamp(prefill_slot_ms_ + prefill_token_ms_ * least - context, 0.0, sequence_ms_);
}

EngineTime LeastWork::prefill(Tokens prompt) const { return from_ms(prefill_ms(prompt.count)); }

EngineTime LeastWork::decode(Tokens prompt, Tokens output) const {
  const std::int64_t steps = output.count - 1, last = prompt.count + steps;
  return from_ms(static_cast<double>(steps) * token_base_ms(prompt.count) +
                 context_ms_ * (sum_of_integers(last) - sum_of_integers(prompt.count)) +
                 block_ms_ * (sum_of_blocks(last) - sum_of_blocks(prompt.count)));
}

EngineTime LeastWork::token(Tokens prompt, Tokens nth) const {
  const std::int64_t held = prompt.count + nth.count - 1;
  return from_ms(token_base_ms(prompt.count) + context_ms_ * static_cast<double>(held) +
                 block_ms_ * static_cast<double>(blocks_for(held)));
}

EngineTime LeastWork::smooth_token(Tokens prompt, Tokens nth) const {
  const auto held = static_cast<double>(prompt.count + nth.count - 1);
  return from_ms(token_base_ms(prompt.count) + context_ms_ * held + block_ms_ * held / static_cast<double>(block));
}

EngineTime LeastWork::rounding() const { return from_ms(block_ms_); }

AloneTime time_alone(const EngineSpec& engine, Tokens prompt, Tokens output) {
  EngineSpec lone = engine;
  lone.limits.max_num_batched_tokens = Tokens{budget_of(engine)};
  lone.limits.max_num_seqs = 1;
  AloneTime time;
  for (const double above_knee : {0.0, 1.0}) {
    const LeastWork work(lone, {.above_knee = above_knee});
    time.first_token = std::max(time.first_token, work.prefill(prompt));
    time.others = std::max(time.others, work.decode(prompt, output));
  }
  return time;
}

bool fits(const EngineSpec& engine, Tokens prompt, Tokens output) {
  return blocks_for(prompt.count + output.count - 1) <=
         std::max<std::int64_t>(engine.limits.kv_tokens.count, 0) / block;
}

}  // namespace qlm::bounds

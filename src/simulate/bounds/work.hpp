// The least engine time a request uses in any schedule: what every bound here counts with.
//
// A step costs its linear terms, which belong to the sequences that cause them, and a base whoever is in it. No step
// holds more sequences than slots, more KV blocks than memory, more tokens than the step's budget. So a sequence may be
// charged base / slots for each step it is in, or base * its blocks / all blocks, or base * its tokens / budget, or
// any mixture of the three: the charges of one step never sum to more than the step. Above the knee a step costs by
// its tokens, below it costs as if it had them: a mixture again. Every CostSplit is therefore valid, and the one that
// makes a bound lowest is the best.
//
// Recomputing after a preemption or elsewhere is never cheaper than going on: a token made by prefilling anew all that
// came before it is charged no less than a decoded one. Prefix caching is not modelled: with it, prompts cost less.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/quantity.hpp"
#include "core/domain/step_time.hpp"
#include "core/enginemodel/engine_model.hpp"

namespace qlm::bounds {

// Time of one instance. Not a Duration: parts of a step are less than its resolution.
using EngineTime = std::chrono::duration<double>;

// One model on one instance.
struct EngineSpec {
  StepTimeModel step;
  EngineLimits limits;
};

// How much of a step's base is charged by each resource. Not negative, together at most 1.
struct BaseShares {
  double slots = 1;
  double kv = 0;
  double tokens = 0;
};

struct CostSplit {
  BaseShares step;  // of mixed steps; kind separate: of decode steps, where `tokens` charges nobody
  BaseShares prefill_step;  // kind separate only
  double above_knee = 1;  // kind knee: 1 charges each token, 0 charges the knee to the base
};

class LeastWork {
 public:
  LeastWork(const EngineSpec& engine, const CostSplit& split);

  // Up to the first token, and all that follow; `output` at least 1.
  EngineTime prefill(Tokens prompt) const;
  EngineTime decode(Tokens prompt, Tokens output) const;
  // The `nth` token of the output, from the second on: decode() is their sum.
  EngineTime token(Tokens prompt, Tokens nth) const;
  EngineTime tokens(Tokens prompt, Tokens from, Tokens to) const { return decode(prompt, to) - decode(prompt, from - Tokens{1}); }
  // token() with memory counted in tokens instead of blocks, which is affine in `nth`: never more, and at most rounding() less.
  EngineTime smooth_token(Tokens prompt, Tokens nth) const;
  EngineTime rounding() const;
  EngineTime whole(Tokens prompt, Tokens output) const { return prefill(prompt) + decode(prompt, output); }

 private:
  double prefill_ms(std::int64_t prompt) const;
  double token_base_ms(std::int64_t prompt) const;

  bool separate_ = false;
  std::int64_t budget_ = 1;
  double prefill_slot_ms_ = 0, prefill_block_ms_ = 0, prefill_budget_ms_ = 0;
  double prefill_token_ms_ = 0, attention_ms_ = 0;
  double sequence_ms_ = 0, context_ms_ = 0, block_ms_ = 0;
  double extra_block_ms_ = 0;  // of block_ms_, beyond what a block costs a prefill step
};

// The time a request takes with an instance for itself; whoever shares one takes no less.
struct AloneTime {
  EngineTime first_token{};
  EngineTime others{};  // from the first token to the last
};
AloneTime time_alone(const EngineSpec& engine, Tokens prompt, Tokens output);

// Whether memory can hold it at all.
bool fits(const EngineSpec& engine, Tokens prompt, Tokens output);

}  // namespace qlm::bounds

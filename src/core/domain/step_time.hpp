// How long one step of a continuous-batching engine takes, as a linear form of what the step holds.
// Coefficients are in milliseconds, as profiles are published; the result is whole nanoseconds, computed with
// + and * only, so that it is the same on every machine.
#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace qlm {

// What one step holds.
struct StepLoad {
  std::int64_t prefill_tokens = 0;  // prompt tokens computed, over all sequences
  std::int64_t decoding = 0;        // sequences that produce their next token from kept KV
  std::int64_t context_tokens = 0;  // KV tokens those sequences read
  // Sum over prefill chunks of chunk * kv_before + chunk^2 / 2: the attention score entries a prefill
  // computes.
  double attention = 0;
};

struct StepTimeModel {
  enum class Kind {
    linear,    // base + prefill token, sequence, context and attention terms
    knee,      // below `knee_tokens` tokens reading the weights bounds the step, and tokens are free
    separate,  // engines of 2024 and before: a step is all prefill or all decode
  };
  Kind kind = Kind::linear;
  double base_ms = 0;
  double decode_base_ms = 0;        // kind separate: `base_ms` is then a prefill step's
  double per_prefill_token_ms = 0;  // kind knee: of every token of the step, decoded ones too
  double knee_tokens = 0;           // kind knee
  double per_sequence_ms = 0;
  double per_context_token_ms = 0;
  double per_attention_ms = 0;

  Duration operator()(const StepLoad& load) const;
};

}  // namespace qlm

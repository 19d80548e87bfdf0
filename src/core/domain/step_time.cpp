#include "core/domain/step_time.hpp"

#include <algorithm>

namespace qlm {

Duration StepTimeModel::operator()(const StepLoad& load) const {
  const auto prefill = static_cast<double>(load.prefill_tokens);
  const auto decoding = static_cast<double>(load.decoding);
  double ms = base_ms;
  switch (kind) {
    case Kind::linear:
      ms += per_prefill_token_ms * prefill;
      break;
    case Kind::knee:
      ms += per_prefill_token_ms * std::max(prefill + decoding, knee_tokens);
      break;
    case Kind::separate:
      ms = load.prefill_tokens > 0 ? base_ms + per_prefill_token_ms * prefill : decode_base_ms;
      break;
  }
  ms += per_sequence_ms * decoding;
  ms += per_context_token_ms * static_cast<double>(load.context_tokens);
  ms += per_attention_ms * load.attention;
  return Duration{static_cast<std::int64_t>(ms * 1e6 + 0.5)};
}

}  // namespace qlm

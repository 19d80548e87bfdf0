#include <algorithm>
#include <limits>

#include "protocol/engines/driver.hpp"

namespace qlm::engines {

DispatchRewrite rewrite(EngineKind kind, const Capabilities& capabilities, const DispatchFacts& facts) {
  DispatchRewrite out;
  out.target = facts.path;
  out.model = facts.model;
  out.stream = facts.stream;

  const bool has_stream_options = facts.path == "/v1/chat/completions" || facts.path == "/v1/completions";
  if (has_stream_options) {
    out.include_usage = facts.stream && capabilities.stream_usage;
    out.remove_stream_options =
        !out.include_usage;  // beside `stream: false` it is an error to OpenAI and to vLLM
    out.return_token_ids = facts.want_token_ids && kind == EngineKind::vllm;
  }
  if (facts.urgency && capabilities.priority != PriorityOrder::none) {
    const auto urgency =
        std::max(*facts.urgency, -std::numeric_limits<std::int32_t>::max());  // so that it can be negated
    out.priority = capabilities.priority == PriorityOrder::higher_first ? urgency : -urgency;
  }
  return out;
}

}  // namespace qlm::engines

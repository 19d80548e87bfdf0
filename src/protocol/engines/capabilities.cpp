// What each kind promises. Where a figure or a flag needs a reason, it stands beside it.
#include <array>
#include <utility>

#include "protocol/engines/driver.hpp"

namespace qlm::engines {
namespace {

constexpr std::array<std::pair<EngineKind, std::string_view>, 7> names{{
    {EngineKind::openai, "openai"},
    {EngineKind::vllm, "vllm"},
    {EngineKind::llamacpp, "llamacpp"},
    {EngineKind::llamacpp_router, "llamacpp-router"},
    {EngineKind::sglang, "sglang"},
    {EngineKind::ollama, "ollama"},
    {EngineKind::transformers, "transformers"},
}};

}  // namespace

std::string_view to_string(EngineKind kind) {
  for (const auto& [each, name] : names) {
    if (each == kind) return name;
  }
  return "openai";
}

std::optional<EngineKind> engine_kind(std::string_view name) {
  for (const auto& [kind, each] : names) {
    if (each == name) return kind;
  }
  return {};
}

Capabilities capabilities(EngineKind kind) {
  Capabilities c;
  switch (kind) {
    case EngineKind::openai:
      c.done_marker =
          false;  // most send it; of an unknown engine a finish_reason and a clean end must be enough
      c.head_with_answer = false;  // some say 200 at once, and compute then
      break;
    case EngineKind::vllm:
      c.metrics = c.kv_metrics = true;
      c.token_ids = c.tokenizer = c.adapters = c.checks_model = true;
      c.abort_on_disconnect = c.drops_queued_requests = true;
      // Ignored unless it was started with --scheduling-policy priority, and no probe can tell.
      c.priority = PriorityOrder::lower_first;
      // sleep_level stays 0: it takes --enable-sleep-mode, which shows nowhere, so it must be configured.
      break;
    case EngineKind::llamacpp:
      c.metrics = true;
      c.token_ids = c.tokenizer = true;
      // A stream that writes notices its client leaving at once; a request queued inside, or unstreamed, may
      // not be dropped before its turn comes. So: stream always, and never let it queue there.
      c.abort_on_disconnect = true;
      break;
    case EngineKind::llamacpp_router:
      c.token_ids = c.tokenizer = c.loads_models = c.checks_model = true;
      c.abort_on_disconnect = true;
      break;
    case EngineKind::sglang:
      c.metrics = c.kv_metrics = true;
      c.token_ids = c.tokenizer = c.adapters = true;
      c.abort_on_disconnect = c.drops_queued_requests = true;
      c.priority = PriorityOrder::higher_first;  // the probe takes it away where the server has it off
      break;
    case EngineKind::ollama:
      c.loads_models = c.checks_model = true;
      c.abort_on_disconnect = true;
      c.idle_keep_alive = 60s;  // Go's server keeps them as long as the client does
      break;
    case EngineKind::transformers:
      c.stream_usage = false;  // stream_options is a field it refuses; usage comes with the last chunk anyway
      c.done_marker = false;
      c.loads_models = true;
      c.abort_on_disconnect = true;
      break;
  }
  return c;
}

ResumeLevel resume_level(EngineKind kind, const Capabilities& capabilities) {
  return kind == EngineKind::vllm && capabilities.token_ids ? ResumeLevel::exact : ResumeLevel::restart;
}

}  // namespace qlm::engines

#include "protocol/openai/resume.hpp"

#include <algorithm>
#include <array>

namespace qlm::openai {
namespace {

// Whose answers are more than text deltas, or depend on more than the tokens before them.
constexpr std::array<std::string_view, 6> beyond_text = {"functions", "modalities", "audio", "return_token_ids", "use_beam_search", "suffix"};

}  // namespace

ResumeLevel resume_level(const RequestFacts& facts) {
  switch (facts.endpoint) {
    case Endpoint::opaque:
    case Endpoint::responses: return ResumeLevel::none;
    case Endpoint::embeddings: return ResumeLevel::restart;
    case Endpoint::chat:
    case Endpoint::completions: break;
  }
  const bool stateful = facts.choices != 1 || facts.logprobs || facts.tools || facts.structured_output || facts.stop || facts.penalties ||
                        facts.echo || facts.media_parts > 0;
  const bool other = std::ranges::any_of(beyond_text, [&](std::string_view name) { return facts.find(name) != nullptr; });
  // Usage in every chunk, and whatever else may be asked of the stream, counts from the attempt's own beginning.
  const auto& options = facts.stream_options;
  const bool plain_stream = !options || options->empty || options->only_usage;
  // Engines end a completion that states no limit after few tokens, each after its own number.
  const bool limited = facts.endpoint == Endpoint::chat || facts.max_tokens;
  return stateful || other || !plain_stream || !limited ? ResumeLevel::restart : ResumeLevel::exact;
}

}  // namespace qlm::openai

// The members of a request body that QLM reads or may take out: those of which a second spelling would be a way around it.
// Private to this room.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qlm::openai {

// clang-format off: lists, not columns
inline constexpr std::array read_fields = std::to_array<std::string_view>({
    "model", "stream", "stream_options", "max_completion_tokens", "max_tokens", "max_output_tokens", "n", "best_of",
    "background", "service_tier", "completion_window", "messages", "prompt", "input", "instructions", "system", "query",
    "documents", "tools", "functions", "logprobs", "top_logprobs", "prompt_logprobs", "response_format",
    "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "json_schema", "grammar",
    "regex", "ebnf", "stop", "stop_token_ids", "presence_penalty", "frequency_penalty", "repetition_penalty", "echo",
    "return_token_ids",
});

inline constexpr std::array denied_fields = std::to_array<std::string_view>({
    // vLLM
    "priority", "kv_transfer_params", "request_id", "data_parallel_rank",
    // SGLang
    "rid", "bootstrap_host", "bootstrap_port", "bootstrap_room", "routed_dp_rank", "disagg_prefill_dp_rank", "session_params",
    // llama.cpp
    "id_slot",
    // Dynamo: priority and worker placement
    "nvext",
});
// clang-format on

// The known field that a reader blind to case, as Go's decoder in Ollama is, would take `name` for. It folds the two
// non-ASCII letters that such readers equate with ASCII ones (long s, Kelvin sign).
std::optional<std::size_t> known_field(std::string_view name);
std::string_view known_field_name(std::size_t index);
inline constexpr std::size_t known_field_count = read_fields.size() + denied_fields.size();

}  // namespace qlm::openai

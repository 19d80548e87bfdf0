// The body of one request: as much text as its prompt needs, and how it wants to be answered.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/quantity.hpp"

namespace qlm::bench {

enum class Endpoint { chat, completions };
std::string_view path(Endpoint endpoint);

struct PromptStyle {
  Endpoint endpoint = Endpoint::chat;
  double bytes_per_token = 4;  // of the engine's tokenizer on plain text
  bool ignore_eos = true;      // ask for exactly the output tokens of the trace (an extension of most engines)
  bool hide_length = false;    // no max_tokens: only an emulated engine, told in a field of its own, stops at the trace's length
};

// `key` makes the text differ from that of every other request from its first word on, so that no prefix cache of an
// engine shortens the work.
std::string request_body(const PromptStyle& style, std::string_view model, Tokens prompt, Tokens output, std::uint64_t key);

}  // namespace qlm::bench

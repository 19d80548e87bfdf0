// How a trace says that prompts begin alike: as a chain of texts that are only named. Two prompts share as much as their
// chains do; the output goes on the last text, so that a conversation's next prompt can hold the answers before it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "core/domain/prefix.hpp"

namespace qlm::workload {

// The first `length` tokens of the text so numbered.
struct PrefixPart {
  std::uint64_t text = 0;
  Tokens length{0};

  bool operator==(const PrefixPart&) const = default;
};
using Prefix = std::vector<PrefixPart>;  // empty: it shares nothing

// "3:1000 17:240": a thousand tokens of text 3, then 240 of text 17.
Result<Prefix> parse_prefix(std::string_view text);
std::string to_string(const Prefix& prefix);

// What a gateway would make of such a prompt, at four bytes a token.
PrefixMarks prefix_marks(const Prefix& prefix, std::string_view model);
// One for each whole block of prompt and output, as core/enginemodel takes them.
std::vector<std::uint64_t> block_keys(const Prefix& prefix, Tokens prompt_and_output, Tokens block);

}  // namespace qlm::workload

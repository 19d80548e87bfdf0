// How long prompts and outputs are: distributions fitted to public data, kept as quantile tables of a few hundred
// numbers, or fixed lengths.
//
// Fitted by fit_lengths.py from
//   sharegpt               first turns of ShareGPT conversations, both sides up to about 1,000 tokens
//                          (via Helix, Thesys-lab/Helix-ASPLOS25, Apache-2.0)
//   alpaca                 Alpaca instructions (same source)
//   arxiv                  arXiv summarisation, up to about 4,100 tokens together (via Vidur, microsoft/vidur, MIT)
//   mega                   those of arxiv with 3,000 to 4,000 tokens together
//   azure_conversation     Azure LLM inference trace 2023, conversation (Azure/AzurePublicDataset, CC-BY; Patel et al.,
//                          "Splitwise", ISCA 2024)
//   mooncake_conversation  Mooncake conversation trace (kvcache-ai/Mooncake, Apache-2.0)
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "base/prng.hpp"
#include "base/quantity.hpp"
#include "base/result.hpp"

namespace qlm::workload {

inline constexpr std::array prompt_knots = {0.,  .01, .02, .05, .1,  .15, .2, .25,  .3,  .35, .4,  .45, .5,   .55, .6,
                                            .65, .7,  .75, .8,  .85, .9,  .925, .95, .97, .98, .99, .995, .999, 1.};
inline constexpr std::array output_knots = {0., .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .98, .99, 1.};

struct LengthTable {
  std::string_view name;
  std::array<int, prompt_knots.size()> prompt;  // quantiles at prompt_knots
  // Quantiles of the output length at output_knots, for each eighth of the requests by prompt length.
  std::array<std::array<int, output_knots.size()>, 8> output;
};
std::span<const LengthTable> length_tables();

struct Lengths {
  Tokens prompt;
  Tokens output;
};

class LengthDistribution {
 public:
  explicit LengthDistribution(Lengths fixed) : of_(fixed) {}
  explicit LengthDistribution(const LengthTable& table) : of_(&table) {}
  // The name of a table, or "PROMPT/OUTPUT" for fixed lengths ("30000/16").
  static Result<LengthDistribution> parse(std::string_view text);

  Lengths sample(Prng& prng) const;

 private:
  std::variant<Lengths, const LengthTable*> of_;
};

}  // namespace qlm::workload

// The emulated model's language: 4,096 words of four letters, one token each. What comes next depends only on
// the token ids so far and the seed, so a generation that is cut and resumed from its ids continues word for
// word, its end included, as greedy decoding on a real engine does.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qlm::emulator {

using TokenId = std::int32_t;
inline constexpr TokenId vocabulary_size = 4096;

std::string_view token_text(TokenId id);  // a blank and a word: " mako"

// One token for each four bytes begun: an emulator has no tokenizer, and the count is what matters. Words it
// wrote itself do not come back as the ids they had.
std::vector<TokenId> tokenize(std::string_view text);
std::string detokenize(std::span<const TokenId> ids);

// One for each whole block of the prompt, that stands for all text up to its end (EngineModel::submit).
std::vector<std::uint64_t> block_keys(std::span<const TokenId> prompt, std::size_t block);

class Generator {
 public:
  // Lengths are geometric with that mean: whether to stop is decided at each token, as a model does.
  Generator(std::span<const TokenId> prompt, std::uint64_t seed, std::int64_t mean_length);
  TokenId next();
  bool at_end() const { return at_end_; }  // the model would stop after the token next() gave last

 private:
  std::uint64_t state_ = 0x243f6a8885a308d3ULL;
  std::uint64_t salt_;
  std::uint64_t end_below_;
  bool at_end_ = false;
};

// Any 64 bits from any 64 bits (the finaliser of splitmix64).
constexpr std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::string base64(std::span<const std::uint8_t> bytes);

}  // namespace qlm::emulator

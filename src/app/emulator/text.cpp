#include "app/emulator/text.hpp"

#include <algorithm>
#include <array>

namespace qlm::emulator {
namespace {

constexpr std::size_t token_width = 5;

constexpr auto words = [] {
  constexpr std::string_view consonants = "bdfghjklmnprstvz", vowels = "aeio";
  std::array<char, static_cast<std::size_t>(vocabulary_size) * token_width> all{};
  for (std::size_t id = 0; id < vocabulary_size; ++id) {
    char* word = &all[id * token_width];
    word[0] = ' ';
    word[1] = consonants[id >> 8 & 15];
    word[2] = vowels[id >> 6 & 3];
    word[3] = consonants[id >> 2 & 15];
    word[4] = vowels[id & 3];
  }
  return all;
}();

}  // namespace

std::string_view token_text(TokenId id) {
  const auto word = static_cast<std::size_t>(id) % static_cast<std::size_t>(vocabulary_size);
  return {&words[word * token_width], token_width};
}

std::vector<TokenId> tokenize(std::string_view text) {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 1);
  while (!text.empty()) {
    std::uint32_t piece = 0;
    const std::size_t length = std::min<std::size_t>(text.size(), 4);
    for (std::size_t i = 0; i < length; ++i) piece = piece << 8 | static_cast<unsigned char>(text[i]);
    ids.push_back(static_cast<TokenId>(mix(piece) % static_cast<std::uint64_t>(vocabulary_size)));
    text.remove_prefix(length);
  }
  return ids;
}

std::string detokenize(std::span<const TokenId> ids) {
  std::string text;
  for (const TokenId id : ids) text += token_text(id);
  return text;
}

Generator::Generator(std::span<const TokenId> prompt, std::uint64_t seed, std::int64_t mean_length)
    : salt_(mix(seed)),
      end_below_((std::uint64_t{1} << 32) /
                 static_cast<std::uint64_t>(std::max<std::int64_t>(mean_length, 1))) {
  for (const TokenId id : prompt) state_ = mix(state_ ^ static_cast<std::uint64_t>(id));
}

TokenId Generator::next() {
  const std::uint64_t draw = mix(state_ ^ salt_);
  const auto id = static_cast<TokenId>(draw % static_cast<std::uint64_t>(vocabulary_size));
  state_ = mix(state_ ^ static_cast<std::uint64_t>(id));
  at_end_ = (mix(state_ ^ ~salt_) >> 32) < end_below_;
  return id;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(bytes.size() - i, 3);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (j < left ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j) out += j <= left ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::vector<std::uint64_t> block_keys(std::span<const TokenId> prompt, std::size_t block) {
  std::vector<std::uint64_t> keys;
  std::uint64_t key = 0;
  for (std::size_t k = 0; k < prompt.size(); ++k) {
    key = mix(key ^ static_cast<std::uint64_t>(prompt[k]));
    if ((k + 1) % block == 0) keys.push_back(key);
  }
  return keys;
}

}  // namespace qlm::emulator

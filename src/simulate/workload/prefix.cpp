#include "simulate/workload/prefix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace qlm::workload {
namespace {

constexpr std::int64_t most_tokens = 100'000'000;

// What stands at a place of a text: any value, but always the same.
std::uint64_t word_of(std::uint64_t text, std::int64_t at) {
  std::uint64_t z = text * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(at) + 1;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return z ^ z >> 31;
}

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<Prefix> parse_prefix(std::string_view text) {
  Prefix prefix;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const auto colon = part.find(':');
    const auto name = whole_number<std::uint64_t>(part.substr(0, colon));
    const auto length = colon == std::string_view::npos ? std::nullopt : whole_number<std::int64_t>(part.substr(colon + 1));
    if (!name || !length || *length < 1 || *length > most_tokens) return fail(fmt::format("'{}' is no TEXT:TOKENS", part));
    prefix.push_back({*name, Tokens{*length}});
  }
  return prefix;
}

std::string to_string(const Prefix& prefix) {
  std::string text;
  for (const PrefixPart& part : prefix) text += fmt::format("{}{}:{}", text.empty() ? "" : " ", part.text, part.length.count);
  return text;
}

PrefixMarks prefix_marks(const Prefix& prefix, std::string_view model) {
  if (prefix.empty()) return {};
  PrefixMarker marker;
  for (const PrefixPart& part : prefix) {
    for (std::int64_t at = 0; at < part.length.count; at += 2) {
      const std::uint64_t word = word_of(part.text, at);
      std::array<char, 8> bytes{};
      for (std::size_t k = 0; k < bytes.size(); ++k) bytes[k] = static_cast<char>(word >> (8 * k));
      marker.add(std::string_view(bytes.data(), at + 1 < part.length.count ? 8 : 4));
    }
  }
  return marker.marks(prefix_salt(model));
}

std::vector<std::uint64_t> block_keys(const Prefix& prefix, Tokens prompt_and_output, Tokens block) {
  std::vector<std::uint64_t> keys;
  if (prefix.empty()) return keys;
  const std::int64_t blocks = prompt_and_output.count / block.count;
  keys.reserve(static_cast<std::size_t>(blocks));
  std::uint64_t key = 0;
  std::size_t part = 0;
  std::int64_t begins = 0;  // of the part, in the prompt
  for (std::int64_t k = 1; k <= blocks; ++k) {
    const std::int64_t last = k * block.count - 1;
    // Every text that ends within the block belongs to what it stands for.
    for (; part + 1 < prefix.size() && last >= begins + prefix[part].length.count; ++part) {
      key = word_of(key ^ prefix[part].text, prefix[part].length.count);
      begins += prefix[part].length.count;
    }
    key = word_of(key ^ prefix[part].text, last - begins);
    keys.push_back(key);
  }
  return keys;
}

}  // namespace qlm::workload

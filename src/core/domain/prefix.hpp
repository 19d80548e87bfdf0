// How a prompt begins, as far as the queue may know it: hashes of its text up to certain lengths, never the text. Two
// prompts whose marks agree up to one begin alike at least that far, but for one chance in four thousand million: a hint
// of what an engine that keeps prefixes need not compute again, and nothing else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/id.hpp"

namespace qlm {

using PrefixHash = Id<struct PrefixHashTag>;

// Marks lie where lengths have grown by a half or a third: few serve a long history, at a loss of a sixth on average.
struct PrefixMarks {
  static constexpr std::size_t most = 16;
  static constexpr std::uint32_t bytes_at(std::size_t mark) { return (mark % 2 == 0 ? 256U : 384U) << (mark / 2); }  // to 48 KiB

  std::array<PrefixHash, most> hashes{};
  std::uint8_t count = 0;
  std::uint32_t text = 0;  // bytes of the whole prompt

  // The part of the prompt that lies before the end of so many marks.
  double share(std::size_t marks) const {
    return marks == 0 || text == 0 ? 0 : static_cast<double>(bytes_at(marks - 1)) / static_cast<double>(text);
  }
};

// Makes them in one pass over a prompt that comes piece by piece; nothing is kept of it, and what lies beyond the last mark
// is only counted.
class PrefixMarker {
 public:
  void add(std::string_view text);
  void stop() { stopped_ = true; }  // what comes now cannot be compared: an image, another prompt
  // `salt`: what else must be the same, the model above all.
  PrefixMarks marks(std::uint64_t salt) const;

 private:
  void word(std::uint64_t bytes);

  std::array<std::uint64_t, PrefixMarks::most> hashes_{};
  std::size_t count_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
  std::uint64_t pending_ = 0;
  std::uint32_t pending_bytes_ = 0, hashed_ = 0;
  std::uint64_t text_ = 0;
  bool stopped_ = false;
};

// Of a name, for the salt.
std::uint64_t prefix_salt(std::string_view text, std::uint64_t salt = 0);

}  // namespace qlm

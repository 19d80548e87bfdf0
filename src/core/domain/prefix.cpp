#include "core/domain/prefix.hpp"

#include <algorithm>

namespace qlm {
namespace {

constexpr std::uint64_t mixed(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
  return hash ^ hash >> 32;
}

// The same on every machine.
std::uint64_t eight_bytes(std::string_view text) {
  std::uint64_t word = 0;
  for (std::size_t k = 0; k < 8; ++k) word |= std::uint64_t{static_cast<unsigned char>(text[k])} << (8 * k);
  return word;
}

}  // namespace

void PrefixMarker::word(std::uint64_t bytes) {
  hash_ = mixed(hash_, bytes);
  hashed_ += 8;
  if (hashed_ == PrefixMarks::bytes_at(count_)) hashes_[count_++] = hash_;
}

void PrefixMarker::add(std::string_view text) {
  text_ += text.size();
  if (stopped_) return;
  while (!text.empty() && count_ < PrefixMarks::most) {
    if (pending_bytes_ == 0 && text.size() >= 8) {
      word(eight_bytes(text));
      text.remove_prefix(8);
      continue;
    }
    pending_ |= std::uint64_t{static_cast<unsigned char>(text.front())} << (8 * pending_bytes_);
    text.remove_prefix(1);
    if (++pending_bytes_ < 8) continue;
    word(pending_);
    pending_ = pending_bytes_ = 0;
  }
}

PrefixMarks PrefixMarker::marks(std::uint64_t salt) const {
  PrefixMarks made;
  made.count = static_cast<std::uint8_t>(count_);
  made.text = static_cast<std::uint32_t>(std::min<std::uint64_t>(text_, UINT32_MAX));
  for (std::size_t k = 0; k < count_; ++k) {
    const std::uint64_t salted = mixed(mixed(hashes_[k], salt), k);
    made.hashes[k] = PrefixHash{std::max(1U, static_cast<std::uint32_t>(salted >> 16))};  // 0 is nobody's
  }
  return made;
}

std::uint64_t prefix_salt(std::string_view text, std::uint64_t salt) {
  for (const char c : text) salt = mixed(salt, static_cast<unsigned char>(c));
  return mixed(salt, text.size());
}

}  // namespace qlm

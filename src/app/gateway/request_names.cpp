#include "app/gateway/request_names.hpp"

#include <random>

namespace qlm::gateway {
namespace {

constexpr std::string_view digits = "0123456789abcdefghjkmnpqrstvwxyz";  // Crockford's: none looks like another
constexpr std::string_view prefix = "req_";
constexpr std::size_t length = 13;

Speck64 drawn() {
  std::random_device chance;  // the system's own
  return Speck64({chance(), chance(), chance(), chance()});
}

}  // namespace

RequestNames::RequestNames() : scramble_(drawn()) {}

std::string RequestNames::of(RequestId id) const {
  const std::uint64_t value = scramble_.forth(id.value);
  std::string text(prefix);
  for (std::size_t i = 0; i < length; ++i) text += digits[(value >> (5 * (length - 1 - i))) & 31];
  return text;
}

std::optional<RequestId> RequestNames::id(std::string_view name) const {
  if (!name.starts_with(prefix) || name.size() != prefix.size() + length) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : name.substr(prefix.size())) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos || value >> 59 != 0) return std::nullopt;  // no digit, or more than 64 bits
    value = value << 5 | digit;
  }
  return RequestId{scramble_.back(value)};
}

}  // namespace qlm::gateway

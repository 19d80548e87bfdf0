// Errors as values. A message says what was wrong, where, and what to do; code that must tell cases apart has an
// error type of its own instead.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace qlm {

struct Error {
  std::string message;
};

template <class T, class E = Error>
using Result = std::expected<T, E>;

inline std::unexpected<Error> fail(std::string message) { return std::unexpected(Error{std::move(message)}); }

}  // namespace qlm

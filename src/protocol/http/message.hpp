// HTTP/1.1 heads as values: what a request or a response said before its body. No sockets, no library types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quantity.hpp"

namespace qlm::http {

// Field lines in the order they came. Names compare without case; values have their outer blanks removed.
class Fields {
 public:
  struct Field {
    std::string name;
    std::string value;
  };

  void add(std::string_view name, std::string_view value) { all_.push_back({std::string(name), std::string(value)}); }
  void set(std::string_view name, std::string_view value);  // replaces every field of that name
  std::size_t remove(std::string_view name);                // how many were there
  // The first field of that name.
  std::optional<std::string_view> find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name).has_value(); }
  std::size_t count(std::string_view name) const;
  // True when a comma-separated list field (Connection, Transfer-Encoding) holds the token, in any of its lines.
  bool has_token(std::string_view name, std::string_view token) const;
  const std::vector<Field>& all() const& { return all_; }
  std::vector<Field> all() && { return std::move(all_); }  // so that a loop over a temporary's fields keeps them
  // "Name: value\r\n" for each; a CR, LF or NUL inside a value goes out as a blank.
  void append_to(std::string& out) const;

 private:
  std::vector<Field> all_;
};

bool equals_ignoring_case(std::string_view a, std::string_view b);

// How the body's end is known (RFC 9112, section 6).
struct Framing {
  enum class Kind { none, length, chunked, until_close };
  Kind kind = Kind::none;
  Bytes length{0};  // kind length only
};

struct RequestHead {
  std::string method;
  std::string target;  // as sent: path and query, or a whole URL
  int minor_version = 1;
  Fields fields;
  Framing framing;
  bool keep_alive = true;
  bool expects_continue = false;

  std::string_view path() const;   // target up to '?', without scheme and host if it is an URL
  std::string_view query() const;  // after '?', or empty
};

struct ResponseHead {
  int status = 0;
  std::string reason;
  int minor_version = 1;
  Fields fields;
  Framing framing;
  bool keep_alive = true;
};

struct HeadLimits {
  Bytes head{64 * 1024};
  std::size_t fields = 128;
  Bytes target{16 * 1024};
};

struct HeadError {
  // The answer to give: 400, 413 (a length beyond counting), 414, 431, 501, 505; for an engine's response always 502.
  int status;
  std::string message;  // what was wrong, for the client
};

// The head and how many bytes of the buffer it took; nothing while the buffer does not hold a whole head.
template <class Head>
using ParsedHead = std::expected<std::optional<std::pair<Head, std::size_t>>, HeadError>;

// Strict, because a lenient proxy is half of a smuggling attack: rejects Content-Length beside Transfer-Encoding,
// several or unparsable Content-Lengths, any transfer coding but a single chunked, folded lines, bare CR or LF line
// ends, blanks before the colon, control bytes, a missing or second Host under 1.1, and versions other than 1.0/1.1.
// Answers as soon as a head cannot become right any more: a TLS greeting is refused by its first byte.
ParsedHead<RequestHead> parse_request_head(std::string_view buffer, const HeadLimits& limits = {});

// `request_method` decides whether a body follows (none after HEAD, 204, 304, 1xx).
ParsedHead<ResponseHead> parse_response_head(std::string_view buffer, std::string_view request_method,
                                             const HeadLimits& limits = {});

std::string_view reason_phrase(int status);

}  // namespace qlm::http

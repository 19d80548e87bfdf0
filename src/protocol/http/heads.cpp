// Request and response heads, parsed by hand.
//
// Boost.Beast has a parser, and it was the first choice. But what we promise concerns every byte: where a
// line ends, which bytes a name, a value or a target may hold, how often a field may come. Beast merges
// folded lines, accepts equal Content-Lengths, and says which class of rule was broken, not which header
// broke it; so a full pass of our own would have to stand before it, and after that pass nothing is left to
// parse. Beast instead serves as the second opinion: tests/fuzz/http_heads.cpp checks that whatever we
// accept, it accepts and reads alike.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "protocol/http/message.hpp"

namespace qlm::http {
namespace {

using ByteSet = std::array<bool, 256>;

template <class Predicate>
constexpr ByteSet bytes_where(Predicate predicate) {
  ByteSet set{};
  for (std::size_t c = 0; c < set.size(); ++c) set[c] = predicate(static_cast<unsigned char>(c));
  return set;
}

constexpr bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alnum(unsigned char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_one_of(unsigned char c, std::string_view set) {
  return set.find(static_cast<char>(c)) != std::string_view::npos;
}

constexpr ByteSet token_bytes =
    bytes_where([](unsigned char c) { return is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~"); });
constexpr ByteSet value_bytes =
    bytes_where([](unsigned char c) { return c == '\t' || (c >= ' ' && c != 0x7f); });
// No fragment: it is never sent, and what stands behind '#' is one path to us and another to the next server.
constexpr ByteSet target_bytes = bytes_where([](unsigned char c) { return c > ' ' && c < 0x7f && c != '#'; });
constexpr ByteSet host_bytes =
    bytes_where([](unsigned char c) { return is_alnum(c) || is_one_of(c, "-._~!$&'()*+,;=%:[]"); });

constexpr std::size_t longest_method = 32;

bool all_in(const ByteSet& set, std::string_view text) {
  return std::ranges::all_of(text, [&](char c) { return set[static_cast<unsigned char>(c)]; });
}

// Text of the peer's inside a message: cut, and with nothing in it that a terminal or a log would act upon.
std::string quoted(std::string_view text) {
  constexpr std::size_t most = 40;
  std::string out = "\"";
  for (const char c : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += text.size() > most ? "...\"" : "\"";
  return out;
}

HeadError bad(std::string message) { return {400, std::move(message)}; }

struct Extent {
  std::string_view start_line;   // without its line end
  std::string_view field_lines;  // with theirs; the closing blank line is left out
  std::size_t bytes = 0;         // of the whole head
};

// Goes from line end to line end and looks at nothing else, because it starts anew with every packet that
// comes in. When the blank line is still missing, `bytes` is 0 and the start line is there only if it is
// whole.
std::expected<Extent, HeadError> find_end(std::string_view buffer, const HeadLimits& limits) {
  const auto most = static_cast<std::size_t>(limits.head.count);
  const std::string_view window = buffer.substr(0, most);
  Extent extent;
  std::size_t line = 0, lines = 0;
  for (std::size_t lf; (lf = window.find('\n', line)) != std::string_view::npos; line = lf + 1) {
    if (lf == line || window[lf - 1] != '\r') {
      return std::unexpected(
          bad(fmt::format("line {} of the head ends in a bare LF; it must be CR LF", lines + 1)));
    }
    const bool blank = lf == line + 1;
    if (lines == 0) {
      if (blank) return std::unexpected(bad("the head begins with a blank line"));
      extent.start_line = window.substr(0, lf - 1);
    } else if (blank) {
      const std::size_t fields_start = extent.start_line.size() + 2;
      extent.field_lines = window.substr(fields_start, line - fields_start);
      extent.bytes = lf + 1;
      return extent;
    } else if (lines > limits.fields) {
      return std::unexpected(HeadError{431, fmt::format("more than {} header fields", limits.fields)});
    }
    ++lines;
  }
  if (buffer.size() >= most) {
    return std::unexpected(HeadError{431, fmt::format("the head is longer than {} bytes", most)});
  }
  return extent;
}

std::expected<int, HeadError> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return 1;
  if (text == "HTTP/1.0") return 0;
  const bool well_formed = text.size() == 8 && text.starts_with("HTTP/") && text[6] == '.' &&
                           is_digit(static_cast<unsigned char>(text[5])) &&
                           is_digit(static_cast<unsigned char>(text[7]));
  if (!well_formed) return std::unexpected(bad(fmt::format("{} is no HTTP version", quoted(text))));
  return std::unexpected(HeadError{505, fmt::format("{} is not spoken here; use HTTP/1.1", text)});
}

std::optional<HeadError> check_method(std::string_view method) {
  if (method.empty()) return bad("the request line does not begin with a method");
  if (method.starts_with('\x16')) return bad("this looks like TLS; this port speaks plain HTTP");
  if (method.size() > longest_method || !all_in(token_bytes, method)) {
    return bad(fmt::format("{} is no HTTP method", quoted(method)));
  }
  return std::nullopt;
}

std::optional<HeadError> check_target_length(std::string_view target, const HeadLimits& limits) {
  if (target.size() <= static_cast<std::size_t>(limits.target.count)) return std::nullopt;
  return HeadError{414, fmt::format("the request target is longer than {} bytes", limits.target.count)};
}

std::optional<HeadError> check_target(std::string_view target, std::string_view method) {
  if (!all_in(target_bytes, target)) {
    return bad(
        fmt::format("the request target {} holds a byte that must be percent-encoded", quoted(target)));
  }
  if (target.starts_with('/') || (target == "*" && method == "OPTIONS")) return std::nullopt;
  const auto scheme_end = target.find("://");
  if (scheme_end != std::string_view::npos) {
    const std::string_view scheme = target.substr(0, scheme_end);
    const std::string_view rest = target.substr(scheme_end + 3);
    const std::string_view host = rest.substr(0, rest.find_first_of("/?"));
    const bool known = equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "https");
    if (known && !host.empty() && all_in(host_bytes, host)) return std::nullopt;
  }
  return bad(fmt::format("the request target {} is neither a path nor an http URL", quoted(target)));
}

// A request line that has not ended yet: what can be judged is judged, so that nobody waits for the rest of
// nonsense.
std::optional<HeadError> check_unfinished_request_line(std::string_view line, const HeadLimits& limits) {
  if (line.empty() || line == "\r") return std::nullopt;
  const auto method_end = line.find(' ');
  const std::string_view method = line.substr(0, method_end);
  if (auto error = check_method(method)) return error;
  if (method_end == std::string_view::npos) return std::nullopt;
  const std::string_view rest = line.substr(method_end + 1);
  return check_target_length(rest.substr(0, rest.find_first_of(" \r")), limits);
}

std::optional<HeadError> parse_request_line(std::string_view line, const HeadLimits& limits,
                                            RequestHead& head) {
  const auto method_end = line.find(' ');
  const std::string_view method = line.substr(0, method_end);
  if (auto error = check_method(method)) return error;
  const auto target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || target_end == method_end) {
    return bad("the request line must be a method, a target and a version, one blank between them");
  }
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  if (auto error = check_target_length(target, limits)) return error;
  const auto version = parse_version(line.substr(target_end + 1));
  if (!version) return version.error();
  if (method == "CONNECT") return HeadError{501, "CONNECT: this server is no tunnel"};
  if (auto error = check_target(target, method)) return error;
  head.method = method;
  head.target = target;
  head.minor_version = *version;
  return std::nullopt;
}

std::optional<HeadError> parse_status_line(std::string_view line, ResponseHead& head) {
  const auto version_end = line.find(' ');
  const auto version = parse_version(line.substr(0, version_end));
  if (!version) return version.error();
  const std::string_view rest = version_end == std::string_view::npos ? "" : line.substr(version_end + 1);
  // The blank after the status is required even before an empty reason, but servers leave it out.
  const std::string_view status = rest.substr(0, rest.find(' '));
  const auto digit = [](char c) { return is_digit(static_cast<unsigned char>(c)); };
  if (status.size() != 3 || !std::ranges::all_of(status, digit) || status[0] < '1' || status[0] > '5') {
    return bad(fmt::format("{} is no status between 100 and 599", quoted(status)));
  }
  const std::string_view reason = rest.size() > 4 ? rest.substr(4) : "";
  if (!all_in(value_bytes, reason)) return bad("control bytes in the reason phrase");
  head.status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
  head.reason = reason;
  head.minor_version = *version;
  return std::nullopt;
}

std::optional<HeadError> parse_field(std::string_view line, Fields& fields) {
  if (line.starts_with(' ') || line.starts_with('\t')) {
    return bad("a header line begins with a blank: folded lines are not accepted");
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos)
    return bad(fmt::format("no colon in the header line {}", quoted(line)));
  const std::string_view name = line.substr(0, colon);
  if (name.empty()) return bad("a header line without a field name");
  if (name.ends_with(' ') || name.ends_with('\t')) {
    return bad(fmt::format("blank between the field name {} and its colon", quoted(name)));
  }
  if (!all_in(token_bytes, name)) return bad(fmt::format("{} is no field name", quoted(name)));
  std::string_view value = line.substr(colon + 1);
  // A bare CR is a control byte like any other here: only CR LF ended the line.
  if (!all_in(value_bytes, value)) return bad(fmt::format("control bytes in the field {}", quoted(name)));
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  value = value.substr(0, value.find_last_not_of(" \t") + 1);
  fields.add(name, value);
  return std::nullopt;
}

std::optional<HeadError> parse_fields(std::string_view lines, Fields& fields) {
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    if (auto error = parse_field(lines.substr(0, end - 1), fields)) return error;
    lines.remove_prefix(end + 1);
  }
  return std::nullopt;
}

std::expected<Bytes, HeadError> parse_content_length(std::string_view text) {
  const auto digit = [](char c) { return is_digit(static_cast<unsigned char>(c)); };
  if (text.empty() || !std::ranges::all_of(text, digit)) {
    return std::unexpected(
        bad(fmt::format("Content-Length is {}; it must be one plain number", quoted(text))));
  }
  std::int64_t length = 0;
  for (const char c : text) {
    const int value = c - '0';
    if (length > (std::numeric_limits<std::int64_t>::max() - value) / 10) {
      return std::unexpected(
          HeadError{413, fmt::format("Content-Length {} is beyond counting", quoted(text))});
    }
    length = length * 10 + value;
  }
  return Bytes{length};
}

// Only chunked, once. Other codings under a final chunked are honest HTTP that we do not speak (501);
// anything else leaves the body's end open to interpretation (400).
std::optional<HeadError> check_transfer_encoding(const Fields& fields, int minor_version) {
  if (fields.count("transfer-encoding") > 1) return bad("more than one Transfer-Encoding");
  if (minor_version == 0) return bad("Transfer-Encoding under HTTP/1.0, which has none");
  const std::string_view value = *fields.find("transfer-encoding");
  if (equals_ignoring_case(value, "chunked")) return std::nullopt;
  const bool chunked_last = equals_ignoring_case(value.substr(value.find_last_of(", \t") + 1), "chunked");
  return HeadError{chunked_last ? 501 : 400,
                   fmt::format("Transfer-Encoding is {}; it must be a single chunked", quoted(value))};
}

std::expected<Framing, HeadError> framing_of(const Fields& fields, int minor_version,
                                             Framing::Kind otherwise) {
  const std::size_t lengths = fields.count("content-length");
  if (fields.contains("transfer-encoding")) {
    if (lengths > 0) return std::unexpected(bad("both Content-Length and Transfer-Encoding"));
    if (auto error = check_transfer_encoding(fields, minor_version)) return std::unexpected(*error);
    return Framing{Framing::Kind::chunked, Bytes{0}};
  }
  if (lengths == 0) return Framing{otherwise, Bytes{0}};
  if (lengths > 1) return std::unexpected(bad("more than one Content-Length"));
  const auto length = parse_content_length(*fields.find("content-length"));
  if (!length) return std::unexpected(length.error());
  return Framing{Framing::Kind::length, *length};
}

std::optional<HeadError> check_host(const Fields& fields, int minor_version) {
  const std::size_t hosts = fields.count("host");
  if (hosts > 1) return bad("more than one Host");
  if (hosts == 0) return minor_version == 0 ? std::nullopt : std::optional(bad("HTTP/1.1 without a Host"));
  const std::string_view host = *fields.find("host");
  if (!all_in(host_bytes, host)) return bad(fmt::format("{} is no Host", quoted(host)));
  return std::nullopt;
}

bool keeps_alive(const Fields& fields, int minor_version) {
  if (fields.has_token("connection", "close")) return false;
  return minor_version >= 1 || fields.has_token("connection", "keep-alive");
}

ParsedHead<ResponseHead> parse_response(std::string_view buffer, std::string_view request_method,
                                        const HeadLimits& limits) {
  // Garbage has no line ends to wait for.
  constexpr std::string_view prefix = "HTTP/";
  if (buffer.substr(0, prefix.size()) != prefix.substr(0, buffer.size())) {
    return std::unexpected(bad(fmt::format("this is no HTTP: {}", quoted(buffer))));
  }
  const auto extent = find_end(buffer, limits);
  if (!extent) return std::unexpected(extent.error());
  if (extent->bytes == 0) return std::nullopt;

  ResponseHead head;
  if (auto error = parse_status_line(extent->start_line, head)) return std::unexpected(*error);
  if (auto error = parse_fields(extent->field_lines, head.fields)) return std::unexpected(*error);
  const auto framing = framing_of(head.fields, head.minor_version, Framing::Kind::until_close);
  if (!framing) return std::unexpected(framing.error());
  const bool bodiless =
      head.status < 200 || head.status == 204 || head.status == 304 || request_method == "HEAD";
  head.framing = bodiless ? Framing{} : *framing;
  head.keep_alive =
      head.framing.kind != Framing::Kind::until_close && keeps_alive(head.fields, head.minor_version);
  return std::pair(std::move(head), extent->bytes);
}

}  // namespace

ParsedHead<RequestHead> parse_request_head(std::string_view buffer, const HeadLimits& limits) {
  // One blank line before a request is forgiven, as RFC 9112 section 2.2 asks: old clients end a body with
  // it.
  const std::size_t skipped = buffer.starts_with("\r\n") ? 2 : 0;
  buffer.remove_prefix(skipped);

  const auto extent = find_end(buffer, limits);
  RequestHead head;
  if (extent && !extent->start_line.empty()) {
    if (auto error = parse_request_line(extent->start_line, limits, head)) return std::unexpected(*error);
  } else if (auto error = check_unfinished_request_line(buffer.substr(0, buffer.find('\n')), limits)) {
    return std::unexpected(*error);
  }
  if (!extent) return std::unexpected(extent.error());
  if (extent->bytes == 0) return std::nullopt;

  if (auto error = parse_fields(extent->field_lines, head.fields)) return std::unexpected(*error);
  if (auto error = check_host(head.fields, head.minor_version)) return std::unexpected(*error);
  const auto framing = framing_of(head.fields, head.minor_version, Framing::Kind::none);
  if (!framing) return std::unexpected(framing.error());
  head.framing = *framing;
  head.keep_alive = keeps_alive(head.fields, head.minor_version);
  head.expects_continue = head.minor_version >= 1 && head.fields.has_token("expect", "100-continue");
  return std::pair(std::move(head), skipped + extent->bytes);
}

ParsedHead<ResponseHead> parse_response_head(std::string_view buffer, std::string_view request_method,
                                             const HeadLimits& limits) {
  auto parsed = parse_response(buffer, request_method, limits);
  // Whatever is wrong with an engine's answer, to the client it is a bad gateway.
  if (!parsed) return std::unexpected(HeadError{502, std::move(parsed.error().message)});
  return parsed;
}

}  // namespace qlm::http

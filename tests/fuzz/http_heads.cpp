// Bytes as a request head and as a response head. What is accepted must be safe to send on, must not depend
// on how the bytes were cut into packets, and must mean the same to Boost.Beast, a parser with other authors.
#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/http/message.hpp"
#include "require.hpp"

namespace {

namespace http = qlm::http;
namespace beast = boost::beast::http;

bool same(const http::Fields& a, const http::Fields& b) {
  return std::ranges::equal(
      a.all(), b.all(), [](const auto& x, const auto& y) { return x.name == y.name && x.value == y.value; });
}

bool same(const http::Framing& a, const http::Framing& b) { return a.kind == b.kind && a.length == b.length; }

void check_fields(const http::Fields& fields) {
  for (const auto& field : fields.all()) {
    REQUIRE(!field.name.empty());
    REQUIRE(field.name.find_first_of(std::string_view(": \t\r\n\0", 6)) == std::string::npos);
    REQUIRE(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    REQUIRE(!field.value.starts_with(' ') && !field.value.ends_with(' '));
  }
  REQUIRE(fields.count("content-length") <= 1);
  REQUIRE(fields.count("transfer-encoding") <= 1);
  REQUIRE(!fields.contains("content-length") || !fields.contains("transfer-encoding"));
}

// `parse` of every prefix says nothing before the head is whole and the same after; an early no is never
// taken back.
template <class Parse>
void check_prefixes(std::string_view bytes, Parse parse) {
  const auto whole = parse(bytes);
  const std::size_t end = whole && *whole ? (*whole)->second : 0;
  const std::size_t step = bytes.size() / 512 + 1;
  for (std::size_t size = 0; size < bytes.size(); size += step) {
    const auto part = parse(bytes.substr(0, size));
    if (!part) {
      REQUIRE(!whole);
    } else if (end > 0 && size >= end) {
      REQUIRE(*part && (*part)->second == end);
    } else {
      REQUIRE(!*part);
    }
  }
  if (end > 0) REQUIRE(parse(bytes.substr(0, end)).value().has_value());
}

template <bool is_request>
void check_beast_agrees(std::string_view head, const http::Fields& fields, const http::Framing& framing,
                        bool skip_body) {
  beast::parser<is_request, beast::empty_body> parser;
  parser.header_limit(1 << 20);
  parser.body_limit(boost::none);
  parser.skip(skip_body);
  boost::system::error_code error;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), error);
  // It refuses lists with more than tokens in them, in fields that frame nothing; we see no token there and
  // go on.
  const bool has_list =
      fields.contains("connection") || fields.contains("proxy-connection") || fields.contains("upgrade");
  if (error == beast::error::bad_value && has_list) return;
  REQUIRE(!error || error == beast::error::need_more);
  REQUIRE(parser.is_header_done());
  const auto& theirs = parser.get();
  REQUIRE(static_cast<std::size_t>(std::distance(theirs.begin(), theirs.end())) == fields.all().size());
  for (const auto& field : fields.all()) REQUIRE(theirs.count(field.name) == fields.count(field.name));
  if (skip_body) return;
  REQUIRE(parser.chunked() == (framing.kind == http::Framing::Kind::chunked));
  if (framing.kind == http::Framing::Kind::length) {
    REQUIRE(parser.content_length().value_or(0) == static_cast<std::uint64_t>(framing.length.count));
  }
}

void check_request(std::string_view bytes) {
  const auto parsed = http::parse_request_head(bytes);
  if (!parsed || !*parsed) return;
  const auto& [head, end] = **parsed;
  REQUIRE(end <= bytes.size());
  check_fields(head.fields);
  REQUIRE(head.framing.kind != http::Framing::Kind::until_close);
  REQUIRE(head.target.find_first_of(std::string_view(" \r\n\0", 4)) == std::string::npos);
  REQUIRE(head.path().starts_with('/') || head.path() == "*");

  std::string again =
      head.method + " " + head.target + (head.minor_version == 1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
  head.fields.append_to(again);
  again += "\r\n";
  const auto second = http::parse_request_head(again);
  REQUIRE(second && *second);
  const auto& copy = (*second)->first;
  REQUIRE((*second)->second == again.size());
  REQUIRE(copy.method == head.method && copy.target == head.target && same(copy.fields, head.fields));
  REQUIRE(same(copy.framing, head.framing) && copy.keep_alive == head.keep_alive);
  REQUIRE(copy.expects_continue == head.expects_continue);

  check_beast_agrees<true>(bytes.substr(bytes.starts_with("\r\n") ? 2 : 0, end), head.fields, head.framing,
                           false);
}

void check_response(std::string_view bytes, std::string_view method) {
  const auto parsed = http::parse_response_head(bytes, method);
  if (!parsed || !*parsed) return;
  const auto& [head, end] = **parsed;
  REQUIRE(end <= bytes.size());
  check_fields(head.fields);
  REQUIRE(head.status >= 100 && head.status <= 599);

  std::string again = (head.minor_version == 1 ? "HTTP/1.1 " : "HTTP/1.0 ") + std::to_string(head.status) +
                      " " + head.reason + "\r\n";
  head.fields.append_to(again);
  again += "\r\n";
  const auto second = http::parse_response_head(again, method);
  REQUIRE(second && *second);
  const auto& copy = (*second)->first;
  REQUIRE(copy.status == head.status && same(copy.fields, head.fields));
  REQUIRE(same(copy.framing, head.framing) && copy.keep_alive == head.keep_alive);

  // From our own spelling: Beast insists on the blank after the status that some servers leave out.
  check_beast_agrees<false>(again, head.fields, head.framing, head.framing.kind == http::Framing::Kind::none);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_request(bytes);
  check_prefixes(bytes, [](std::string_view part) { return http::parse_request_head(part); });
  for (const std::string_view method : {"POST", "HEAD"}) {
    check_response(bytes, method);
    check_prefixes(bytes, [&](std::string_view part) { return http::parse_response_head(part, method); });
  }
  return 0;
}

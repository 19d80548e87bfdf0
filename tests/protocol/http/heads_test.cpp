#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "protocol/http/message.hpp"

namespace qlm::http {
namespace {

using namespace std::string_literals;

RequestHead request(const std::string& bytes) {
  const auto parsed = parse_request_head(bytes);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  EXPECT_EQ((*parsed)->second, bytes.size());
  return (*parsed)->first;
}

ResponseHead response(const std::string& bytes, std::string_view method = "POST") {
  const auto parsed = parse_response_head(bytes, method);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  EXPECT_EQ((*parsed)->second, bytes.size());
  return (*parsed)->first;
}

TEST(RequestHead, IsReadAsItWasSent) {
  const RequestHead head = request(
      "POST /v1/chat/completions?trace=1&x=?y HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 12\r\n"
      "X-Slo-Class:interactive\r\nX-Empty:\r\nX-Blanks: \t a b\t \r\nX-Utf8: caf\xc3\xa9\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/v1/chat/completions?trace=1&x=?y");
  EXPECT_EQ(head.path(), "/v1/chat/completions");
  EXPECT_EQ(head.query(), "trace=1&x=?y");
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(head.framing.kind, Framing::Kind::length);
  EXPECT_EQ(head.framing.length, Bytes{12});
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(head.fields.find("x-slo-class"), "interactive");
  EXPECT_EQ(head.fields.find("X-EMPTY"), "");
  EXPECT_EQ(head.fields.find("x-blanks"), "a b");
  EXPECT_EQ(head.fields.find("x-utf8"), "caf\xc3\xa9");
  EXPECT_EQ(head.fields.find("x-none"), std::nullopt);
}

TEST(RequestHead, LeavesWhatFollowsAlone) {
  const std::string head = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto parsed = parse_request_head(head + "GET /next HTTP/1.1\r\n");
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_EQ((*parsed)->second, head.size());
}

TEST(RequestHead, IsNothingUntilItIsWhole) {
  const std::string head = "\r\nPOST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t size = 0; size < head.size(); ++size) {
    const auto parsed = parse_request_head(std::string_view(head).substr(0, size));
    ASSERT_TRUE(parsed) << size << ": " << parsed.error().message;
    EXPECT_FALSE(*parsed) << size;
  }
  EXPECT_EQ(request(head).framing.kind, Framing::Kind::chunked) << "and the blank line before it is forgiven";
}

TEST(RequestHead, SaysHowTheBodyEnds) {
  EXPECT_EQ(request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").framing.kind, Framing::Kind::none);
  EXPECT_EQ(request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n").framing.kind,
            Framing::Kind::chunked);
  const RequestHead longest =
      request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n");
  EXPECT_EQ(longest.framing.length, Bytes{9223372036854775807});
}

TEST(RequestHead, SaysWhetherTheConnectionStays) {
  EXPECT_TRUE(request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").keep_alive);
  EXPECT_FALSE(request("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, Close\r\n\r\n").keep_alive);
  EXPECT_FALSE(request("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
  EXPECT_FALSE(
      request("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n").keep_alive);
}

TEST(RequestHead, ExpectsContinueOnlyUnderHttp11) {
  EXPECT_TRUE(request("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
                  .expects_continue);
  EXPECT_FALSE(
      request("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").expects_continue);
}

TEST(RequestHead, AcceptsAWholeUrlAsTarget) {
  const RequestHead head = request("GET http://qlm.example:80/v1/models?a=b HTTP/1.1\r\nHost: other\r\n\r\n");
  EXPECT_EQ(head.target, "http://qlm.example:80/v1/models?a=b");
  EXPECT_EQ(head.path(), "/v1/models");
  EXPECT_EQ(head.query(), "a=b");
  EXPECT_EQ(request("GET HTTPS://[::1] HTTP/1.1\r\nHost: a\r\n\r\n").path(), "/");
  EXPECT_EQ(request("GET http://a?b=/c HTTP/1.1\r\nHost: a\r\n\r\n").path(), "/");
  EXPECT_EQ(request("GET /to?url=http://x/y HTTP/1.1\r\nHost: a\r\n\r\n").path(), "/to");
  EXPECT_EQ(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path(), "*");
}

// Each refused shape: its name, its bytes, the status and a part of the message.
struct Shape {
  std::string name;
  std::string bytes;
  int status;
  std::string message;
};

std::string name_of(const testing::TestParamInfo<Shape>& shape) { return shape.param.name; }

Shape with_fields(std::string name, const std::string& lines, int status, std::string message) {
  return {std::move(name), "POST /v1/x HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n", status, std::move(message)};
}

Shape with_line(std::string name, const std::string& line, int status, std::string message) {
  return {std::move(name), line + "\r\nHost: a\r\n\r\n", status, std::move(message)};
}

class RefusedRequest : public testing::TestWithParam<Shape> {};

TEST_P(RefusedRequest, WithTheStatusAndTheReason) {
  const Shape& shape = GetParam();
  const auto parsed = parse_request_head(shape.bytes);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().status, shape.status) << parsed.error().message;
  EXPECT_NE(parsed.error().message.find(shape.message), std::string::npos) << parsed.error().message;
  for (const char c : parsed.error().message) {
    EXPECT_TRUE(c >= ' ' && c < 0x7f)
        << "the message can be logged and sent as it is: " << parsed.error().message;
  }
}

TEST_P(RefusedRequest, AndNoPartOfItPasses) {
  const std::string& bytes = GetParam().bytes;
  const std::size_t step = bytes.size() / 1024 + 1;  // every part of all but the huge ones
  for (std::size_t size = 0; size < bytes.size(); size += step) {
    const auto parsed = parse_request_head(std::string_view(bytes).substr(0, size));
    EXPECT_FALSE(parsed.has_value() && parsed->has_value()) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Framing, RefusedRequest,
    testing::Values(
        with_fields("LengthAndChunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400,
                    "both Content-Length and Transfer-Encoding"),
        with_fields("ChunkedAndLength", "transfer-encoding: chunked\r\ncontent-length: 5\r\n", 400,
                    "both Content-Length and Transfer-Encoding"),
        with_fields("TwoLengths", "Content-Length: 5\r\nContent-Length: 6\r\n", 400,
                    "more than one Content-Length"),
        with_fields("TwoEqualLengths", "Content-Length: 5\r\ncontent-length: 5\r\n", 400,
                    "more than one Content-Length"),
        with_fields("LengthList", "Content-Length: 5, 5\r\n", 400,
                    "Content-Length is \"5, 5\"; it must be one plain number"),
        with_fields("LengthWithPlus", "Content-Length: +5\r\n", 400, "\"+5\""),
        with_fields("NegativeLength", "Content-Length: -1\r\n", 400, "\"-1\""),
        with_fields("LengthWithBlank", "Content-Length: 1 0\r\n", 400, "\"1 0\""),
        with_fields("HexadecimalLength", "Content-Length: 0x10\r\n", 400, "\"0x10\""),
        with_fields("EmptyLength", "Content-Length:\r\n", 400, "\"\""),
        with_fields("FractionalLength", "Content-Length: 5.0\r\n", 400, "\"5.0\""),
        with_fields("LengthInOtherDigits", "Content-Length: \xd9\xa5\r\n", 400, "\\xd9"),
        with_fields("LengthBeyond63Bits", "Content-Length: 9223372036854775808\r\n", 413, "beyond counting"),
        with_fields("LengthWrappingRound", "Content-Length: 18446744073709551621\r\n", 413,
                    "beyond counting"),
        with_fields("TwoTransferEncodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                    400, "more than one Transfer-Encoding"),
        with_fields("ChunkedHiddenInSecondField",
                    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 400,
                    "more than one Transfer-Encoding"),
        with_fields("GzipUnderChunked", "Transfer-Encoding: gzip, chunked\r\n", 501,
                    "it must be a single chunked"),
        with_fields("ChunkedTwice", "Transfer-Encoding: chunked, chunked\r\n", 501,
                    "it must be a single chunked"),
        with_fields("ChunkedNotLast", "Transfer-Encoding: chunked, gzip\r\n", 400,
                    "it must be a single chunked"),
        with_fields("IdentityEncoding", "Transfer-Encoding: identity\r\n", 400,
                    "it must be a single chunked"),
        with_fields("AlmostChunked", "Transfer-Encoding: xchunked\r\n", 400, "it must be a single chunked"),
        with_fields("QuotedChunked", "Transfer-Encoding: \"chunked\"\r\n", 400,
                    "it must be a single chunked"),
        with_fields("ChunkedWithParameter", "Transfer-Encoding: chunked;q=1\r\n", 400,
                    "it must be a single chunked"),
        with_fields("ChunkedWithComma", "Transfer-Encoding: chunked,\r\n", 400,
                    "it must be a single chunked"),
        with_fields("EmptyEncoding", "Transfer-Encoding:\r\n", 400, "it must be a single chunked"),
        with_fields("ChunkedBehindVerticalTab", "Transfer-Encoding: \vchunked\r\n", 400, "control bytes"),
        Shape{"ChunkedUnderHttp10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
              "HTTP/1.0"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Lines, RefusedRequest,
    testing::Values(
        with_fields("FoldedLine", "X-A: b\r\n c\r\n", 400, "folded"),
        with_fields("FoldedByTab", "X-A: b\r\n\tc\r\n", 400, "folded"),
        with_fields("FoldedTransferEncoding", "Transfer-Encoding:\r\n chunked\r\n", 400, "folded"),
        Shape{"BlankBeforeFirstField", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded"},
        with_fields("BareLfAfterField", "X-A: b\nX-C: d\r\n", 400, "line 3 of the head ends in a bare LF"),
        with_fields("BareCrInValue", "X-A: b\rX-C: d\r\n", 400, "control bytes in the field \"X-A\""),
        with_fields("TwoCrBeforeLf", "X-A: b\r\r\n", 400, "control bytes"),
        Shape{"OnlyBareLf", "GET / HTTP/1.1\nHost: a\n\n", 400, "line 1 of the head ends in a bare LF"},
        Shape{"BareLfFirst", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare LF"},
        Shape{"TwoBlankLinesFirst", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "blank line"},
        Shape{"HeadEndsInBareLf", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare LF"},
        with_fields("NulInValue", "X-A: b\0c\r\n"s, 400, "control bytes"),
        with_fields("EscapeInValue", "X-A: \x1b[31m\r\n", 400, "control bytes"),
        with_fields("DeleteInValue", "X-A: \x7f\r\n", 400, "control bytes"),
        with_fields("BlankBeforeColon", "Content-Length : 5\r\n", 400, "blank between the field name"),
        with_fields("TabBeforeColon", "Transfer-Encoding\t: chunked\r\n", 400,
                    "blank between the field name"),
        with_fields("EmptyName", ": b\r\n", 400, "without a field name"),
        with_fields("NoColon", "X-A b\r\n", 400, "no colon"),
        with_fields("BlankInName", "X A: b\r\n", 400, "is no field name"),
        with_fields("NulInName", "Content\0Length: 5\r\n"s, 400, "is no field name"),
        with_fields("ParenthesesInName", "X(A): b\r\n", 400, "is no field name"),
        with_fields("Utf8InName", "X-\xc3\xa9: b\r\n", 400, "\\xc3\\xa9"),
        with_fields("ControlByteBeforeName", "\x01X-A: b\r\n", 400, "is no field name")),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Host, RefusedRequest,
    testing::Values(Shape{"NoHost", "GET / HTTP/1.1\r\nX-A: b\r\n\r\n", 400, "without a Host"},
                    Shape{"NoFieldAtAll", "GET / HTTP/1.1\r\n\r\n", 400, "without a Host"},
                    with_fields("TwoHosts", "Host: b\r\n", 400, "more than one Host"),
                    with_fields("TwoEqualHosts", "host: a\r\n", 400, "more than one Host"),
                    Shape{"TwoHostsUnderHttp10", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400,
                          "more than one Host"},
                    Shape{"HostList", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "is no Host"},
                    Shape{"HostWithPath", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "is no Host"},
                    Shape{"HostWithUser", "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400, "is no Host"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    RequestLine, RefusedRequest,
    testing::Values(
        with_line("NoMethod", " / HTTP/1.1", 400, "does not begin with a method"),
        with_line("MethodNoToken", "GE(T / HTTP/1.1", 400, "is no HTTP method"),
        with_line("MethodTooLong", std::string(33, 'G') + " / HTTP/1.1", 400, "is no HTTP method"),
        with_line("MethodWithNul", "GE\0T / HTTP/1.1"s, 400, "is no HTTP method"),
        with_line("Connect", "CONNECT a:443 HTTP/1.1", 501, "no tunnel"),
        with_line("OnlyMethod", "GET", 400, "a method, a target and a version"),
        with_line("NoVersion", "GET /", 400, "a method, a target and a version"),
        with_line("NoTarget", "GET HTTP/1.1", 400, "a method, a target and a version"),
        with_line("EmptyTarget", "GET  HTTP/1.1", 400, "neither a path nor an http URL"),
        with_line("TwoBlanksBeforeTarget", "GET  / HTTP/1.1", 400, "request target"),
        with_line("TwoBlanksAfterTarget", "GET /  HTTP/1.1", 400, "request target"),
        with_line("TabForBlank", "GET\t/\tHTTP/1.1", 400, "is no HTTP method"),
        with_line("BlankAfterVersion", "GET / HTTP/1.1 ", 400, "is no HTTP version"),
        with_line("BlankInTarget", "GET /a b HTTP/1.1", 400, "percent-encoded"),
        with_line("RequestLineInTarget", "GET / HTTP/1.1\rX: HTTP/1.1", 400, "request target"),
        with_line("ControlByteInTarget", "GET /\x01 HTTP/1.1", 400, "\\x01"),
        with_line("NulInTarget", "GET /a\0b HTTP/1.1"s, 400, "\\x00"),
        with_line("DeleteInTarget", "GET /\x7f HTTP/1.1", 400, "\\x7f"),
        with_line("RawUtf8InTarget", "GET /caf\xc3\xa9 HTTP/1.1", 400, "percent-encoded"),
        with_line("FragmentInTarget", "GET /a#b HTTP/1.1", 400, "percent-encoded"),
        with_line("TargetWithoutSlash", "GET v1/models HTTP/1.1", 400, "neither a path nor an http URL"),
        with_line("StarForGet", "GET * HTTP/1.1", 400, "neither a path nor an http URL"),
        with_line("OtherScheme", "GET file:///etc/passwd HTTP/1.1", 400, "neither a path nor an http URL"),
        with_line("UrlWithUser", "GET http://me@a/ HTTP/1.1", 400, "neither a path nor an http URL"),
        with_line("UrlWithoutHost", "GET http:///a HTTP/1.1", 400, "neither a path nor an http URL"),
        with_line("Http2", "GET / HTTP/2.0", 505, "HTTP/2.0 is not spoken here; use HTTP/1.1"),
        with_line("Http09", "GET / HTTP/0.9", 505, "use HTTP/1.1"),
        with_line("Http12", "GET / HTTP/1.2", 505, "use HTTP/1.1"),
        with_line("Http9", "GET / HTTP/9.9", 505, "use HTTP/1.1"),
        with_line("LongVersion", "GET / HTTP/1.10", 400, "is no HTTP version"),
        with_line("ShortVersion", "GET / HTTP/1", 400, "is no HTTP version"),
        with_line("LowerCaseVersion", "GET / http/1.1", 400, "is no HTTP version"),
        with_line("OtherProtocol", "GET / ICY/1.1", 400, "is no HTTP version"),
        Shape{"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "use HTTP/1.1"},
        Shape{"TlsGreeting", "\x16\x03\x01\x02", 400, "this looks like TLS"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Limits, RefusedRequest,
    testing::Values(
        with_line("TargetTooLong", "GET /" + std::string(16 * 1024, 'a') + " HTTP/1.1", 414, "16384 bytes"),
        Shape{"TargetWithoutEnd", "GET /" + std::string(16 * 1024, 'a'), 414, "16384 bytes"},
        with_fields("HeadTooLong", "X-A: " + std::string(64 * 1024, 'a') + "\r\n", 431, "65536 bytes"),
        Shape{"HeadWithoutEnd", "GET / HTTP/1.1\r\nX-A: " + std::string(64 * 1024, 'a'), 431, "65536 bytes"},
        with_fields(
            "TooManyFields",
            [] {
              std::string lines;
              for (int i = 0; i < 128; ++i) lines += "X: y\r\n";  // and the Host
              return lines;
            }(),
            431, "more than 128 header fields"),
        Shape{"MethodWithoutEnd", std::string(33, 'G'), 400, "is no HTTP method"}),
    name_of);

TEST(RequestHead, LimitsAreReachedNotPassed) {
  const HeadLimits limits{.head = Bytes{45}, .fields = 2, .target = Bytes{4}};
  const std::string exact = "GET /abc HTTP/1.1\r\nHost: a\r\nX-Abcdef: xyz\r\n\r\n";
  ASSERT_EQ(exact.size(), 45u);
  EXPECT_TRUE(parse_request_head(exact, limits));
  EXPECT_TRUE(parse_request_head(exact + "body", limits));
  EXPECT_EQ(parse_request_head("GET /abcd HTTP/1.1\r\nHost: a\r\n\r\n", limits).error().status, 414);
  EXPECT_EQ(parse_request_head("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", limits).error().status,
            431);
  EXPECT_EQ(
      parse_request_head("GET /abc HTTP/1.1\r\nHost: a\r\nX-Abcdef: wxyz\r\n\r\n", limits).error().status,
      431);
}

TEST(RequestHead, IsRefusedAsSoonAsItCannotBecomeRight) {
  EXPECT_EQ(parse_request_head("GET / HTTP/2.0\r\n").error().status, 505);
  EXPECT_EQ(parse_request_head("GET /\r\n").error().status, 400);
  EXPECT_EQ(parse_request_head("{\"model\"").error().status, 400);
  EXPECT_EQ(parse_request_head("GET / HTTP/1.1\r\nHost: a\n").error().status, 400);
  EXPECT_EQ(parse_request_head("\x16").error().status, 400);
}

TEST(ResponseHead, OddButValidOnesAreAccepted) {
  const ResponseHead plain = response("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a:  b \r\n\r\n");
  EXPECT_EQ(plain.status, 200);
  EXPECT_EQ(plain.reason, "OK");
  EXPECT_EQ(plain.framing.length, Bytes{2});
  EXPECT_EQ(plain.fields.find("X-A"), "b");
  EXPECT_EQ(response("HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n").reason, "");
  EXPECT_EQ(response("HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n").status, 200);
  EXPECT_EQ(response("HTTP/1.1 404 Nicht da: \xc3\xa4h\r\ncontent-length: 0\r\n\r\n").reason,
            "Nicht da: \xc3\xa4h");
  EXPECT_EQ(response("HTTP/1.0 599 x\r\n\r\n").minor_version, 0);
}

TEST(ResponseHead, SaysHowTheBodyEnds) {
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing.kind,
            Framing::Kind::chunked);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n").framing.kind, Framing::Kind::until_close);
  for (const char* bodiless : {"100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"}) {
    const auto head = response("HTTP/1.1 "s + bodiless + "\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(head.framing.kind, Framing::Kind::none) << bodiless;
    EXPECT_TRUE(head.keep_alive) << bodiless;
  }
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD").framing.kind,
            Framing::Kind::none);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n", "HEAD").framing.kind, Framing::Kind::none);
}

TEST(ResponseHead, SaysWhetherTheConnectionStays) {
  EXPECT_TRUE(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").keep_alive);
  EXPECT_FALSE(response("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 200 OK\r\n\r\n").keep_alive) << "the close is the body's end";
}

class RefusedResponse : public testing::TestWithParam<Shape> {};

TEST_P(RefusedResponse, AsABadGateway) {
  const auto parsed = parse_response_head(GetParam().bytes, "POST");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().status, 502);
  EXPECT_NE(parsed.error().message.find(GetParam().message), std::string::npos) << parsed.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RefusedResponse,
    testing::Values(
        Shape{"Garbage", "garb", 502, "this is no HTTP"}, Shape{"Json", "{\"a\"", 502, "this is no HTTP"},
        Shape{"OtherVersion", "HTTP/2.0 200 OK\r\n\r\n", 502, "not spoken here"},
        Shape{"NoStatus", "HTTP/1.1\r\n\r\n", 502, "is no status"},
        Shape{"StatusNoNumber", "HTTP/1.1 2xx OK\r\n\r\n", 502, "is no status"},
        Shape{"StatusTooSmall", "HTTP/1.1 099 OK\r\n\r\n", 502, "is no status"},
        Shape{"StatusTooLarge", "HTTP/1.1 600 OK\r\n\r\n", 502, "is no status"},
        Shape{"StatusTooLong", "HTTP/1.1 2000 OK\r\n\r\n", 502, "is no status"},
        Shape{"ControlByteInReason", "HTTP/1.1 200 O\x01K\r\n\r\n", 502, "reason phrase"},
        Shape{"BareLf", "HTTP/1.1 200 OK\nA: b\n\n", 502, "bare LF"},
        Shape{"FoldedLine", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 502, "folded"},
        Shape{"LengthAndChunked",
              "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 502, "both"},
        Shape{"TwoLengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 502,
              "more than one"},
        Shape{"BadLength", "HTTP/1.1 200 OK\r\nContent-Length: one\r\n\r\n", 502, "one plain number"},
        Shape{"OtherCoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 502,
              "single chunked"},
        Shape{"HeadWithoutEnd", "HTTP/1.1 200 OK\r\nX: " + std::string(64 * 1024, 'a'), 502, "65536 bytes"}),
    name_of);

TEST(Fields, AreChangedByNameWithoutCase) {
  Fields fields;
  fields.add("Host", "a");
  fields.add("X-Tag", "1");
  fields.add("x-tag", "2");
  EXPECT_EQ(fields.count("X-TAG"), 2u);
  fields.set("X-TAG", "3");
  fields.set("New", "4");
  std::string out;
  fields.append_to(out);
  EXPECT_EQ(out, "Host: a\r\nX-Tag: 3\r\nNew: 4\r\n") << "in place, keeping the first name's spelling";
  EXPECT_EQ(fields.remove("host"), 1u);
  EXPECT_FALSE(fields.contains("Host"));
}

TEST(Fields, TokensAreFoundInListsOverSeveralLines) {
  Fields fields;
  fields.add("Connection", "keep-alive ,\tUpgrade");
  fields.add("Connection", "");
  fields.add("connection", "x-close,close");
  EXPECT_TRUE(fields.has_token("connection", "upgrade"));
  EXPECT_TRUE(fields.has_token("connection", "close"));
  EXPECT_FALSE(fields.has_token("connection", "keep"));
  EXPECT_FALSE(fields.has_token("connection", "x"));
}

TEST(Fields, NoValueCanEndItsOwnLine) {
  Fields fields;
  fields.add("X-Qlm-Instance", "a\r\nSet-Cookie: b\0c"s);
  std::string out = "HTTP/1.1 200 OK\r\n";
  fields.append_to(out);
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nX-Qlm-Instance: a  Set-Cookie: b c\r\n");
}

}  // namespace
}  // namespace qlm::http

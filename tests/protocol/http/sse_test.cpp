#include "protocol/http/sse.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace qlm::http {
namespace {

struct Seen {
  std::string raw, data;
  bool comment_only = false;
  bool operator==(const Seen&) const = default;
};

struct Stream {
  std::vector<Seen> events;
  std::string rest;
  SseScanner::Status end = SseScanner::Status::need_more;
  bool operator==(const Stream&) const = default;
};

Stream scan(const std::vector<std::string>& parts, std::size_t limit = 1024) {
  SseScanner scanner(limit);
  Stream stream;
  for (const std::string& part : parts) {
    scanner.feed(part);
    SseEvent event;
    while ((stream.end = scanner.next(event)) == SseScanner::Status::event) {
      stream.events.push_back({std::string(event.raw), std::string(event.data), event.comment_only});
    }
    if (stream.end == SseScanner::Status::too_large) break;
  }
  stream.rest = scanner.rest();
  return stream;
}

std::vector<std::string> data_of(const Stream& stream) {
  std::vector<std::string> data;
  for (const Seen& event : stream.events) data.push_back(event.data);
  return data;
}

TEST(Sse, AnEventIsForwardedAsTheVeryBytesThatCame) {
  const Stream stream = scan({"data: {\"a\":1}\n\ndata: [DONE]\n\n"});
  ASSERT_EQ(stream.events.size(), 2u);
  EXPECT_EQ(stream.events[0], (Seen{"data: {\"a\":1}\n\n", "{\"a\":1}", false}));
  EXPECT_EQ(stream.events[1], (Seen{"data: [DONE]\n\n", "[DONE]", false}));
  EXPECT_EQ(stream.rest, "");
}

TEST(Sse, EverySplitPointGivesTheSameEvents) {
  const std::string text =
      ": queued\n\ndata: one\n\ndata: two\r\n\r\nid: 7\r\ndata:three\ndata: more\r\n\nevent: x\rdata: "
      "four\r\r"
      "\n\ndata\n\n:c\ndata:  five \n\ndata: unfinished";
  const Stream whole = scan({text});
  ASSERT_EQ(data_of(whole),
            (std::vector<std::string>{"", "one", "two", "three\nmore", "four", "", "", " five "}));
  ASSERT_EQ(whole.rest, "data: unfinished");
  for (std::size_t a = 0; a <= text.size(); ++a) {
    for (std::size_t b = a; b <= text.size(); ++b) {
      ASSERT_EQ(scan({text.substr(0, a), text.substr(a, b - a), text.substr(b)}), whole) << a << " " << b;
    }
  }
}

TEST(Sse, NoByteIsLostOrDoubled) {
  const std::string text = "\n\r\n\r\r\ndata: a\n\n\n:\r\n\r\ndata: b";
  const Stream stream = scan({text});
  std::string all;
  for (const Seen& event : stream.events) all += event.raw;
  EXPECT_EQ(all + stream.rest, text);
}

TEST(Sse, LineEndsMayBeMixed) {
  EXPECT_EQ(data_of(scan({"data: a\n\r\ndata: b\r\n\n"})), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(data_of(scan({"data: a\r\rdata: b\r\rdata: c"})), (std::vector<std::string>{"a", "b"}));
}

TEST(Sse, ACrThatCameLastWaitsForItsLf) {
  const Stream stream = scan({"data: a\r\n\r", "\ndata: b\r\n\r\n"});
  ASSERT_EQ(stream.events.size(), 2u);
  EXPECT_EQ(stream.events[0].raw, "data: a\r\n\r\n");
}

TEST(Sse, OneBlankAfterTheColonIsNoData) {
  EXPECT_EQ(data_of(scan({"data:x\n\ndata: x\n\ndata:  x\n\ndata:\n\n"})),
            (std::vector<std::string>{"x", "x", " x", ""}));
}

TEST(Sse, OnlyTheFieldNamedDataIsData) {
  EXPECT_EQ(data_of(scan({"datax: a\n Data: b\ndata : c\nDATA: d\n\n"})), (std::vector<std::string>{""}));
}

TEST(Sse, DataLinesAreJoined) {
  EXPECT_EQ(data_of(scan({"data: a\ndata\nevent: x\ndata: b\n\ndata: c\n\n"})),
            (std::vector<std::string>{"a\n\nb", "c"}));
}

TEST(Sse, ACommentIsToldFromAnEvent) {
  const Stream stream = scan({": keep-alive\n\n:\ndata: a\n\nevent: ping\n\n\n"});
  ASSERT_EQ(stream.events.size(), 4u);
  EXPECT_TRUE(stream.events[0].comment_only);
  EXPECT_FALSE(stream.events[1].comment_only);
  EXPECT_FALSE(stream.events[2].comment_only);
  EXPECT_FALSE(stream.events[3].comment_only) << "a blank line alone comments nothing";
}

TEST(Sse, TheLimitIsOnOneEventNotOnTheStream) {
  const std::string event = "data: " + std::string(50, 'x') + "\n\n";  // 58 bytes
  std::string many;
  for (int i = 0; i < 100; ++i) many += event;
  EXPECT_EQ(scan({many}, 58).events.size(), 100u);
  EXPECT_EQ(scan({many}, 57).end, SseScanner::Status::too_large);
}

TEST(Sse, AnEventTooLargeIsFoundBeforeItsEnd) {
  SseScanner scanner(10);
  SseEvent event;
  scanner.feed("data: a\n\ndata: abcde");
  ASSERT_EQ(scanner.next(event), SseScanner::Status::event);
  EXPECT_EQ(scanner.next(event), SseScanner::Status::too_large);
  EXPECT_EQ(scanner.rest(), "data: abcde") << "the bytes are still there to be passed on or logged";
  EXPECT_EQ(scanner.next(event), SseScanner::Status::too_large);
}

TEST(Sse, TheRestIsWhatWasNoWholeEvent) {
  EXPECT_EQ(scan({"data: a\n\ndata: {\"cut"}).rest, "data: {\"cut");
  EXPECT_EQ(scan({"{\"error\":", "\"no stream at all\"}"}).rest, "{\"error\":\"no stream at all\"}");
}

}  // namespace
}  // namespace qlm::http

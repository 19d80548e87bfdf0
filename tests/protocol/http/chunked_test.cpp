#include "protocol/http/chunked.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace qlm::http {
namespace {

using Kind = ChunkedDecoder::Step::Kind;

struct Outcome {
  std::string payload;
  Kind end = Kind::need_more;
  std::string left;  // what the decoder did not take
  bool operator==(const Outcome&) const = default;
};

void decode(ChunkedDecoder& decoder, std::string_view in, Outcome& outcome) {
  while (true) {
    const auto step = decoder.next(in);
    outcome.end = step.kind;
    if (step.kind != Kind::payload) break;
    outcome.payload += step.payload;
  }
  outcome.left += in;
}

Outcome decode(std::string_view in) {
  ChunkedDecoder decoder;
  Outcome outcome;
  decode(decoder, in, outcome);
  return outcome;
}

TEST(Chunked, PayloadPointsIntoTheBytesThatCame) {
  const std::string bytes = "5\r\nhello\r\n0\r\n\r\n";
  std::string_view in = bytes;
  ChunkedDecoder decoder;
  const auto step = decoder.next(in);
  ASSERT_EQ(step.kind, Kind::payload);
  EXPECT_EQ(step.payload, "hello");
  EXPECT_EQ(step.payload.data(), bytes.data() + 3);
  EXPECT_FALSE(decoder.done());
  EXPECT_EQ(decoder.next(in).kind, Kind::done);
  EXPECT_TRUE(decoder.done());
}

TEST(Chunked, WhatFollowsTheMessageIsLeftAlone) {
  EXPECT_EQ(decode("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n"),
            (Outcome{"abc", Kind::done, "GET / HTTP/1.1\r\n"}));
}

TEST(Chunked, EverySplitPointGivesTheSamePayload) {
  const std::string message =
      "5\r\nhello\r\nA;name=\"quoted; value\"\r\n 0123456\r\n\r\n0000c\r\nlonger chunk\r\n00\r\nTrailer: "
      "x\r\nOther:\r\n\r\nnext";
  const Outcome whole = decode(message);
  ASSERT_EQ(whole, (Outcome{"hello 0123456\r\nlonger chunk", Kind::done, "next"}));
  for (std::size_t a = 0; a <= message.size(); ++a) {
    for (std::size_t b = a; b <= message.size(); ++b) {
      ChunkedDecoder decoder;
      Outcome outcome;
      for (const std::string& part : {message.substr(0, a), message.substr(a, b - a), message.substr(b)}) {
        decode(decoder, part, outcome);
      }
      ASSERT_EQ(outcome, whole) << "split at " << a << " and " << b;
    }
  }
}

TEST(Chunked, EveryUnfinishedMessageWantsMore) {
  const std::string message = "4;x\r\nabcd\r\n0\r\nT: 1\r\n\r\n";
  for (std::size_t size = 0; size < message.size(); ++size) {
    EXPECT_EQ(decode(message.substr(0, size)).end, Kind::need_more) << size;
  }
}

TEST(Chunked, SaysWhatIsBroken) {
  const auto fault = [](std::string_view in) {
    ChunkedDecoder decoder;
    while (decoder.next(in).kind == Kind::payload) {}
    return std::string(decoder.fault());
  };
  EXPECT_EQ(fault("3\r\nabc\r\n"), "");
  EXPECT_EQ(fault("-3\r\n"), "a chunk does not begin with its size in hexadecimal");
  EXPECT_EQ(fault("0x3\r\n"), "a chunk size is not followed by CR LF");
  EXPECT_EQ(fault("ffffffffffffffff\r\n"), "a chunk size of more than 15 digits");
  EXPECT_EQ(fault("3;a\n"), "control bytes or a folded line in an extension or a trailer");
  EXPECT_EQ(fault("3;" + std::string(20'000, 'a')), "extensions and trailers of more than 16 KiB");
  EXPECT_EQ(fault("3\r\nabcd\r\n"), "a chunk is longer than its size says, or not followed by CR LF");
  EXPECT_EQ(fault("3\rabc"), "a line does not end in CR LF");
  EXPECT_EQ(fault("0\r\nT: x\r\r"), "a line does not end in CR LF");
}

struct Shape {
  std::string name;
  std::string bytes;
};

class ChunkedMalformed : public testing::TestWithParam<Shape> {};

TEST_P(ChunkedMalformed, IsRefusedAndStaysRefused) {
  ChunkedDecoder decoder;
  Outcome outcome;
  decode(decoder, GetParam().bytes, outcome);
  EXPECT_EQ(outcome.end, Kind::malformed);
  decode(decoder, "0\r\n\r\n", outcome);
  EXPECT_EQ(outcome.end, Kind::malformed);
  EXPECT_FALSE(decoder.done());
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ChunkedMalformed,
    testing::Values(
        Shape{"NoSize", "\r\nabc\r\n"}, Shape{"NotHexadecimal", "g\r\n"}, Shape{"NegativeSize", "-1\r\n"},
        Shape{"SignedSize", "+5\r\nhello\r\n"}, Shape{"PrefixedSize", "0x5\r\nhello\r\n"},
        Shape{"BlankBeforeSize", " 5\r\nhello\r\n"}, Shape{"BlankAfterSize", "5 \r\nhello\r\n"},
        Shape{"ExtensionWithoutSize", ";x\r\n"}, Shape{"SizeOf64Bits", "ffffffffffffffff\r\n"},
        Shape{"SizeBeyond64Bits", "10000000000000005\r\nhello\r\n"},
        Shape{"EndlessZeros", std::string(100, '0') + "5\r\nhello\r\n"},
        Shape{"SizeEndsInBareLf", "5\nhello\r\n"}, Shape{"SizeEndsInBareCr", "5\rhello\r\n"},
        Shape{"ExtensionEndsInBareLf", "5;a\nhello\r\n"}, Shape{"BareCrInExtension", "5;a\rb\r\nhello\r\n"},
        Shape{"ControlByteInExtension", std::string("5;a\0b\r\nhello\r\n", 15)},
        Shape{"DataLongerThanSaid", "4\r\nhello\r\n"},
        Shape{"DataShorterThanSaid", "6\r\nhello\r\n0\r\n\r\n"},
        Shape{"DataEndsInBareLf", "5\r\nhello\n0\r\n\r\n"},
        Shape{"DataEndsInBareCr", "5\r\nhello\r0\r\n\r\n"}, Shape{"LastChunkEndsInBareLf", "0\n\n"},
        Shape{"EndsInBareLf", "0\r\n\n"}, Shape{"TrailerEndsInBareLf", "0\r\nA: b\n\r\n"},
        Shape{"FoldedTrailer", "0\r\nA: b\r\n c\r\n\r\n"},
        Shape{"ControlByteInTrailer", "0\r\nA: \x01\r\n\r\n"}),
    [](const auto& shape) { return shape.param.name; });

TEST(Chunked, ExtensionsAndTrailersAreBoundedTogether) {
  const std::string half(ChunkedDecoder::max_overhead / 2 - 10, 'x');
  EXPECT_EQ(decode("1;" + half + "\r\na\r\n0\r\n" + half + "\r\n\r\n").end, Kind::done);
  EXPECT_EQ(decode("1;" + half + "\r\na\r\n0\r\n" + half + half + "\r\n\r\n").end, Kind::malformed);
  EXPECT_EQ(decode("1;" + half + half + half).end, Kind::malformed) << "found before the line has ended";
}

TEST(Chunked, TheLargestSizeIsCounted) {
  std::string_view in = "fffffffffffffff\r\nabc";
  ChunkedDecoder decoder;
  EXPECT_EQ(decoder.next(in).payload, "abc");
  EXPECT_EQ(decoder.next(in).kind, Kind::need_more);
}

TEST(Chunked, WhatIsWrittenReadsBack) {
  std::string out;
  append_chunk(out, "hello ");
  append_chunk(out, "");  // would have ended the message
  append_chunk(out, std::string(300, 'x'));
  out += last_chunk;
  EXPECT_TRUE(out.starts_with("6\r\nhello \r\n12c\r\nx"));
  EXPECT_EQ(decode(out), (Outcome{"hello " + std::string(300, 'x'), Kind::done, ""}));
}

}  // namespace
}  // namespace qlm::http

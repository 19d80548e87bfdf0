#include <gtest/gtest.h>

#include <limits>

#include "protocol/openai/json_read.hpp"
#include "protocol/openai/json_write.hpp"

namespace qlm::openai {
namespace {

using namespace std::string_view_literals;

TEST(JsonWriter, PutsCommasAndQuotes) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().member("a", 1).member("b", "x\"y").key("c").begin_array().value(true).begin_object().end_object().null().value(-2.5);
  json.end_array().member("d", std::numeric_limits<std::uint64_t>::max()).member("e", std::numeric_limits<double>::infinity()).end_object();
  EXPECT_EQ(out, R"({"a":1,"b":"x\"y","c":[true,{},null,-2.5],"d":18446744073709551615,"e":null})");
}

TEST(JsonString, EscapesWhatMustBe) {
  EXPECT_EQ(json_string("\"\\\n\r\t\b\0\x1f/é😀"sv), R"("\"\\\n\r\t\u0008\u0000\u001f/é😀")");
}

TEST(JsonString, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(json_string("a\xff" "b"), "\"a\uFFFDb\"");
  EXPECT_EQ(json_string("\xe2\x82"), "\"\uFFFD\"");               // cut short
  EXPECT_EQ(json_string("\xc0\xaf"), "\"\uFFFD\uFFFD\"");         // overlong
  EXPECT_EQ(json_string("\xed\xa0\x80"), "\"\uFFFD\uFFFD\uFFFD\"");  // a surrogate
  EXPECT_EQ(json_string("\xf0\x9f\x98x"), "\"\uFFFDx\"");
  EXPECT_EQ(json_string("\xf4\x90\x80\x80"), "\"\uFFFD\uFFFD\uFFFD\uFFFD\"");
}

TEST(JsonReader, StringsKnowTheirDecodedSize) {
  for (const char* text : {R"("")", R"("plain")", R"("\n\"\\\/")", R"("\u0041\u00e9\u20ac\ud83d\ude00")", R"("é\u0000é")"}) {
    JsonReader in(text);
    JsonString s;
    ASSERT_TRUE(in.string(s)) << text;
    EXPECT_TRUE(in.end());
    EXPECT_EQ(s.text().size(), s.decoded) << text;
  }
  JsonReader in(R"("\u0041\u00e9\u20ac\ud83d\ude00\b\f\n\r\t\/")");
  JsonString s;
  ASSERT_TRUE(in.string(s));
  EXPECT_EQ(s.text(), "Aé€😀\b\f\n\r\t/");
}

TEST(JsonReader, SaysWhereAndWhat) {
  JsonReader in(R"({"a":[1,2 3]})");
  EXPECT_FALSE(in.skip());
  EXPECT_EQ(in.position(), 10U);
  EXPECT_STREQ(in.fault(), "expected ',' or ']'");
}

TEST(JsonReader, WritesAndReadsBack) {
  for (int c = 0; c < 0x80; ++c) {
    const std::string text(3, static_cast<char>(c));
    const std::string written = json_string(text);
    JsonReader in(written);
    JsonString s;
    ASSERT_TRUE(in.string(s)) << c;
    EXPECT_EQ(s.text(), text);
  }
}

}  // namespace
}  // namespace qlm::openai

#include "simulate/workload/trace.hpp"

#include <gtest/gtest.h>

namespace qlm::workload {
namespace {

constexpr std::string_view head = "arrival_s,prompt_tokens,output_tokens,model,class\n";

std::string error_of(const std::string& csv) {
  const auto trace = parse_trace(csv);
  return trace ? "no error" : trace.error().message;
}

TEST(Trace, IsReadAsItWasWritten) {
  const Trace trace = {{0s, Tokens{10}, Tokens{20}, "mistral-7b", "interactive", ""},
                       {1234567us, Tokens{30000}, Tokens{1}, "", "batch", ""}};
  EXPECT_EQ(parse_trace(write_trace(trace)).value(), trace);
  EXPECT_EQ(write_trace({}), head);
  EXPECT_TRUE(parse_trace(head).value().empty());
}

TEST(Trace, HasAColumnOfTenantsWhereThereAreAny) {
  const Trace trace = {{0s, Tokens{10}, Tokens{20}, "", "interactive", "search"}, {1s, Tokens{1}, Tokens{1}, "", "", ""}};
  EXPECT_TRUE(write_trace(trace).starts_with("arrival_s,prompt_tokens,output_tokens,model,class,tenant\n"));
  EXPECT_EQ(parse_trace(write_trace(trace)).value(), trace);
}

TEST(Trace, FindsColumnsByNameAndIgnoresFurtherOnes) {
  const auto trace = parse_trace("class,scheduled_s,output_tokens,prompt_tokens,arrival_s\r\nbatch,x,7,5,1.5\r\n").value();
  ASSERT_EQ(trace.size(), 1U);
  EXPECT_EQ(trace[0], (TraceRequest{1500ms, Tokens{5}, Tokens{7}, "", "batch", ""}));
}

TEST(Trace, KeepsDecimalsAsWritten) {
  EXPECT_EQ(parse_trace(std::string(head) + "4.3146,1,1,,\n").value()[0].arrival, 4314600us);
}

TEST(Trace, ErrorsNameTheLineAndWhatWasExpected) {
  const std::string h(head);
  EXPECT_EQ(error_of("arrival_s,prompt_tokens\n"),
            "line 1: no column 'output_tokens' in the header; expected arrival_s,prompt_tokens,output_tokens,model,class");
  EXPECT_EQ(error_of(""),
            "line 1: no column 'arrival_s' in the header; expected arrival_s,prompt_tokens,output_tokens,model,class");
  EXPECT_EQ(error_of("model," + h), "line 1: column 'model' stands there twice");
  EXPECT_EQ(error_of(h + "0,1,1,,\n0,1,x,,\n"),
            "line 3: output_tokens is 'x', expected a whole number of tokens, 1 or more");
  EXPECT_EQ(error_of(h + "0,0,1,,\n"), "line 2: prompt_tokens is '0', expected a whole number of tokens, 1 or more");
  EXPECT_EQ(error_of(h + "0,1.5,1,,\n"), "line 2: prompt_tokens is '1.5', expected a whole number of tokens, 1 or more");
  EXPECT_EQ(error_of(h + "-1,1,1,,\n"), "line 2: arrival_s is '-1', expected seconds, 0 or more");
  EXPECT_EQ(error_of(h + "nan,1,1,,\n"), "line 2: arrival_s is 'nan', expected seconds, 0 or more");
  EXPECT_EQ(error_of(h + "1e300,1,1,,\n"), "line 2: arrival_s is '1e300', expected at most 1e9 seconds: of times since 1970 subtract the first");
  EXPECT_EQ(error_of(h + "1700000000,1,1,,\n"),
            "line 2: arrival_s is '1700000000', expected at most 1e9 seconds: of times since 1970 subtract the first");
  EXPECT_EQ(error_of(h + "2,1,1,,\n1,1,1,,\n"),
            "line 3: arrival_s is '1', expected no earlier arrival than the line before");
  EXPECT_EQ(error_of(h + "0,1,1,\n"), "line 2: 4 cells, but the header has 5");
  EXPECT_EQ(error_of(h + "\n0,1,1,,\n"), "line 2: 1 cells, but the header has 5");
  EXPECT_EQ(error_of(h + "0,1,1,\"a\",\n"), "line 2: quoted cells are not supported; names must not hold commas");
}

TEST(Trace, AMissingFileIsAnError) {
  EXPECT_EQ(read_trace_file("/nonexistent/trace.csv").error().message, "cannot read /nonexistent/trace.csv");
}

TEST(Trace, PrefixesAreWrittenAndReadBack) {
  Trace trace{{0s, Tokens{1240}, Tokens{7}, "m", "chat", "", {{3, Tokens{1000}}, {17, Tokens{240}}}}, {1s, Tokens{5}, Tokens{7}, "m", "chat", "", {}}};
  const std::string csv = write_trace(trace);
  EXPECT_TRUE(csv.starts_with("arrival_s,prompt_tokens,output_tokens,model,class,prefix\n"));
  EXPECT_NE(csv.find(",3:1000 17:240\n"), std::string::npos);
  EXPECT_EQ(*parse_trace(csv), trace);
  const auto wrong = parse_trace("arrival_s,prompt_tokens,output_tokens,prefix\n0,1,1,3\n");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("line 2: prefix is '3'"), std::string::npos);
}

// What a prompt shares with another is the same to the gateway's marks and to the engine's blocks.
TEST(Prefixes, AgreeAsFarAsTheirTextsDo) {
  const Prefix a{{1, Tokens{1000}}, {7, Tokens{600}}}, longer{{1, Tokens{1000}}, {7, Tokens{2000}}}, other{{1, Tokens{1000}}, {8, Tokens{600}}};
  const auto alike = [](const auto& x, const auto& y, std::size_t count) {
    std::size_t k = 0;
    while (k < count && x[k] == y[k]) ++k;
    return k;
  };
  const Tokens block{16};
  EXPECT_EQ(alike(block_keys(a, Tokens{1600}, block), block_keys(longer, Tokens{3000}, block), 100), 100U);
  EXPECT_EQ(alike(block_keys(a, Tokens{1600}, block), block_keys(other, Tokens{1600}, block), 100), 62U);
  const PrefixMarks marks = prefix_marks(a, "m");
  EXPECT_EQ(marks.text, 6400U);
  EXPECT_EQ(alike(marks.hashes, prefix_marks(longer, "m").hashes, marks.count), marks.count);
  EXPECT_EQ(alike(marks.hashes, prefix_marks(other, "m").hashes, marks.count), 8U);  // up to 3,072 bytes of the 4,000
  EXPECT_EQ(alike(marks.hashes, prefix_marks(a, "n").hashes, marks.count), 0U);
}

}  // namespace
}  // namespace qlm::workload

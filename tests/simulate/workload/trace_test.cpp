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
  EXPECT_EQ(error_of(h + "1e300,1,1,,\n"), "line 2: arrival_s is '1e300', expected seconds, 0 or more");
  EXPECT_EQ(error_of(h + "2,1,1,,\n1,1,1,,\n"),
            "line 3: arrival_s is '1', expected no earlier arrival than the line before");
  EXPECT_EQ(error_of(h + "0,1,1,\n"), "line 2: 4 cells, but the header has 5");
  EXPECT_EQ(error_of(h + "\n0,1,1,,\n"), "line 2: 1 cells, but the header has 5");
  EXPECT_EQ(error_of(h + "0,1,1,\"a\",\n"), "line 2: quoted cells are not supported; names must not hold commas");
}

TEST(Trace, AMissingFileIsAnError) {
  EXPECT_EQ(read_trace_file("/nonexistent/trace.csv").error().message, "cannot read /nonexistent/trace.csv");
}

}  // namespace
}  // namespace qlm::workload

#include "protocol/engines/metrics_text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace qlm::engines {
namespace {

std::vector<MetricSample> read(std::string_view text, std::size_t expected_malformed = 0) {
  std::vector<MetricSample> all;
  MetricsReader reader(text);
  while (const auto sample = reader.next()) all.push_back(*sample);
  EXPECT_EQ(reader.malformed(), expected_malformed);
  return all;
}

TEST(MetricsText, ReadsNamesLabelsAndValuesAndSkipsComments) {
  const auto all = read(
      "# HELP vllm:num_requests_running Number of requests.\n"
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n"
      "\n"
      "llamacpp:requests_processing 2\n");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "vllm:num_requests_running");
  EXPECT_EQ(all[0].label("engine"), "0");
  EXPECT_EQ(all[0].label("model_name"), "m");
  EXPECT_EQ(all[0].label("model"), std::nullopt);
  EXPECT_EQ(all[0].value, 3.0);
  EXPECT_EQ(all[1].labels, "");
  EXPECT_EQ(all[1].value, 2.0);
}

TEST(MetricsText, UnescapesLabelValuesAndIsNotFooledByWhatTheyHold) {
  const auto all = read(R"(m{path="C:\\x",quote="\"}",line="a\nb",comma="a,b={c}"} 1)");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].label("path"), "C:\\x");
  EXPECT_EQ(all[0].label("quote"), "\"}");
  EXPECT_EQ(all[0].label("line"), "a\nb");
  EXPECT_EQ(all[0].label("comma"), "a,b={c}");
}

TEST(MetricsText, ReadsEveryWayToWriteANumber) {
  const auto all = read("a 1e3\nb -2.5E-1\nc +Inf\nd -Inf\ne NaN\nf +7\ng .5\nh 1.\ni Inf\n");
  ASSERT_EQ(all.size(), 9u);
  EXPECT_EQ(all[0].value, 1000);
  EXPECT_EQ(all[1].value, -0.25);
  EXPECT_EQ(all[2].value, INFINITY);
  EXPECT_EQ(all[3].value, -INFINITY);
  EXPECT_TRUE(std::isnan(all[4].value));
  EXPECT_EQ(all[5].value, 7);
  EXPECT_EQ(all[6].value, 0.5);
  EXPECT_EQ(all[7].value, 1);
  EXPECT_EQ(all[8].value, INFINITY);
}

TEST(MetricsText, AllowsTimestampsExemplarsBlanksCarriageReturnsAndATrailingComma) {
  const auto all = read(
      "a 1 1700000000000\r\n"
      "b_bucket{le=\"1\"} 2 # {trace_id=\"x\"} 0.5 1700000000\n"
      "  c { x = \"1\" , } \t 3 \n"
      "d{} 4\n"
      "# EOF");
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[1].label("le"), "1");
  EXPECT_EQ(all[2].label("x"), "1");
  EXPECT_EQ(all[2].value, 3);
  EXPECT_EQ(all[3].value, 4);
}

TEST(MetricsText, CountsWhatIsNoSampleAndGoesOn) {
  const char* const garbage[] = {
      "<html>",      "a",
      "a b",         "a{x=\"1\" 1",
      "a{x=1} 1",    "a{x=\"1\"}",
      "a{=\"1\"} 1", "a{x=\"\\q\"} 1",
      "a{x=\"1",     "a 1 2 3",
      "a nan",       "a infinity",
      "a 0x10",      "a 1.5.2",
      "1a 1",        "a --1",
      "a +-1",       "a{x=\"1\"y=\"2\"} 1",
      "a 1e999",     "{x=\"1\"} 1",
      "a{,} 1",
  };
  for (const auto* line : garbage) {
    SCOPED_TRACE(line);
    const auto text = std::string(line) + "\ngood 1\n";
    const auto all = read(text, 1);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].name, "good");
  }
}

TEST(MetricsText, IsBoundedByLineAndByText) {
  const auto long_line = "a{x=\"" + std::string(MetricsReader::max_line, 'y') + "\"} 1\n";
  EXPECT_EQ(read(long_line + "good 1\n", 1).size(), 1u);

  std::string huge;
  while (huge.size() < MetricsReader::max_text) huge += "a 1\n";
  EXPECT_EQ(read(huge + "beyond 1\n").size(), MetricsReader::max_text / 4);
}

TEST(MetricsText, SurvivesEveryTruncation) {
  const std::string text = "a{x=\"1\\n\",y=\"2\"} 1.5e3 17 # {z=\"\"} 1\nb 2\n";
  for (std::size_t n = 0; n <= text.size(); ++n) {
    MetricsReader reader(std::string_view(text).substr(0, n));
    while (const auto sample = reader.next()) {
      EXPECT_FALSE(sample->name.empty());
      (void)sample->label("y");
    }
  }
}

}  // namespace
}  // namespace qlm::engines

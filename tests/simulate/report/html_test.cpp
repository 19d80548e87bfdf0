#include "simulate/report/html.hpp"

#include <gtest/gtest.h>

#include <cctype>

#include "sample_run.hpp"
#include "simulate/report/plot.hpp"

namespace qlm::report {
namespace {

using Runs = std::vector<Run>;  // inside a TEST, Run is a member of the fixture

// The page is written as XML, so that a reader this small can tell whether every element is closed.
std::string first_defect(std::string_view html) {
  std::vector<std::string> open;
  std::size_t at = html.find('>') + 1;  // past the doctype
  while ((at = html.find_first_of("<&", at)) != std::string_view::npos) {
    if (html[at] == '&') {
      const auto end = html.find(';', at);
      if (end == std::string_view::npos || end - at > 7) return "a bare & at " + std::string(html.substr(at, 20));
      at = end;
      continue;
    }
    const auto end = html.find('>', at);
    if (end == std::string_view::npos) return "an unfinished tag";
    const auto tag = html.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.ends_with('/')) continue;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return "closed without being open: " + std::string(tag);
      open.pop_back();
      continue;
    }
    const auto name = std::string(tag.substr(0, tag.find(' ')));
    if (name.empty() || !std::isalpha(static_cast<unsigned char>(name[0]))) return "a bare < at " + std::string(tag);
    if (name == "style") {
      at = html.find("</style>", at) + 8;
      continue;
    }
    open.push_back(name);
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

Run run_of(std::string label, std::size_t lost) {
  auto run = empty_run();
  run.label = std::move(label);
  for (int i = 0; i < 200; ++i) {
    run.requests.push_back(static_cast<std::size_t>(i) < lost ? without_answer(0, i * 1s, Outcome::refused, 429)
                                                              : completed(0, i * 1s, 10ms * (i + 1), 5s, 20));
    run.requests.back().prompt = Tokens{10};
    run.requests.back().asked = Tokens{20};
  }
  return run;
}

TEST(Html, IsWellFormedAndNeedsNothingElse) {
  for (const auto& runs : {Runs{}, Runs{run_of("fcfs", 0)}, Runs{run_of("fcfs", 20), run_of("edf", 0)}, Runs{empty_run()}}) {
    const auto html = to_html(runs, "A <title> & more");
    EXPECT_EQ(first_defect(html), "");
    for (const char* foreign : {"<script", "<link", "src=", "href=", "url(", "@import"}) {
      EXPECT_EQ(html.find(foreign), std::string::npos) << foreign;
    }
    for (const char* no_number : {"nan.", "-nan", ">nan", " nan", "\"nan", ">inf", " inf", "\"inf", "-inf"}) {
      EXPECT_EQ(html.find(no_number), std::string::npos) << no_number;
    }
  }
}

TEST(Html, EscapesEveryNameFromOutside) {
  auto run = run_of("<script>alert(1)</script>", 3);
  run.target = "\"><img>";
  for (auto& c : run.classes) c.name = "<b>" + c.name + "&";
  run.models = {"<i>m"};
  const auto html = to_html({run, run}, "<h1>&");
  EXPECT_EQ(first_defect(html), "");
  for (const char* hostile : {"<script", "<img", "<b>i", "<i>m"}) EXPECT_EQ(html.find(hostile), std::string::npos) << hostile;
  EXPECT_NE(html.find("&lt;script&gt;"), std::string::npos);
}

TEST(Html, ShowsWhatARunLoses) {
  const auto html = to_html({run_of("fcfs", 20), run_of("edf", 0)}, "t");
  EXPECT_NE(html.find("<td class=\"lose\">180 of 200</td><td class=\"best\">200 of 200</td>"), std::string::npos);
  EXPECT_NE(html.find(">none</text>"), std::string::npos) << "refused requests are drawn, too";
}

TEST(Html, SaysWhenRunsAreNotOfTheSameTrace) {
  auto other = run_of("edf", 0);
  EXPECT_EQ(to_html({run_of("fcfs", 0), other}, "t").find("did not replay the same trace"), std::string::npos);
  other.requests[7].asked = Tokens{21};
  EXPECT_NE(to_html({run_of("fcfs", 0), other}, "t").find("did not replay the same trace"), std::string::npos);
}

TEST(Plot, TheRangeHoldsEveryLatencyInWholeDecades) {
  const auto range = range_of({{{0, {{0s, 25ms}, {0s, std::nullopt}}, {}}}, {{1, {{0s, 42s}}, 2s}}});
  EXPECT_EQ(range.low, 10ms);
  EXPECT_EQ(range.high, 100s);
  const auto fast = range_of({{{0, {{0s, 2ms}, {1s, 3ms}}, {}}}});
  EXPECT_EQ(fast.low, 1ms);
  EXPECT_EQ(fast.high, 10ms);
}

TEST(Plot, ADistributionEndsAtTheShareThatWasAnswered) {
  const auto svg = distribution("c", {{0, {1s, 2s}, 4}}, 1s, {100ms, 10s});
  // 50 % of the way from y = 266 up to y = 34.
  EXPECT_NE(svg.find("V150.0H428.0\""), std::string::npos) << svg;
}

}  // namespace
}  // namespace qlm::report

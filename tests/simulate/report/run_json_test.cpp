#include "simulate/report/run_json.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "sample_run.hpp"
#include "simulate/report/escape.hpp"

namespace qlm::report {
namespace {

Run sample() {
  auto run = empty_run();
  run.label = "a \"label\"\n<b>";
  run.classes[1].name = "batch/~1";
  run.speed = 4;
  run.late_sends = 2;
  run.worst_lateness = 12345us;
  run.busy_share = 0.75;
  run.requests = {completed(0, 1234567us, 500ms, 1s, 11), without_answer(1, 2s, Outcome::refused, 429),
                  without_answer(2, 3s, Outcome::failed, 0)};
  run.requests[2].sent.reset();
  return run;
}

TEST(RunJson, IsReadAsItWasWritten) {
  EXPECT_EQ(parse_run(to_json(sample())).value(), sample());
  EXPECT_EQ(parse_run(to_json(empty_run())).value(), empty_run());
}

TEST(RunJson, GivesProgramsTheFigures) {
  simdjson::dom::parser parser;
  const auto json = to_json(sample());
  const simdjson::dom::element root = parser.parse(json);
  EXPECT_EQ(std::int64_t(root["offered"]), 3);
  EXPECT_EQ(std::int64_t(root["completed"]), 1);
  EXPECT_EQ(std::int64_t(root["refused"]), 1);
  EXPECT_EQ(std::int64_t(root["failed"]), 1);
  EXPECT_EQ(double(root["attainment"]), 0.5);
  EXPECT_EQ(double(root["classes"]["interactive"]["attainment"]), 1.0);
  EXPECT_EQ(double(root["classes"]["interactive"]["ttft_ms"]["p99"]), 500.0);
  EXPECT_TRUE(root["classes"]["other"]["attainment"].is_null());
  EXPECT_EQ(double(root["worst_class"]["attainment"]), 0.0);
}

TEST(RunJson, RefusesWhatIsNoRun) {
  const auto error_of = [](std::string_view json) {
    const auto run = parse_run(json);
    return run ? std::string("no error") : run.error().message;
  };
  EXPECT_TRUE(error_of("{").starts_with("not JSON"));
  EXPECT_EQ(error_of("[]"), "not the result of a run: expected \"format\":\"qlm-run/1\"");
  EXPECT_EQ(error_of(R"({"format":"qlm-run/1"})"), "'label' is missing or of another type");
  auto json = to_json(sample());
  const auto replace = [&](std::string_view from, std::string_view to) {
    auto copy = json;
    const auto at = copy.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return copy.replace(at, from.size(), to);
  };
  EXPECT_EQ(error_of(replace("\"outcome\":[0,1,2]", "\"outcome\":[0,1]")), "column 'outcome' has 2 values, not 3");
  EXPECT_EQ(error_of(replace("\"outcome\":[0,1,2]", "\"outcome\":[0,1,9]")), "a number is out of range");
  EXPECT_EQ(error_of(replace("\"class\":[0,1,2]", "\"class\":[0,1,3]")), "a number is out of range");
  EXPECT_EQ(error_of(replace("\"sent_ms\":[1234.567", "\"sent_ms\":[\"x\"")), "a time is no number");
}

TEST(RequestsCsv, HasOneLineForEachRequest) {
  EXPECT_EQ(requests_csv(sample()),
            "arrival_ms,class,model,outcome,status,lateness_ms,ttft_ms,tpot_ms,e2e_ms,prompt_tokens,output_tokens_asked,"
            "output_tokens,on_time\n"
            "1234.567,interactive,m,completed,200,0.000,500.000,50.000,1000.000,100,11,11,1\n"
            "2000.000,batch/~1,m,refused,429,0.000,,,,10,10,0,0\n"
            "3000.000,other,m,failed,0,,,,,10,10,0,\n");
}

TEST(Escape, MakesTextFromOutsideSafe) {
  EXPECT_EQ(html_escaped("<a href='x'>\"&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;");
  EXPECT_EQ(json_quoted("a\"\\\n"), R"("a\"\\\u000a")");
  EXPECT_EQ(html_escaped("d\xC3\xA9j\xC3\xA0"), "d\xC3\xA9j\xC3\xA0");
  EXPECT_EQ(json_quoted("\xC3"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(html_escaped("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate is no character
}

}  // namespace
}  // namespace qlm::report

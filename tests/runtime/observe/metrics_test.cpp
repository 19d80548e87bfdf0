#include "runtime/observe/metrics.hpp"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace qlm::observe {
namespace {

RequestRecord completed() {
  RequestRecord record;
  record.model = "mistral-7b";
  record.class_name = "interactive";
  record.tenant = "search-team";
  record.attempts = 1;
  record.wait = 50ms;
  record.ttft = 70ms;
  record.tpot = 30ms;
  record.e2e = 1s;
  record.prompt_tokens = Tokens{100};
  record.output_tokens = Tokens{20};
  record.outcome = Outcome::completed;
  return record;
}

// The samples by their name and labels; fails the test on anything that is no exposition of the text format: a
// sample before its TYPE, a family in two pieces, a sample twice, buckets that fall or disagree with their count.
std::map<std::string, double> samples(const std::string& text) {
  static const std::regex type_line(R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram))");
  static const std::regex help_line(R"(# HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*)");
  static const std::regex sample_line(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? ([0-9.e+-]+|\+Inf|NaN))");
  std::map<std::string, double> all;
  std::set<std::string> families;
  std::string family, kind;
  std::map<std::string, double> last_bucket;
  EXPECT_TRUE(text.ends_with('\n'));
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (std::regex_match(line, match, type_line)) {
      family = match[1];
      kind = match[2];
      EXPECT_TRUE(families.insert(family).second) << family << " in two pieces";
      EXPECT_EQ(kind == "counter", family.ends_with("_total")) << family;
    } else if (!std::regex_match(line, help_line)) {
      if (!std::regex_match(line, match, sample_line)) {
        ADD_FAILURE() << "no sample: " << line;
        continue;
      }
      const std::string name = match[1];
      const bool of_family = name == family || (kind == "histogram" && (name == family + "_bucket" || name == family + "_sum" ||
                                                                        name == family + "_count"));
      EXPECT_TRUE(of_family) << name << " under " << family;
      const std::string key = line.substr(0, line.rfind(' '));
      const double value = std::stod(match[5]);
      EXPECT_TRUE(all.emplace(key, value).second) << key << " twice";
      if (name.ends_with("_bucket")) {
        const std::string series = std::regex_replace(key, std::regex(R"(,?le="[^"]*")"), "");
        EXPECT_GE(value, last_bucket[series]) << key;
        last_bucket[series] = value;
      }
    }
  }
  for (const auto& [series, value] : last_bucket) {
    std::string count = std::regex_replace(series, std::regex("_bucket"), "_count");
    EXPECT_EQ(all[count], value) << count;
  }
  return all;
}

TEST(Metrics, AreAWellFormedExpositionFromTheStart) {
  const Metrics metrics("0.1.0");
  const auto all = samples(metrics.expose({}));
  EXPECT_EQ(all.at(R"(qlm_build_info{version="0.1.0"})"), 1);
}

TEST(Metrics, CountARequestOnceWithItsDurationsAndTokens) {
  Metrics metrics("0.1.0");
  metrics.request_finished(completed());
  const auto all = samples(metrics.expose({}));
  EXPECT_EQ(all.at(R"(qlm_requests_total{class="interactive",model="mistral-7b",outcome="completed"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_queue_wait_duration_seconds_sum{class="interactive",model="mistral-7b"})"), 0.05);
  EXPECT_EQ(all.at(R"(qlm_ttft_duration_seconds_bucket{class="interactive",model="mistral-7b",le="0.08"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_ttft_duration_seconds_bucket{class="interactive",model="mistral-7b",le="0.06"})"), 0);
  EXPECT_EQ(all.at(R"(qlm_tpot_duration_seconds_count{class="interactive",model="mistral-7b"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_e2e_duration_seconds_bucket{class="interactive",model="mistral-7b",le="1"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_tokens_total{class="interactive",direction="prompt",model="mistral-7b"})"), 100);
  EXPECT_EQ(all.at(R"(qlm_tenant_tokens_total{direction="output",tenant="search-team"})"), 20);
  EXPECT_FALSE(all.contains(R"(qlm_shed_total{reason="none"})"));
}

TEST(Metrics, JudgeEveryObjectiveOfWhatEnded) {
  Metrics metrics("0.1.0");
  RequestRecord record = completed();
  record.slo = Slo{.ttft = 70ms, .tpot = 29ms, .e2e = 2s};
  metrics.request_finished(record);
  const auto sample = [](const std::string& slo, const std::string& result) {
    return R"(qlm_slo_requests_total{class="interactive",model="mistral-7b",result=")" + result + R"(",slo=")" + slo + R"("})";
  };
  auto all = samples(metrics.expose({}));
  EXPECT_EQ(all.at(sample("ttft", "met")), 1);
  EXPECT_EQ(all.at(sample("tpot", "missed")), 1);
  EXPECT_EQ(all.at(sample("e2e", "met")), 1);

  record.outcome = Outcome::rejected;  // refused is missed, however quickly
  record.attempts = 0;
  record.ttft.reset();
  record.e2e = 1ms;
  metrics.request_finished(record);
  record.outcome = Outcome::cancelled;  // the client's own doing is no verdict
  metrics.request_finished(record);
  all = samples(metrics.expose({}));
  EXPECT_EQ(all.at(sample("ttft", "met")), 1);
  EXPECT_EQ(all.at(sample("ttft", "missed")), 1);
  EXPECT_EQ(all.at(sample("e2e", "missed")), 1);
}

TEST(Metrics, NameTheReasonOfWhatWasShed) {
  Metrics metrics("0.1.0");
  RequestRecord record;
  record.model = "mistral-7b";
  record.class_name = "standard";
  record.outcome = Outcome::rejected;
  record.reason = Reason::queue_full;
  record.prompt_tokens = Tokens{1000};
  metrics.request_finished(record);
  const auto all = samples(metrics.expose({}));
  EXPECT_EQ(all.at(R"(qlm_shed_total{reason="queue_full"})"), 1);
  // Nobody worked on it: neither its wait nor its tokens are part of what the fleet did.
  for (const auto& [key, value] : all) {
    EXPECT_FALSE(key.starts_with("qlm_tokens_total") || key.starts_with("qlm_queue_wait")) << key;
  }
}

TEST(Metrics, CompareWaitsWithWhatWasTold) {
  Metrics metrics("0.1.0");
  RequestRecord record = completed();
  record.estimate = WaitEstimate{100ms, 200ms, true};
  record.wait = 200ms;
  metrics.request_finished(record);
  record.wait = 201ms;
  metrics.request_finished(record);
  record.outcome = Outcome::expired;  // given up in the queue
  record.attempts = 0;
  record.estimate = WaitEstimate{40s, 80s, true};
  record.wait = 60s;
  metrics.request_finished(record);
  const auto all = samples(metrics.expose({}));
  EXPECT_EQ(all.at(R"(qlm_wait_estimate_bound_total{class="interactive",horizon="below 5s",result="within"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_wait_estimate_bound_total{class="interactive",horizon="below 5s",result="beyond"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_wait_estimate_bound_total{class="interactive",horizon="30s to 300s",result="beyond"})"), 1);
  EXPECT_EQ(all.at(R"(qlm_wait_estimate_ratio_bucket{class="interactive",le="2"})"), 1);
}

TEST(Metrics, NeverMakeALabelOfAModelNobodyServes) {
  Metrics metrics("0.1.0");
  RequestRecord record = completed();
  record.model = "x\"}\n evil 1";
  record.model_known = false;
  metrics.request_finished(record);
  const std::string text = metrics.expose({});
  EXPECT_EQ(text.find("evil"), std::string::npos);
  EXPECT_EQ(samples(text).at(R"(qlm_requests_total{class="interactive",model="unknown",outcome="completed"})"), 1);
}

TEST(Metrics, StayBoundedHoweverManyModelsThereAre) {
  Metrics metrics("0.1.0");
  RequestRecord record;
  record.class_name = "standard";
  for (std::size_t i = 0; i < Metrics::pairs_max + 50; ++i) {
    record.model = "model-" + std::to_string(i);
    metrics.request_finished(record);
  }
  record.model = "model-0";  // one that was there in time keeps its own line
  metrics.request_finished(record);
  const std::string text = metrics.expose({});
  const auto says = [&](const std::string& line) { return text.find("\n" + line + "\n") != std::string::npos; };
  EXPECT_TRUE(says(R"(qlm_requests_total{class="other",model="other",outcome="completed"} 50)"));
  EXPECT_TRUE(says(R"(qlm_requests_total{class="standard",model="model-0",outcome="completed"} 2)"));
  EXPECT_EQ(text.find("model-1049"), std::string::npos);
}

TEST(Metrics, ShowTheFleetAndTheQueueAsTheyAreNow) {
  Metrics metrics("0.1.0");
  Now now;
  now.queue.push_back({"mistral-7b", "batch", 7, Tokens{4200}});
  now.instances.push_back({.name = "chat\\\"a", .state = "ready", .up = true, .running = 3, .slots = 64, .busy = 90s, .stats_age = 500ms});
  now.instances.push_back({.name = "chat-b", .state = "cordoned", .stalled = true});
  auto all = samples(metrics.expose(now));
  EXPECT_EQ(all.at(R"(qlm_queue_requests{model="mistral-7b",class="batch"})"), 7);
  EXPECT_EQ(all.at(R"(qlm_queue_tokens{model="mistral-7b",class="batch"})"), 4200);
  EXPECT_EQ(all.at(R"(qlm_instance_slots{instance_name="chat\\\"a"})"), 64);
  EXPECT_EQ(all.at(R"(qlm_instance_busy_seconds_total{instance_name="chat\\\"a"})"), 90);
  EXPECT_EQ(all.at(R"(qlm_instance_state{instance_name="chat-b",state="cordoned"})"), 1);
  EXPECT_FALSE(all.contains(R"(qlm_instance_slots{instance_name="chat-b"})"));  // unknown is absent, not zero
  now.instances.clear();
  for (const auto& [key, value] : samples(metrics.expose(now))) EXPECT_FALSE(key.starts_with("qlm_instance")) << key;
}

TEST(Metrics, AFailedReloadKeepsTheTimeOfTheLastGoodOne) {
  Metrics metrics("0.1.0");
  metrics.config_reloaded(true, UnixTime{1000s});
  metrics.config_reloaded(false, UnixTime{2000s});
  const auto all = samples(metrics.expose({}));
  EXPECT_EQ(all.at("qlm_config_last_reload_successful"), 0);
  EXPECT_EQ(all.at("qlm_config_last_reload_timestamp_seconds"), 1000);
}

}  // namespace
}  // namespace qlm::observe

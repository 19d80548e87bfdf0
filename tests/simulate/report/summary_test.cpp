#include "simulate/report/summary.hpp"

#include <gtest/gtest.h>

#include "sample_run.hpp"
#include "simulate/report/text.hpp"

namespace qlm::report {
namespace {

TEST(Percentile, IsTheNearestRankAndAlwaysAMeasuredValue) {
  std::vector<Duration> hundred;
  for (int i = 1; i <= 100; ++i) hundred.push_back(i * 1ms);
  EXPECT_EQ(percentile(hundred, 0.5), 50ms);
  EXPECT_EQ(percentile(hundred, 0.9), 90ms);
  EXPECT_EQ(percentile(hundred, 0.99), 99ms);
  EXPECT_EQ(percentile(hundred, 1.0), 100ms);
  EXPECT_EQ(percentile({1s, 2s, 3s}, 0.5), 2s);
  EXPECT_EQ(percentile({1s, 2s}, 0.5), 1s);
  EXPECT_EQ(percentile({1s, 2s}, 0.99), 2s);
  EXPECT_EQ(percentile({7s}, 0.01), 7s);
}

TEST(Percentile, DoesNotNeedSortedInputAndOfNothingIsNothing) {
  EXPECT_EQ(percentiles({3s, 1s, 2s}).p50, 2s);
  EXPECT_FALSE(percentiles({}).p50);
  EXPECT_EQ(percentiles({}).count, 0U);
}

TEST(OnTime, NeedsEveryObjectiveMet) {
  const Slo slo{1s, 100ms, 10s};
  EXPECT_TRUE(on_time(completed(0, 5s, 1s, 2s, 11), slo));
  EXPECT_FALSE(on_time(completed(0, 5s, 1001ms, 2s, 11), slo));
  EXPECT_FALSE(on_time(completed(0, 5s, 1s, 2001ms, 11), slo));
  EXPECT_FALSE(on_time(completed(0, 5s, 1s, 10001ms, 1001), slo));
}

TEST(OnTime, AReplyOfOneTokenHasNoPace) {
  EXPECT_TRUE(on_time(completed(0, 0s, 1s, 1s, 1), Slo{1s, 1ms, {}}));
}

TEST(OnTime, IsNeverTrueWithoutAWholeAnswer) {
  for (const auto outcome : {Outcome::refused, Outcome::failed, Outcome::cut, Outcome::timed_out}) {
    auto r = completed(0, 0s, 1ms, 2ms, 5);
    r.outcome = outcome;
    EXPECT_FALSE(on_time(r, Slo{1s, {}, {}})) << name(outcome);
  }
}

TEST(Summary, CountsEveryOfferedRequestAndTakesRefusedOnesForMisses) {
  auto run = empty_run();
  run.requests = {completed(0, 0s, 500ms, 1s, 11), completed(0, 1s, 2s, 3s, 11), without_answer(0, 2s, Outcome::refused, 429),
                  without_answer(0, 3s, Outcome::timed_out, 0), completed(1, 0s, 5s, 50s, 100), completed(2, 0s, 1s, 90s, 4)};
  const auto s = summarize(run);
  EXPECT_EQ(s.all.offered, 6U);
  EXPECT_EQ(s.all.count(Outcome::completed), 4U);
  EXPECT_EQ(s.classes[0].offered, 4U);
  EXPECT_EQ(s.classes[0].count(Outcome::refused), 1U);
  EXPECT_EQ(s.classes[0].count(Outcome::timed_out), 1U);
  EXPECT_EQ(s.classes[0].on_time, 1U);
  EXPECT_DOUBLE_EQ(s.classes[0].attainment.value(), 0.25);
  EXPECT_DOUBLE_EQ(s.classes[1].attainment.value(), 1.0);
  EXPECT_FALSE(s.classes[2].attainment) << "a class without an SLO has no attainment";
  EXPECT_DOUBLE_EQ(s.all.attainment.value(), 2.0 / 5);
  EXPECT_EQ(s.worst_class, 0U);
}

TEST(Summary, RatesAreTakenFromFirstArrivalToLastCompletion) {
  auto run = empty_run();
  run.requests = {completed(0, 10s, 500ms, 1s, 11), completed(1, 12s, 1s, 98s, 200), without_answer(1, 500s, Outcome::cut, 200)};
  const auto s = summarize(run);
  EXPECT_EQ(s.span, 100s);
  EXPECT_DOUBLE_EQ(s.throughput_tokens, 2.11);
  EXPECT_DOUBLE_EQ(s.goodput_tokens, 0.11);
  EXPECT_DOUBLE_EQ(s.goodput_requests, 0.01);
}

TEST(Summary, LatencyCountsFromTheInstantARequestWasDue) {
  auto run = empty_run();
  auto late = completed(0, 10s, 500ms, 1s, 11);
  late.sent = 10s + 400ms;
  run.requests = {late};
  EXPECT_EQ(summarize(run).classes[0].ttft.p50, 500ms);
}

TEST(Summary, NoticesAnswersOfAnotherLength) {
  auto run = empty_run();
  run.requests = {completed(0, 0s, 1s, 2s, 11)};
  run.requests[0].received = Tokens{10};
  EXPECT_EQ(summarize(run).wrong_length, 1U);
}

TEST(Summary, OfNothingIsNothing) {
  const auto s = summarize(empty_run());
  EXPECT_EQ(s.all.offered, 0U);
  EXPECT_FALSE(s.all.attainment);
  EXPECT_FALSE(s.worst_class);
  EXPECT_EQ(s.throughput_tokens, 0);
}

TEST(Text, SharesAreNeverRoundedToAllOrNothing) {
  EXPECT_EQ(percent(1.0), "100.0 %");
  EXPECT_EQ(percent(0.99999), "99.9 %");
  EXPECT_EQ(percent(0.00001), "0.1 %");
  EXPECT_EQ(percent(0.0), "0.0 %");
  EXPECT_EQ(percent({}), "-");
}

TEST(Text, DurationsAreShortAndCarryTheirUnit) {
  EXPECT_EQ(readable(850us), "850 us");
  EXPECT_EQ(readable(Duration{4'240'000}), "4.2 ms");
  EXPECT_EQ(readable(41ms), "41 ms");
  EXPECT_EQ(readable(2350ms), "2.35 s");
  EXPECT_EQ(readable(245s), "4 m 05 s");
  EXPECT_EQ(readable(3720s), "1 h 02 m");
  EXPECT_EQ(readable(std::optional<Duration>{}), "-");
  EXPECT_EQ(thousands(1234567), "1,234,567");
  EXPECT_EQ(thousands(-123), "-123");
}

TEST(Text, TheTableHasALineForEachClassAndRun) {
  auto fcfs = empty_run(), edf = empty_run();
  edf.label = "edf";
  fcfs.requests = edf.requests = {completed(0, 0s, 500ms, 1s, 11), without_answer(1, 2s, Outcome::refused, 429)};
  const auto table = to_table({fcfs, edf});
  EXPECT_NE(table.find("interactive  fcfs        1     1        0       0  100.0 %"), std::string::npos) << table;
  EXPECT_NE(table.find("batch        edf         1     0        1       0    0.0 %"), std::string::npos) << table;
  EXPECT_NE(table.find("batch 0.0 %"), std::string::npos) << table;
}

}  // namespace
}  // namespace qlm::report

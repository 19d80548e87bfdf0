#include "simulate/fleet/fleet.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "../one_gpu.hpp"

namespace qlm::fleet {
namespace {

double on_time(const FleetResult& result) {
  const auto met = std::ranges::count_if(result.requests, [](const report::RequestRecord& r) {
    return r.outcome == report::Outcome::completed && *r.first_token - r.arrival <= objectives[r.slo_class];
  });
  return static_cast<double>(met) / static_cast<double>(result.requests.size());
}

TEST(Fleet, BelowCapacityEveryArrivalIsServedWholeAndOnTime) {
  const auto arrivals = w_a(25, 60s, 1);
  for (const Policy policy : all_policies) {
    const FleetResult result = simulate(one_a100(policy), arrivals);
    EXPECT_EQ(on_time(result), 1);
    for (std::size_t i = 0; i < arrivals.size(); ++i) ASSERT_EQ(result.requests[i].received, arrivals[i].output);
  }
}

TEST(Fleet, TheSameInputsGiveTheSameRunAndOthersAnother) {
  const FleetSpec spec = one_a100(Policy::qlm);
  EXPECT_EQ(simulate(spec, w_a(50, 60s, 1)).digest, simulate(spec, w_a(50, 60s, 1)).digest);
  EXPECT_NE(simulate(spec, w_a(50, 60s, 1)).digest, simulate(spec, w_a(50, 60s, 2)).digest);
}

TEST(Fleet, TheControllersInvariantsHoldAtEveryStepUnderEveryPolicy) {
  for (const Policy policy : all_policies) {
    FleetSpec spec = one_a100(policy);
    spec.instances.push_back(spec.instances.front());
    for (InstanceSpec& instance : spec.instances) instance.limits.max_num_seqs = 16;
    EXPECT_EQ(simulate(spec, w_a(40, 15s, 3), 1).broken_invariant, "");
  }
}

TEST(Fleet, AnEngineThatDoesNotTellItsSlotsIsFilledAllTheSame) {
  FleetSpec told = one_a100(Policy::fcfs), found = told;
  found.tells_slots = false;
  const auto arrivals = w_a(60, 60s, 4);
  const double difference = seconds(simulate(found, arrivals).ended) / seconds(simulate(told, arrivals).ended);
  EXPECT_LT(difference, 1.05);
}

TEST(Fleet, InOverloadChoosingWhomToGiveUpServesMostOnTimeAndPlainDeadlinesServeLeast) {
  const auto arrivals = w_a(60, 1200s, 5);
  const double edf = on_time(simulate(one_a100(Policy::edf), arrivals));
  const double expire = on_time(simulate(one_a100(Policy::edf_expire), arrivals));
  const double chosen = on_time(simulate(one_a100(Policy::qlm), arrivals));
  EXPECT_LT(edf + 0.1, expire);
  EXPECT_LT(expire, chosen);
}

// Outputs that all end at the max_tokens their clients state say nothing of how long they would have been otherwise; what
// they take of the engines they do say.
TEST(Fleet, ClientsThatStateTheirLengthsAreNotTakenForLongerOnes) {
  auto arrivals = w_a(54, 240s, 6);
  const double unknown = on_time(simulate(one_a100(Policy::qlm), arrivals));
  for (Arrival& each : arrivals) each.max_output = each.output;
  EXPECT_GT(on_time(simulate(one_a100(Policy::qlm), arrivals)), unknown - 0.005);
}

// -- what is told wrong, late or not at all, and engines that go away

FleetSpec two_small(Policy policy) {
  FleetSpec spec = one_a100(policy);
  spec.instances.push_back(spec.instances.front());
  for (InstanceSpec& instance : spec.instances) instance.limits.max_num_seqs = 32;
  return spec;
}

std::int64_t completed(const FleetResult& result) {
  return std::ranges::count(result.requests, report::Outcome::completed, &report::RequestRecord::outcome);
}

TEST(Disturbed, LengthsToldWrongAreDrawnOnceForEachRequestAndEnginesDoWhatTheyDid) {
  auto arrivals = w_a(30, 90s, 7);
  for (Arrival& each : arrivals) each.max_output = each.output;
  const auto run = [&](Disturbance::Factor counted, Disturbance::Factor stated, std::uint64_t seed) {
    FleetSpec spec = two_small(Policy::sjf);  // by expected work: what is stated of lengths decides
    spec.disturbance = {.counted = counted, .seed = seed};
    spec.disturbance.stated = stated;
    FleetResult result = simulate(spec, arrivals, 100);
    EXPECT_EQ(result.broken_invariant, "");
    EXPECT_EQ(completed(result), std::ssize(arrivals));
    for (std::size_t i = 0; i < arrivals.size(); ++i) EXPECT_EQ(result.requests[i].received, arrivals[i].output);
    return result.digest;
  };
  const std::uint64_t truth = run({}, {}, 1);
  EXPECT_EQ(run({}, {}, 2), truth) << "nothing is drawn where nothing is told wrong";
  const std::uint64_t counted = run({0.4, 1.6}, {}, 1);
  EXPECT_NE(counted, truth);
  EXPECT_EQ(run({0.4, 1.6}, {}, 1), counted);
  EXPECT_NE(run({0.4, 1.6}, {}, 2), counted);
  EXPECT_NE(run({}, {0.4, 1.6}, 1), truth);
}

TEST(Disturbed, ASpeedBelievedWrongMovesWhoIsThoughtLateAndIsLearnedAway) {
  const auto arrivals = w_a(60, 600s, 5);
  const auto run = [&](Policy policy, double believed) {
    FleetSpec spec = one_a100(policy);
    spec.disturbance.believed_speed = believed;
    return simulate(spec, arrivals);
  };
  const double known = on_time(run(Policy::qlm, 1));
  for (const double believed : {1.3, 0.7}) {
    EXPECT_NE(run(Policy::edf_expire, believed).digest, run(Policy::edf_expire, 1).digest);
    EXPECT_GT(on_time(run(Policy::qlm, believed)), known - 0.05);
  }
}

TEST(Disturbed, StatisticsHeardLateFindTheSameConcurrencyLater) {
  const auto arrivals = w_a(60, 60s, 4);
  const auto run = [&](Duration age) {
    FleetSpec spec = one_a100(Policy::fcfs);
    spec.tells_slots = false;
    spec.disturbance.stats_age = age;
    return simulate(spec, arrivals);
  };
  const FleetResult fresh = run(0s), stale = run(5s);
  EXPECT_NE(stale.digest, fresh.digest);
  EXPECT_EQ(completed(stale), std::ssize(arrivals));
  EXPECT_LT(seconds(stale.ended) / seconds(fresh.ended), 1.05);
  EXPECT_LT(stale.events, fresh.events) << "the last ones are on their way when all is served";
}

TEST(Disturbed, WhereEventsAreLostNoRequestIsAndSlotsComeBackByProbe) {
  const auto arrivals = w_a(12, 120s, 8);
  const auto run = [&](double lost) {
    FleetSpec spec = two_small(Policy::edf_expire);
    spec.disturbance = {.lost = lost, .seed = 3};
    return simulate(spec, arrivals, 50);
  };
  const FleetResult heard = run(0), some = run(0.1), none = run(1);
  for (const FleetResult* each : {&heard, &some, &none}) {
    EXPECT_EQ(each->broken_invariant, "");
    EXPECT_EQ(completed(*each), std::ssize(arrivals));
  }
  EXPECT_LT(some.events, heard.events);
  EXPECT_LT(none.events, some.events);
  // Slots that are never given back are asked for; were they not, 64 requests would be all that is served.
  EXPECT_GT(none.ended, heard.ended);
}

TEST(Disturbed, AnEngineThatIsAwayLosesWhatItHadBegunAndNothingElse) {
  const auto arrivals = w_a(14, 300s, 9);
  FleetSpec spec = two_small(Policy::edf_expire);
  spec.disturbance.outages = {{60s, 180s, 0}};
  const FleetResult result = simulate(spec, arrivals, 100);
  EXPECT_EQ(result.broken_invariant, "");
  std::int64_t lost = 0;
  for (const report::RequestRecord& r : result.requests) {
    if (r.outcome == report::Outcome::completed) continue;
    EXPECT_EQ(r.outcome, report::Outcome::failed);
    EXPECT_TRUE(r.first_token && *r.first_token <= 60s && r.ended == 60s);
    ++lost;
  }
  EXPECT_GT(lost, 0);
  EXPECT_LE(lost, 32);
  EXPECT_EQ(completed(result) + lost, std::ssize(arrivals));
  // Both work before it and after it; one alone would need longer.
  spec.disturbance.outages = {{60s, 10'000s, 0}};
  EXPECT_LT(result.ended, simulate(spec, arrivals).ended - 10s);
}

TEST(Disturbed, ASwapOfAnEngineThatIsAwayFailsAndIsMadeLater) {
  FleetSpec spec = one_a100(Policy::qlm);
  auto configuration = std::make_shared<ControllerConfiguration>(*spec.configuration);
  configuration->models = {"a", "b"};
  spec.configuration = configuration;
  InstanceSpec& instance = spec.instances.front();
  for (std::uint32_t m = 0; m < 2; ++m) instance.holds.push_back({ModelId{m}, instance.step, instance.limits, 2s, 1s});
  auto arrivals = w_a(10, 120s, 3);
  for (std::size_t i = 0; i < arrivals.size(); ++i) arrivals[i].model = ModelId{static_cast<std::uint32_t>(i % 2)};
  spec.disturbance.outages = {{40s, 43s, 0}};
  const FleetResult result = simulate(spec, arrivals, 1);
  EXPECT_EQ(result.broken_invariant, "");
  EXPECT_GT(result.swaps, 2);
  for (const report::RequestRecord& r : result.requests) {
    EXPECT_TRUE(r.outcome == report::Outcome::completed || (r.ended >= 40s && r.ended <= 43s));  // cut off
  }
}

}  // namespace
}  // namespace qlm::fleet

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

}  // namespace
}  // namespace qlm::fleet

#include "simulate/fleet/fleet.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "core/enginemodel/profiles.hpp"
#include "simulate/workload/recipe.hpp"

namespace qlm::fleet {
namespace {

constexpr std::array objectives = {20s, 60s, 600s};  // TTFT of the three classes

FleetSpec one_a100(Policy policy) {
  const EngineProfile profile = *find_profile("a100-80/mistral-7b@2026");
  auto configuration = std::make_shared<ControllerConfiguration>();
  configuration->policy = policy;
  configuration->models = {"m"};
  configuration->tenants.resize(1);
  configuration->limits.requests = 1 << 30;
  for (const auto ttft : objectives) {
    ServiceClass made;
    made.slo.ttft = ttft;
    made.max_wait = 24h;
    configuration->classes.push_back(made);
  }
  FleetSpec spec;
  spec.configuration = configuration;
  spec.instances = {{"gpu", profile.step, limits_of(profile), {ModelId{0}}}};
  return spec;
}

// Three classes, a third each, Poisson; this GPU serves about 36 of them a second.
std::vector<Arrival> w_a(double per_second, Duration length, std::uint64_t seed) {
  std::vector<Arrival> arrivals;
  for (const auto& request : workload::generate(*workload::recipe("w_a", {{{"m", 1}}, per_second, 0}), length, seed)) {
    Arrival arrival;
    arrival.at = request.arrival;
    arrival.prompt = request.prompt;
    arrival.output = request.output;
    arrival.service_class = ClassId{request.slo_class == "interactive" ? 0U : request.slo_class == "batch-1" ? 1U : 2U};
    arrivals.push_back(arrival);
  }
  return arrivals;
}

double on_time(const FleetResult& result) {
  const auto met = std::ranges::count_if(result.requests, [](const report::RequestRecord& r) {
    return r.outcome == report::Outcome::completed && *r.first_token - r.arrival <= objectives[r.slo_class];
  });
  return static_cast<double>(met) / static_cast<double>(result.requests.size());
}

TEST(Fleet, BelowCapacityEveryArrivalIsServedWholeAndOnTime) {
  const auto arrivals = w_a(25, 60s, 1);
  for (const Policy policy : {Policy::fcfs, Policy::edf, Policy::edf_expire, Policy::sjf, Policy::qlm}) {
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
  for (const Policy policy : {Policy::fcfs, Policy::priority, Policy::edf, Policy::edf_expire, Policy::sjf, Policy::qlm}) {
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

}  // namespace
}  // namespace qlm::fleet

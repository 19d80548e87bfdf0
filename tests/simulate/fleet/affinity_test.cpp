// What prefix affinity and the choice among unlike instances are worth: the production controller on a virtual clock.
#include <gtest/gtest.h>

#include <algorithm>

#include "../one_gpu.hpp"

namespace qlm::fleet {
namespace {

std::vector<Arrival> sessions(double per_second, Duration length, std::uint64_t seed) {
  std::vector<Arrival> arrivals;
  for (const auto& request : workload::generate(*workload::recipe("sessions", {{{"m", 1}}, per_second, 0}), length, seed)) {
    Arrival arrival;
    arrival.at = request.arrival;
    arrival.prompt = request.prompt;
    arrival.output = request.output;
    arrival.prefix = request.prefix;
    arrival.service_class = ClassId{request.slo_class == "interactive" ? 0U : request.slo_class == "batch-1" ? 1U : 2U};
    arrivals.push_back(std::move(arrival));
  }
  return arrivals;
}

FleetSpec caching_gpus(std::size_t count, std::vector<Component> without = {}) {
  FleetSpec spec = one_a100(Policy::qlm);
  spec.instances[0].limits.prefix_cache = true;
  spec.instances.resize(count, spec.instances[0]);
  auto configuration = std::make_shared<ControllerConfiguration>(*spec.configuration);
  configuration->without = std::move(without);
  spec.configuration = configuration;
  return spec;
}

double on_time(const FleetResult& result) {
  const auto met = std::ranges::count_if(result.requests, [](const report::RequestRecord& r) {
    return r.outcome == report::Outcome::completed && *r.first_token - r.arrival <= objectives[r.slo_class];
  });
  return static_cast<double>(met) / static_cast<double>(result.requests.size());
}

double cached_share(const FleetResult& result) {
  return static_cast<double>(result.cached.count) / static_cast<double>((result.cached + result.prefilled).count);
}

TEST(Affinity, ConversationsReturnToWhereTheyAreCachedAndAboveCapacityThatHarmsNobody) {
  for (const double per_second : {40.0, 130.0}) {
    const auto arrivals = sessions(per_second, 400s, 1);
    const FleetResult with = simulate(caching_gpus(4), arrivals), without = simulate(caching_gpus(4, {Component::affinity}), arrivals);
    // Above it turns of one conversation wait beside each other, and find each other cached wherever they go.
    if (per_second < 50) {
      EXPECT_GT(cached_share(with), cached_share(without) + 0.1);
    }
    EXPECT_GE(on_time(with), on_time(without)) << per_second;
    // What was expected is what was found, within a quarter.
    EXPECT_NEAR(static_cast<double>(with.expected_cached.count) / static_cast<double>(with.cached.count), 1, 0.25);
  }
}

TEST(Affinity, WithoutACacheNothingIsLostByLookingForOne) {
  const auto arrivals = sessions(60, 300s, 2);
  FleetSpec with = caching_gpus(4), without = caching_gpus(4, {Component::affinity});
  for (FleetSpec* spec : {&with, &without}) {
    for (InstanceSpec& i : spec->instances) i.limits.prefix_cache = false;
  }
  EXPECT_GE(on_time(simulate(with, arrivals)), on_time(simulate(without, arrivals)) - 0.002);
}

TEST(Affinity, TheControllersInvariantsHoldAtEveryStep) {
  FleetSpec spec = caching_gpus(3);
  for (InstanceSpec& i : spec.instances) i.limits.max_num_seqs = 16;
  EXPECT_EQ(simulate(spec, sessions(30, 60s, 3), 1).broken_invariant, "");
}

// An A100 and an A10: who has a TPOT that only the A100 keeps finds it free, for the others need it less.
TEST(UnlikeInstances, TheFastOneIsLeftToThoseWhoNeedIt) {
  FleetSpec spec = one_a100(Policy::qlm);
  const EngineProfile a10 = *find_profile("a10-24/mistral-7b@2024");
  spec.instances = {{"a10", a10.step, limits_of(a10), {ModelId{0}}}, spec.instances[0]};
  auto configuration = std::make_shared<ControllerConfiguration>(*spec.configuration);
  configuration->classes[0].slo.tpot = 30ms;
  spec.configuration = configuration;
  const auto arrivals = w_a(10, 300s, 4);
  const FleetResult result = simulate(spec, arrivals);
  std::int64_t urgent = 0, kept = 0;
  for (const report::RequestRecord& r : result.requests) {
    if (r.slo_class != 0 || r.received.count < 2) continue;
    ++urgent;
    kept += (*r.last_token - *r.first_token) / (r.received.count - 1) <= 30ms ? 1 : 0;
  }
  EXPECT_GE(static_cast<double>(kept), 0.99 * static_cast<double>(urgent));
}

}  // namespace
}  // namespace qlm::fleet

// The bounds beside what policies reach in the simulator.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "core/enginemodel/profiles.hpp"
#include "simulate/bounds/ceiling.hpp"
#include "simulate/fleet/fleet.hpp"
#include "simulate/workload/recipe.hpp"

namespace qlm::bounds {
namespace {

constexpr std::array objectives = {20s, 60s, 600s};  // TTFT of the three classes
constexpr Duration pace = 200ms;

struct Load {
  const char* profile;
  double per_second;
};

std::vector<fleet::Arrival> w_a(double per_second, Duration length) {
  std::vector<fleet::Arrival> arrivals;
  for (const auto& request : workload::generate(*workload::recipe("w_a", {{{"m", 1}}, per_second, 0}), length, 1)) {
    fleet::Arrival arrival;
    arrival.at = request.arrival;
    arrival.prompt = request.prompt;
    arrival.output = request.output;
    arrival.service_class = ClassId{request.slo_class == "interactive" ? 0U : request.slo_class == "batch-1" ? 1U : 2U};
    arrivals.push_back(arrival);
  }
  return arrivals;
}

double share_on_time(const EngineProfile& profile, Policy policy, const std::vector<fleet::Arrival>& arrivals) {
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
  fleet::FleetSpec spec;
  spec.configuration = configuration;
  spec.instances = {{"gpu", profile.step, limits_of(profile), {ModelId{0}}}};
  const fleet::FleetResult result = fleet::simulate(spec, arrivals);
  const auto met = std::ranges::count_if(result.requests, [](const report::RequestRecord& r) {
    if (r.outcome != report::Outcome::completed || *r.first_token - r.arrival > objectives[r.slo_class]) return false;
    return *r.last_token - *r.first_token <= pace * (r.received.count - 1);
  });
  return static_cast<double>(met) / static_cast<double>(result.requests.size());
}

TEST(BoundsAndPolicies, NoPolicyPassesThemInOverloadAndTheBestComesNear) {
  std::vector<workload::Lengths> pairs;
  Prng prng(2);
  const auto table = *workload::LengthDistribution::parse("sharegpt");
  for (int i = 0; i < 20'000; ++i) pairs.push_back(table.sample(prng));
  const OutputLengths lengths(pairs);
  for (const Load& load : {Load{"a100-80/mistral-7b@2026", 110}, Load{"a100-80/vicuna-13b@2024", 33}}) {
    const EngineProfile profile = *find_profile(load.profile);
    const EngineSpec engine{profile.step, limits_of(profile)};
    const auto arrivals = w_a(load.per_second, 240s);
    std::vector<Request> requests;
    for (const fleet::Arrival& a : arrivals) {
      requests.push_back(
          {a.at, ModelId{0}, a.prompt, a.output, {.ttft = objectives[a.service_class.index()], .tpot = pace}});
    }
    const double bound_of_all = bound(requests, std::vector<InstanceKind>{{1, {engine}}});
    const double ceiling_of_all = ceiling(requests, lengths, engine);
    EXPECT_LT(bound_of_all, 1) << load.profile;
    EXPECT_LT(ceiling_of_all, bound_of_all) << load.profile;  // lengths unseen cost something
    double best = 0;
    for (const Policy policy : {Policy::fcfs, Policy::edf_expire, Policy::qlm}) {
      best = std::max(best, share_on_time(profile, policy, arrivals));
    }
    EXPECT_LE(best, ceiling_of_all) << load.profile;
    EXPECT_GT(best, ceiling_of_all - 0.2) << load.profile;
  }
}

}  // namespace
}  // namespace qlm::bounds

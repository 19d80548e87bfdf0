// The bounds beside what policies reach in the simulator.
#include <gtest/gtest.h>

#include <algorithm>

#include "../one_gpu.hpp"
#include "simulate/bounds/ceiling.hpp"

namespace qlm::bounds {
namespace {

using fleet::objectives;
constexpr Duration pace = 200ms;

struct Load {
  const char* profile;
  double per_second;
};

double share_on_time(const EngineProfile& profile, Policy policy, const std::vector<fleet::Arrival>& arrivals) {
  const fleet::FleetResult result = fleet::simulate(fleet::one_gpu(profile, policy), arrivals);
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
    const auto arrivals = fleet::w_a(load.per_second, 240s, 1);
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

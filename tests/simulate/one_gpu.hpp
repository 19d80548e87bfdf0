// One GPU that serves one model to three classes under W_A: what the tests of fleets and of bounds have in common.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/enginemodel/profiles.hpp"
#include "simulate/fleet/fleet.hpp"
#include "simulate/workload/recipe.hpp"

namespace qlm::fleet {

inline constexpr std::array objectives = {20s, 60s, 600s};  // TTFT of the three classes

inline FleetSpec one_gpu(const EngineProfile& profile, Policy policy) {
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

inline FleetSpec one_a100(Policy policy) { return one_gpu(*find_profile("a100-80/mistral-7b@2026"), policy); }
inline constexpr double a100_capacity = 36;  // of W_A's requests a second, about

// Three classes, a third each, Poisson.
inline std::vector<Arrival> w_a(double per_second, Duration length, std::uint64_t seed) {
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

}  // namespace qlm::fleet

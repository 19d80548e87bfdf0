#include "app/gateway/priors.hpp"

#include <algorithm>

#include "core/enginemodel/profiles.hpp"

namespace qlm::gateway {
namespace {

// A prompt's token is computed beside hundreds of others; an output's token needs a step of its own.
constexpr double prefill_speedup = 10;

}  // namespace

std::optional<StepTimeModel> speed_of(const config::Prior& prior) {
  if (!prior.profile.empty()) {
    if (const auto profile = find_profile(prior.profile)) return profile->step;
    return std::nullopt;
  }
  if (!prior.token_throughput) return std::nullopt;
  const double ms = 1000 / std::max(1e-6, prior.token_throughput->per_second());
  return StepTimeModel{.kind = StepTimeModel::Kind::linear, .per_prefill_token_ms = ms / prefill_speedup, .per_sequence_ms = ms};
}

void check_live(const config::Configuration& configuration, const config::Complain& complain) {
  for (const config::Model& model : configuration.models) {
    if (model.prior.profile.empty()) continue;
    const auto profile = find_profile(model.prior.profile);
    if (!profile) complain("models." + model.name + ".prior.profile", profile.error().message);
  }
  if (configuration.pools.empty()) return;
  complain("pools", "no engine is told to swap models yet; pools are for `qlm sim --trace FILE --config FILE`. To serve, give each engine "
                    "that runs an entry of `instances`");
}

}  // namespace qlm::gateway

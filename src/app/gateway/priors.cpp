#include "app/gateway/priors.hpp"

#include <algorithm>
#include <utility>

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

config::Loaded with_known_profiles(config::Loaded loaded, const std::string& file) {
  if (!loaded) return loaded;
  std::vector<config::Problem> problems;
  for (const config::Model& model : loaded->models) {
    if (model.prior.profile.empty()) continue;
    if (const auto profile = find_profile(model.prior.profile); !profile) {
      problems.push_back({file, 0, 0, "models." + model.name + ".prior.profile", profile.error().message});
    }
  }
  if (problems.empty()) return loaded;
  return std::unexpected(std::move(problems));
}

}  // namespace qlm::gateway

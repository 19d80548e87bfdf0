#include "app/gateway/priors.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/enginemodel/profiles.hpp"
#include "protocol/engines/launch.hpp"

namespace qlm::gateway {
namespace {

// A prompt's token is computed beside hundreds of others; an output's token needs a step of its own.
constexpr double prefill_speedup = 10;
// Of an engine that nobody has seen come or go. The first time it does tells.
constexpr Duration guessed_start = 30s;
constexpr Duration guessed_stop = 2s;

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

SwapTimes swap_prior(const config::PoolModel& model, const config::Pool& pool, const std::string& otherwise) {
  SwapTimes prior{guessed_start, guessed_stop};
  if (const auto profile = find_profile(model.profile.empty() ? otherwise : model.profile); profile && pool.swap) {
    if (const auto by_preset = swap_times(*pool.swap, profile->model)) prior = *by_preset;
  }
  return {model.bring_in.value_or(prior.bring_in), model.put_away.value_or(prior.put_away)};
}

void check_live(const config::Configuration& configuration, const config::Complain& complain) {
  for (const config::Model& model : configuration.models) {
    if (model.prior.profile.empty()) continue;
    const auto profile = find_profile(model.prior.profile);
    if (!profile) complain("models." + model.name + ".prior.profile", profile.error().message);
  }
  for (std::size_t i = 0; i < configuration.pools.size(); ++i) {
    const config::Pool& pool = configuration.pools[i];
    for (std::size_t other = 0; other < i; ++other) {
      for (const std::string& gpu : pool.gpus) {
        if (std::ranges::find(configuration.pools[other].gpus, gpu) == configuration.pools[other].gpus.end()) continue;
        complain(fmt::format("pools[{}].gpus", i), fmt::format("GPU {} is one of pools[{}] too: its engines would share it; give one pool both pools' models", gpu, other));
      }
    }
    for (const config::PoolModel& model : pool.models) {
      const std::string at = fmt::format("pools[{}].models.{}", i, model.name);
      if (!model.profile.empty()) {
        if (const auto profile = find_profile(model.profile); !profile) complain(at + ".prior.profile", profile.error().message);
      }
      if (model.command.empty()) {
        complain(at, "has no command, so its engine cannot be started; without one a pool is for `qlm sim --trace FILE --config FILE` only");
      } else if (const auto launch = engines::launch(model.command, {.port = 1, .model = model.name, .gpu = "0"}); !launch) {
        complain(at + ".command", launch.error().message);
      } else if (pool.host_memory && launch->sleeps && !model.memory) {
        complain(at, "may sleep, in the pool's host_memory, and does not say how much of it it takes: give it `memory`, the size of its weights");
      }
    }
  }
}

}  // namespace qlm::gateway

// What the configuration says of a model's speed before anything was measured, as the controller understands it.
#pragma once

#include <optional>

#include "core/domain/step_time.hpp"
#include "core/enginemodel/swap_times.hpp"
#include "runtime/config/configuration.hpp"

namespace qlm::gateway {

// Of an engine at work: a named profile's step times, or a straight line through a stated token throughput. Nothing where
// the file says nothing.
std::optional<StepTimeModel> speed_of(const config::Prior& prior);

// How long a pool's model takes to come and go, before it was seen to: as the file says, by the pool's preset and the
// weights of its profile (`otherwise` where it names none itself), or a guess.
SwapTimes swap_prior(const config::PoolModel& model, const config::Pool& pool, const std::string& otherwise);

// What the file may say and nobody can serve, found where its other mistakes are: a profile that is not there, pools.
void check_live(const config::Configuration& configuration, const config::Complain& complain);

}  // namespace qlm::gateway

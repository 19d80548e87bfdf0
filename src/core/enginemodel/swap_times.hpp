// How long a model takes to come to a GPU and to leave it, by presets: from the size of its weights and the speed of the
// way they come. What is learned of a fleet takes over from there.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "core/domain/swap_preset.hpp"

namespace qlm {

struct SwapTimes {
  Duration bring_in{}, put_away{};
};

inline constexpr Duration engine_start = 18s;  // of what `nvme` takes: the process, before it reads weights

// warm: over a link of 21 GB/s from the host's memory, and 0.3 s to wake; back the same way. nvme: 3.4 GB/s and the
// engine's start; nothing to put away. cold2024: 80 s, whatever the model. `model` as profiles name it; the error
// names one whose weights are not known here, such as those spread over several GPUs.
Result<SwapTimes> swap_times(SwapPreset preset, std::string_view model);

}  // namespace qlm

// How long models take to come and go, before any was seen to: core/enginemodel/swap_times.hpp has the figures.
#pragma once

#include <cstdint>

namespace qlm {

// From the host's memory and back; from a fast disk, the engine started anew; or as the paper's own stack did it in 2024.
enum class SwapPreset : std::uint8_t { warm, nvme, cold2024 };

}  // namespace qlm

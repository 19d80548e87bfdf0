#include "core/enginemodel/swap_times.hpp"

#include <optional>
#include <string>

namespace qlm {
namespace {

constexpr double link_gb_a_second = 21, disk_gb_a_second = 3.4;

// Gigabytes in bf16.
std::optional<double> weights_gb(std::string_view model) {
  if (model == "vicuna-13b") return 26.0;
  if (model.starts_with("llama-3.1-8b")) return 16.1;
  if (model == "mistral-7b") return 14.5;
  if (model == "llama-2-7b") return 13.5;
  return std::nullopt;
}

}  // namespace

Result<SwapTimes> swap_times(SwapPreset preset, std::string_view model) {
  if (preset == SwapPreset::cold2024) return SwapTimes{80s, {}};
  const auto gb = weights_gb(model);
  if (!gb) return fail("no preset knows how long " + std::string(model) + " takes to be brought in");
  if (preset == SwapPreset::nvme) return SwapTimes{duration_from_seconds(*gb / disk_gb_a_second + seconds(engine_start)), {}};
  return SwapTimes{duration_from_seconds(*gb / link_gb_a_second + 0.3), duration_from_seconds(*gb / link_gb_a_second)};
}

}  // namespace qlm

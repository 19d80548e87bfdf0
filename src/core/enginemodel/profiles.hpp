// Named engine profiles: what a model on a GPU was measured or composed to do. A name is gpu/model@era; the
// era is part of it because the same GPU serves 1.2 to 2 times faster under an engine of 2026 than under one
// of 2024.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "core/domain/step_time.hpp"

namespace qlm {

struct EngineProfile {
  std::string_view gpu;    // "a100-80"; "4xa100-80" is one instance over four of them
  std::string_view model;  // "mistral-7b"
  int era = 2026;          // the year of the engine whose step times these are
  // Where the figures come from: measured (fitted to timed steps), composed (summed from timed kernels),
  // scaled (another row times a stated ratio).
  std::string_view origin;
  StepTimeModel step;
  Tokens kv_tokens{0};  // KV cache, at 90 % GPU memory utilisation
  Tokens max_model_len{0};
  std::int64_t max_num_seqs = 256;
  Tokens max_num_batched_tokens{2048};

  std::string name() const;
};

std::span<const EngineProfile> builtin_profiles();

// The newest era of that pair, unless the model carries one ("mistral-7b@2024").
Result<EngineProfile> find_profile(std::string_view gpu, std::string_view model);
// By its name, era optional: "a100-80/mistral-7b", "a100-80/mistral-7b@2024". The error lists the nearest
// names.
Result<EngineProfile> find_profile(std::string_view name);

}  // namespace qlm

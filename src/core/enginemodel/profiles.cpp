#include "core/enginemodel/profiles.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace qlm {
namespace {

using Kind = StepTimeModel::Kind;

constexpr StepTimeModel knee(double base, double per_token, double tokens, double per_sequence,
                             double per_context, double per_attention) {
  return {Kind::knee, base, 0, per_token, tokens, per_sequence, per_context, per_attention};
}
constexpr StepTimeModel linear(double base, double per_prefill, double per_sequence, double per_context,
                               double per_attention) {
  return {Kind::linear, base, 0, per_prefill, 0, per_sequence, per_context, per_attention};
}
constexpr StepTimeModel separate(double prefill_base, double per_prefill, double per_attention,
                                 double decode_base, double per_sequence, double per_context) {
  return {Kind::separate, prefill_base, decode_base,  per_prefill, 0,
          per_sequence,   per_context,  per_attention};
}

constexpr Tokens mistral{32'768}, llama2{4'096}, llama31{131'072};
constexpr std::string_view composed = "composed from kernel timings", measured = "measured step times",
                           end_to_end = "measured end to end", scaled = "scaled from a10-24/llama-2-7b@2024",
                           scaled_a100 = "scaled from a100-80/llama-2-7b@2024";

// Where they come from: composed rows sum kernel timings of NVIDIA's aiconfigurator (vLLM 0.14); measured
// steps are those of the Aegaeon artifact (vLLM 0.4 to 0.6, eager; Mistral-7B by its twin in shape
// InternLM2.5-7B); end-to-end rows are Splitwise's; rtxpro6000 is LLMServingSim's (vLLM 0.19). All fitted by
// us, least squares on relative error.
constexpr EngineProfile profiles[] = {
    {"a10-24", "llama-2-7b", 2024, measured, separate(20.54, 0.194, 2.106e-5, 31.8, 0.2465, 9.188e-4),
     Tokens{12'683}, llama2},
    {"a10-24", "llama-3.1-8b", 2024, scaled, separate(20.54, 0.2311, 2.106e-5, 37.89, 0.2465, 2.297e-4),
     Tokens{31'051}, llama31},
    {"a10-24", "mistral-7b", 2024, scaled, separate(20.54, 0.2084, 2.106e-5, 34.16, 0.2465, 2.297e-4),
     Tokens{43'106}, mistral},
    {"a100-80", "llama-2-7b", 2024, measured, separate(8.65, 0.06714, 1.464e-6, 11.74, 0.1601, 3.41e-4),
     Tokens{117'912}, llama2},
    {"a100-80", "llama-2-7b", 2026, composed, knee(6.52, 0.05073, 90, 0.01736, 3.366e-4, 2.869e-6),
     Tokens{117'912}, llama2},
    {"a100-80", "llama-3.1-8b", 2026, composed, knee(7.989, 0.05271, 70, 0.00353, 7.798e-5, 2.791e-6),
     Tokens{451'965}, llama31},
    {"a100-80", "llama-3.1-8b", 2024, scaled_a100, separate(8.65, 0.07996, 1.464e-6, 13.98, 0.1601, 8.525e-5),
     Tokens{451'965}, llama31},
    {"a100-80", "mistral-7b", 2024, measured, separate(9.316, 0.06109, 9.882e-7, 12.61, 0.1226, 2.744e-4),
     Tokens{464'019}, mistral},
    {"a100-80", "mistral-7b", 2026, composed, knee(7.537, 0.05264, 70, 0.002957, 7.803e-5, 2.791e-6),
     Tokens{464'019}, mistral},
    {"a100-80", "vicuna-13b", 2024, measured, separate(15.19, 0.1188, 0, 20.19, 0.208, 2.758e-4),
     Tokens{60'131}, llama2},
    {"a100-80", "vicuna-13b", 2026, composed, knee(12.98, 0.09163, 80, 0.03344, 5.371e-4, 4.454e-6),
     Tokens{60'131}, llama2},
    {"4xa100-80", "llama-2-70b", 2023, end_to_end, separate(22.91, 0.2136, 1.076e-5, 43.52, 0.2079, 3.176e-4),
     Tokens{498'168}, llama2},
    {"4xa100-80", "llama-3.1-70b", 2026, composed, knee(22.27, 0.1689, 50, 0.008152, 6.028e-5, 3.473e-6),
     Tokens{488'586}, llama31},
    {"h100-80", "llama-3.1-8b", 2026, composed, knee(2.822, 0.01898, 200, 0.006219, 4.044e-5, 7.628e-7),
     Tokens{451'278}, llama31, 1024, Tokens{8'192}},
    {"h100-80", "mistral-7b", 2026, composed, knee(2.535, 0.01894, 200, 0.006329, 4.043e-5, 7.628e-7),
     Tokens{463'333}, mistral, 1024, Tokens{8'192}},
    {"h100-80", "vicuna-13b", 2024, measured, separate(9.441, 0.03754, 5.153e-7, 12.51, 0.09945, 2.179e-4),
     Tokens{60'021}, llama2},
    {"h100-80", "vicuna-13b", 2026, composed, knee(1.186, 0.03556, 260, 0.03183, 2.445e-4, 1.305e-6),
     Tokens{60'021}, llama2, 1024, Tokens{8'192}},
    {"4xh100-80", "llama-3.1-70b", 2026, composed, knee(10.69, 0.07453, 90, 0, 2.635e-5, 9.231e-7),
     Tokens{487'487}, llama31, 1024, Tokens{8'192}},
    {"rtxpro6000-96", "llama-3.1-8b", 2026, composed, knee(8.641, 0.03285, 90, 0.009164, 1.025e-4, 2.557e-6),
     Tokens{568'695}, llama31},
    {"rtxpro6000-96", "llama-3.1-8b-linear", 2026, composed,
     linear(10.47, 0.03048, 0.0255, 1.032e-4, 2.621e-6), Tokens{568'695}, llama31},
};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replace}));
    }
  }
  return row.back();
}

std::string nearest_names(std::string_view wanted) {
  std::vector<std::pair<std::size_t, std::string>> ranked;
  for (const auto& profile : profiles) {
    const std::string full = profile.name();
    const std::string_view without_era = std::string_view(full).substr(0, full.find('@'));
    ranked.emplace_back(std::min(edit_distance(wanted, full), edit_distance(wanted, without_era)), full);
  }
  std::ranges::stable_sort(ranked);
  std::string list;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, ranked.size()); ++i) {
    list += (i == 0 ? "" : ", ") + ranked[i].second;
  }
  return list;
}

}  // namespace

std::string EngineProfile::name() const {
  return std::string(gpu) + "/" + std::string(model) + "@" + std::to_string(era);
}

std::span<const EngineProfile> builtin_profiles() { return profiles; }

Result<EngineProfile> find_profile(std::string_view name) {
  const std::size_t at = name.find('@');
  const std::string_view pair = name.substr(0, at);
  const EngineProfile* found = nullptr;
  for (const auto& profile : profiles) {
    const std::string full = profile.name();
    const bool matches =
        at == name.npos ? std::string_view(full).substr(0, full.find('@')) == pair : full == name;
    if (matches && (found == nullptr || profile.era > found->era)) found = &profile;
  }
  if (found == nullptr) {
    return fail("no engine profile \"" + std::string(name) + "\"; the nearest are " + nearest_names(name));
  }
  return *found;
}

Result<EngineProfile> find_profile(std::string_view gpu, std::string_view model) {
  return find_profile(std::string(gpu) + "/" + std::string(model));
}

}  // namespace qlm

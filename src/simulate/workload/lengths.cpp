#include "simulate/workload/lengths.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace qlm::workload {
namespace {

// The quantile function between its knots, linear.
template <std::size_t n>
Tokens quantile(const std::array<double, n>& knots, const std::array<int, n>& values, double p) {
  const auto above = std::upper_bound(knots.begin() + 1, knots.end() - 1, p);
  const auto i = static_cast<std::size_t>(above - knots.begin());
  const double share = (p - knots[i - 1]) / (knots[i] - knots[i - 1]);
  const double value = values[i - 1] + share * (values[i] - values[i - 1]);
  return Tokens{std::max<std::int64_t>(1, static_cast<std::int64_t>(value + 0.5))};
}

bool parse_tokens(std::string_view text, Tokens& tokens) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tokens.count);
  return error == std::errc{} && end == text.data() + text.size() && tokens.count >= 1;
}

}  // namespace

Result<LengthDistribution> LengthDistribution::parse(std::string_view text) {
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    Lengths fixed;
    if (parse_tokens(text.substr(0, slash), fixed.prompt) && parse_tokens(text.substr(slash + 1), fixed.output)) {
      return LengthDistribution(fixed);
    }
  }
  std::string known;
  for (const auto& table : length_tables()) {
    if (table.name == text) return LengthDistribution(table);
    known += fmt::format("{}, ", table.name);
  }
  return fail(fmt::format("lengths '{}' are neither a table ({}) nor PROMPT/OUTPUT", text,
                          known.substr(0, known.size() - 2)));
}

Lengths LengthDistribution::sample(Prng& prng) const {
  if (const auto* fixed = std::get_if<Lengths>(&of_)) return *fixed;
  const auto& table = *std::get<const LengthTable*>(of_);
  const double rank = prng.uniform();
  const auto eighth = static_cast<std::size_t>(rank * 8);
  return {quantile(prompt_knots, table.prompt, rank), quantile(output_knots, table.output[eighth], prng.uniform())};
}

}  // namespace qlm::workload

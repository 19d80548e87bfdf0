#include "core/plan/fair_parts.hpp"

#include <algorithm>
#include <cmath>

namespace qlm {

FairParts fair_parts(std::span<const FairClaim> claims, double room) {
  FairParts result;
  result.parts.resize(claims.size());
  const auto fill = [&](double level) {
    double taken = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      result.parts[i] = std::clamp(claims[i].weight * level + claims[i].owed, 0.0, claims[i].demand);
      taken += result.parts[i] * claims[i].cost;
    }
    return taken;
  };
  double low = 0, high = 0;
  for (const FairClaim& each : claims) high = std::max(high, (each.demand + std::abs(each.owed)) / each.weight);
  result.level = high;
  if (fill(high) <= room) return result;
  low = -high;
  for (int halvings = 0; halvings < 50; ++halvings) {
    const double middle = (low + high) / 2;
    (fill(middle) > room ? high : low) = middle;
  }
  result.level = low;
  fill(low);
  return result;
}

}  // namespace qlm

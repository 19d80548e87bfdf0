#include "simulate/suite/points.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace qlm::suite {
namespace {

// 97.5 % quantiles of Student's t by degrees of freedom.
constexpr std::array<double, 9> t_quantiles = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262};

Estimate over(const Point& point, const std::function<double(const CellResult&)>& figure) {
  std::vector<double> values;
  for (const CellResult* cell : point.seeds) values.push_back(figure(*cell));
  return estimate(values);
}

}  // namespace

Estimate estimate(const std::vector<double>& values) {
  Estimate e;
  for (const double v : values) e.mean += v / static_cast<double>(values.size());
  if (values.size() < 2) return e;
  double variance = 0;
  for (const double v : values) variance += (v - e.mean) * (v - e.mean) / static_cast<double>(values.size() - 1);
  const double t = t_quantiles[std::min(values.size() - 2, t_quantiles.size() - 1)];
  e.half_width = t * std::sqrt(variance / static_cast<double>(values.size()));
  return e;
}

std::vector<Point> points(const std::vector<CellResult>& cells) {
  std::vector<Point> found;
  for (const CellResult& cell : cells) {
    const auto at = std::ranges::find_if(found, [&](const Point& p) { return p.name == cell.name && p.load == cell.load; });
    if (at == found.end()) found.push_back({cell.name, cell.load, {&cell}});
    else at->seeds.push_back(&cell);
  }
  return found;
}

namespace {
std::string shown_load(const std::optional<double>& load) { return load ? fmt::format("{:.3g}", *load) : "-"; }
}  // namespace
std::string load_of(const Point& point) { return shown_load(point.load); }
std::string load_of(const CellResult& cell) { return shown_load(cell.load); }

Estimate over_seeds(const Point& point, std::size_t policy, const Figure& figure) {
  return over(point, [&](const CellResult& cell) { return figure(cell.policies[policy].second); });
}

Estimate difference(const Point& point, std::size_t policy, std::size_t other, const Figure& figure) {
  return over(point, [&](const CellResult& cell) { return figure(cell.policies[policy].second) - figure(cell.policies[other].second); });
}

Estimate over_seeds(const Point& point, const std::function<double(const Limits&)>& limit) {
  return over(point, [&](const CellResult& cell) { return limit(cell.limits); });
}

bool values_differ(const CellResult& cell) {
  return std::ranges::any_of(cell.values, [&cell](const auto& each) { return each.second != cell.values.front().second; });
}

std::optional<std::size_t> place_of(Policy policy, const CellResult& cell) {
  const auto at = std::ranges::find(cell.policies, policy, [](const auto& each) { return each.first; });
  return at == cell.policies.end() ? std::nullopt : std::optional(static_cast<std::size_t>(at - cell.policies.begin()));
}

}  // namespace qlm::suite

// Cells of one case and load taken together, over their seeds: means, intervals, and differences seed by seed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "simulate/suite/suite_report.hpp"

namespace qlm::suite {

// A mean, and half the width of its 95 % confidence interval (Student's t; 0 of a single value).
struct Estimate {
  double mean = 0, half_width = 0;
};
Estimate estimate(const std::vector<double>& values);

struct Point {
  std::string name;
  std::optional<double> load;
  std::vector<const CellResult*> seeds;  // not empty; all have the same policies
};
std::vector<Point> points(const std::vector<CellResult>& cells);
std::string load_of(const Point& point);
std::string load_of(const CellResult& cell);

using Figure = std::function<double(const Figures&)>;
Estimate over_seeds(const Point& point, std::size_t policy, const Figure& figure);
// A policy's figure less another's on the same arrivals.
Estimate difference(const Point& point, std::size_t policy, std::size_t other, const Figure& figure);
Estimate over_seeds(const Point& point, const std::function<double(const Limits&)>& limit);

// Whether a request of one class is worth more than one of another.
bool values_differ(const CellResult& cell);
std::optional<std::size_t> place_of(Policy policy, const CellResult& cell);

}  // namespace qlm::suite

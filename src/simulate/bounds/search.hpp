// The lowest of many valid bounds, by pattern search: each coordinate or exchange in turn, in steps that halve. Where it
// stops short of the minimum, the bound is higher than it could be and still a bound.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "simulate/bounds/work.hpp"

namespace qlm::bounds {

// Parameters within 0..1. A share moves from one to the other, keeping their sum; `to` none: it alone moves.
struct Move {
  static constexpr std::size_t none = ~std::size_t{0};
  std::size_t from;
  std::size_t to = none;
};

struct Found {
  std::vector<double> at;
  double value;
};
Found lowest(std::vector<double> start, const std::vector<Move>& moves,
             const std::function<double(const std::vector<double>&)>& value, double first_step, double last_step);

// A CostSplit as parameters, so many each; `offset` says where they begin.
inline constexpr std::size_t split_parameters = 7;
std::vector<double> default_split();
void add_moves(StepTimeModel::Kind kind, std::size_t offset, std::vector<Move>& moves);
CostSplit split_at(const std::vector<double>& parameters, std::size_t offset);

}  // namespace qlm::bounds

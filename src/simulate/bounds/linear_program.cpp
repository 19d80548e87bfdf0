#include "simulate/bounds/linear_program.hpp"

#include <algorithm>

namespace qlm::bounds {
namespace {

constexpr double epsilon = 1e-10;
constexpr int patience = 64;  // pivots that gain nothing, before Bland's rule

}  // namespace

std::size_t LinearProgram::variable(double value) {
  values_.push_back(value);
  return values_.size() - 1;
}

void LinearProgram::at_most(double limit, std::vector<std::pair<std::size_t, double>> factors) {
  rows_.push_back({std::max(limit, 0.0), std::move(factors)});
}

double LinearProgram::solve() const {
  // A row each, then the objective's; a column for each variable, for each row's slack, and the limits.
  const std::size_t rows = rows_.size(), last = values_.size() + rows;
  std::vector<std::vector<double>> table(rows + 1, std::vector<double>(last + 1, 0));
  std::vector<std::size_t> basic(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    for (const auto& [variable, factor] : rows_[r].factors) table[r][variable] += factor;
    // Rows of unlike size lose digits to each other.
    double largest = 0;
    for (const double factor : table[r]) largest = std::max(largest, factor < 0 ? -factor : factor);
    const double scale = largest > 0 ? 1 / largest : 1;
    for (double& factor : table[r]) factor *= scale;
    table[r][values_.size() + r] = 1;
    table[r][last] = rows_[r].limit * scale;
    basic[r] = values_.size() + r;
  }
  std::vector<double>& objective = table[rows];
  for (std::size_t v = 0; v < values_.size(); ++v) objective[v] = -values_[v];

  for (int stalled = 0;;) {
    std::size_t enters = last;
    for (std::size_t c = 0; c < last; ++c) {
      if (objective[c] >= -epsilon) continue;
      if (enters == last || objective[c] < objective[enters]) enters = c;
      if (stalled > patience) break;
    }
    if (enters == last) return objective[last];
    std::size_t leaves = rows;
    double least = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      if (table[r][enters] <= epsilon) continue;
      const double ratio = table[r][last] / table[r][enters];
      if (leaves == rows || ratio < least || (ratio == least && basic[r] < basic[leaves])) {
        leaves = r;
        least = ratio;
      }
    }
    if (leaves == rows) return objective[last];  // unbounded, which the contract excludes
    const double before = objective[last];
    std::vector<double>& pivot = table[leaves];
    const double divisor = pivot[enters];
    for (double& factor : pivot) factor /= divisor;
    for (std::size_t r = 0; r <= rows; ++r) {
      const double times = table[r][enters];
      if (r == leaves || times == 0) continue;
      for (std::size_t c = 0; c <= last; ++c) table[r][c] -= times * pivot[c];
      table[r][last] = r < rows ? std::max(table[r][last], 0.0) : table[r][last];
    }
    basic[leaves] = enters;
    stalled = objective[last] > before ? 0 : stalled + 1;
  }
}

}  // namespace qlm::bounds

// Small linear programs, dense: maximise value . x where x >= 0 and each row's factors . x <= its limit, limits not
// negative (so that x = 0 is a start). The simplex method; Bland's rule where it stalls, so that it ends.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace qlm::bounds {

class LinearProgram {
 public:
  std::size_t variable(double value);
  void at_most(double limit, std::vector<std::pair<std::size_t, double>> factors);
  // The optimum. Bounded: every variable of positive value must be limited by some row.
  double solve() const;

 private:
  struct Row {
    double limit;
    std::vector<std::pair<std::size_t, double>> factors;
  };
  std::vector<double> values_;
  std::vector<Row> rows_;
};

}  // namespace qlm::bounds

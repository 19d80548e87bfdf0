#include "base/prng.hpp"

#include <cmath>  // sqrt only: IEEE 754 rounds it correctly, so it is the same everywhere

namespace qlm {

double Prng::normal() {
  for (;;) {
    const double u = 2.0 * uniform() - 1.0;
    const double v = 2.0 * uniform() - 1.0;
    const double s = u * u + v * v;
    if (s > 0.0 && s < 1.0) return u * std::sqrt(-2.0 * exact::log(s) / s);
  }
}

double Prng::gamma(double shape, double mean) {
  const double scale = mean / shape;
  double boost = 1.0;
  double k = shape;
  if (k < 1.0) {
    boost = exact::pow(1.0 - uniform(), 1.0 / k);
    k += 1.0;
  }
  const double d = k - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = normal();
    const double t = 1.0 + c * x;
    if (t <= 0.0) continue;
    const double v = t * t * t;
    const double u = 1.0 - uniform();
    if (exact::log(u) < 0.5 * x * x + d - d * v + d * exact::log(v)) return boost * d * v * scale;
  }
}

}  // namespace qlm

#include "base/exact_math.hpp"

#include <bit>
#include <cstdint>
#include <limits>

namespace qlm::exact {
namespace {

constexpr double ln2_high = 6.93147180369123816490e-01;  // upper 33 bits, so that k * ln2_high is exact
constexpr double ln2_low = 1.90821492927058770002e-10;

double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

}  // namespace

double exp(double x) {
  if (x != x) return x;
  if (x > 709.0) return std::numeric_limits<double>::infinity();
  if (x < -708.0) return 0.0;
  const double scaled = x / (ln2_high + ln2_low);
  const int k = static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  const double r = (x - k * ln2_high) - k * ln2_low;  // |r| <= ln2 / 2
  double sum = 1.0;
  for (int n = 17; n >= 1; --n) sum = 1.0 + r * sum / n;  // Taylor by Horner: the 18th term is below 1e-24
  return sum * power_of_two(k);
}

double log(double x) {
  if (!(x > 0)) return -std::numeric_limits<double>::infinity();
  if (x == std::numeric_limits<double>::infinity()) return x;
  int shift = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 18014398509481984.0;  // 2^54: out of the subnormals
    shift = -54;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  int k = static_cast<int>(bits >> 52) - 1023 + shift;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++k;
  }
  const double s = (m - 1.0) / (m + 1.0);  // log m = 2 atanh s, |s| <= 0.172
  const double z = s * s;
  double sum = 0.0;
  for (int n = 27; n >= 1; n -= 2) sum = 1.0 / n + z * sum;
  return k * ln2_high + (k * ln2_low + 2.0 * s * sum);
}

double pow(double x, double y) { return exp(y * log(x)); }

}  // namespace qlm::exact

// What a request may be told about its wait.
#pragma once

#include "base/time.hpp"

namespace qlm {

struct WaitEstimate {
  Duration expected{};
  Duration bound{};         // of all admitted requests, 95 % should wait no longer than their bound
  bool provisional = true;  // tokens ahead over measured rate, bound twice that: no calibration behind it yet
};

}  // namespace qlm

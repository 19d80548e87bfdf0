// What a request may be told about its wait.
#pragma once

#include "base/time.hpp"

namespace qlm {

struct WaitEstimate {
  Duration expected{};
  Duration bound{};         // of all admitted requests, 95 % should wait no longer than their bound
  bool provisional = true;  // fewer than 500 waits like it were seen: the bound is a parent's, or twice what is expected
};

}  // namespace qlm

// When a request's tokens must have come at the latest for it to be on time.
#pragma once

#include <algorithm>

#include "simulate/bounds/bounds.hpp"

namespace qlm::bounds {

inline constexpr Duration no_deadline = Duration::max();

struct Deadlines {
  Duration first = no_deadline;  // of the first token
  Duration last = no_deadline;   // of the last, were the first as late as it may be
};

inline Deadlines deadlines(const Request& request, Tokens output) {
  Deadlines at;
  if (request.slo.ttft) {
    at.first = request.arrival + *request.slo.ttft;
    if (request.slo.tpot) at.last = at.first + *request.slo.tpot * (output.count - 1);
    if (output.count < 2) at.last = at.first;
  }
  if (request.slo.e2e) {
    at.first = std::min(at.first, request.arrival + *request.slo.e2e);
    at.last = std::min(at.last, request.arrival + *request.slo.e2e);
  }
  return at;
}

}  // namespace qlm::bounds

#include "runtime/config/tenant.hpp"

#include <algorithm>

namespace qlm::config {

qlm::Tenant tenant(const Tenant& from) {
  qlm::Tenant to;
  to.name = from.name;
  to.weight = from.weight;
  if (from.limits.in_flight) to.limits.in_flight = static_cast<int>(std::min<std::int64_t>(*from.limits.in_flight, 1 << 30));
  to.limits.queued = from.limits.queued;
  if (from.limits.tokens) to.limits.tokens = {from.limits.tokens->amount.count, from.limits.tokens->per};
  if (from.limits.requests) to.limits.requests = {from.limits.requests->amount.count, from.limits.requests->per};
  return to;
}

}  // namespace qlm::config

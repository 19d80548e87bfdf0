// From what a request says about when it wants its answer, to a class and an SLO the queue can work with: the stated
// sources in their order (protocol/openai/slo.hpp), then the tenant's default, never above the tenant's ceiling.
#pragma once

#include <expected>
#include <optional>

#include "app/gateway/registry.hpp"
#include "protocol/openai/errors.hpp"
#include "protocol/openai/slo.hpp"

namespace qlm::gateway {

struct ResolvedSlo {
  ClassId service_class;
  Slo slo;
  std::optional<Instant> deadline;
  std::optional<Duration> patience;  // the longest wait the client states, in whichever way
};

std::expected<ResolvedSlo, openai::Refusal> resolve_slo(const openai::StatedSlo& stated,
                                                        std::optional<Duration> client_timeout,
                                                        const TenantFacts& tenant, const Registry& registry,
                                                        Instant now, UnixTime wall);

}  // namespace qlm::gateway

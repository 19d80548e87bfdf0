#include "app/gateway/slo_resolution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace qlm::gateway {
namespace {

using openai::Refusal;
using openai::RefusalReason;
using openai::Tier;

std::string list(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

// A tier means the class of its name where there is one; else the most or the least valued class the tenant may use.
ClassId class_of_tier(Tier tier, const TenantFacts& tenant, const Registry& registry) {
  if (tier == Tier::none || tier == Tier::standard) return tenant.default_class;
  const std::string_view name = tier == Tier::priority ? "priority" : tier == Tier::flex ? "flex" : "background";
  if (const auto named = registry.find_class(name); named && tenant.may_use(*named)) return *named;
  ClassId best = tenant.default_class;
  for (const ClassId each : tenant.allowed) {
    const double value = registry.service_class(each).value, so_far = registry.service_class(best).value;
    if (tier == Tier::priority ? value > so_far : value < so_far) best = each;
  }
  return best;
}

std::expected<ClassId, Refusal> class_of(const openai::StatedSlo& stated, const TenantFacts& tenant,
                                         const Registry& registry) {
  if (stated.class_name.empty()) {
    Tier tier = stated.tier;
    if (tier == Tier::none && stated.priority && *stated.priority != 0) {
      tier = *stated.priority > 0 ? Tier::priority : Tier::flex;
    }
    return class_of_tier(tier, tenant, registry);
  }
  const auto named = registry.find_class(stated.class_name);
  const std::string allowed = list(registry.class_names(tenant));
  if (!named) {
    const auto nearest = openai::nearest_name(stated.class_name, registry.class_names(tenant));
    return std::unexpected(Refusal{RefusalReason::class_unknown,
        fmt::format("There is no class '{}'. {}You may use: {}.", stated.class_name,
                    nearest ? fmt::format("Did you mean '{}'? ", *nearest) : "", allowed), stated.source, {}});
  }
  if (!tenant.may_use(*named)) {
    return std::unexpected(Refusal{RefusalReason::class_not_allowed,
        fmt::format("Class '{}' is not among those you may use: {}.", stated.class_name, allowed), stated.source, {}});
  }
  return *named;
}

std::optional<Duration> either(std::optional<Duration> stated, std::optional<Duration> of_class,
                               std::optional<Duration> ceiling) {
  if (!stated) return of_class;
  return ceiling ? std::max(*stated, *ceiling) : *stated;
}

}  // namespace

std::expected<ResolvedSlo, Refusal> resolve_slo(const openai::StatedSlo& stated, std::optional<Duration> client_timeout,
                                                const TenantFacts& tenant, const Registry& registry, Instant now,
                                                UnixTime wall) {
  const auto service_class = class_of(stated, tenant, registry);
  if (!service_class) return std::unexpected(service_class.error());

  ResolvedSlo resolved;
  resolved.service_class = *service_class;
  const Slo& of_class = registry.service_class(*service_class).slo;
  resolved.slo.ttft = either(stated.ttft, of_class.ttft, tenant.ttft_ceiling);
  resolved.slo.tpot = either(stated.tpot, of_class.tpot, tenant.tpot_ceiling);
  resolved.slo.e2e = either(stated.e2e, of_class.e2e, tenant.e2e_ceiling);
  if (stated.deadline) {
    Duration left = *stated.deadline - wall;
    if (left <= Duration{}) {
      return std::unexpected(Refusal{
          RefusalReason::deadline_passed,
          "The deadline was over before the request arrived. State a later one, and see that the client's clock is right.",
          "x-slo-deadline", {}});
    }
    if (tenant.e2e_ceiling) left = std::max(left, *tenant.e2e_ceiling);
    resolved.deadline = add(now, left);
  }
  resolved.patience = client_timeout;
  if (stated.max_wait && (!resolved.patience || *stated.max_wait < *resolved.patience)) resolved.patience = stated.max_wait;
  return resolved;
}

}  // namespace qlm::gateway

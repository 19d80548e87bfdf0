#include "app/sim/own_case.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/enginemodel/profiles.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/config/tenant.hpp"

namespace qlm::sim {
namespace {

std::vector<ServiceClass> classes_of(const config::Configuration& configuration) {
  std::vector<ServiceClass> classes;
  for (const config::Class& from : configuration.classes) {
    ServiceClass to = config::service_class(from);
    const auto target = std::ranges::find(configuration.classes, from.downgrade_to, &config::Class::name);
    if (target != configuration.classes.end()) {
      to.downgrade_to = ClassId{static_cast<std::uint32_t>(target - configuration.classes.begin())};
    }
    classes.push_back(std::move(to));
  }
  return classes;
}

Result<fleet::InstanceSpec> instance_of(const config::Instance& from, const config::Configuration& configuration) {
  fleet::InstanceSpec to;
  to.name = from.name;
  std::string profile_name;
  for (std::size_t m = 0; m < configuration.models.size(); ++m) {
    const config::Model& model = configuration.models[m];
    if (!from.models.empty() && std::ranges::find(from.models, model.name) == from.models.end()) continue;
    to.models.push_back(ModelId{static_cast<std::uint32_t>(m)});
    if (model.prior.profile.empty()) {
      return fail(fmt::format("models.{}.prior.profile is missing: the simulator must know how fast an engine serves it, "
                              "for example `prior: {{profile: a100-80/mistral-7b}}`", model.name));
    }
    if (!profile_name.empty() && profile_name != model.prior.profile) {
      return fail(fmt::format("instance {} serves models of two profiles, {} and {}: give it one with `models: [...]`", from.name,
                              profile_name, model.prior.profile));
    }
    profile_name = model.prior.profile;
  }
  if (to.models.empty()) return fail(fmt::format("instance {} serves no model of `models`", from.name));
  const auto profile = find_profile(profile_name);
  if (!profile) return std::unexpected(profile.error());
  to.step = profile->step;
  to.limits = limits_of(*profile);
  if (from.max_in_flight) {
    to.limits.max_num_seqs = std::min(to.limits.max_num_seqs, *from.max_in_flight);  // no more will ever be there
    to.max_in_flight = static_cast<int>(to.limits.max_num_seqs);
  }
  return to;
}

// What the configuration says and a trace cannot show.
std::vector<std::string> not_simulated(const config::Configuration& configuration) {
  std::vector<std::string> all;
  if (configuration.limits.queued_bytes != config::Limits{}.queued_bytes) all.emplace_back("limits.queued_bytes: a trace's requests have no bodies");
  for (const config::Tenant& tenant : configuration.tenants) {
    if (tenant.allow.size() < configuration.classes.size()) all.push_back(fmt::format("tenants.{}.allow: a trace's classes are taken as they are", tenant.name));
    if (tenant.default_class != configuration.default_class) {
      all.push_back(fmt::format("tenants.{}.default_class: requests without a class are of '{}'", tenant.name, configuration.default_class));
    }
  }
  return all;
}

}  // namespace

Result<OwnCase> own_case(const std::string& trace_file, const std::string& configuration_file) {
  const config::Loaded configuration = config::load(configuration_file);
  if (!configuration) {
    std::string problems;
    for (const config::Problem& problem : configuration.error()) problems += (problems.empty() ? "" : "\n") + to_string(problem);
    return fail(problems);
  }
  auto trace = workload::read_trace_file(trace_file);
  if (!trace) return std::unexpected(trace.error());
  OwnCase own;
  own.policy = configuration->policy;
  own.of.delta = configuration->planning.delta;
  own.of.name = trace_file;
  own.of.tells_slots = false;  // as vLLM, whose step times the profiles are
  own.of.classes = classes_of(*configuration);
  const auto usual = std::ranges::find(own.of.classes, configuration->default_class, &ServiceClass::name);
  if (usual != own.of.classes.end()) own.of.default_class = static_cast<std::size_t>(usual - own.of.classes.begin());
  for (const config::Tenant& tenant : configuration->tenants) own.of.tenants.push_back(config::tenant(tenant));
  // Who is alone has nobody to keep room for.
  const bool shared = std::ranges::any_of(configuration->tenants, [](const config::Tenant& tenant) { return !tenant.keys.empty(); });
  own.of.queue = QueueLimits{.requests = configuration->limits.queued, .bytes = configuration->limits.queued_bytes,
                             .tenant_share = shared ? configuration->limits.tenant_share : 1.0};
  own.not_simulated = not_simulated(*configuration);
  for (const config::Model& model : configuration->models) {
    own.of.models.push_back(model.name);
    own.longest_outputs.push_back(model.max_output_tokens);
  }
  for (const config::Instance& instance : configuration->instances) {
    auto made = instance_of(instance, *configuration);
    if (!made) return fail(configuration_file + ": " + made.error().message);
    own.of.instances.push_back(std::move(*made));
  }
  own.trace = std::move(*trace);
  if (const auto known = suite::to_arrivals(own.of, own.trace); !known) return fail(trace_file + ": " + known.error().message);
  return own;
}

}  // namespace qlm::sim

#include "app/sim/own_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/enginemodel/profiles.hpp"
#include "core/enginemodel/swap_times.hpp"
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

// As the file names them, and those only pools name.
std::vector<std::string> models_of(const config::Configuration& configuration) {
  std::vector<std::string> models;
  for (const config::Model& model : configuration.models) models.push_back(model.name);
  for (const config::Pool& pool : configuration.pools) {
    for (const config::PoolModel& model : pool.models) {
      if (std::ranges::find(models, model.name) == models.end()) models.push_back(model.name);
    }
  }
  return models;
}

ModelId id_of(const std::string& model, const std::vector<std::string>& models) {
  return ModelId{static_cast<std::uint32_t>(std::ranges::find(models, model) - models.begin())};
}

Result<EngineProfile> profile_of(const std::string& model, const std::string& profile) {
  if (!profile.empty()) return find_profile(profile);
  return fail(fmt::format("models.{}.prior.profile is missing: the simulator must know how fast an engine serves it, "
                          "for example `prior: {{profile: a100-80/mistral-7b}}`", model));
}

// No more will ever be there.
void limit(EngineLimits& limits, const std::optional<std::int64_t>& max_in_flight) {
  limits.max_num_seqs = std::min(limits.max_num_seqs, max_in_flight.value_or(limits.max_num_seqs));
}

Result<fleet::InstanceSpec> instance_of(const config::Instance& from, const config::Configuration& configuration) {
  const config::Model* served = nullptr;
  for (const config::Model& model : configuration.models) {
    if (!from.models.empty() && std::ranges::find(from.models, model.name) == from.models.end()) continue;
    if (served != nullptr) {
      return fail(fmt::format("instance {} may serve {} and {}, and an emulated engine serves one model: say which with `models: [...]`, or "
                              "let models take turns: `pools: [{{name: NAME, gpus: [0], models: {{{}: , {}: }}, prior: {{swap: warm}}}}]`",
                              from.name, served->name, model.name, served->name, model.name));
    }
    served = &model;
  }
  if (served == nullptr) return fail(fmt::format("instance {} serves no model of `models`", from.name));
  const auto profile = profile_of(served->name, served->prior.profile);
  if (!profile) return std::unexpected(profile.error());
  fleet::InstanceSpec to;
  to.name = from.name;
  to.models = {ModelId{static_cast<std::uint32_t>(served - configuration.models.data())}};
  to.step = profile->step;
  to.limits = limits_of(*profile);
  limit(to.limits, from.max_in_flight);
  to.limits.prefix_cache = from.prefix_cache;
  if (from.max_in_flight) to.max_in_flight = static_cast<int>(to.limits.max_num_seqs);
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

Result<fleet::HeldModelSpec> held_of(const config::PoolModel& from, const config::Pool& pool, const config::Configuration& configuration) {
  const auto known = std::ranges::find(configuration.models, from.name, &config::Model::name);
  const auto profile = profile_of(from.name, !from.profile.empty() || known == configuration.models.end() ? from.profile : known->prior.profile);
  if (!profile) return std::unexpected(profile.error());
  fleet::HeldModelSpec to{{}, profile->step, limits_of(*profile)};
  limit(to.limits, pool.max_in_flight);
  to.limits.prefix_cache = pool.prefix_cache;
  if (!pool.swap && !from.bring_in && pool.models.size() > 1) {
    return fail(fmt::format("pool {} does not say how long its models take to come and go: give it `prior: {{swap: warm}}` (or nvme, or cold2024), "
                            "or {} its own `prior: {{bring_in: 1s, put_away: 700ms}}`", pool.name, from.name));
  }
  if (pool.swap && !from.bring_in) {
    const auto takes = swap_times(*pool.swap, profile->model);
    if (!takes) return fail(fmt::format("pool {}: {}; give {} a `prior: {{bring_in: 1s, put_away: 700ms}}`", pool.name, takes.error().message, from.name));
    to.bring_in = takes->bring_in;
    to.put_away = takes->put_away;
  }
  to.bring_in = from.bring_in.value_or(to.bring_in);
  to.put_away = from.put_away.value_or(to.put_away);
  return to;
}

// Each GPU an instance, and each begins with another model.
Result<std::vector<fleet::InstanceSpec>> instances_of(const config::Pool& pool, const config::Configuration& configuration,
                                                      const std::vector<std::string>& models) {
  std::vector<fleet::HeldModelSpec> held;
  for (const config::PoolModel& model : pool.models) {
    auto made = held_of(model, pool, configuration);
    if (!made) return std::unexpected(made.error());
    made->model = id_of(model.name, models);
    held.push_back(*made);
  }
  std::vector<fleet::InstanceSpec> instances;
  for (const std::string& gpu : pool.gpus) {
    fleet::InstanceSpec& to = instances.emplace_back();
    to.name = config::instance_name(pool, gpu);
    to.holds = held;
    to.limits.prefix_cache = pool.prefix_cache;
    std::ranges::rotate(held, held.begin() + 1);
    if (pool.max_in_flight) to.max_in_flight = static_cast<int>(*pool.max_in_flight);
  }
  return instances;
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
  own.solver = configuration->planning.solver.command;
  own.solver_timeout = configuration->planning.solver.timeout;
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
  own.of.models = models_of(*configuration);
  for (const std::string& name : own.of.models) {
    const auto model = std::ranges::find(configuration->models, name, &config::Model::name);
    own.longest_outputs.push_back(model == configuration->models.end() ? std::nullopt : model->max_output_tokens);
  }
  for (const config::Instance& instance : configuration->instances) {
    auto made = instance_of(instance, *configuration);
    if (!made) return fail(configuration_file + ": " + made.error().message);
    own.of.instances.push_back(std::move(*made));
  }
  for (const config::Pool& pool : configuration->pools) {
    auto made = instances_of(pool, *configuration, own.of.models);
    if (!made) return fail(configuration_file + ": " + made.error().message);
    std::ranges::move(*made, std::back_inserter(own.of.instances));
  }
  own.trace = std::move(*trace);
  if (const auto known = suite::to_arrivals(own.of, own.trace); !known) return fail(trace_file + ": " + known.error().message);
  return own;
}

}  // namespace qlm::sim

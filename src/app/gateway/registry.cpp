#include "app/gateway/registry.hpp"

#include <algorithm>

#include "app/gateway/priors.hpp"
#include "runtime/config/tenant.hpp"

namespace qlm::gateway {
namespace {

void tighten(std::optional<Duration>& ceiling, std::optional<Duration> by) {
  if (by && (!ceiling || *by < *ceiling)) ceiling = by;
}

// Equal or not in a time that depends on the lengths alone.
bool same_key(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference = static_cast<unsigned char>(difference | (a[i] ^ other));
  }
  return difference == 0;
}

template <class T>
T& at_id(std::vector<T>& all, std::size_t index) {
  if (all.size() <= index) all.resize(index + 1);
  return all[index];
}

}  // namespace

bool TenantFacts::may_use(ClassId service_class) const {
  return std::find(allowed.begin(), allowed.end(), service_class) != allowed.end();
}

void Registry::apply(const config::Configuration& configuration) {
  limits_ = configuration.limits;
  policy_ = configuration.policy;
  delta_ = configuration.planning.delta;
  configured_models_.clear();
  longest_outputs_.clear();
  speeds_.clear();
  profiles_.clear();
  models_.forget_aliases();  // those that engines add come again when the fleet is told
  for (const config::Model& model : configuration.models) {
    const ModelId id = models_.give(model.name);
    configured_models_.insert(id);
    models_.alias(model.served_as, id);
    if (const auto speed = speed_of(model.prior)) speeds_.emplace(id, *speed);
    profiles_.emplace(id, model.prior.profile);
    if (model.max_output_tokens) longest_outputs_.emplace(id, *model.max_output_tokens);
  }
  for (const config::Pool& pool : configuration.pools) {
    for (const config::PoolModel& model : pool.models) configured_models_.insert(models_.give_own(model.name));
  }
  apply_classes(configuration.classes);
  apply_tenants(configuration.tenants);
}

void Registry::apply_classes(const std::vector<config::Class>& classes) {
  class_configured_.assign(class_configured_.size(), false);
  for (const config::Class& each : classes) {
    const std::size_t index = class_names_.give(each.name).index();
    at_id(classes_, index) = config::service_class(each);
    if (class_configured_.size() <= index) class_configured_.resize(index + 1);
    class_configured_[index] = true;
  }
  for (const config::Class& each : classes) {
    const auto to = class_names_.find(each.downgrade_to);
    if (to) classes_[class_names_.give(each.name).index()].downgrade_to = *to;
  }
}

void Registry::apply_tenants(const std::vector<config::Tenant>& tenants) {
  keys_.clear();
  for (const config::Tenant& each : tenants) {
    const TenantId id = tenant_names_.give(each.name);
    at_id(tenants_, id.index()) = facts_of(each);
    tenants_[id.index()].id = id;
    at_id(tenant_limits_, id.index()) = config::tenant(each);
    for (const std::string& key : each.keys) keys_.push_back({key, id});
  }
}

TenantFacts Registry::facts_of(const config::Tenant& tenant) const {
  TenantFacts facts;
  facts.trusted = tenant.trusted;
  facts.default_class = find_class(tenant.default_class).value_or(ClassId{});
  for (const std::string& name : tenant.allow) {
    const auto id = find_class(name);
    if (!id) continue;
    facts.allowed.push_back(*id);
    const Slo& slo = service_class(*id).slo;
    tighten(facts.ttft_ceiling, slo.ttft);
    tighten(facts.tpot_ceiling, slo.tpot);
    tighten(facts.e2e_ceiling, slo.e2e);
  }
  // Who may only ask for an answer within an hour may not ask for its first token within a second either.
  if (!facts.ttft_ceiling) facts.ttft_ceiling = facts.e2e_ceiling;
  return facts;
}

std::shared_ptr<const ControllerConfiguration> Registry::controller_configuration() const {
  auto made = std::make_shared<ControllerConfiguration>();
  made->policy = policy_;
  made->delta = delta_;
  made->classes = classes_;
  made->tenants = tenant_limits_;
  made->models = models_.all();
  made->limits.requests = limits_.queued;
  made->limits.bytes = limits_.queued_bytes;
  // With a single tenant there is nobody to keep room for.
  made->limits.tenant_share = keys_.empty() ? 1.0 : limits_.tenant_share;
  return made;
}

ModelId Registry::model_of_engine(const engines::Model& model) {
  std::optional<ModelId> id = models_.find(model.id);
  for (const std::string& alias : model.aliases) {
    if (!id) id = models_.find(alias);
  }
  if (!id) id = models_.give(model.id);
  // What the file names is what it says, whatever an engine calls its own.
  const auto alias = [&](const std::string& name) {
    const auto own = models_.find_own(name);
    if (!own || !configured_models_.contains(*own)) models_.alias(name, *id);
  };
  alias(model.id);
  for (const std::string& each : model.aliases) alias(each);
  return *id;
}

std::optional<Tokens> Registry::longest_output(ModelId id) const {
  const auto found = longest_outputs_.find(id);
  return found == longest_outputs_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<StepTimeModel> Registry::speed(ModelId id) const {
  const auto found = speeds_.find(id);
  return found == speeds_.end() ? std::nullopt : std::optional(found->second);
}

std::string Registry::profile(ModelId id) const {
  const auto found = profiles_.find(id);
  return found == profiles_.end() ? std::string() : found->second;
}

std::optional<ClassId> Registry::find_class(std::string_view name) const {
  const auto id = class_names_.find(name);
  if (!id || !class_configured_[id->index()]) return std::nullopt;
  return id;
}

std::vector<std::string> Registry::class_names(const TenantFacts& tenant) const {
  std::vector<std::string> names;
  for (const ClassId id : tenant.allowed) names.push_back(class_names_.name(id));
  return names;
}

const TenantFacts* Registry::tenant_of_key(std::string_view key) const {
  const TenantFacts* found = nullptr;
  for (const Key& known : keys_) {
    if (same_key(key, known.key)) found = &tenants_[known.tenant.index()];
  }
  return found;
}

}  // namespace qlm::gateway

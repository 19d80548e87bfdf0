// Who is who: models, classes, tenants and instances by name and by id, across reloads, and the controller's
// configuration made from the operator's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "app/gateway/names.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/step_time.hpp"
#include "protocol/engines/driver.hpp"
#include "runtime/config/configuration.hpp"

namespace qlm::gateway {

struct TenantFacts {
  TenantId id;
  ClassId default_class;
  std::vector<ClassId> allowed;
  bool trusted = false;
  // The tightest objectives among its classes: it cannot ask for more. Nothing: none of them states one.
  std::optional<Duration> ttft_ceiling, tpot_ceiling, e2e_ceiling;

  bool may_use(ClassId service_class) const;
};

class Registry {
 public:
  explicit Registry(const config::Configuration& configuration) { apply(configuration); }
  void apply(const config::Configuration& configuration);
  std::shared_ptr<const ControllerConfiguration> controller_configuration() const;

  // -- models
  std::optional<ModelId> find_model(std::string_view name) const { return models_.find(name); }
  ModelId model_named(std::string_view name) { return models_.give_own(name); }  // of that name itself, no alias
  // The model an engine speaks of: the configured one that is served under this name, else one named as the engine does.
  ModelId model_of_engine(const engines::Model& model);
  const std::string& model_name(ModelId id) const { return models_.name(id); }
  bool is_configured(ModelId id) const { return configured_models_.contains(id); }  // the file names it
  std::optional<Tokens> longest_output(ModelId id) const;  // that a client may ask for; nothing: as long as the engine can
  std::optional<StepTimeModel> speed(ModelId id) const;    // of an engine that serves it, where the file says
  std::string profile(ModelId id) const;                   // the same, by its profile's name; empty: the file names none
  const std::vector<std::string>& model_names() const { return models_.all(); }

  // -- classes
  std::optional<ClassId> find_class(std::string_view name) const;  // configured now
  const ServiceClass& service_class(ClassId id) const { return classes_.at(id.index()); }
  std::vector<std::string> class_names(const TenantFacts& tenant) const;
  std::size_t class_count() const { return classes_.size(); }

  // -- tenants
  // The time this takes tells nothing about the key.
  const TenantFacts* tenant_of_key(std::string_view key) const;
  const TenantFacts& anonymous() const { return tenants_.front(); }
  const std::string& tenant_name(TenantId id) const { return tenant_names_.name(id); }

  // -- instances
  InstanceId instance(std::string_view name) { return instances_.give(name); }
  const std::string& instance_name(InstanceId id) const { return instances_.name(id); }

 private:
  void apply_classes(const std::vector<config::Class>& classes);
  void apply_tenants(const std::vector<config::Tenant>& tenants);
  TenantFacts facts_of(const config::Tenant& tenant) const;

  struct Key {
    std::string key;
    TenantId tenant;
  };

  Names<ModelId> models_;
  std::set<ModelId> configured_models_;
  std::map<ModelId, Tokens> longest_outputs_;
  std::map<ModelId, StepTimeModel> speeds_;
  std::map<ModelId, std::string> profiles_;
  Names<ClassId> class_names_;
  Names<TenantId> tenant_names_;
  Names<InstanceId> instances_;
  std::vector<ServiceClass> classes_;      // by id; those no longer configured stay as they were
  std::vector<bool> class_configured_;     // by id
  std::vector<TenantFacts> tenants_;       // by id, likewise
  std::vector<Tenant> tenant_limits_;      // by id
  std::vector<Key> keys_;                  // of the configuration in force
  config::Limits limits_;
  config::Policy policy_{};
  double delta_ = 0;
};

}  // namespace qlm::gateway

// What an operator sees and says, under /admin/ of the admin listener: instances, requests of all tenants, the queue; and no
// new work for an instance, the model it is to serve, no swaps for a while, the end of a request, a reload. Each act leaves a
// line in the log that says who, and an explain record.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "app/gateway/controller_host.hpp"
#include "app/gateway/fleet.hpp"
#include "app/gateway/front_door.hpp"
#include "app/gateway/registry.hpp"
#include "base/result.hpp"
#include "protocol/openai/json_write.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::gateway {

class AdminApi {
 public:
  AdminApi(ControllerHost& host, Fleet& fleet, Registry& registry, FrontDoor& door, Fleet::Say say)
      : host_(host), fleet_(fleet), registry_(registry), door_(door), say_(std::move(say)) {}

  void handle(const std::shared_ptr<net::Exchange>& exchange);
  void on_reload(std::function<Result<void>()> reload) { reload_ = std::move(reload); }

 private:
  using Shared = std::shared_ptr<net::Exchange>;
  void get(net::Exchange& exchange, std::string_view what);
  void post(const Shared& exchange, std::string_view what);
  void act_on_instance(const Shared& exchange, const std::string& name, std::string_view verb);
  void swap(const Shared& exchange, const InstanceView& instance);
  void swaps(const Shared& exchange);
  void cancel(const Shared& exchange, const std::string& name);
  void reload(net::Exchange& exchange);
  void audit(const net::Exchange& exchange, const std::string& what);
  void answer_later(const Shared& exchange, InstanceId id);

  std::optional<InstanceView> instance(net::Exchange& exchange, const std::string& name);  // answers where there is none
  void write_instance(openai::JsonWriter& json, const InstanceView& view) const;
  std::string instances_json() const;
  std::string instance_json(InstanceId id) const;
  std::string requests_json() const;
  std::string tenants_json() const;

  ControllerHost& host_;
  Fleet& fleet_;
  Registry& registry_;
  FrontDoor& door_;
  Fleet::Say say_;
  std::function<Result<void>()> reload_;
};

}  // namespace qlm::gateway

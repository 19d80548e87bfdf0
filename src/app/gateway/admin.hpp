// The admin listener's routes: health for supervisors, metrics for Prometheus, the instances and the plan for people.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/controller/controller.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::gateway {

struct AdminSources {
  std::function<bool()> ready;
  std::function<std::string()> metrics;  // the Prometheus text format
  std::function<std::vector<InstanceView>()> instances;
  std::function<std::string()> plan;     // the queue and the plan in force, for people
  std::function<void(const std::shared_ptr<net::Exchange>&)> operate;  // what is under /admin/
};
net::HttpServer::Handler admin_routes(AdminSources sources);

}  // namespace qlm::gateway

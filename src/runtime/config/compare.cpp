#include <algorithm>

#include <fmt/format.h>

#include "runtime/config/configuration.hpp"

namespace qlm::config {
namespace {

// Named things: added, removed, or of another content. Names are unique in a checked configuration.
template <class Named>
void compare_named(std::string_view section, const std::vector<Named>& now, const std::vector<Named>& next,
                   std::vector<std::string>& changed) {
  for (const Named& old : now) {
    const auto found = std::ranges::find(next, old.name, &Named::name);
    if (found == next.end()) changed.push_back(fmt::format("{}.{} (removed)", section, old.name));
    else if (*found != old) changed.push_back(fmt::format("{}.{}", section, old.name));
  }
  for (const Named& added : next) {
    if (std::ranges::find(now, added.name, &Named::name) == now.end()) {
      changed.push_back(fmt::format("{}.{} (added)", section, added.name));
    }
  }
}

}  // namespace

Changes compare(const Configuration& now, const Configuration& next) {
  Changes changes;
  const auto fixed = [&](std::string_view key, const ListenAddress& a, const ListenAddress& b) {
    if (a == b) return;
    changes.need_restart.push_back(
        fmt::format("{}: cannot change from {} to {} while running; restart to apply it", key, to_string(a), to_string(b)));
  };
  fixed("listen", now.listen, next.listen);
  fixed("admin", now.admin, next.admin);

  if (now.state != next.state) changes.need_restart.push_back("state: cannot change while running; restart to apply it");

  const auto plain = [&](std::string_view key, const auto& a, const auto& b) {
    if (a != b) changes.changed.emplace_back(key);
  };
  plain("auth", now.auth, next.auth);
  plain("limits", now.limits, next.limits);
  plain("stream_keepalive", now.stream_keepalive, next.stream_keepalive);
  plain("drain_timeout", now.drain_timeout, next.drain_timeout);
  compare_named("classes", now.classes, next.classes, changes.changed);
  plain("default_class", now.default_class, next.default_class);
  compare_named("tenants", now.tenants, next.tenants, changes.changed);
  compare_named("models", now.models, next.models, changes.changed);
  compare_named("instances", now.instances, next.instances, changes.changed);
  // A restart is cheap: engines go on, and are found again.
  if (now.pools != next.pools) changes.need_restart.push_back("pools: cannot change while running; restart to apply it, engines that stay as they are go on");
  plain("policy", now.policy, next.policy);
  plain("planning", now.planning, next.planning);
  plain("log", now.log, next.log);
  return changes;
}

}  // namespace qlm::config

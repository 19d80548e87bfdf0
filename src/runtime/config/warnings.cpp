#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "runtime/config/configuration.hpp"

namespace qlm::config {
namespace {

constexpr Duration often = 200ms;  // of comment lines to a stream that waits

// As the file would say it.
std::string in_words(Duration time) {
  for (const auto& [unit, name] : {std::pair(Duration(1h), "h"), std::pair(Duration(1min), "min"), std::pair(Duration(1s), "s"),
                                   std::pair(Duration(1ms), "ms")}) {
    if (time % unit == Duration{}) return fmt::format("{}{}", time / unit, name);
  }
  return fmt::format("{}ms", milliseconds(time));
}

void look_at_class(const Class& each, std::vector<std::string>& out) {
  if (each.when_late != WhenLate::serve && !each.ttft && !each.e2e) {
    out.push_back(fmt::format("classes.{}.when_late: {} never happens by tpot alone, because that says nothing of how long a "
                              "request may wait; give the class a ttft or an e2e too",
                              each.name, to_string(each.when_late)));
  }
  const Duration longest = service_class(each).max_wait;
  if (each.max_wait && each.ttft && longest < *each.ttft) {
    out.push_back(fmt::format("classes.{}.max_wait: gives requests up after {} in the queue, before their ttft of {} is over", each.name,
                              in_words(longest), in_words(*each.ttft)));
  }
  const Duration slo = std::max(each.ttft.value_or(Duration{}), each.e2e.value_or(Duration{}));
  if (!each.max_wait && longest < slo) {
    out.push_back(fmt::format("classes.{}: gives requests up after {} in the queue, because it states no max_wait, while its SLO allows {}",
                              each.name, in_words(longest), in_words(slo)));
  }
}

void look_at_models(const Configuration& configuration, std::vector<std::string>& out) {
  std::map<std::string, std::string> by_served_as;
  for (const Model& each : configuration.models) {
    const auto [first, is_new] = by_served_as.emplace(each.served_as, each.name);
    if (!is_new) {
      out.push_back(fmt::format("models.{}: is never served: every engine's '{}' is taken for models.{}, which is served as that too",
                                each.name, each.served_as, first->second));
    }
    const bool possible = std::ranges::any_of(configuration.instances, [&](const Instance& i) {
      return i.models.empty() || std::ranges::find(i.models, each.name) != i.models.end();
    }) || std::ranges::any_of(configuration.pools, [&](const Pool& p) {
      return std::ranges::find(p.models, each.name, &PoolModel::name) != p.models.end();
    });
    if (!possible) out.push_back(fmt::format("models.{}: no instance may serve it: it is in none of their lists of models", each.name));
  }
  if (configuration.models.empty()) return;
  for (const Instance& instance : configuration.instances) {
    for (const std::string& name : instance.models) {
      if (std::ranges::find(configuration.models, name, &Model::name) != configuration.models.end()) continue;
      const auto served = by_served_as.find(name);
      out.push_back(served != by_served_as.end()
                        ? fmt::format("instances.{}.models: '{}' is what engines call models.{}, and names no model here; write {}", instance.name,
                                      name, served->second, served->second)
                        : fmt::format("instances.{}.models: '{}' is no key of models; it is served if the engine itself calls a model that",
                                      instance.name, name));
    }
  }
}

void look_at_policy(const Configuration& configuration, std::vector<std::string>& out) {
  const bool any = std::ranges::any_of(configuration.models, [](const Model& m) { return m.prior.token_throughput || !m.prior.profile.empty(); }) ||
                   std::ranges::any_of(configuration.pools, [](const Pool& p) { return std::ranges::any_of(p.models, [](const PoolModel& m) { return !m.profile.empty(); }); });
  if (configuration.policy != Policy::qlm || any) return;
  out.push_back("policy: qlm does not know how fast any engine is, and without that cannot tell in overload who can be on time; say it with "
                "`models: {NAME: {prior: {token_throughput: 2900/s}}}` (`qlm bench URL` prints the line) or a named profile");
}

void look_at_secrets(const std::string& key, const std::string& path, std::vector<std::string>& out) {
  struct stat found{};
  if (path.empty() || ::stat(path.c_str(), &found) != 0 || (found.st_mode & S_IRWXO) == 0) return;
  out.push_back(fmt::format("{}: {} is open to every user of this machine (mode {:04o}); give it the mode 0600", key, path,
                            static_cast<unsigned>(found.st_mode & 07777)));
}

}  // namespace

std::vector<std::string> warnings(const Configuration& configuration) {
  std::vector<std::string> out;
  if (configuration.stream_keepalive < often) {
    out.push_back(fmt::format("stream_keepalive: a comment line every {} to each stream that waits is traffic of its own; some seconds keep "
                              "a connection open",
                              in_words(configuration.stream_keepalive)));
  }
  for (const Class& each : configuration.classes) look_at_class(each, out);
  for (const Tenant& each : configuration.tenants) {
    look_at_secrets(fmt::format("tenants.{}.keys_file", each.name), each.keys_file, out);
  }
  look_at_models(configuration, out);
  for (const Instance& each : configuration.instances) {
    look_at_secrets(fmt::format("instances.{}.api_key_file", each.name), each.api_key_file, out);
  }
  look_at_policy(configuration, out);
  return out;
}

}  // namespace qlm::config

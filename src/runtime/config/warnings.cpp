#include <sys/stat.h>

#include <fmt/format.h>

#include "runtime/config/configuration.hpp"

namespace qlm::config {
namespace {

void look_at_secrets(const std::string& key, const std::string& path, std::vector<std::string>& out) {
  struct stat found{};
  if (path.empty() || ::stat(path.c_str(), &found) != 0 || (found.st_mode & S_IRWXO) == 0) return;
  out.push_back(fmt::format("{}: {} is open to every user of this machine (mode {:04o}); give it the mode 0600", key, path,
                            static_cast<unsigned>(found.st_mode & 07777)));
}

}  // namespace

std::vector<std::string> warnings(const Configuration& configuration) {
  std::vector<std::string> out;
  for (const Class& each : configuration.classes) {
    if (each.when_late == WhenLate::serve || each.ttft || each.e2e) continue;
    out.push_back(fmt::format("classes.{}.when_late: {} never happens by tpot alone, because that says nothing of how long a "
                              "request may wait; give the class a ttft or an e2e too",
                              each.name, to_string(each.when_late)));
  }
  for (const Tenant& each : configuration.tenants) {
    look_at_secrets(fmt::format("tenants.{}.keys_file", each.name), each.keys_file, out);
  }
  for (const Instance& each : configuration.instances) {
    look_at_secrets(fmt::format("instances.{}.api_key_file", each.name), each.api_key_file, out);
  }
  return out;
}

}  // namespace qlm::config

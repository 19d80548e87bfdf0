// Where finished requests are told: one line in the access log, and the metrics.
#pragma once

#include <memory>
#include <string>

#include "app/gateway/fleet.hpp"
#include "app/gateway/registry.hpp"
#include "base/result.hpp"
#include "core/controller/controller.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/observe/access_log.hpp"
#include "runtime/observe/metrics.hpp"

namespace qlm::gateway {

std::string_view state_of(const InstanceView& instance, bool up);  // in one word, for metrics and operators

class Accounting {
 public:
  // `target` as observe::AccessLog takes it; empty: no access log.
  static Result<std::unique_ptr<Accounting>> open(const std::string& target, std::string_view version);

  void finished(const observe::RequestRecord& record);
  void request_resided(Duration residence) { metrics_.request_resided(residence); }
  void chunk_resided(Duration residence) { metrics_.chunk_resided(residence); }
  void reloaded(bool good, UnixTime at) { metrics_.config_reloaded(good, at); }
  // Goes on at `target`, also where that is the present one: SIGHUP is how log files are rotated, too. Keeps the present
  // one where it cannot.
  Result<void> log_to(const std::string& target);
  Result<void> log_again() { return log_to(target_); }
  std::string metrics_text(const Controller& controller, const Registry& registry, const Fleet& fleet, Instant now) const;

 private:
  explicit Accounting(std::string_view version) : metrics_(version) {}
  observe::Metrics metrics_;
  std::string target_;
  std::unique_ptr<observe::AccessLog> access_log_;
};

}  // namespace qlm::gateway

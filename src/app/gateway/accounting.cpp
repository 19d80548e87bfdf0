#include "app/gateway/accounting.hpp"

#include <utility>

namespace qlm::gateway {

std::string_view state_of(const InstanceView& instance, bool up) {
  if (!up) return "down";
  if (instance.stalled) return "stalled";
  if (instance.breaker == BreakerState::open) return "open";
  if (instance.cordoned) return "cordoned";
  return instance.breaker == BreakerState::half_open ? "half_open" : "ready";
}

Result<std::unique_ptr<Accounting>> Accounting::open(const std::string& target, std::string_view version) {
  std::unique_ptr<Accounting> made(new Accounting(version));
  if (const auto open = made->log_to(target); !open) return std::unexpected(open.error());
  return made;
}

Result<void> Accounting::log_to(const std::string& target) {
  if (target.empty()) {
    access_log_.reset();
  } else if (access_log_) {
    if (const auto again = access_log_->reopen(target); !again) return again;
  } else {
    auto log = observe::AccessLog::open(target);
    if (!log) return std::unexpected(log.error());
    access_log_ = std::move(*log);
  }
  target_ = target;
  return {};
}

void Accounting::finished(const observe::RequestRecord& record) {
  metrics_.request_finished(record);
  if (access_log_) access_log_->write(record);
}

std::string Accounting::metrics_text(const Controller& controller, const Registry& registry, const Fleet& fleet,
                                     Instant now) const {
  observe::Now state;
  for (const QueueView& queue : controller.queues()) {
    state.queue.push_back({registry.model_name(queue.model), registry.service_class(queue.service_class).name,
                           queue.requests, queue.tokens});
  }
  for (const InstanceView& view : controller.instances()) {
    observe::InstanceNow instance;
    instance.name = view.name;
    instance.up = fleet.up(view.id);
    instance.state = state_of(view, instance.up);
    instance.stalled = view.stalled;
    instance.running = view.in_flight;
    instance.slots = view.limit;
    instance.busy = view.busy;
    if (const auto swaps = fleet.swaps(view.id)) {
      instance.swaps = observe::SwapsNow{swaps->started, swaps->woken, swaps->failed, swaps->took};
    }
    if (view.stats_at) instance.stats_age = now - *view.stats_at;
    state.instances.push_back(std::move(instance));
  }
  const Totals totals = controller.totals();
  state.evictions = totals.evictions;
  state.wasted = totals.wasted;
  if (access_log_) state.access_lines_lost = access_log_->lost();
  return metrics_.expose(state);
}

}  // namespace qlm::gateway

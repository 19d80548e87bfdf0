#include "app/gateway/controller_host.hpp"

#include <utility>

namespace qlm::gateway {

ControllerHost::ControllerHost(net::Loop& loop, std::shared_ptr<const ControllerConfiguration> configuration)
    : loop_(loop),
      controller_(std::move(configuration)),
      later_timer_(loop),
      wake_(loop),
      store_(store::memory_store([this](Event event) { feed(std::move(event)); })) {}

void ControllerHost::feed(Event event) {
  pending_.push_back({std::move(event), loop_.now()});
  if (scheduled_) return;
  scheduled_ = true;
  loop_.defer([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) run_pending();
  });
}

void ControllerHost::run_pending() {
  // What actions feed in turn is handled in this round too: it stays in order, and saves a turn of the loop.
  while (!pending_.empty()) {
    handling_.clear();
    handling_.swap(pending_);
    for (const Fed& fed : handling_) {
      actions_.clear();
      controller_.handle(fed.event, fed.at, actions_);
      for (const Action& action : actions_) perform(action);
    }
  }
  scheduled_ = false;
  arm_wake();
}

void ControllerHost::perform(const Action& action) {
  if (const auto* persist = std::get_if<action::Persist>(&action)) return store_->persist(*persist);
  if (const auto* publish = std::get_if<action::Publish>(&action)) return store_->publish(*publish);
  if (const auto* release = std::get_if<action::ReleaseClaim>(&action)) return store_->release(*release);
  if (on_action_) on_action_(action);
}

void ControllerHost::arm_wake() {
  const Instant wanted = controller_.next_wake();
  if (wanted == wake_at_) return;
  wake_at_ = wanted;
  if (wanted == never) return wake_.cancel();
  wake_.at(wanted, [this] {
    wake_at_ = never;
    feed(event::Tick{});
  });
}

void ControllerHost::feed_after(Duration delay, Event event) {
  later_.emplace(add(loop_.now(), delay), std::move(event));
  arm_later();
}

void ControllerHost::arm_later() {
  if (later_.empty()) return;
  later_timer_.at(later_.begin()->first, [this] {
    const Instant now = loop_.now();
    while (!later_.empty() && later_.begin()->first <= now) {
      feed(std::move(later_.begin()->second));
      later_.erase(later_.begin());
    }
    arm_later();
  });
}

}  // namespace qlm::gateway

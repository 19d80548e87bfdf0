// The controller inside the gateway: hands it events in the order they were fed, carries its actions to those who can
// do them, and wakes it when it asked for time.
//
// Events are never handled inside feed(): they wait for the end of the loop's present callback. So whoever feeds one may
// go on using itself, and actions never run under a caller that does not expect them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/controller/controller.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/store/store.hpp"

namespace qlm::gateway {

class ControllerHost {
 public:
  // Everything but what concerns the store, which is answered here.
  using OnAction = std::function<void(const Action&)>;

  ControllerHost(net::Loop& loop, std::shared_ptr<const ControllerConfiguration> configuration);

  void set_on_action(OnAction on_action) { on_action_ = std::move(on_action); }
  void feed(Event event);
  void feed_after(Duration delay, Event event);

  const Controller& controller() const { return controller_; }
  Snapshot snapshot() { return controller_.snapshot(loop_.now()); }  // action::StartPlanning's
  net::Loop& loop() { return loop_; }

 private:
  struct Fed {
    Event event;
    Instant at;
  };
  void run_pending();
  void perform(const Action& action);
  void arm_wake();
  void arm_later();

  net::Loop& loop_;
  Controller controller_;
  OnAction on_action_;
  std::vector<Fed> pending_, handling_;
  std::vector<Action> actions_;
  bool scheduled_ = false;
  std::multimap<Instant, Event> later_;
  net::Timer later_timer_;
  net::Timer wake_;
  Instant wake_at_ = never;
  std::unique_ptr<store::Store> store_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted tasks may outlive us
};

}  // namespace qlm::gateway

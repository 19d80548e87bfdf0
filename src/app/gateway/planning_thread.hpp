// Makes plans beside the controller: its snapshot goes to a thread, the plan comes back to the loop.
// Threads: everything here is called on the loop's; the thread inside touches nothing but what it was handed.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "core/domain/plan.hpp"
#include "core/plan/fleet_plan.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::gateway {

class PlanningThread {
 public:
  using Then = std::function<void(Plan)>;

  // `then` is called on the loop's thread, for each snapshot that was not replaced by a later one before its turn came.
  PlanningThread(net::Loop& loop, Then then);

  void plan(Snapshot snapshot);

 private:
  void run(const std::stop_token& stop);

  net::Loop& loop_;
  std::shared_ptr<Then> then_;  // posted answers hold it weakly: they may outlive us
  std::mutex mutex_;
  std::condition_variable_any wanted_;
  std::optional<Snapshot> next_;
  Plan in_force_;        // the thread's own: what it made last
  std::jthread thread_;  // last: joined first
};

}  // namespace qlm::gateway

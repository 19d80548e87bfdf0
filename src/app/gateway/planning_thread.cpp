#include "app/gateway/planning_thread.hpp"

#include <utility>

namespace qlm::gateway {

PlanningThread::PlanningThread(net::Loop& loop, Then then)
    : loop_(loop), then_(std::make_shared<Then>(std::move(then))), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void PlanningThread::plan(Snapshot snapshot) {
  {
    const std::scoped_lock lock(mutex_);
    next_ = std::move(snapshot);
  }
  wanted_.notify_one();
}

void PlanningThread::run(const std::stop_token& stop) {
  for (;;) {
    Snapshot snapshot;
    {
      std::unique_lock lock(mutex_);
      if (!wanted_.wait(lock, stop, [this] { return next_.has_value(); })) return;
      snapshot = std::move(*next_);
      next_.reset();
    }
    PlanningBudget budget;
    budget.seed = snapshot.version.value;
    in_force_ = plan_fleet(snapshot, in_force_, budget);
    loop_.post([then = std::weak_ptr(then_), plan = in_force_]() mutable {
      if (const auto still = then.lock()) (*still)(std::move(plan));
    });
  }
}

}  // namespace qlm::gateway

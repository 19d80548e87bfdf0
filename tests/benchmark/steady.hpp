// A controller in a steady state: every slot of every instance is taken and so many requests wait; each step ends one and
// lets one arrive. What the benchmarks of the controller drive.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/controller/controller.hpp"

namespace qlm::benchmarks {

constexpr int instances = 8;
constexpr int slots = 64;

class Steady {
 public:
  Steady(Policy policy, std::int64_t queued) : controller_(configuration(policy)) {
    for (std::uint32_t i = 0; i < instances; ++i) {
      InstanceDescription instance;
      instance.id = InstanceId{i};
      instance.name = "gpu";
      instance.models = {ModelId{0}};
      instance.slots = slots;
      instance.drops_queued = false;
      instance.speed = StepTimeModel{.base_ms = 10, .per_prefill_token_ms = 0.05, .per_sequence_ms = 0.02};
      feed(event::InstanceJoined{instance});
    }
    for (std::int64_t i = 0; i < queued + instances * slots; ++i) arrive();
    tick_ = 100us;  // some 1,500 requests a second
  }

  // One request's whole life: arrival, and what an attempt brings. Eight events, two decisions (order it, bind it).
  void step() {
    arrive();
    run();
    complete();
    pick();
  }
  void arrive() {
    RequestDescription request;
    request.id = RequestId{++last_id_};
    request.model = ModelId{0};
    request.service_class = ClassId{static_cast<std::uint32_t>(last_id_ % 2)};
    request.tenant = TenantId{0};
    request.slo.ttft = 1s + 1ms * static_cast<int>(last_id_ * 7919 % 5000);
    request.prompt = Tokens{300};
    request.streaming = true;
    feed(event::Arrived{request});
  }

  // Its parts: two reports of its tokens, its end, and its slot, which binds the next one.
  void run() {
    feed(event::Progress{running_[next_], Tokens{16}});
    feed(event::Progress{running_[next_], Tokens{32}});
  }
  void complete() {
    event::Ended ended;
    ended.key = running_[next_];
    ended.prompt = Tokens{300};
    ended.generated = Tokens{40};
    feed(ended);
  }
  void pick() { feed(event::SlotReleased{running_[next_]}); }  // dispatched() feeds Sent and FirstToken
  static constexpr int events_a_step = 8 - 1;

  Totals totals() const { return controller_.totals(); }

 private:
  static std::shared_ptr<const ControllerConfiguration> configuration(Policy policy) {
    auto made = std::make_shared<ControllerConfiguration>();
    made->policy = policy;
    made->classes.resize(2);
    made->classes[0].name = "interactive";
    made->classes[0].slo.ttft = 2s;
    made->classes[1].name = "batch";
    made->tenants.resize(1);
    made->models = {"m"};
    made->limits.requests = 1 << 22;
    return made;
  }

  void feed(const Event& event) {
    now_ += tick_;
    actions_.clear();
    controller_.handle(event, now_, actions_);
    started_.clear();
    for (const Action& action : actions_) {
      if (const auto* dispatch = std::get_if<action::Dispatch>(&action)) started_.push_back(dispatch->key);
    }
    for (const AttemptKey& key : started_) dispatched(key);
  }
  void dispatched(AttemptKey key) {
    if (running_.size() < instances * slots) {
      running_.push_back(key);
    } else {
      running_[next_] = key;
      next_ = (next_ + 1) % running_.size();
    }
    controller_.handle(event::Sent{key}, now_, actions_);
    controller_.handle(event::FirstToken{key}, now_, actions_);
  }

  Controller controller_;
  Instant now_{};
  Duration tick_{};  // between events; none while the queue is filled
  std::uint64_t last_id_ = 0;
  std::vector<Action> actions_;
  std::vector<AttemptKey> started_, running_;
  std::size_t next_ = 0;
};

}  // namespace qlm::benchmarks

// Bytes as events, fed to the controller and, beside it, to the same rules written plainly
// (naive_controller.hpp). Events come in any order, doubled, late and about strangers; what no shell may do
// (an id used twice, fewer classes than before) does not happen here.
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "naive_controller.hpp"
#include "require.hpp"

namespace {

using namespace qlm;
using event::AttemptEnd;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  unsigned next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

constexpr auto gaps = std::to_array<Duration>({0s, 0s, 1ms, 100ms, 1s, 5s, 11s, 61s});
constexpr auto sizes = std::to_array<int>({0, 1, 10, 100, 500, 1000, 4000, 100'000});

template <class T>
T small(unsigned bits, T scale) {
  return T{scale.count * sizes[bits % sizes.size()]};
}

std::shared_ptr<const ControllerConfiguration> configuration(unsigned a, unsigned b) {
  auto c = std::make_shared<ControllerConfiguration>();
  c->policy = static_cast<Policy>(a % 3);
  c->classes = {
      {.name = "standard"},
      {.name = "interactive", .slo = {.ttft = 2s}, .value = 10, .max_wait = 60s},
      {.name = "batch", .slo = {.e2e = 1h}, .value = a & 0x80 ? 20.0 : 1.0, .max_wait = 24h},
      {.name = "strict", .slo = {.ttft = 2s}, .value = 5, .max_wait = 60s, .when_late = WhenLate::reject},
      {.name = "lowering", .slo = {.ttft = 2s}, .when_late = WhenLate::downgrade, .downgrade_to = ClassId{2}},
      {.name = "durable", .slo = {.e2e = 1h}, .durable = true},
  };
  c->tenants = {{.name = "a"}, {.name = "b"}};
  if (a & 0x04) c->tenants[0].limits.in_flight = 4;
  if (a & 0x08) c->tenants[1].limits.tokens = RateLimit{.amount = 5000, .per = 1min};
  if (b & 0x40) c->tenants[0].limits.queued = 3;
  if (b & 0x80) c->tenants[1].limits.requests = RateLimit{.amount = 4, .per = 10s};
  if (a & 0x10) c->limits.requests = 6;
  if (a & 0x20) c->limits.bytes = Bytes{5000};
  if (a & 0x40) c->limits.tenant_share = 0.5;
  c->dispatch.allowance = static_cast<int>(b % 3);
  c->dispatch.attempts_max = static_cast<int>(1 + (b >> 2) % 4);
  c->dispatch.failures_to_open = static_cast<int>(1 + (b >> 4) % 3);
  c->dispatch.initial_limit = c->dispatch.initial_limit_generic = 3;
  c->dispatch.limit_max = 12;
  return c;
}

class World {
 public:
  World(unsigned a, unsigned b)
      : configuration_(configuration(a, b)), controller_(configuration_, 64), rules_(configuration_) {}

  void step(Input& bytes) {
    const unsigned op = bytes.next();
    now_ += gaps[op >> 5];
    const unsigned a = bytes.next();
    switch (op & 0x1f) {
      case 0:
      case 1:
      case 2:
        return feed(event::Arrived{request(a, bytes)});
      case 3:
        return feed(event::Restored{request(a, bytes), now_ - gaps[a & 7], FencingToken{a}});
      case 4:
        for (unsigned n = a >> 4; n > 0; --n) feed(event::Arrived{request(a & 3, bytes)});
        return;
      case 5: {  // one that is there already
        RequestDescription twice{.id = any_request(a)};
        if (controller_.request(twice.id, now_)) feed(event::Arrived{twice});
        return;
      }
      case 6:
        return feed(event::Cancelled{any_request(a)});
      case 7:
      case 8: {
        const AttemptKey key = any_attempt(a);
        feed(event::Ended{.key = key, .prompt = Tokens{100}, .generated = small(a >> 5, Tokens{1})});
        if (op & 1) feed(event::SlotReleased{key});
        return;
      }
      case 9:
      case 10:
        return end_otherwise(any_attempt(a), bytes.next());
      case 11:
      case 12:
        return feed(event::SlotReleased{any_attempt(a)});
      case 13:
        return feed(event::FirstToken{any_attempt(a)});
      case 14:
        return feed(event::Progress{any_attempt(a), small(a >> 5, Tokens{1})});
      case 15:
        return sent(any_attempt(a), a & 0x80);
      case 16:
        return feed(event::InstanceJoined{instance(a, bytes.next())});
      case 17:
        return feed(event::InstanceChanged{instance(a, bytes.next())});
      case 18:
        return feed(event::InstanceLeft{InstanceId{a % 4}});
      case 19:
        return feed(
            event::StatsRead{InstanceId{a % 4},
                             {.running = static_cast<int>(a >> 5), .waiting = static_cast<int>(a >> 2 & 7)}});
      case 20:
        return feed(event::ProbeAnswered{InstanceId{a % 4}, (a & 0x80) == 0, ""});
      case 21:
        return feed(event::Share{InstanceId{a % 4}, static_cast<int>(a >> 2 & 7), now_ + gaps[a >> 5]});
      case 22:
        return a & 0x80 ? feed(event::PersistFailed{any_request(a)})
                        : feed(event::Persisted{any_request(a), FencingToken{a}});
      case 23:
        return a & 0x80 ? feed(event::PublishFailed{any_request(a), (a & 0x40) != 0})
                        : feed(event::Published{any_request(a)});
      case 24:
        return feed(event::ConfigurationChanged{configuration(a, bytes.next())});
      case 25:
        return a > 0xc0 ? feed(event::DrainRequested{}) : feed(event::LeaseLost{any_request(a)});
      case 26:
        return a & 1 ? feed(event::PlanReady{}) : feed(event::PlanFailed{});
      case 27:
        return feed(event::Claimed{{any_request(a)}});
      case 28:  // time goes backwards for those who read the clock badly
        now_ -= gaps[a & 3];
        return feed(event::Tick{});
      case 29:
        now_ = std::max(now_, std::min(controller_.next_wake(), now_ + 2h));
        return feed(event::Tick{});
      default:
        return feed(event::Tick{});
    }
  }

 private:
  void feed(const Event& event) {
    actions_.clear();
    controller_.handle(event::Tick{}, now_, actions_);
    note();
    rules_.passed(now_, actions_, controller_);
    actions_.clear();
    controller_.handle(event, now_, actions_);
    note();
    rules_.happened(event, actions_, controller_);
  }

  void note() {
    for (const Action& action : actions_) {
      if (const auto* d = std::get_if<action::Dispatch>(&action)) attempts_.emplace_back(d->key, false);
    }
  }

  RequestDescription request(unsigned a, Input& bytes) {
    const unsigned size = bytes.next(), more = bytes.next();
    RequestDescription r{.id = RequestId{next_request_++},
                         .model = ModelId{a % 4 % 3},
                         .service_class = ClassId{(a >> 2) % 8},
                         .tenant = TenantId{(a >> 5) % 3},
                         .prompt = small(size, Tokens{1}),
                         .body = small(size >> 3, Bytes{1}),
                         .streaming = (size & 0x40) != 0,
                         .waits_gladly = (size & 0x80) != 0};
    if (r.service_class.index() < configuration_->classes.size())
      r.slo = configuration_->classes[r.service_class.index()].slo;
    if (more & 0x01) r.slo.ttft = gaps[more >> 5];
    if (more & 0x02) r.client_timeout = gaps[more >> 5];
    if (more & 0x04) r.max_output = small(more >> 5, Tokens{1});
    if (more & 0x08) r.deadline = now_ + gaps[more >> 5];
    return r;
  }

  static InstanceDescription instance(unsigned a, unsigned b) {
    InstanceDescription d{
        .id = InstanceId{a % 4}, .reports_waiting = (b & 0x40) != 0, .drops_queued = (b & 0x80) == 0};
    for (unsigned m = 0; m < 3; ++m) {
      if (a >> 2 & 1U << m) d.models.push_back(ModelId{m});
    }
    if (b & 0x07) d.slots = static_cast<int>(b & 0x07);  // 0: not told
    if (b & 0x08) d.max_in_flight = static_cast<int>(b >> 4 & 3);
    if (a & 0x20) d.kv_capacity = small(a >> 6 | 4, Tokens{1});
    return d;
  }

  void end_otherwise(AttemptKey key, unsigned how) {
    event::Ended e{.key = key, .end = static_cast<AttemptEnd>(1 + how % 5)};
    if (how & 0x08) e.retry_after = gaps[how >> 5];
    if (how & 0x10) e.prompt = Tokens{50};
    feed(e);
  }

  void sent(AttemptKey key, bool streamed) {  // said once an attempt
    for (auto& [other, said] : attempts_) {
      if (other != key || std::exchange(said, true)) continue;
      feed(event::Sent{key, streamed});
      return;
    }
  }

  // Recent ones more often than old ones, and now and then one that never was.
  RequestId any_request(unsigned a) const {
    return RequestId{next_request_ > a % 32 ? next_request_ - a % 32 : a};
  }
  AttemptKey any_attempt(unsigned a) const {
    const std::size_t back = a % 32;
    if (back < attempts_.size()) return attempts_[attempts_.size() - 1 - back].first;
    return {any_request(a), Attempt{static_cast<std::uint8_t>(a >> 5)}};
  }

  std::shared_ptr<const ControllerConfiguration> configuration_;
  Controller controller_;
  fuzz::NaiveController rules_;
  Instant now_ = Instant{} + 1000s;
  std::vector<Action> actions_;
  std::vector<std::pair<AttemptKey, bool>> attempts_;  // and whether Sent was said
  std::uint64_t next_request_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input bytes(data, size);
  const unsigned a = bytes.next(), b = bytes.next();
  World world(a, b);
  for (int steps = 0; !bytes.empty() && steps < 200; ++steps) world.step(bytes);
  return 0;
}

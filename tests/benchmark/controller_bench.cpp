// What a decision costs: requests go through the production controller in a steady state, with so many others queued
// behind full instances. Heap allocations are counted by replacing operator new, in this program only.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "core/controller/controller.hpp"

namespace {

std::int64_t allocations = 0;
std::int64_t live_bytes = 0;

}  // namespace

// Not inlined: GCC would otherwise see malloc's memory meet delete.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  ++allocations;
  live_bytes += static_cast<std::int64_t>(malloc_usable_size(memory));
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  live_bytes -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace qlm {
namespace {

constexpr int instances = 8;
constexpr int slots = 64;

// Every slot of every instance is taken and `queued` requests wait; each step ends one and lets one arrive.
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
      feed(event::InstanceJoined{instance});
    }
    const std::int64_t before = live_bytes;
    for (std::int64_t i = 0; i < queued + instances * slots; ++i) arrive();
    bytes_per_queued_ = queued > 0 ? static_cast<double>(live_bytes - before) / static_cast<double>(queued) : 0;
  }

  // One request's whole life: arrival, and what an attempt brings. Eight events, two decisions (order it, bind it).
  void step() {
    arrive();
    const AttemptKey key = running_[next_];
    feed(event::Progress{key, Tokens{16}});
    feed(event::Progress{key, Tokens{32}});
    event::Ended ended;
    ended.key = key;
    ended.prompt = Tokens{300};
    ended.generated = Tokens{40};
    feed(ended);
    feed(event::SlotReleased{key});  // which binds the next one; dispatched() feeds Sent and FirstToken
  }
  static constexpr int events_a_step = 8 - 1;

  double bytes_per_queued() const { return bytes_per_queued_; }
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

  void feed(const Event& event) {
    now_ += 1us;
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
  std::uint64_t last_id_ = 0;
  std::vector<Action> actions_;
  std::vector<AttemptKey> started_, running_;
  std::size_t next_ = 0;
  double bytes_per_queued_ = 0;
};

void life(benchmark::State& state, Policy policy) {
  Steady steady(policy, state.range(0));
  for (int i = 0; i < 100'000; ++i) steady.step();  // past the amortised growth, and once round the explain ring
  const std::int64_t completed = steady.totals().completed;
  const std::int64_t before = allocations;
  for (auto _ : state) steady.step();
  const auto steps = static_cast<double>(state.iterations());
  if (static_cast<double>(steady.totals().completed - completed) != steps) state.SkipWithError("not one completed a step");
  state.counters["allocations/request"] = static_cast<double>(allocations - before) / steps;
  state.counters["events"] = benchmark::Counter(steps * Steady::events_a_step, benchmark::Counter::kIsRate);
  if (state.range(0) > 0) state.counters["bytes/queued"] = steady.bytes_per_queued();
}

BENCHMARK_CAPTURE(life, fcfs, Policy::fcfs)->Arg(0)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(life, priority, Policy::priority)->Arg(1'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(life, edf, Policy::edf)->Arg(0)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace qlm

BENCHMARK_MAIN();

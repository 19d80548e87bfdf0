// What things cost at scale, as a table: enqueue, pick and complete with ten and with a million requests queued, a snapshot of
// ten thousand groups, requests a second of the simulator and of an engine alone; or one of the three: operations, snapshot,
// simulator. With three arguments (POLICY QUEUED STEPS) it only does that many steps, for an instruction counter around it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/domain/names.hpp"
#include "core/enginemodel/engine_model.hpp"
#include "core/enginemodel/profiles.hpp"
#include "simulate/suite/cell.hpp"
#include "steady.hpp"

namespace qlm {
namespace {

using Clock = std::chrono::steady_clock;

class Timer {
 public:
  template <class Work>
  void time(Work&& work) {
    const auto from = Clock::now();
    work();
    times_.push_back(Clock::now() - from);
  }
  double mean_us() const {
    Duration sum{};
    for (const Duration t : times_) sum += t;
    return 1e6 * seconds(sum) / static_cast<double>(times_.size());
  }
  double percentile_us(std::size_t percent) {
    const auto at = times_.begin() + static_cast<std::ptrdiff_t>(times_.size() * percent / 100);
    std::ranges::nth_element(times_, at);
    return 1e6 * seconds(*at);
  }

 private:
  std::vector<Duration> times_;
};

void operations(Policy policy, std::int64_t queued) {
  constexpr int steps = 100'000;
  benchmarks::Steady steady(policy, queued);
  for (int k = 0; k < steps; ++k) steady.step();  // past the amortised growth
  Timer enqueue, pick, complete;
  const std::int64_t before = steady.totals().completed;
  for (int k = 0; k < steps; ++k) {
    enqueue.time([&] { steady.arrive(); });
    steady.run();
    complete.time([&] { steady.complete(); });
    pick.time([&] { steady.pick(); });
  }
  if (steady.totals().completed - before != steps) std::abort();  // somebody was not served
  fmt::print("{:<8} {:>9}", name(policy), queued);
  for (Timer* t : {&enqueue, &pick, &complete}) fmt::print("   {:6.2f} {:6.2f} {:6.2f}", t->mean_us(), t->percentile_us(50), t->percentile_us(99));
  fmt::print("\n");
}

// A hundred models by turns, four classes each, whose requests fall due in two dozen places or so.
void snapshot() {
  constexpr std::uint32_t models = 100, classes = 4;
  auto c = std::make_shared<ControllerConfiguration>();
  c->policy = Policy::qlm;
  for (std::uint32_t k = 0; k < classes; ++k) {
    ServiceClass each;
    each.name = fmt::format("c{}", k);
    each.slo.ttft = 60s * (k + 1);
    c->classes.push_back(each);
  }
  c->tenants.resize(1);
  c->limits.requests = 1 << 22;
  for (std::uint32_t m = 0; m < models; ++m) c->models.push_back(fmt::format("m{}", m));
  Controller controller(c);
  Instant now{};
  std::vector<Action> actions;
  InstanceDescription holder{.id = InstanceId{0}, .name = "gpu", .slots = 64};
  for (std::uint32_t m = 0; m < models; ++m) {
    HeldModel held{.model = ModelId{m}, .slots = 64, .bring_in = 1s, .put_away = 1s};
    held.speed = StepTimeModel{.base_ms = 10, .per_prefill_token_ms = 0.05};
    holder.holds.push_back(held);
  }
  controller.handle(event::InstanceJoined{holder}, now, actions);
  std::uint64_t id = 0;
  for (int second = 0; second < 50; ++second) {
    for (std::uint32_t of = 0; of < models * classes * 5; ++of) {
      RequestDescription r{.id = RequestId{++id}, .model = ModelId{of % models}, .service_class = ClassId{of / models % classes}};
      r.slo = c->classes[r.service_class.index()].slo;
      r.prompt = Tokens{300};
      r.streaming = true;
      actions.clear();
      controller.handle(event::Arrived{r}, now, actions);
    }
    now += 1s;
  }
  Timer timer;
  std::size_t groups = 0;
  for (int k = 0; k < 200; ++k) timer.time([&] { groups = controller.snapshot(now).groups.size(); });
  fmt::print("snapshot of {} groups, {} requests: {:.0f} us, median {:.0f}, p99 {:.0f}\n", groups, id, timer.mean_us(), timer.percentile_us(50), timer.percentile_us(99));
}

void simulator() {
  const suite::Suite steady = suite::suite("steady").value();
  for (const suite::Case& c : steady.cases) {
    if (c.name != "w_a/a100-80/mistral-7b@2026") continue;
    const auto arrivals = suite::to_arrivals(c, c.arrivals(40, 1h, 1)).value();
    for (const Policy policy : {Policy::fcfs, Policy::qlm}) {
      const auto from = Clock::now();
      fleet::simulate(suite::fleet_spec(c, policy), arrivals);
      fmt::print("simulated with the controller, {}: {:.0f} requests/s a core\n", name(policy), static_cast<double>(arrivals.size()) / seconds(Clock::now() - from));
    }
    EngineModel engine(c.instances[0].step, c.instances[0].limits);
    const auto from = Clock::now();
    std::size_t at = 0;
    Duration now{};
    while (true) {
      while (at < arrivals.size() && arrivals[at].at <= now) {
        if (!engine.submit(arrivals[at].prompt, arrivals[at].output)) std::abort();
        ++at;
      }
      if (const auto step = engine.begin_step()) {
        now += *step;
        engine.finish_step();
      } else if (at < arrivals.size()) {
        now = arrivals[at].at;
      } else {
        break;
      }
    }
    fmt::print("the engine's model alone: {:.0f} requests/s a core\n", static_cast<double>(arrivals.size()) / seconds(Clock::now() - from));
  }
}

}  // namespace
}  // namespace qlm

int main(int count, char** words) {
  using namespace qlm;
  if (count == 4) {
    const auto policy = std::ranges::find(all_policies, std::string_view(words[1]), [](Policy p) { return name(p); });
    if (policy == std::end(all_policies)) return 2;
    benchmarks::Steady steady(*policy, std::atoll(words[2]));
    for (long long k = std::atoll(words[3]); k > 0; --k) steady.step();
    return 0;
  }
  const std::string_view only = count == 2 ? words[1] : "";
  if (only.empty() || only == "operations") {
    fmt::print("microseconds: mean, median and p99\npolicy      queued                 enqueue                   pick               complete\n");
    for (const Policy policy : {Policy::fcfs, Policy::edf, Policy::qlm}) {
      for (const std::int64_t queued : {10, 1'000'000}) operations(policy, queued);
    }
  }
  if (only.empty() || only == "snapshot") snapshot();
  if (only.empty() || only == "simulator") simulator();
}

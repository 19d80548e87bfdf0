// The best that can be done with a handful of requests, by trying everything: a scheduler that knows all arrivals and all
// lengths decides at each end of a step and at each arrival which waiting requests to hand to which instance, in which
// order. The instances are core/enginemodel's, preemption and chunked prefill included.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/enginemodel/engine_model.hpp"
#include "simulate/bounds/bounds.hpp"

namespace qlm::bounds {

class Exhaustive {
 public:
  Exhaustive(std::vector<Request> requests, const std::vector<InstanceKind>& fleet) : requests_(std::move(requests)) {
    for (const InstanceKind& kind : fleet) {
      for (int i = 0; i < kind.count; ++i) specs_.push_back(*kind.models.front());
    }
  }

  // The most value that can be on time.
  double most() {
    World world;
    for (const EngineSpec& spec : specs_) world.engines.push_back({EngineModel(spec.step, spec.limits), no_end});
    world.first.resize(requests_.size());
    world.open = (1U << requests_.size()) - 1;
    decide(world);
    return best_;
  }

 private:
  static constexpr Duration no_end = Duration::max();

  struct Engine {
    EngineModel model;
    Duration ends;  // of the step under way
  };
  struct World {
    Duration now{};
    std::vector<Engine> engines;
    std::vector<Duration> first;  // of a request: when its first token came
    unsigned open = 0;  // neither handed over nor hopeless
    unsigned running = 0;
    double on_time = 0;  // value
  };

  bool first_in_time(std::size_t i, Duration at) const {
    const Slo& slo = requests_[i].slo;
    return at - requests_[i].arrival <= slo.ttft.value_or(no_end) &&
           at - requests_[i].arrival <= slo.e2e.value_or(no_end);
  }
  bool end_in_time(std::size_t i, Duration first, Duration at) const {
    const Slo& slo = requests_[i].slo;
    const std::int64_t gaps = requests_[i].output.count - 1;
    if (!first_in_time(i, first) || at - requests_[i].arrival > slo.e2e.value_or(no_end)) return false;
    return !slo.tpot || at - first <= *slo.tpot * gaps;
  }

  void decide(const World& world) {
    best_ = std::max(best_, world.on_time);
    double hoped_for = world.on_time;
    for (std::size_t i = 0; i < requests_.size(); ++i) hoped_for += (world.open | world.running) >> i & 1U ? requests_[i].value : 0;
    if (hoped_for <= best_) return;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if ((world.open >> i & 1U) == 0 || requests_[i].arrival > world.now) continue;
      for (std::size_t e = 0; e < world.engines.size(); ++e) {
        const Engine& engine = world.engines[e];
        if (engine.ends != no_end || engine.model.running() + engine.model.waiting() >= specs_[e].limits.max_num_seqs)
          continue;
        World next = world;
        if (!next.engines[e].model.submit(requests_[i].prompt, requests_[i].output, i)) continue;
        next.open &= ~(1U << i);
        next.running |= 1U << i;
        decide(next);
      }
    }
    go_on(world);
  }

  // To the next moment at which there is something to decide.
  void go_on(World world) {
    Duration next = no_end;
    for (Engine& engine : world.engines) {
      if (engine.ends == no_end) {
        if (const auto step = engine.model.begin_step()) engine.ends = world.now + *step;
      }
      next = std::min(next, engine.ends);
    }
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (world.open >> i & 1U && requests_[i].arrival > world.now) next = std::min(next, requests_[i].arrival);
    }
    if (next == no_end) return;
    world.now = next;
    for (Engine& engine : world.engines) {
      if (engine.ends != world.now) continue;
      engine.ends = no_end;
      const EngineModel::StepResult result = engine.model.finish_step();
      for (const auto& event : result.first_token) {
        world.first[event.user] = world.now;
        if (!first_in_time(event.user, world.now)) world.running &= ~(1U << event.user);
      }
      for (const auto& event : result.finished) {
        world.on_time += end_in_time(event.user, world.first[event.user], world.now) ? requests_[event.user].value : 0;
        world.running &= ~(1U << event.user);
      }
    }
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (!first_in_time(i, std::max(world.now, requests_[i].arrival))) world.open &= ~(1U << i);
    }
    decide(world);
  }

  std::vector<Request> requests_;
  std::vector<EngineSpec> specs_;
  double best_ = 0;
};

}  // namespace qlm::bounds

// The most that can be expected with a handful of requests by one that does not see output lengths, by trying everything:
// at each end of a step and each arrival it gives up running requests and admits waiting ones as it likes, knowing all
// arrivals; then chance says which outputs end. Its own small engine: the step law with slots, memory without end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "simulate/bounds/ceiling.hpp"

namespace qlm::bounds {

class Blind {
 public:
  Blind(std::vector<Request> requests, std::vector<double> lengths, const EngineSpec& engine)
      : requests_(std::move(requests)), at_least_(lengths.size() + 2, 0), engine_(engine) {
    for (std::size_t k = lengths.size(); k > 0; --k) at_least_[k] = at_least_[k + 1] + lengths[k - 1];
  }

  double most() { return decide({.each = std::vector<One>(requests_.size())}); }

 private:
  enum Status : std::int64_t { waiting, running, over };
  struct One {
    std::int64_t status = waiting;
    std::int64_t made = 0;  // tokens
    Duration first{};  // when the first was
    auto operator<=>(const One&) const = default;
  };
  struct World {
    Duration now{};
    std::vector<One> each;
    auto operator<=>(const World&) const = default;
  };

  bool first_in_time(const Request& r, Duration at) const {
    return at - r.arrival <= r.slo.ttft.value_or(Duration::max()) &&
           at - r.arrival <= r.slo.e2e.value_or(Duration::max());
  }
  bool end_in_time(const Request& r, const One& one, Duration at) const {
    if (!first_in_time(r, one.first) || at - r.arrival > r.slo.e2e.value_or(Duration::max())) return false;
    return !r.slo.tpot || at - one.first <= *r.slo.tpot * (one.made - 1);
  }

  double decide(World world) {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      One& one = world.each[i];
      const bool late = one.status == waiting ? !first_in_time(requests_[i], std::max(world.now, requests_[i].arrival))
                                              : one.status == running && !first_in_time(requests_[i], one.first);
      if (late) one = {over};
    }
    if (const auto known = known_.find(world); known != known_.end()) return known->second;
    double best = wait(world);
    const unsigned all = 1U << requests_.size();
    for (unsigned keep = 1; keep < all; ++keep) {  // whoever runs the next step; who ran and is not in it is given up
      bool possible = std::popcount(keep) <= engine_.limits.max_num_seqs;
      for (std::size_t i = 0; i < requests_.size(); ++i) {
        if (keep >> i & 1U) possible &= world.each[i].status != over && requests_[i].arrival <= world.now;
      }
      if (possible) best = std::max(best, step(world, keep));
    }
    return known_[world] = best;
  }

  double wait(World world) {  // with an empty engine
    Duration next = Duration::max();
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (world.each[i].status == running) world.each[i] = {over};
      if (world.each[i].status == waiting && requests_[i].arrival > world.now)
        next = std::min(next, requests_[i].arrival);
    }
    if (next == Duration::max()) return 0;
    world.now = next;
    return decide(world);
  }

  double step(World world, unsigned keep) {
    StepLoad load;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      One& one = world.each[i];
      if (one.status == running && (keep >> i & 1U) == 0) one = {over};
      if (one.status != waiting || (keep >> i & 1U) == 0) continue;
      const std::int64_t prompt = requests_[i].prompt.count;
      load.prefill_tokens += prompt;
      load.attention += static_cast<double>(prompt * prompt) / 2;
    }
    const bool decodes = engine_.step.kind != StepTimeModel::Kind::separate || load.prefill_tokens == 0;
    unsigned advancing = 0;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const One& one = world.each[i];
      if ((keep >> i & 1U) == 0 || (one.status == running && !decodes)) continue;
      advancing |= 1U << i;
      if (one.status == running) {
        ++load.decoding;
        load.context_tokens += requests_[i].prompt.count + one.made;
      }
    }
    world.now += engine_.step(load);
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      One& one = world.each[i];
      if ((advancing >> i & 1U) == 0) continue;
      if (one.status == waiting) one = {running, 0, world.now};
      ++one.made;
    }
    double expected = 0;
    for (unsigned ends = advancing;; ends = (ends - 1) & advancing) {  // every subset of those that advanced
      World next = world;
      double probability = 1;
      double on_time = 0;  // value
      for (std::size_t i = 0; i < requests_.size(); ++i) {
        if ((advancing >> i & 1U) == 0) continue;
        One& one = next.each[i];
        const double goes_on =
            at_least_[static_cast<std::size_t>(one.made) + 1] / at_least_[static_cast<std::size_t>(one.made)];
        probability *= ends >> i & 1U ? 1 - goes_on : goes_on;
        if ((ends >> i & 1U) == 0) continue;
        on_time += end_in_time(requests_[i], one, world.now) ? requests_[i].value : 0;
        one = {over};
      }
      if (probability > 0) expected += probability * (on_time + decide(next));
      if (ends == 0) break;
    }
    return expected;
  }

  std::vector<Request> requests_;
  std::vector<double> at_least_;  // P(O >= k)
  EngineSpec engine_;
  std::map<World, double> known_;
};

}  // namespace qlm::bounds

// What plans cost. A global plan: a first one for a small fleet, one from nothing for a large fleet, and its repair a moment
// later. Visits: a call's search, four models with three deadlines each on four instances.
// `on_time` is the share of all value that the plan has on time: overload, so that it cannot be 1.
#include <benchmark/benchmark.h>

#include "core/plan/global_plan.hpp"
#include "core/plan/visits.hpp"
#include "tests/core/plan/plan_cases.hpp"

namespace qlm::planner {
namespace {

constexpr CaseShape small_fleet{.groups = 50, .instances = 8, .models = 6, .largest = 20, .load = 1.3, .setup = 3s};
constexpr CaseShape large_fleet{
    .groups = 10'000, .instances = 1'000, .models = 50, .largest = 100, .load = 1.3, .setup = 30s};

void report(benchmark::State& state, const Problem& problem, const VirtualQueues& plan) {
  double all = 0;
  for (const Group& group : problem.groups) all += group.value * static_cast<double>(group.count);
  const auto outcome = evaluate(problem, plan);
  if (!outcome || outcome->late > 0) state.SkipWithError("not a plan");
  else state.counters["on_time"] = outcome->value / all;
}

// The argument: positions tried after the greedy start, in thousands.
void from_nothing(benchmark::State& state, const CaseShape& shape) {
  Prng prng(1);
  const Problem problem = random_case(prng, shape);
  VirtualQueues plan;
  for (auto _ : state)
    plan = improved_plan(problem, greedy_plan(problem), {.seed = 1, .positions = state.range(0) * 1'000});
  report(state, problem, plan);
}
void first_plan(benchmark::State& state) { from_nothing(state, small_fleet); }
void large_plan(benchmark::State& state) { from_nothing(state, large_fleet); }

// One group in a hundred is served, one in a hundred has come, and all is five seconds nearer.
void repair(benchmark::State& state) {
  Prng prng(1);
  Problem problem = random_case(prng, large_fleet);
  const std::vector<Group> all = problem.groups;
  for (std::size_t g = 0; g < all.size(); g += 100) problem.groups[g].count = 0;
  problem.incumbent = greedy_plan(problem);
  problem.move_cost = 0.1;
  for (std::size_t g = 0; g < all.size(); ++g) {
    problem.groups[g] = all[g];
    problem.groups[g].due -= 5s;
    if (g % 100 == 1) problem.groups[g].count = 0;
  }
  for (auto& queue : problem.incumbent)
    std::erase_if(queue, [&](const Part& part) { return problem.groups[part.group].count == 0; });
  for (Instance& instance : problem.instances) instance.free_at = std::max<Duration>(0s, instance.free_at - 5s);
  VirtualQueues plan;
  for (auto _ : state) {
    plan = repaired_plan(problem);
    if (state.range(0) > 0) plan = improved_plan(problem, plan, {.seed = 1, .positions = state.range(0) * 1'000});
  }
  report(state, problem, plan);
  state.counters["moved"] = static_cast<double>(evaluate(problem, plan)->moved);
}

// The argument: rollouts.
void visits_call(benchmark::State& state) {
  visits::Problem problem{.models = 4, .waiting = {}, .streams = {}, .instances = {}, .horizon = 640s};
  for (std::uint32_t m = 0; m < 4; ++m) {
    visits::Instance instance{.resident = ModelId{m}};
    for (int to = 0; to < 4; ++to) {
      instance.rate.push_back(10 + 5 * to);
      instance.bring_in.push_back(3s);
      instance.put_away.push_back(1s);
      instance.drain.push_back(12s);
      instance.ramp.push_back(8s);
    }
    problem.instances.push_back(instance);
    for (const Duration slack : {20s, 60s, 600s}) {
      problem.waiting.push_back({.model = ModelId{m}, .due = slack / 2, .count = 100.0 * (m + 1)});
      problem.streams.push_back({.model = ModelId{m}, .rate = 8, .slack = slack});
    }
  }
  visits::Plan plan;
  for (std::uint64_t call = 0; call < 20; ++call) plan = visits::improved(problem, plan, 50, call);
  std::uint64_t seed = 0;
  for (auto _ : state) benchmark::DoNotOptimize(visits::improved(problem, plan, state.range(0), ++seed));
  state.counters["rollouts"] =
      benchmark::Counter(static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(visits_call)->Arg(50)->Arg(200)->Unit(benchmark::kMicrosecond);
BENCHMARK(first_plan)->Arg(0)->Arg(500)->Unit(benchmark::kMillisecond)->MinTime(1);
BENCHMARK(large_plan)->Arg(0)->Arg(10'000)->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(repair)->Arg(0)->Arg(100)->Unit(benchmark::kMillisecond)->MinTime(1);

}  // namespace
}  // namespace qlm::planner

BENCHMARK_MAIN();

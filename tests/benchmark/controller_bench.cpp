// What a decision costs: requests go through the production controller in a steady state, with so many others queued
// behind full instances. Heap allocations are counted by replacing operator new, in this program only.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#include "steady.hpp"

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

using benchmarks::Steady;

void life(benchmark::State& state, Policy policy) {
  const std::int64_t bytes = live_bytes;
  Steady steady(policy, state.range(0));
  const auto held = static_cast<double>(live_bytes - bytes);
  for (int i = 0; i < 100'000; ++i) steady.step();  // past the amortised growth, and once round the explain ring
  const std::int64_t completed = steady.totals().completed;
  const std::int64_t before = allocations;
  for (auto _ : state) steady.step();
  const auto steps = static_cast<double>(state.iterations());
  if (static_cast<double>(steady.totals().completed - completed) != steps) state.SkipWithError("not one completed a step");
  state.counters["allocations/request"] = static_cast<double>(allocations - before) / steps;
  state.counters["events"] = benchmark::Counter(steps * Steady::events_a_step, benchmark::Counter::kIsRate);
  if (state.range(0) > 0) state.counters["bytes/queued"] = held / static_cast<double>(state.range(0));
}

BENCHMARK_CAPTURE(life, fcfs, Policy::fcfs)->Arg(0)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(life, priority, Policy::priority)->Arg(1'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(life, edf, Policy::edf)->Arg(0)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(life, qlm, Policy::qlm)->Arg(0)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace qlm

BENCHMARK_MAIN();

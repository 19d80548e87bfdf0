// Plans of random problems: allowed, on time, no worse than what they began with, near the best there is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/plan/global_plan.hpp"
#include "plan_cases.hpp"
#include "simulate/bounds/steady.hpp"

namespace qlm::planner {
namespace {

double objective(const Problem& problem, const VirtualQueues& plan) {
  const Served served = serve(problem, plan);
  EXPECT_EQ(served.wrong, "");
  const auto outcome = evaluate(problem, plan);
  EXPECT_TRUE(outcome);
  if (outcome) { EXPECT_NEAR(outcome->objective, served.objective, 1e-6 * (1 + std::abs(served.objective))); }
  return served.objective;
}

CaseShape any_shape(Prng& prng) {
  constexpr Duration setups[] = {0s, 500ms, 2s, 6s, 15s};
  return {.groups = 4 + prng.below(11),
          .instances = 1 + prng.below(3),
          .models = 1 + prng.below(4),
          .largest = 1 + static_cast<std::int64_t>(prng.below(4)),
          .states = 1 << 14,
          .load = 0.8 + 1.6 * prng.uniform(),
          .setup = setups[prng.below(5)],
          .prices = prng.chance(0.4)};
}

// A thousand cases, in four parts. The objective counts from the empty plan on: what moving everything away costs is paid
// by that plan too.
class GlobalPlanExact : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Parts, GlobalPlanExact, testing::Values(2026, 2027, 2028, 2029));

TEST_P(GlobalPlanExact, IsWithinOnePercentOfTheBestThereIs) {
  Prng prng(GetParam());
  double planned = 0;
  double greedy = 0;
  double exact = 0;
  double worst = 1;
  int optimal = 0;
  int near = 0;
  int cases = 0;
  while (cases < 250) {
    const Problem problem = random_case(prng, any_shape(prng));
    const double nothing = objective(problem, VirtualQueues(problem.instances.size()));
    const double best = exact_objective(problem) - nothing;
    if (best < 1e-9) continue;  // nobody can be on time
    ++cases;
    const VirtualQueues start = greedy_plan(problem);
    const double reached =
        objective(problem, improved_plan(problem, start, {.seed = 7, .positions = 50'000})) - nothing;
    const double ratio = reached / best;
    ASSERT_LE(ratio, 1 + 1e-9);
    greedy += (objective(problem, start) - nothing) / best;
    planned += ratio;
    exact += 1;
    worst = std::min(worst, ratio);
    optimal += ratio > 1 - 1e-9 ? 1 : 0;
    near += ratio >= 0.99 ? 1 : 0;
  }
  std::printf(
      "%d cases: greedy %.4f of the exact objective on average, planned %.5f, worst %.4f; optimal %d, within 1 %% %d\n",
      cases, greedy / exact, planned / exact, worst, optimal, near);
  EXPECT_GE(planned / exact, 0.99);
  EXPECT_GE(near, 240);
  EXPECT_GE(worst, 0.9);
}

TEST(GlobalPlanRandom, ReachesTheRelaxationWithoutSetupsAndNeverPassesIt) {
  Prng prng(5);
  double sum = 0;
  double with_setups = 0;
  constexpr int cases = 60;
  for (int round = 0; round < 2 * cases; ++round) {
    const bool setups = round % 2 == 1;
    Problem problem = random_case(
        prng, {.groups = 14, .instances = 3, .models = 3, .largest = 200, .load = 1.5, .setup = setups ? 60s : 0s});
    // The relaxation knows the work of a model, and one setup whatever was there before.
    std::vector<bounds::MultiModelInstance> instances(3);
    std::vector<Duration> free_at;
    for (std::size_t i = 0; i < 3; ++i) {
      const Instance& instance = problem.instances[i];
      auto& its = instances[i];
      its.loaded = instance.loaded;
      its.work.resize(3);
      its.setup.assign(3, Duration::max());
      free_at.push_back(instance.free_at);
      for (std::uint32_t m = 0; m < 3; ++m) {
        for (std::uint32_t from = 0; from < 4; ++from) {
          const auto loaded = from < 3 ? std::optional(ModelId{from}) : std::nullopt;
          if (loaded != ModelId{m})
            its.setup[m] = std::min(its.setup[m], problem.setups[instance.setups].of(loaded, ModelId{m}));
        }
        for (std::uint32_t g = 0; g < problem.groups.size(); ++g) {
          if (problem.groups[g].model != ModelId{m}) continue;
          if (!its.work[m] && std::ranges::count(instance.holds, ModelId{m}) > 0)
            its.work[m] = bounds::EngineTime{seconds(problem.work_of(g, instance))};
          if (its.work[m])
            problem.work[g * problem.kinds + instance.kind] = duration_from_seconds(its.work[m]->count());
        }
      }
    }
    std::vector<bounds::WaitingGroup> waiting;
    for (const Group& group : problem.groups)
      waiting.push_back({group.model, static_cast<double>(group.count), group.value, group.due});
    const double bound = bounds::backlog_bound(waiting, instances, free_at);
    if (bound <= 0) continue;
    const double reached =
        objective(problem, improved_plan(problem, greedy_plan(problem), {.seed = 7, .positions = 100'000}));
    ASSERT_LE(reached, bound * (1 + 1e-6));
    (setups ? with_setups : sum) += reached / bound;
  }
  std::printf("of the relaxation: %.4f without setups, %.4f with\n", sum / cases, with_setups / cases);
  EXPECT_GE(sum / cases, 0.98);
}

TEST(GlobalPlanRandom, IsNeverWorseThanItsStart) {
  Prng prng(11);
  for (int round = 0; round < 60; ++round) {
    CaseShape shape{.groups = 5 + prng.below(60),
                    .instances = 1 + prng.below(12),
                    .models = 1 + prng.below(8),
                    .largest = 1 + static_cast<std::int64_t>(prng.below(50)),
                    .load = 0.7 + prng.uniform(),
                    .prices = prng.chance(0.5)};
    const Problem problem = random_case(prng, shape);
    for (const VirtualQueues& start : {greedy_plan(problem), repaired_plan(problem), VirtualQueues(shape.instances)}) {
      double before = objective(problem, start);
      for (const std::int64_t positions : {0, 100, 3'000, 50'000}) {
        EXPECT_GE(objective(problem, improved_plan(problem, start, {.seed = 3, .positions = positions})), before);
      }
    }
  }
}

TEST(GlobalPlanRandom, TheSameSeedGivesTheSamePlan) {
  Prng prng(12);
  const Problem problem = random_case(prng, {.groups = 60, .instances = 8, .models = 6, .largest = 20});
  const VirtualQueues start = greedy_plan(problem);
  const auto once = improved_plan(problem, start, {.seed = 5, .positions = 50'000});
  EXPECT_EQ(once, improved_plan(problem, start, {.seed = 5, .positions = 50'000}));
  EXPECT_NE(once, improved_plan(problem, start, {.seed = 6, .positions = 50'000}));
}

// A second fleet with models of its own, behind the first one.
Problem side_by_side(const Problem& first, const Problem& second) {
  Problem both = first;
  const auto shift = static_cast<std::uint32_t>(first.models);
  both.models = first.models + second.models;
  both.kinds = first.kinds + second.kinds;
  both.work.clear();
  for (std::uint32_t g = 0; g < first.groups.size() + second.groups.size(); ++g) {
    const bool behind = g >= first.groups.size();
    const Problem& from = behind ? second : first;
    const std::size_t row = behind ? g - first.groups.size() : g;
    for (std::size_t kind = 0; kind < both.kinds; ++kind) {
      const bool mine = behind == (kind >= first.kinds);
      both.work.push_back(mine ? from.work[row * from.kinds + (behind ? kind - first.kinds : kind)] : Duration::zero());
    }
    if (behind) {
      both.groups.push_back(second.groups[row]);
      both.groups.back().model = ModelId{both.groups.back().model.value + shift};
    }
  }
  both.setups.clear();
  for (std::size_t table = 0; table < first.setups.size() + second.setups.size(); ++table) {
    const bool behind = table >= first.setups.size();
    const SetupTable& from = behind ? second.setups[table - first.setups.size()] : first.setups[table];
    SetupTable wide{both.models, std::vector<Duration>((both.models + 1) * both.models)};
    for (std::size_t row = 0; row <= from.models; ++row) {
      for (std::size_t to = 0; to < from.models; ++to) {
        const std::size_t by = behind ? shift : 0;
        wide.times[(row == 0 ? 0 : row + by) * both.models + to + by] = from.times[row * from.models + to];
      }
    }
    both.setups.push_back(wide);
  }
  for (Instance instance : second.instances) {
    instance.kind += static_cast<std::uint32_t>(first.kinds);
    instance.setups += static_cast<std::uint32_t>(first.setups.size());
    if (instance.loaded) instance.loaded = ModelId{instance.loaded->value + shift};
    for (ModelId& model : instance.holds) model = ModelId{model.value + shift};
    both.instances.push_back(instance);
  }
  return both;
}

TEST(GlobalPlanRandom, TwoFleetsAreDecidedTogetherAsTheyAreApart) {
  Prng prng(13);
  for (int round = 0; round < 20; ++round) {
    const CaseShape shape{.groups = 6, .instances = 2, .models = 2, .largest = 3, .states = 1 << 10};
    const Problem first = random_case(prng, shape);
    const Problem second = random_case(prng, shape);
    const Problem both = side_by_side(first, second);

    VirtualQueues apart = greedy_plan(first);
    for (auto queue : greedy_plan(second)) {
      for (Part& part : queue) part.group += 6;
      apart.push_back(queue);
    }
    const VirtualQueues together = greedy_plan(both);
    EXPECT_EQ(together, apart);
    const double exact = exact_objective(first) + exact_objective(second);
    EXPECT_NEAR(objective(both, improved_plan(both, together, {.seed = 1, .positions = 100'000})), exact, 0.01 * exact);
  }
}

// Some seconds later: a tenth of the groups is done, a tenth is new, and every instance has worked off its first part.
TEST(GlobalPlanRandom, RepairKeepsAlmostEverythingAndIsAsGoodAsAPlanFromNothing) {
  Prng prng(14);
  double repaired = 0;
  double fresh = 0;
  std::int64_t moved = 0;
  std::int64_t had = 0;
  for (int round = 0; round < 40; ++round) {
    Problem problem = random_case(prng, {.groups = 80, .instances = 10, .models = 6, .largest = 20, .load = 1.2});
    std::vector<Group> all = problem.groups;
    for (std::size_t g = 0; g < 8; ++g) problem.groups[g].count = 0;  // not there yet
    problem.incumbent = improved_plan(problem, greedy_plan(problem), {.seed = 1, .positions = 200'000});
    for (std::size_t g = 0; g < 8; ++g) problem.groups[g].count = all[g].count;
    for (auto& queue : problem.incumbent) {
      if (queue.empty() || prng.chance(0.2)) continue;
      problem.groups[queue.front().group].count -= queue.front().count;  // served
      queue.erase(queue.begin());
    }
    for (const auto& queue : problem.incumbent) {
      for (const Part& part : queue) had += part.count;
    }
    const VirtualQueues plan = repaired_plan(problem);
    const double reached = objective(problem, plan);
    moved += evaluate(problem, plan)->moved;
    repaired += reached;
    fresh += objective(problem, greedy_plan(problem));
  }
  std::printf("repair: %.4f of a greedy plan from nothing; moved %lld of %lld\n", repaired / fresh,
              static_cast<long long>(moved), static_cast<long long>(had));
  EXPECT_GE(repaired, 0.99 * fresh);
  EXPECT_LE(moved * 50, had);
}

}  // namespace
}  // namespace qlm::planner

#include "core/plan/visits.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/prng.hpp"

namespace qlm::visits {
namespace {

constexpr ModelId a{0};
constexpr ModelId b{1};

// Two models, `rate` a second each, nothing in their way but what a test adds.
Instance serving(ModelId resident, double rate = 2) {
  return {.resident = resident, .rate = {rate, rate}, .bring_in = {0s, 0s}, .drain = {0s, 0s}, .ramp = {0s, 0s}};
}

Problem two_models(std::vector<Instance> instances) {
  return {.models = 2, .waiting = {}, .streams = {}, .instances = std::move(instances), .horizon = 100s};
}

Plan stay(const Problem& problem) {
  Plan plan;
  for (const Instance& instance : problem.instances) plan.push_back({{*instance.resident, problem.horizon}});
  return plan;
}

int swaps(const Plan& plan) {
  int count = 0;
  for (const auto& visits : plan) count += static_cast<int>(visits.size()) - 1;
  return count;
}

bool visits_model(const std::vector<Visit>& visits, ModelId model) {
  return std::ranges::any_of(visits, [&](const Visit& visit) { return visit.model == model; });
}

// Of two models each of which fills an instance: what waits, what comes, and set-ups that matter.
struct Shape {
  std::size_t models = 2;
  std::size_t instances = 1;
  double load = 1.4;  // of what waits and comes, to what all instances can start
  double setup = 20;  // mean, of each part
  Duration horizon = 240s;
};
Problem random_problem(Prng& prng, const Shape& shape) {
  Problem problem{.models = shape.models, .waiting = {}, .streams = {}, .instances = {}, .horizon = shape.horizon};
  std::vector<double> rate;
  std::vector<Duration> setup;
  for (std::size_t m = 0; m < shape.models; ++m) {
    rate.push_back(4 + 12 * prng.uniform());
    setup.push_back(duration_from_seconds(shape.setup * (0.5 + prng.uniform())));
  }
  for (std::size_t i = 0; i < shape.instances; ++i) {
    Instance instance{.resident = ModelId{static_cast<std::uint32_t>(prng.below(shape.models))},
                      .rate = rate,
                      .bring_in = setup,
                      .put_away = {},
                      .drain = setup,
                      .ramp = setup};
    if (prng.chance(0.3)) instance.free_at = duration_from_seconds(20 * prng.uniform());
    if (shape.models > 2 && prng.chance(0.2)) {
      const std::size_t barred = prng.below(shape.models);
      if (ModelId{static_cast<std::uint32_t>(barred)} != *instance.resident) instance.rate[barred] = 0;
    }
    problem.instances.push_back(instance);
  }
  const double room = shape.load * static_cast<double>(shape.instances) / static_cast<double>(shape.models);
  for (std::uint32_t m = 0; m < shape.models; ++m) {
    const double now = prng.uniform();
    for (int part = 0; part < 3; ++part) {
      problem.waiting.push_back({.model = ModelId{m},
                                 .due = duration_from_seconds(seconds(shape.horizon) * prng.uniform()),
                                 .count = room * now * rate[m] * seconds(shape.horizon) / 3});
    }
    for (const double part : {0.3, 0.7}) {
      problem.streams.push_back({.model = ModelId{m},
                                 .rate = room * (1 - now) * rate[m] * part,
                                 .slack = duration_from_seconds(10 + seconds(shape.horizon) * prng.uniform() * part)});
    }
  }
  return problem;
}

TEST(Visits, AnInstanceStartsItsRateOfWhatWaits) {
  Problem problem = two_models({serving(a)});
  problem.waiting = {{.model = a, .due = 1000s, .count = 1000}};
  const Score score = rollout(problem, stay(problem));
  EXPECT_NEAR(score.on_time, 200, 1e-6);
  EXPECT_NEAR(score.value, 200, 1e-6);
  EXPECT_EQ(score.setup, 0s);
}

TEST(Visits, WhatIsNotStartedWhenItIsDueIsLost) {
  Problem problem = two_models({serving(a)});
  problem.waiting = {{.model = a, .due = 10s, .count = 100}, {.model = a, .due = -1s, .count = 100}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 20, 1);
}

TEST(Visits, TheEarliestDueStartsFirst) {
  Problem problem = two_models({serving(a)});
  problem.waiting = {{.model = a, .due = 90s, .count = 80}, {.model = a, .due = 40s, .count = 80}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 160, 1e-6);
}

TEST(Visits, ValueIsCountedAtTheStart) {
  Problem problem = two_models({serving(a)});
  problem.waiting = {{.model = a, .due = 100s, .count = 10, .value = 3}};
  problem.streams = {{.model = a, .rate = 0.1, .slack = 20s, .value = 5}};
  const Score score = rollout(problem, stay(problem));
  EXPECT_NEAR(score.on_time, 20, 1e-6);
  EXPECT_NEAR(score.value, 80, 1e-6);
}

TEST(Visits, WhatIsForecastComesAndCanBeLateToo) {
  Problem problem = two_models({serving(a)});
  problem.streams = {{.model = a, .rate = 1, .slack = 10s}, {.model = b, .rate = 1, .slack = 10s}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 100, 1e-6);
  // Those of b that came within 10 s before it could start are still in time.
  EXPECT_NEAR(rollout(problem, {{{a, 50s}, {b, 100s}}}).on_time, 50 + 10 + 50, 2);
  // Twice what it can start: half of it.
  problem.streams = {{.model = a, .rate = 4, .slack = 10s}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 200, 1e-6);
}

TEST(Visits, ASwapCostsItsDrainPutAwayAndBringIn) {
  Problem problem = two_models({serving(a)});
  problem.waiting = {{.model = a, .due = 1000s, .count = 1000}, {.model = b, .due = 1000s, .count = 1000}};
  problem.instances[0].drain = {10s, 0s};
  problem.instances[0].put_away = {5s, 0s};
  problem.instances[0].bring_in = {0s, 15s};
  const Score score = rollout(problem, {{{a, 40s}, {b, 100s}}});
  EXPECT_NEAR(score.on_time, 2 * 70, 2 * 2);  // 40 s of a, give or take a cell
  EXPECT_NEAR(seconds(score.setup), 30, 1e-6);
}

TEST(Visits, AfterASwapTheFreeSlotsAreFilledAtOnce) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].ramp = {0s, 20s};
  problem.waiting = {{.model = b, .due = 3s, .count = 1000}};
  const Plan leave{{{a, 0s}, {b, 100s}}};
  EXPECT_NEAR(rollout(problem, leave).on_time, 2 * 20, 2);
  // And then hardly any come free until the first are through: a quarter of a residence is lost on the way.
  problem.waiting[0].due = 1000s;
  EXPECT_NEAR(rollout(problem, leave).on_time, 2 * 20 + 2 * (100 - 5), 2);
  // Who has been full for long starts its rate.
  problem.instances[0].resident = b;
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 200, 1e-6);
}

TEST(Visits, SlotsThatALullLeavesFreeAreThereForWhatComesNext) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].ramp = {20s, 20s};
  problem.instances[0].occupied = 0;
  problem.waiting = {{.model = a, .due = 1s, .count = 30}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 30, 1e-6);
  problem.instances[0].occupied = 1;
  EXPECT_LT(rollout(problem, stay(problem)).on_time, 5);
}

TEST(Visits, AnEmptierInstanceIsDrainedSooner) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].ramp = {20s, 20s};
  problem.instances[0].drain = {20s, 20s};
  const Plan leave{{{a, 0s}, {b, 100s}}};
  EXPECT_NEAR(seconds(rollout(problem, leave).setup), 20, 1e-6);
  problem.instances[0].occupied = 0.25;
  EXPECT_NEAR(seconds(rollout(problem, leave).setup), 10, 1e-6);
  problem.instances[0].occupied = 0;
  EXPECT_NEAR(seconds(rollout(problem, leave).setup), 0, 1e-6);
}

TEST(Visits, ReplicasShareTheirModelsQueue) {
  Problem problem = two_models({serving(a), serving(a), serving(b)});
  problem.waiting = {{.model = a, .due = 1000s, .count = 1000}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 400, 1e-6);
  problem.waiting[0].count = 300;
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 300, 1e-6);
}

TEST(Visits, ASwapUnderWayEndsBeforeAnythingElseBegins) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].free_at = 30s;
  problem.instances[0].bring_in = {0s, 10s};
  problem.waiting = {{.model = a, .due = 1000s, .count = 1000}};
  EXPECT_NEAR(rollout(problem, stay(problem)).on_time, 2 * 70, 1e-6);
  problem.waiting = {{.model = b, .due = 1000s, .count = 1000}};
  EXPECT_NEAR(rollout(problem, {{{a, 0s}, {b, 100s}}}).on_time, 2 * 60, 1e-6);
}

TEST(Visits, WhatCannotRunThereIsNotServed) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].rate = {2, 0};
  problem.waiting = {{.model = b, .due = 1000s, .count = 1000}};
  EXPECT_EQ(rollout(problem, {{{a, 0s}, {b, 100s}}}).on_time, 0);
  EXPECT_EQ(swaps(improved(problem, stay(problem), 50, 1)), 0);
}

TEST(Visits, APlanGoesByWithTime) {
  const Plan plan{{{a, 10s}, {b, 30s}, {a, 100s}}, {{b, 100s}}};
  EXPECT_EQ(shifted(plan, 4s), (Plan{{{a, 6s}, {b, 26s}, {a, 96s}}, {{b, 96s}}}));
  EXPECT_EQ(shifted(plan, 10s), (Plan{{{b, 20s}, {a, 90s}}, {{b, 90s}}}));
  EXPECT_EQ(shifted(plan, 200s), (Plan{{{a, -100s}}, {{b, -100s}}}));
}

TEST(Visits, AnAnswerCoversEveryInstanceUpToTheHorizon) {
  Problem problem = two_models({serving(a), serving(b), serving(a)});
  problem.instances[2].resident.reset();
  problem.streams = {{.model = a, .rate = 3, .slack = 20s}, {.model = b, .rate = 3, .slack = 20s}};
  for (const Plan& incumbent : {Plan{}, Plan{{{a, 20s}}, {}, {}}, Plan{{{b, 5s}, {a, 7s}}}}) {
    const Plan plan = improved(problem, incumbent, 100, 1);
    ASSERT_EQ(plan.size(), 3);
    EXPECT_EQ(plan[0].front().model, a);
    EXPECT_EQ(plan[1].front().model, b);
    for (const auto& visits : plan) {
      ASSERT_FALSE(visits.empty());
      EXPECT_EQ(visits.back().until, problem.horizon);
      EXPECT_TRUE(std::ranges::is_sorted(visits, {}, &Visit::until));
    }
  }
}

TEST(Visits, ASwapThatCannotPayIsNotMade) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].drain = {20s, 20s};
  problem.instances[0].bring_in = {20s, 20s};
  problem.streams = {{.model = a, .rate = 2, .slack = 20s}};
  problem.waiting = {{.model = b, .due = 90s, .count = 30}};  // less than what a loses meanwhile
  EXPECT_EQ(swaps(improved(problem, {}, 500, 1)), 0);
  problem.waiting[0].value = 30;
  EXPECT_GE(swaps(improved(problem, {}, 500, 1)), 1);
  // Nor one that nobody waits for.
  problem.waiting.clear();
  problem.streams.clear();
  EXPECT_EQ(swaps(improved(problem, {{{a, 20s}, {b, 50s}, {a, 100s}}}, 500, 1)), 0);
}

TEST(Visits, WhatTheForecastSaysDecidesWhetherToStay) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].drain = {10s, 10s};
  problem.instances[0].bring_in = {20s, 20s};
  problem.instances[0].occupied = 0;
  problem.waiting = {{.model = b, .due = 60s, .count = 40}};
  EXPECT_EQ(improved(problem, {}, 200, 1)[0].front(), (Visit{a, 0s}));  // nobody waits for a
  problem.streams = {{.model = a, .rate = 2, .slack = 5s}};
  EXPECT_EQ(swaps(improved(problem, {}, 200, 1)), 0);
  // And whether to leave: more of b is to come.
  problem.streams.push_back({.model = b, .rate = 10, .slack = 60s, .value = 2});
  EXPECT_TRUE(visits_model(improved(problem, {}, 200, 1)[0], b));
}

TEST(Visits, OneModelMayTakeEveryInstance) {
  Problem problem = two_models({serving(a), serving(b), serving(b)});
  for (Instance& instance : problem.instances) instance.bring_in = {5s, 5s};
  problem.waiting = {{.model = a, .due = 60s, .count = 300}, {.model = b, .due = 100s, .count = 50}};
  const Plan plan = improved(problem, {}, 500, 1);
  EXPECT_TRUE(visits_model(plan[1], a));
  EXPECT_TRUE(visits_model(plan[2], a));
  EXPECT_NEAR(rollout(problem, plan).on_time, 350, 2);
}

TEST(Visits, TheMoreValuableModelIsKept) {
  Problem problem = two_models({serving(a)});
  problem.instances[0].bring_in = {10s, 10s};
  problem.streams = {{.model = a, .rate = 4, .slack = 10s, .value = 1},
                     {.model = b, .rate = 4, .slack = 10s, .value = 4}};
  const Plan plan = improved(problem, {}, 200, 1);
  EXPECT_EQ(plan[0].front(), (Visit{a, 0s}));
  EXPECT_EQ(plan[0].back().model, b);
}

TEST(Visits, AmongEqualsWhatStartsSoonerIsChosen) {
  Problem problem = two_models({serving(a)});
  problem.waiting = {{.model = b, .due = 95s, .count = 20}};
  EXPECT_EQ(improved(problem, {}, 200, 1)[0].front(), (Visit{a, 0s}));
}

TEST(Visits, TheSameSeedGivesTheSamePlan) {
  Prng prng(1);
  const Problem problem = random_problem(prng, {.models = 4, .instances = 3, .setup = 3, .horizon = 640s});
  const Plan once = improved(problem, {}, 50, 7);
  EXPECT_EQ(once, improved(problem, {}, 50, 7));
  EXPECT_NE(once, improved(problem, {}, 50, 8));
}

Plan random_plan(Prng& prng, const Problem& problem) {
  Plan plan(prng.below(problem.instances.size() + 2));
  for (auto& visits : plan) {
    const std::size_t count = prng.below(6);
    for (std::size_t v = 0; v < count; ++v) {
      visits.push_back({ModelId{static_cast<std::uint32_t>(prng.below(problem.models))},
                        duration_from_seconds(seconds(problem.horizon) * (1.4 * prng.uniform() - 0.2))});
    }
  }
  return plan;
}

TEST(VisitsRandom, IsNeverWorseThanTheIncumbentWhateverThatIs) {
  Prng prng(2);
  for (int round = 0; round < 200; ++round) {
    Problem problem = random_problem(prng, {.models = 1 + prng.below(5),
                                            .instances = 1 + prng.below(4),
                                            .load = 0.5 + prng.uniform(),
                                            .setup = 20 * prng.uniform()});
    if (prng.chance(0.2)) problem.instances[0].resident.reset();
    const Plan incumbent = random_plan(prng, problem);
    const double before = rollout(problem, incumbent).worth;
    for (const std::int64_t rollouts : {0, 1, 10, 100}) {
      ASSERT_GE(rollout(problem, improved(problem, incumbent, rollouts, 3)).worth, before) << round;
    }
  }
}

TEST(VisitsRandom, CountsNoMoreThanThereIsNorThanCanBeStarted) {
  Prng prng(3);
  for (int round = 0; round < 200; ++round) {
    const Problem problem = random_problem(
        prng, {.models = 1 + prng.below(5), .instances = 1 + prng.below(4), .load = 0.3 + 2 * prng.uniform()});
    const Plan plan = random_plan(prng, problem);
    double there_is = 0;
    for (const Waiting& some : problem.waiting) there_is += some.count;
    for (const Stream& stream : problem.streams) there_is += stream.rate * seconds(problem.horizon);
    double room = 0;
    double swapped = 0;
    for (const auto& visits : plan) swapped += static_cast<double>(visits.size());
    for (const Instance& instance : problem.instances)
      room += *std::ranges::max_element(instance.rate) * (seconds(problem.horizon) + 30);
    for (const double rate : problem.instances[0].rate) room += rate * 30 * swapped;  // bursts
    const Score score = rollout(problem, plan);
    EXPECT_GE(score.on_time, 0);
    EXPECT_LE(score.on_time, std::min(there_is, room) * (1 + 1e-9));
  }
}

// Every plan that decides anew each slot of the horizon, tried.
double exhaustive(const Problem& problem, std::uint32_t slots) {
  const auto instances = static_cast<std::uint32_t>(problem.instances.size());
  double best = 0;
  for (std::uint32_t code = 0; code < 1U << (slots * instances); ++code) {
    Plan plan(instances);
    for (std::uint32_t i = 0; i < instances; ++i) {
      plan[i].push_back({*problem.instances[i].resident, 0s});
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        const ModelId model{code >> (i * slots + slot) & 1U};
        const Duration until = problem.horizon * (slot + 1) / slots;
        if (plan[i].back().model == model) {
          plan[i].back().until = until;
        } else {
          plan[i].push_back({model, until});
        }
      }
    }
    best = std::max(best, rollout(problem, plan).value);
  }
  return best;
}

TEST(VisitsRandom, ComesNearTheBestOfAllPlansOnACoarseGrid) {
  Prng prng(4);
  double sum = 0;
  double worst = 1e9;
  int cases = 0;
  for (const auto& [instances, slots, rounds] : {std::array{1U, 8U, 60U}, std::array{2U, 5U, 12U}}) {
    for (std::uint32_t round = 0; round < rounds; ++round, ++cases) {
      const Problem problem =
          random_problem(prng, {.instances = instances, .load = 1 + prng.uniform(), .setup = 2 + 10 * prng.uniform()});
      const double best = exhaustive(problem, slots);
      const double reached = rollout(problem, improved(problem, {}, 1'000, 5)).value;
      sum += reached / best;
      worst = std::min(worst, reached / best);
    }
  }
  std::printf("of the best on a coarse grid: %.4f, worst %.4f\n", sum / cases, worst);
  EXPECT_GE(sum / cases, 1.0);
  EXPECT_GE(worst, 0.95);
}

TEST(VisitsRandom, WhoIsBlindToSetUpsPaysForThem) {
  Prng prng(6);
  double knowing = 0;
  double blind = 0;
  for (int round = 0; round < 20; ++round) {
    const Problem problem = random_problem(prng, {.models = 4, .instances = 2, .horizon = 640s});
    Problem without = problem;
    for (Instance& instance : without.instances) instance.bring_in = instance.drain = {};
    knowing += rollout(problem, improved(problem, {}, 400, 1)).value;
    blind += rollout(problem, improved(without, {}, 400, 1)).value;
  }
  std::printf("blind to set-ups: %.3f of what is reached\n", blind / knowing);
  EXPECT_LE(blind, 0.9 * knowing);
}

TEST(VisitsRandom, SearchingIsBetterThanLookingOneStepAhead) {
  Prng prng(7);
  double searched = 0;
  double one = 0;
  for (int round = 0; round < 30; ++round) {
    const Problem problem = random_problem(prng, {.models = 4, .instances = 2, .horizon = 640s});
    const Plan plan = one_step(problem);
    one += rollout(problem, plan).value;
    searched += rollout(problem, improved(problem, plan, 500, 1)).value;
  }
  std::printf("one step ahead: %.3f of what is reached\n", one / searched);
  EXPECT_GE(searched, 1.03 * one);
}

// As it is used: a call every two seconds begins with what the last one found.
TEST(VisitsRandom, FiftyRolloutsACallAreEnoughOverSomeCalls) {
  Prng prng(8);
  double often = 0;
  double once = 0;
  for (int round = 0; round < 8; ++round) {
    const Problem problem = random_problem(prng, {.models = 4, .instances = 2, .horizon = 640s});
    Plan plan;
    for (std::uint64_t call = 0; call < 20; ++call) plan = improved(problem, plan, 50, call);
    often += rollout(problem, plan).value;
    once += rollout(problem, improved(problem, {}, 5'000, 1)).value;
  }
  std::printf("twenty calls of fifty rollouts: %.3f of one with 5,000\n", often / once);
  EXPECT_GE(often, 0.95 * once);
}

}  // namespace
}  // namespace qlm::visits

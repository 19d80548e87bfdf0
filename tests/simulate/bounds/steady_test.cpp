#include "simulate/bounds/steady.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "base/prng.hpp"
#include "core/enginemodel/profiles.hpp"
#include "simulate/bounds/linear_program.hpp"

namespace qlm::bounds {
namespace {

using std::nullopt;
using Works = std::vector<std::optional<EngineTime>>;

constexpr double exact = 1e-9;
constexpr EngineTime one_s{1}, two_s{2}, three_s{3};

// So many of each model, worth 1.
std::vector<SteadyArrivals> of(const std::vector<double>& models) {
  std::vector<SteadyArrivals> arrivals;
  for (const double requests : models) arrivals.push_back({ModelId{static_cast<std::uint32_t>(arrivals.size())}, requests});
  return arrivals;
}

TEST(SteadyCeiling, ByHandTheCheaperModelIsServedFirst) {
  // 50 requests of 1 s and 50 of 3 s in 100 s: all of the first, 50 / 3 of the second.
  const MultiModelInstance instance{.work = {one_s, three_s}};
  EXPECT_NEAR(steady_ceiling(of({50, 50}), std::vector{instance}, 100s), (50 + 50 / 3.0) / 100, exact);
  EXPECT_NEAR(steady_ceiling(of({50, 50}), std::vector{instance, instance}, 100s), 1, exact);
}

TEST(SteadyCeiling, ByHandABroughtInModelCostsItsSetup) {
  // With 10 s to bring the second in, at most 30 of it fit; each bears a thirtieth: 50 s make 50 / (3 + 1/3).
  MultiModelInstance instance{.work = {one_s, three_s}, .setup = {10s, 10s}, .loaded = ModelId{0}};
  EXPECT_NEAR(steady_ceiling(of({50, 50}), std::vector{instance}, 100s), 0.65, exact);
  instance.setup = {100s, 100s};
  EXPECT_NEAR(steady_ceiling(of({50, 50}), std::vector{instance}, 100s), 0.5, exact);
}

TEST(SteadyCeiling, ByHandUnlikeInstancesTakeWhatTheyAreBestAt) {
  // The small instance serves the first model at half the speed and cannot hold the second.
  const MultiModelInstance large{.work = {one_s, three_s}}, small{.work = {two_s, nullopt}};
  EXPECT_NEAR(steady_ceiling(of({50, 50}), std::vector{large, small}, 100s), (50 + 100 / 3.0) / 100, exact);
  EXPECT_NEAR(steady_ceiling(of({0, 50}), std::vector{small}, 100s), 0, exact);
  EXPECT_NEAR(steady_ceiling(of({}), std::vector{small}, 100s), 1, exact);
}

TEST(SteadyCeiling, ByHandTheMostValueForTheWorkIsServedFirst) {
  // Of 3 s each, worth 12 and 1, beside 1 s worth 2, in 100 s: 20 valuable ones, then 40 of the others.
  const MultiModelInstance instance{.work = {one_s, three_s}};
  const std::vector<SteadyArrivals> groups = {{ModelId{0}, 50, 2}, {ModelId{1}, 20, 12}, {ModelId{1}, 30, 1}};
  EXPECT_NEAR(steady_ceiling(groups, std::vector{instance}, 100s), (240 + 80) / 370.0, exact);
}

TEST(SteadyCeiling, NoDivisionFoundByTryingAllOfThemPassesIt) {
  for (int seed = 1; seed <= 200; ++seed) {
    Prng prng(static_cast<std::uint64_t>(seed));
    std::vector<MultiModelInstance> instances(2);
    for (MultiModelInstance& instance : instances) {
      for (int model = 0; model < 2; ++model) {
        const EngineTime work(static_cast<double>(1 + prng.below(5)));
        instance.work.push_back(prng.chance(0.85) ? std::optional(work) : nullopt);
        instance.setup.push_back(1s * static_cast<std::int64_t>(prng.below(6)));
      }
      if (prng.chance(0.7)) instance.loaded = ModelId{static_cast<std::uint32_t>(prng.below(2))};
    }
    // Two classes of the first model, one of the second.
    constexpr std::array<std::size_t, 3> model_of = {0, 0, 1};
    std::array<int, 3> arrivals{};
    std::vector<SteadyArrivals> groups;
    double all = 0;
    for (std::size_t g = 0; g < 3; ++g) {
      arrivals[g] = static_cast<int>(1 + prng.below(4));
      groups.push_back({ModelId{static_cast<std::uint32_t>(model_of[g])}, static_cast<double>(arrivals[g]),
                        seed % 2 == 0 ? 1.0 : static_cast<double>(1 + prng.below(9))});
      all += arrivals[g] * groups[g].value;
    }
    const Duration time = 1s * static_cast<std::int64_t>(5 + prng.below(10));
    // Whether an instance can serve so many of each.
    const auto possible = [&](const MultiModelInstance& instance, const std::array<int, 3>& served) {
      double taken = 0;
      for (std::size_t model = 0; model < 2; ++model) {
        const int count = model == 0 ? served[0] + served[1] : served[2];
        if (count == 0) continue;
        if (!instance.work[model]) return false;
        const bool here = instance.loaded && instance.loaded->index() == model;
        taken += count * instance.work[model]->count() + (here ? 0 : seconds(instance.setup[model]));
      }
      return taken <= seconds(time);
    };
    const auto up_to = [](const std::array<int, 3>& most) {
      std::vector<std::array<int, 3>> every;
      for (int x = 0; x <= most[0]; ++x) {
        for (int y = 0; y <= most[1]; ++y) {
          for (int z = 0; z <= most[2]; ++z) every.push_back({x, y, z});
        }
      }
      return every;
    };
    double most = 0;
    for (const auto& here : up_to(arrivals)) {
      if (!possible(instances[0], here)) continue;
      for (const auto& there : up_to({arrivals[0] - here[0], arrivals[1] - here[1], arrivals[2] - here[2]})) {
        double value = 0;
        for (std::size_t g = 0; g < 3; ++g) value += (here[g] + there[g]) * groups[g].value;
        if (value > most && possible(instances[1], there)) most = value;
      }
    }
    ASSERT_LE(most, all * steady_ceiling(groups, instances, time) + 1e-7) << "seed " << seed;
  }
}

TEST(MeanWork, IsNoMoreThanAFullEngineNeeds) {
  // A thousand alike requests, all at once: what the engine takes for each is at least the mean work, and not far above.
  for (const char* name : {"a100-80/mistral-7b@2026", "a100-80/vicuna-13b@2024"}) {
    const EngineProfile profile = *find_profile(name);
    EngineModel engine(profile);
    for (int i = 0; i < 5120; ++i) ASSERT_TRUE(engine.submit(Tokens{100}, Tokens{100}));
    while (engine.begin_step()) engine.finish_step();
    const double taken = seconds(engine.totals().busy) / 5120;
    const double least =
        mean_work({profile.step, limits_of(profile)}, std::vector<workload::Lengths>{{Tokens{100}, Tokens{100}}})
            .count();
    EXPECT_LE(least, taken) << name;
    EXPECT_GE(least, 0.9 * taken) << name;
  }
}

TEST(BacklogBound, ByHandSetupsCountAgainstTheDeadlinesTheyAreFor) {
  const MultiModelInstance instance{.work = {one_s, one_s}, .setup = {4s, 4s}, .loaded = ModelId{0}};
  const auto bound_of = [&](std::vector<WaitingGroup> groups) {
    return backlog_bound(groups, std::vector{instance}, std::vector{Duration{0s}});
  };
  // Ten of the loaded model by 10 s; of the other, six after its setup.
  EXPECT_NEAR(bound_of({{ModelId{0}, 20, 1, 10s}}), 10, exact);
  EXPECT_NEAR(bound_of({{ModelId{1}, 6, 1, 10s}}), 6, exact);
  // A fraction z of twelve costs 4 z + 12 z seconds of 10.
  EXPECT_NEAR(bound_of({{ModelId{1}, 12, 1, 10s}}), 12 * 10 / 16.0, exact);
  // Later work waits; worth twice as much, the other model goes first.
  EXPECT_NEAR(bound_of({{ModelId{0}, 5, 1, 10s}, {ModelId{0}, 20, 1, 20s}}), 20, exact);
  EXPECT_NEAR(bound_of({{ModelId{0}, 10, 1, 10s}, {ModelId{1}, 6, 2, 10s}}), 12, exact);
  EXPECT_NEAR(bound_of({{ModelId{1}, 6, 1, 3s}}), 0, exact);
}

// One request of a backlog.
struct Piece {
  std::size_t model;
  double value;
  Duration due;
};

bool all_on_time(const std::vector<Piece>& pieces, unsigned chosen, const MultiModelInstance& instance, Duration now,
                 std::size_t loaded) {
  if (chosen == 0) return true;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if ((chosen >> i & 1U) == 0 || !instance.work[pieces[i].model]) continue;
    const Duration setup = loaded == pieces[i].model ? 0s : instance.setup[pieces[i].model];
    const Duration done = now + setup + std::chrono::duration_cast<Duration>(*instance.work[pieces[i].model]);
    if (done <= pieces[i].due && all_on_time(pieces, chosen & ~(1U << i), instance, done, pieces[i].model)) return true;
  }
  return false;
}

TEST(BacklogBound, NoPlanFoundByTryingAllOfThemPassesIt) {
  int tight = 0;
  constexpr int cases = 300;
  for (int seed = 1; seed <= cases; ++seed) {
    Prng prng(static_cast<std::uint64_t>(seed));
    const std::size_t models = 1 + prng.below(3);
    std::vector<MultiModelInstance> instances(2);
    std::vector<Duration> free_at;
    for (MultiModelInstance& instance : instances) {
      for (std::size_t m = 0; m < models; ++m) {
        const EngineTime work(static_cast<double>(1 + prng.below(4)));
        instance.work.push_back(prng.chance(0.85) ? std::optional(work) : nullopt);
        instance.setup.push_back(1s * static_cast<std::int64_t>(prng.below(4)));
      }
      if (prng.chance(0.7)) instance.loaded = ModelId{static_cast<std::uint32_t>(prng.below(models))};
      free_at.push_back(1s * static_cast<std::int64_t>(prng.below(3)));
    }
    std::vector<WaitingGroup> groups;
    std::vector<Piece> pieces;
    while (pieces.size() < 5) {
      const WaitingGroup group{ModelId{static_cast<std::uint32_t>(prng.below(models))},
                               static_cast<double>(1 + prng.below(2)), static_cast<double>(1 + prng.below(3)),
                               1s * static_cast<std::int64_t>(1 + prng.below(12))};
      groups.push_back(group);
      for (int i = 0; i < static_cast<int>(group.requests); ++i)
        pieces.push_back({group.model.index(), group.value, group.due});
    }
    const unsigned all = 1U << pieces.size();
    std::vector<std::vector<bool>> possible(2, std::vector<bool>(all));
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t loaded = instances[i].loaded ? instances[i].loaded->index() : models;
      for (unsigned chosen = 0; chosen < all; ++chosen)
        possible[i][chosen] = all_on_time(pieces, chosen, instances[i], free_at[i], loaded);
    }
    double best = 0;
    for (unsigned a = 0; a < all; ++a) {
      for (unsigned b = 0; possible[0][a] && b < all; ++b) {
        if ((a & b) != 0 || !possible[1][b]) continue;
        double value = 0;
        for (std::size_t i = 0; i < pieces.size(); ++i) value += (a | b) >> i & 1U ? pieces[i].value : 0;
        best = std::max(best, value);
      }
    }
    const double at_most = backlog_bound(groups, instances, free_at);
    ASSERT_LE(best, at_most + 1e-7) << "seed " << seed;
    tight += at_most < best + 1 ? 1 : 0;
  }
  EXPECT_GT(tight, cases / 3);
}

// Two variables: the optimum is where two of the lines cross.
TEST(LinearProgram, FindsTheBestCornerOfAPolygon) {
  Prng prng(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::array<double, 3>> lines = {{-1, 0, 0}, {0, -1, 0}, {1, 0, 9}, {0, 1, 9}};  // a x + b y <= c
    LinearProgram program;
    const double vx = static_cast<double>(prng.below(5)), vy = static_cast<double>(prng.below(5));
    const std::size_t x = program.variable(vx), y = program.variable(vy);
    program.at_most(9, {{x, 1}});
    program.at_most(9, {{y, 1}});
    for (std::uint64_t n = prng.below(6); n > 0; --n) {
      const auto factor = [&] { return static_cast<double>(prng.below(7)) - 2; };
      lines.push_back({factor(), factor(), static_cast<double>(prng.below(12))});
      program.at_most(lines.back()[2], {{x, lines.back()[0]}, {y, lines.back()[1]}});
    }
    double best = 0;
    for (const auto& p : lines) {
      for (const auto& q : lines) {
        const double determinant = p[0] * q[1] - p[1] * q[0];
        if (determinant == 0) continue;
        const double px = (p[2] * q[1] - p[1] * q[2]) / determinant, py = (p[0] * q[2] - p[2] * q[0]) / determinant;
        if (std::ranges::all_of(lines, [&](const auto& l) { return l[0] * px + l[1] * py <= l[2] + 1e-9; })) {
          best = std::max(best, vx * px + vy * py);
        }
      }
    }
    ASSERT_NEAR(program.solve(), best, 1e-7) << round;
  }
}

}  // namespace
}  // namespace qlm::bounds

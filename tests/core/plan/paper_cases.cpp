#include "paper_cases.hpp"

#include <algorithm>

#include "base/prng.hpp"

namespace qlm::paper {
namespace {

planner::SetupTable swaps(std::size_t models, Duration each) {
  planner::SetupTable table{models, std::vector<Duration>(models * (models + 1), each)};
  return table;
}

}  // namespace

Maker::Maker(std::size_t models, Duration swap, Duration completion) : completion_(completion) {
  problem.models = models;
  problem.setups.push_back(swaps(models, swap));
}

std::uint32_t Maker::group(ModelId model, std::int64_t count, Duration due, double deviation) {
  problem.groups.push_back({model, count, 100, deviation, due, due});
  return static_cast<std::uint32_t>(problem.groups.size() - 1);
}

void Maker::instance(std::optional<ModelId> loaded) {
  problem.instances.push_back(
      {.loaded = loaded, .services = std::vector<Service>(problem.models, {100, completion_}), .setups = 0});
}

Judged judged(const Problem& problem, const planner::VirtualQueues& queues, double deviations) {
  Judged all;
  for (const auto& queue : timetable(problem, queues, deviations)) {
    for (const Stop& stop : queue) {
      const double p = seconds(stop.start - stop.start_by);
      all.sum += p;
      if (p > 1e-6) all.late += p;
    }
  }
  return all;
}

std::string wrong(const Problem& problem, const planner::VirtualQueues& queues) {
  if (queues.size() != problem.instances.size()) return "not a queue for each instance";
  std::vector<std::int64_t> there(problem.groups.size(), 0);
  for (std::size_t i = 0; i < queues.size(); ++i) {
    for (const planner::Part& part : queues[i]) {
      if (part.group >= problem.groups.size() || part.count <= 0) return "no such part";
      there[part.group] += part.count;
      if (problem.instances[i].services[problem.groups[part.group].model.index()].tokens_per_second <= 0)
        return "group " + std::to_string(part.group) + " cannot run on instance " + std::to_string(i);
    }
  }
  for (std::size_t g = 0; g < there.size(); ++g) {
    const bool can_run = std::ranges::any_of(problem.instances, [&](const Instance& on) {
      return on.services[problem.groups[g].model.index()].tokens_per_second > 0;
    });
    if (there[g] != (can_run ? problem.groups[g].count : 0)) return "not all of group " + std::to_string(g);
  }
  return "";
}

namespace {

struct Enumeration {
  const Problem& problem;
  double deviations;
  planner::VirtualQueues queues;
  std::vector<char> used;
  std::optional<double> best;

  void from(std::size_t instance, std::size_t placed) {
    if (placed == problem.groups.size()) {
      const Judged now = judged(problem, queues, deviations);
      if (now.on_time() && (!best || now.sum < *best)) best = now.sum;
      return;
    }
    if (instance == problem.instances.size()) return;
    for (std::uint32_t g = 0; g < problem.groups.size(); ++g) {
      if (used[g] || problem.instances[instance].services[problem.groups[g].model.index()].tokens_per_second <= 0)
        continue;
      used[g] = 1;
      queues[instance].push_back({g, problem.groups[g].count});
      from(instance, placed + 1);
      queues[instance].pop_back();
      used[g] = 0;
    }
    from(instance + 1, placed);
  }
};

}  // namespace

std::optional<double> exhaustive(const Problem& problem, double deviations) {
  Enumeration all{problem, deviations, planner::VirtualQueues(problem.instances.size()),
                  std::vector<char>(problem.groups.size(), 0), std::nullopt};
  all.from(0, 0);
  return all.best;
}

Problem random_problem(std::uint64_t seed, Size size) {
  Prng chance(seed);
  Problem problem;
  problem.models = size.models;
  problem.setups.push_back(swaps(size.models, {}));
  for (Duration& time : problem.setups[0].times) time = duration_from_seconds(1 + 9 * chance.uniform());
  std::vector<double> pace(size.models);
  for (double& each : pace) each = 1500 + 3000 * chance.uniform();
  for (std::size_t i = 0; i < size.instances; ++i) {
    Instance instance{.free_at = duration_from_seconds(chance.chance(0.3) ? 5 * chance.uniform() : 0),
                      .loaded = std::nullopt,
                      .drain = duration_from_seconds(10 * chance.uniform())};
    if (chance.chance(0.9)) instance.loaded = ModelId{static_cast<std::uint32_t>(chance.below(size.models))};
    const double speed = chance.chance(0.5) ? 1 : 0.5;
    for (std::size_t m = 0; m < size.models; ++m) {
      // The first instance can run everything, so that everything can run.
      const bool can_run = i == 0 || chance.chance(0.85);
      instance.services.push_back({can_run ? pace[m] * speed : 0, duration_from_seconds(4 + 8 * chance.uniform())});
    }
    problem.instances.push_back(std::move(instance));
  }
  // From much room to none, so that some are feasible and most are not trivial.
  const double room = 0.3 + 2.5 * chance.uniform();
  for (std::size_t g = 0; g < size.groups; ++g) {
    const auto count = static_cast<std::int64_t>(20 + chance.below(400));
    const double due = room * (20 + 30 * static_cast<double>(size.groups) * chance.uniform());
    problem.groups.push_back({ModelId{static_cast<std::uint32_t>(chance.below(size.models))}, count,
                              100 + 200 * chance.uniform(), 150 * chance.uniform(), duration_from_seconds(due),
                              duration_from_seconds(due + 40 * chance.uniform())});
  }
  return problem;
}

}  // namespace qlm::paper

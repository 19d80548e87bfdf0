#include "plan_cases.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace qlm::planner {

Served serve(const Problem& problem, const VirtualQueues& plan) {
  Served served;
  std::map<std::uint32_t, std::int64_t> taken;
  std::map<std::pair<std::uint32_t, std::size_t>, std::int64_t> had, has;  // by group and instance
  for (std::size_t i = 0; i < problem.incumbent.size(); ++i) {
    for (const Part& part : problem.incumbent[i]) had[{part.group, i}] += part.count;
  }
  if (plan.size() != problem.instances.size()) served.wrong = "a virtual queue for each instance is wanted";
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const Instance& instance = problem.instances[i];
    Duration clock = instance.free_at;
    std::optional<ModelId> loaded = instance.loaded;
    for (const Part& part : plan[i]) {
      const Group& group = problem.groups.at(part.group);
      const std::string name = std::to_string(part.group) + " on " + std::to_string(i);
      if (std::ranges::count(instance.holds, group.model) == 0) served.wrong += "may not be there: " + name + "\n";
      if (part.count < 1) served.wrong += "an empty part: " + name + "\n";
      for (std::int64_t request = 0; request < part.count; ++request) {
        if (loaded != group.model) {
          const SetupTable& table = problem.setups[instance.setups];
          const std::size_t row = loaded ? loaded->index() + 1 : 0;
          const Duration setup = table.times[row * problem.models + group.model.index()];
          clock += setup;
          served.objective -= problem.setup_cost * seconds(setup);
          loaded = group.model;
        }
        clock += problem.work[part.group * problem.kinds + instance.kind];
        if (clock > group.due) served.wrong += "late: " + name + "\n";
        served.objective += group.value;
        ++has[{part.group, i}];
        if (++taken[part.group] > group.count) served.wrong += "twice: " + name + "\n";
      }
    }
  }
  for (const auto& [where, count] : had)
    served.objective -= problem.move_cost * static_cast<double>(std::max<std::int64_t>(0, count - has[where]));
  return served;
}

namespace {

// Every multiset of requests is a number: a digit for each group, how many of it are in.
struct Multisets {
  explicit Multisets(const Problem& problem) {
    for (const Group& group : problem.groups) {
      weight.push_back(size);
      limit.push_back(group.count);
      size *= static_cast<std::size_t>(group.count + 1);
    }
  }
  std::int64_t digit(std::size_t set, std::size_t group) const {
    return static_cast<std::int64_t>(set / weight[group]) % (limit[group] + 1);
  }
  // All that are part of `set`, itself and the empty one too.
  template <class Visit> void within(std::size_t set, const Visit& visit) {
    at.assign(weight.size(), 0);
    most.clear();
    for (std::size_t g = 0; g < weight.size(); ++g) most.push_back(digit(set, g));
    std::size_t part = 0;
    for (;;) {
      visit(part);
      std::size_t g = 0;
      while (g < at.size() && at[g] == most[g]) {
        part -= static_cast<std::size_t>(at[g]) * weight[g];
        at[g++] = 0;
      }
      if (g == at.size()) return;
      ++at[g];
      part += weight[g];
    }
  }

  std::vector<std::size_t> weight;
  std::vector<std::int64_t> limit;
  std::size_t size = 1;

 private:
  std::vector<std::int64_t> at, most;
};

constexpr double impossible = -std::numeric_limits<double>::infinity();

// What each multiset is worth on one instance, all of it on time. For a set and a model served last only the earliest end
// matters, and it has the least setup time too, since the work is the same.
std::vector<double> worth_on(const Problem& problem, const Multisets& sets, std::size_t i) {
  const Instance& instance = problem.instances[i];
  const SetupTable& setups = problem.setups[instance.setups];
  std::vector<Duration> end(sets.size * problem.models, Duration::max());
  std::vector<double> worth(sets.size, impossible);
  for (std::size_t set = 0; set < sets.size; ++set) {
    Duration earliest = set == 0 ? instance.free_at : Duration::max();
    for (std::size_t m = 0; m < problem.models; ++m) earliest = std::min(earliest, end[set * problem.models + m]);
    if (earliest == Duration::max()) continue;
    double value = 0;
    Duration work{};
    for (std::size_t g = 0; g < problem.groups.size(); ++g) {
      const std::int64_t count = sets.digit(set, g);
      std::int64_t had = 0;
      for (const Part& part : i < problem.incumbent.size() ? problem.incumbent[i] : std::vector<Part>{})
        had += part.group == g ? part.count : 0;
      value += problem.groups[g].value * static_cast<double>(count);
      value -= problem.move_cost * static_cast<double>(std::max<std::int64_t>(0, had - count));
      work += problem.work[g * problem.kinds + instance.kind] * count;
    }
    worth[set] = value - problem.setup_cost * seconds(earliest - instance.free_at - work);

    for (std::size_t g = 0; g < problem.groups.size(); ++g) {
      const ModelId model = problem.groups[g].model;
      const Duration one = problem.work[g * problem.kinds + instance.kind];
      if (sets.digit(set, g) == sets.limit[g] || one <= Duration::zero()) continue;
      if (std::ranges::count(instance.holds, model) == 0) continue;
      Duration& after = end[(set + sets.weight[g]) * problem.models + model.index()];
      const auto add = [&](Duration at, std::optional<ModelId> loaded) {
        const Duration done = at + setups.of(loaded, model) + one;
        if (done <= problem.groups[g].due) after = std::min(after, done);
      };
      if (set == 0) add(instance.free_at, instance.loaded);
      for (std::uint32_t m = 0; m < problem.models; ++m) {
        if (end[set * problem.models + m] != Duration::max()) add(end[set * problem.models + m], ModelId{m});
      }
    }
  }
  return worth;
}

}  // namespace

double exact_objective(const Problem& problem) {
  Multisets sets(problem);
  // best[set]: of what the instances so far can make of at most these requests.
  std::vector<double> best = worth_on(problem, sets, 0);
  for (std::size_t g = 0; g < problem.groups.size(); ++g) {
    for (std::size_t set = 0; set < sets.size; ++set) {
      if (sets.digit(set, g) > 0) best[set] = std::max(best[set], best[set - sets.weight[g]]);
    }
  }
  for (std::size_t i = 1; i < problem.instances.size(); ++i) {
    const std::vector<double> worth = worth_on(problem, sets, i);
    std::vector<double> next(sets.size, impossible);
    const bool last = i + 1 == problem.instances.size();
    for (std::size_t set = last ? sets.size - 1 : 0; set < sets.size; ++set) {
      sets.within(set, [&](std::size_t part) {
        if (worth[part] != impossible) next[set] = std::max(next[set], worth[part] + best[set - part]);
      });
    }
    best = std::move(next);
  }
  return best.back();
}

Problem random_case(Prng& prng, const CaseShape& shape) {
  Problem problem;
  problem.models = shape.models;
  problem.kinds = 1 + prng.below(std::min<std::size_t>(3, shape.instances));
  const auto around = [&](double mean, double spread) { return mean * (1 - spread + 2 * spread * prng.uniform()); };
  std::vector<double> model_work;
  for (std::size_t m = 0; m < shape.models; ++m) model_work.push_back(around(1, 0.6));
  std::vector<double> slowness;
  for (std::size_t k = 0; k < problem.kinds; ++k) slowness.push_back(around(1.5, 0.6));

  double all = 0;
  std::int64_t states = 1;
  for (std::size_t g = 0; g < shape.groups; ++g) {
    std::int64_t count = 1 + static_cast<std::int64_t>(prng.below(static_cast<std::uint64_t>(shape.largest)));
    if (shape.states > 0) {  // those still to come take a factor of two at least
      while (count > 1 && states * (count + 1) > shape.states >> (shape.groups - g - 1)) --count;
      states *= count + 1;
    }
    const auto model = static_cast<std::uint32_t>(prng.below(shape.models));
    const double size = around(4, 0.8);
    for (std::size_t k = 0; k < problem.kinds; ++k) {
      // Kinds differ in what they are good at.
      const double one = size * model_work[model] * slowness[k] * around(1, 0.2);
      problem.work.push_back(duration_from_seconds(one));
      all += one * static_cast<double>(count) / static_cast<double>(problem.kinds);
    }
    constexpr double values[] = {1, 1, 2, 5};
    problem.groups.push_back({ModelId{model}, count, values[prng.below(4)] * around(1, 0.1), {}});
  }
  const double horizon = all / static_cast<double>(shape.instances) / shape.load;
  for (Group& group : problem.groups) group.due = duration_from_seconds(horizon * (0.15 + 0.85 * prng.uniform()));

  for (std::size_t k = 0; k < problem.kinds; ++k) {
    SetupTable table{.models = shape.models, .times = {}};
    for (std::size_t pair = 0; pair < (shape.models + 1) * shape.models; ++pair)
      table.times.push_back(duration_from_seconds(seconds(shape.setup) * around(1, 0.7)));
    problem.setups.push_back(table);
  }
  for (std::size_t i = 0; i < shape.instances; ++i) {
    const auto kind = static_cast<std::uint32_t>(prng.below(problem.kinds));
    Instance instance{.free_at = duration_from_seconds(prng.chance(0.5) ? 0 : horizon * 0.2 * prng.uniform()),
                      .loaded = std::nullopt,
                      .kind = kind,
                      .setups = kind,
                      .holds = {}};
    for (std::uint32_t m = 0; m < shape.models; ++m) {
      if (prng.chance(0.8)) instance.holds.push_back(ModelId{m});
    }
    if (!instance.holds.empty() && prng.chance(0.8))
      instance.loaded = instance.holds[prng.below(instance.holds.size())];
    problem.instances.push_back(instance);
  }
  if (shape.prices) {
    problem.setup_cost = 0.3 * prng.uniform();
    problem.move_cost = 0.5 * prng.uniform();
    problem.incumbent.resize(shape.instances);
    for (std::uint32_t g = 0; g < shape.groups; ++g) {
      if (prng.chance(0.7)) problem.incumbent[prng.below(shape.instances)].push_back({g, problem.groups[g].count});
    }
  }
  return problem;
}

Maker::Maker(std::size_t models, Duration setup) {
  problem.models = models;
  problem.setups = {{models, std::vector<Duration>((models + 1) * models, setup)}};
}

std::uint32_t Maker::instance(std::optional<ModelId> loaded, std::vector<ModelId> holds, Duration free_at) {
  problem.instances.push_back({.free_at = free_at, .loaded = loaded, .holds = std::move(holds)});
  return static_cast<std::uint32_t>(problem.instances.size() - 1);
}

std::uint32_t Maker::group(ModelId model, std::int64_t count, Duration work, Duration due, double value) {
  problem.groups.push_back({model, count, value, due});
  problem.work.push_back(work);
  return static_cast<std::uint32_t>(problem.groups.size() - 1);
}

}  // namespace qlm::planner

#include "simulate/bounds/steady.hpp"

#include <algorithm>

#include "simulate/bounds/linear_program.hpp"

namespace qlm::bounds {
namespace {

std::optional<EngineTime> work_of(const MultiModelInstance& instance, std::size_t model) {
  return model < instance.work.size() ? instance.work[model] : std::nullopt;
}

double setup_of(const MultiModelInstance& instance, std::size_t model) {
  const bool here = instance.loaded && instance.loaded->index() == model;
  return here || model >= instance.setup.size() ? 0 : seconds(instance.setup[model]);
}

}  // namespace

EngineTime mean_work(const EngineSpec& engine, std::span<const workload::Lengths> lengths) {
  // Nearly linear in each share: one of the pure splits is best.
  constexpr BaseShares pure[] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  EngineTime most{};
  for (const BaseShares& step : pure) {
    for (const BaseShares& prefill_step : pure) {
      for (const double above_knee : {0.0, 1.0}) {
        const LeastWork work(engine, {step, prefill_step, above_knee});
        EngineTime sum{};
        for (const workload::Lengths& of : lengths) sum += work.whole(of.prompt, of.output);
        most = std::max(most, sum);
      }
    }
  }
  return lengths.empty() ? most : most / static_cast<double>(lengths.size());
}

double steady_ceiling(std::span<const SteadyArrivals> arrivals, std::span<const MultiModelInstance> instances, Duration time) {
  double all = 0;
  std::vector<double> of_model;
  for (const SteadyArrivals& group : arrivals) {
    all += group.requests * group.value;
    if (of_model.size() <= group.model.index()) of_model.resize(group.model.index() + 1);
    of_model[group.model.index()] += group.requests;
  }
  LinearProgram program;
  std::vector<std::vector<std::pair<std::size_t, double>>> used(instances.size());
  for (const SteadyArrivals& group : arrivals) {
    const std::size_t model = group.model.index();
    std::vector<std::pair<std::size_t, double>> served;
    for (std::size_t i = 0; i < instances.size(); ++i) {
      const auto work = work_of(instances[i], model);
      const double left = seconds(time) - setup_of(instances[i], model);
      if (!work || left <= 0 || group.requests <= 0) continue;
      const double most = std::min(of_model[model], left / std::max(work->count(), 1e-12));
      served.emplace_back(program.variable(group.value), 1);
      used[i].emplace_back(served.back().first, work->count() + setup_of(instances[i], model) / most);
    }
    program.at_most(group.requests, std::move(served));
  }
  for (auto& factors : used) program.at_most(seconds(time), std::move(factors));
  return all > 0 ? std::min(program.solve() / all, 1.0) : 1;
}

double backlog_bound(std::span<const WaitingGroup> groups, std::span<const MultiModelInstance> instances,
                     std::span<const Duration> free_at) {
  std::vector<Duration> dues;
  std::size_t models = 0;
  for (const WaitingGroup& group : groups) {
    dues.push_back(group.due);
    models = std::max<std::size_t>(models, group.model.index() + 1);
  }
  std::ranges::sort(dues);
  dues.erase(std::ranges::unique(dues).begin(), dues.end());

  using Factors = std::vector<std::pair<std::size_t, double>>;
  LinearProgram program;
  std::vector<Factors> whole(groups.size());
  for (std::size_t i = 0; i < instances.size(); ++i) {
    const double from = i < free_at.size() ? seconds(free_at[i]) : 0;
    std::vector<Factors> by(dues.size());
    for (std::size_t model = 0; model < models; ++model) {
      const double setup = setup_of(instances[i], model);
      const auto work = work_of(instances[i], model);
      if (!work) continue;
      std::optional<std::size_t> brought_in;  // by the deadline before, as a fraction
      for (std::size_t k = 0; k < dues.size(); ++k) {
        std::optional<std::size_t> here;
        if (setup > 0) {
          here = program.variable(0);
          by[k].emplace_back(*here, setup);
          if (brought_in) program.at_most(0, {{*brought_in, 1}, {*here, -1}});
          brought_in = here;
        }
        for (std::size_t g = 0; g < groups.size(); ++g) {
          const WaitingGroup& group = groups[g];
          const double room = seconds(dues[k]) - from - setup;
          if (group.model.index() != model || group.due != dues[k] || room <= 0) continue;
          // The fraction of the group that is done here.
          const std::size_t done = program.variable(group.value * group.requests);
          whole[g].emplace_back(done, 1);
          if (here) program.at_most(0, {{done, 1}, {*here, -1}});
          for (std::size_t later = k; later < dues.size(); ++later)
            by[later].emplace_back(done, group.requests * work->count());
        }
      }
    }
    for (std::size_t k = 0; k < dues.size(); ++k) program.at_most(seconds(dues[k]) - from, std::move(by[k]));
  }
  for (Factors& factors : whole) program.at_most(1, std::move(factors));
  return program.solve();
}

}  // namespace qlm::bounds

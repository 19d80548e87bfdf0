#include "core/plan/schedule.hpp"

#include <algorithm>
#include <limits>

namespace qlm::planner {
namespace {

constexpr Duration far = Duration::max() / 4;  // a century; sums of two do not overflow

}  // namespace

Schedule::Schedule(const Problem& problem)
    : problem_(&problem),
      hosts_of_model_(problem.models),
      holds_(problem.models * problem.instances.size(), 0),
      density_(problem.groups.size(), 0),
      price_(problem.kinds, 0),
      homes_(problem.groups.size()),
      at_home_(problem.groups.size(), 0),
      queues_(problem.instances.size()),
      tails_(problem.instances.size()),
      worth_(problem.instances.size(), 0),
      left_(problem.groups.size(), 0),
      is_changed_(problem.instances.size(), 0) {
  for (std::uint32_t i = 0; i < problem.instances.size(); ++i) refresh(i);
  for (std::uint32_t i = 0; i < problem.instances.size(); ++i) {
    for (const ModelId model : problem.instances[i].holds) {
      char& held = holds_[model.index() * problem.instances.size() + i];
      if (!held) hosts_of_model_[model.index()].push_back(i);
      held = 1;
    }
  }
  std::vector<double> value(problem.kinds, 0);
  std::vector<double> work(problem.kinds, 0);
  for (std::uint32_t g = 0; g < problem.groups.size(); ++g) {
    const Group& group = problem.groups[g];
    left_[g] = group.count;
    due_.push_back(std::clamp(group.due, -far, far));
    for (std::size_t kind = 0; kind < problem.kinds; ++kind) {
      const double one = seconds(problem.work[g * problem.kinds + kind]);
      if (one <= 0) continue;
      density_[g] = std::max(density_[g], group.value / one);
      value[kind] += group.value * static_cast<double>(group.count);
      work[kind] += one * static_cast<double>(group.count);
    }
  }
  for (std::size_t kind = 0; kind < problem.kinds; ++kind) price_[kind] = work[kind] > 0 ? value[kind] / work[kind] : 0;
  for (std::uint32_t i = 0; i < problem.incumbent.size(); ++i) {
    for (const Part& part : problem.incumbent[i]) {
      auto& homes = homes_[part.group];
      const auto known = std::ranges::find(homes, i, &Home::instance);
      if (known != homes.end()) known->count += part.count;
      else homes.push_back({i, part.count});
    }
  }
}

bool Schedule::can_run(std::uint32_t group, std::uint32_t instance) const {
  return holds_[problem_->groups[group].model.index() * problem_->instances.size() + instance] &&
         problem_->work_of(group, problem_->instances[instance]) > Duration::zero();
}

Duration Schedule::setup(std::uint32_t instance, std::optional<ModelId> from, ModelId to) const {
  return problem_->setups[problem_->instances[instance].setups].of(from, to);
}

// Of `more` requests of the group put here, those the incumbent had here too.
std::int64_t Schedule::kept_here(std::uint32_t group, std::uint32_t instance, std::int64_t more) const {
  for (const Home& home : homes_[group]) {
    if (home.instance != instance) continue;
    std::int64_t room = home.count;
    for (const Placed& part : queues_[instance]) room -= part.group == group ? part.count : 0;
    return std::clamp<std::int64_t>(room, 0, more);
  }
  return 0;
}

Spot Schedule::best_spot(std::uint32_t group, std::uint32_t instance) {
  Spot best{.instance = instance, .score = -std::numeric_limits<double>::infinity()};
  const Group& wanted = problem_->groups[group];
  const Instance& on = problem_->instances[instance];
  const Duration work = problem_->work_of(group, on);
  const std::int64_t left = left_[group];
  const Duration latest = due_[group] - work;  // start
  ++tried_;
  if (work <= Duration::zero() || left <= 0 || on.free_at > latest) return best;
  if (tails_[instance].slack < work && tails_[instance].end > latest) return best;

  const std::vector<Placed>& queue = queues_[instance];
  const SetupTable& setups = problem_->setups[on.setups];
  const Duration whole = left < far / work ? work * left : Duration::max();
  const double time = price_[on.kind] + problem_->setup_cost;
  const bool moves = problem_->move_cost > 0 && !homes_[group].empty();
  const auto later = [&](const Placed& other) {
    return other.due != due_[group] ? other.due > due_[group] : other.group > group;
  };
  // From the end: the further to the front, the less may be put there. (Where a detour would make setups shorter more
  // might fit; that is not looked for.)
  for (std::size_t position = queue.size();; --position) {
    const bool last = position == queue.size();
    if (!last && queue[position].slack < work) break;
    const Duration at = position > 0 ? queue[position - 1].end : on.free_at;
    if (at <= latest) {
      ++tried_;
      const std::optional<ModelId> before = position > 0 ? std::optional(queue[position - 1].model) : on.loaded;
      const bool after_own = position > 0 && before == wanted.model;
      const bool before_own = !last && queue[position].model == wanted.model;
      // In a run of one model earliest due first loses nothing: one position of it is enough.
      if (!(after_own && later(queue[position - 1])) && !(before_own && !later(queue[position]))) {
        const Duration into = setups.of(before, wanted.model);
        Duration extra = into;
        Duration room = latest + work - at - into;
        if (!last) {
          extra += setups.of(wanted.model, queue[position].model) - queue[position].setup;
          room = std::min(room, queue[position].slack - extra);
        }
        if (room >= work) {
          const std::int64_t count = room >= whole ? left : room / work;
          double score = -time * seconds(extra) / static_cast<double>(count);
          if (moves) {
            score += problem_->move_cost * static_cast<double>(kept_here(group, instance, count)) /
                     static_cast<double>(count);
          }
          if (score > best.score || (score == best.score && count > best.count)) {
            best.position = static_cast<std::uint32_t>(position);
            best.count = count;
            best.score = score;
          }
        }
      }
    }
    if (position == 0) break;
  }
  best.score += wanted.value - price_[on.kind] * seconds(work);
  return best;
}

void Schedule::place(std::uint32_t group, std::span<const std::uint32_t> instances, std::int64_t most) {
  spots_.clear();
  // No place is better than one without setup on the kind that suits the group best.
  double best = -std::numeric_limits<double>::infinity();
  for (std::size_t kind = 0; kind < problem_->kinds; ++kind) {
    const double work = seconds(problem_->work[group * problem_->kinds + kind]);
    if (work > 0) best = std::max(best, problem_->groups[group].value - price_[kind] * work);
  }
  if (problem_->move_cost > 0 && !homes_[group].empty()) best = std::numeric_limits<double>::infinity();
  for (const std::uint32_t instance : instances) {
    const Spot spot = best_spot(group, instance);
    if (spot.count > 0) spots_.push_back(spot);
    if (spot.count == left_[group] && spot.score >= best) break;
  }
  std::ranges::sort(spots_, [](const Spot& a, const Spot& b) {
    return a.score != b.score ? a.score > b.score : a.instance < b.instance;
  });
  for (const Spot& spot : spots_) {
    if (left_[group] <= 0 || most <= 0) break;
    most -= put(spot, group, most);
  }
}

std::int64_t Schedule::put(const Spot& spot, std::uint32_t group, std::int64_t most) {
  const std::int64_t count = std::min({spot.count, left_[group], most});
  save(spot.instance);
  auto& queue = queues_[spot.instance];
  const auto at = queue.begin() + spot.position;
  left_[group] -= count;
  if (spot.position > 0 && std::prev(at)->group == group) std::prev(at)->count += count;
  else queue.insert(at, {.group = group, .model = problem_->groups[group].model, .count = count, .due = due_[group]});
  refresh(spot.instance);
  return count;
}

void Schedule::erase(std::uint32_t instance, std::size_t first, std::size_t last) {
  save(instance);
  auto& queue = queues_[instance];
  const auto from = queue.begin() + static_cast<std::ptrdiff_t>(first);
  const auto to = queue.begin() + static_cast<std::ptrdiff_t>(last);
  for (auto part = from; part != to; ++part) left_[part->group] += part->count;
  queue.erase(from, to);
  refresh(instance);
}

void Schedule::prune(std::uint32_t instance) {
  if (problem_->setup_cost <= 0) return;
  std::size_t first = 0;
  while (first < queues_[instance].size()) {
    const auto& queue = queues_[instance];
    double value = 0;
    std::size_t last = first;
    for (; last < queue.size() && queue[last].model == queue[first].model; ++last) {
      const double each =
          problem_->groups[queue[last].group].value + (homes_[queue[last].group].empty() ? 0 : problem_->move_cost);
      value += each * static_cast<double>(queue[last].count);
    }
    Duration saved = queue[first].setup;
    if (last < queue.size()) {
      const std::optional<ModelId> before =
          first > 0 ? std::optional(queue[first - 1].model) : problem_->instances[instance].loaded;
      saved += queue[last].setup - setup(instance, before, queue[last].model);
    }
    // A queue whose setups grow by what is taken out could be late: then it stays.
    if (saved > Duration::zero() && value < problem_->setup_cost * seconds(saved)) {
      erase(instance, first, last);
      first = 0;
    } else {
      first = last;
    }
  }
}

// Ends forwards, slack backwards, and what the queue is worth.
void Schedule::refresh(std::uint32_t instance) {
  auto& queue = queues_[instance];
  Duration at = problem_->instances[instance].free_at;
  std::optional<ModelId> before = problem_->instances[instance].loaded;
  Duration setups{};
  double value = 0;
  for (Placed& part : queue) {
    part.setup = setup(instance, before, part.model);
    setups += part.setup;
    part.end = at + part.setup + problem_->work_of(part.group, problem_->instances[instance]) * part.count;
    at = part.end;
    before = part.model;
    value += problem_->groups[part.group].value * static_cast<double>(part.count);
  }
  Duration slack = far;
  for (auto part = queue.rbegin(); part != queue.rend(); ++part) {
    slack = std::min(slack, part->due - part->end);
    part->slack = slack;
  }
  tails_[instance] = {at, queue.empty() ? -far : queue.back().slack};
  if (problem_->move_cost > 0) {
    std::int64_t kept = 0;
    for (const Placed& part : queue) at_home_[part.group] += part.count;
    for (const Placed& part : queue) {
      for (const Home& home : homes_[part.group]) {
        if (home.instance == instance) kept += std::min(at_home_[part.group], home.count);
      }
      at_home_[part.group] = 0;
    }
    value += problem_->move_cost * static_cast<double>(kept);
  }
  const double worth = value - problem_->setup_cost * seconds(setups);
  objective_ += worth - worth_[instance];
  worth_[instance] = worth;
}

void Schedule::load(const VirtualQueues& plan) {
  for (std::uint32_t i = 0; i < queues_.size(); ++i) {
    save(i);
    for (const Placed& part : queues_[i]) left_[part.group] += part.count;
    queues_[i].clear();
    Duration at = problem_->instances[i].free_at;
    std::optional<ModelId> before = problem_->instances[i].loaded;
    for (const Part& part : i < plan.size() ? plan[i] : std::vector<Part>{}) {
      if (!can_run(part.group, i)) continue;
      const Group& group = problem_->groups[part.group];
      const Duration work = problem_->work_of(part.group, problem_->instances[i]);
      const Duration room = due_[part.group] - at - setup(i, before, group.model);
      const std::int64_t count = std::min({part.count, left_[part.group], room / work});
      if (count <= 0) continue;
      at += setup(i, before, group.model) + work * count;
      before = group.model;
      left_[part.group] -= count;
      queues_[i].push_back({.group = part.group, .model = group.model, .count = count, .due = due_[part.group]});
    }
    refresh(i);
  }
  keep();
}

VirtualQueues Schedule::plan() const {
  VirtualQueues plan(queues_.size());
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    for (const Placed& part : queues_[i]) {
      if (!plan[i].empty() && plan[i].back().group == part.group) plan[i].back().count += part.count;
      else plan[i].push_back({part.group, part.count});
    }
  }
  return plan;
}

void Schedule::save(std::uint32_t instance) {
  if (is_changed_[instance]) return;
  is_changed_[instance] = 1;
  if (before_.size() == changed_.size()) before_.emplace_back();
  before_[changed_.size()] = queues_[instance];
  changed_.push_back(instance);
}

void Schedule::keep() {
  for (const std::uint32_t instance : changed_) is_changed_[instance] = 0;
  changed_.clear();
}

void Schedule::undo() {
  for (std::size_t i = 0; i < changed_.size(); ++i) {
    const std::uint32_t instance = changed_[i];
    for (const Placed& part : queues_[instance]) left_[part.group] += part.count;
    for (const Placed& part : before_[i]) left_[part.group] -= part.count;
    queues_[instance].swap(before_[i]);
    refresh(instance);
    is_changed_[instance] = 0;
  }
  changed_.clear();
}

void Schedule::restore(std::span<const std::uint32_t> instances, std::span<const std::vector<Placed>> queues) {
  for (const std::uint32_t instance : instances) {
    for (const Placed& part : queues_[instance]) left_[part.group] += part.count;
  }
  for (std::size_t i = 0; i < instances.size(); ++i) {
    queues_[instances[i]] = queues[i];
    for (const Placed& part : queues[i]) left_[part.group] -= part.count;
    refresh(instances[i]);
  }
  keep();
}

}  // namespace qlm::planner

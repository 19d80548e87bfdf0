#include "core/plan/ruin_recreate.hpp"

#include <algorithm>

#include "base/prng.hpp"

namespace qlm::planner {
namespace {

constexpr std::size_t few = 12;  // hosts of a group: tried all; of more, those that were ruined and some others
constexpr std::size_t longest = 12;  // stretch taken out of a queue
constexpr std::size_t newcomers = 24;  // groups with something left that are tried in one round
constexpr int rounds_a_listing = 256;  // between two looks at all groups for those with something left

class Search {
 public:
  Search(Schedule& schedule, const Component& component, SearchBudget budget)
      : schedule_(schedule),
        problem_(schedule.problem()),
        component_(component),
        prng_(budget.seed),
        best_(component.instances.size()),
        place_of_(problem_.instances.size(), 0),
        open_(problem_.models) {
    for (std::size_t i = 0; i < component.instances.size(); ++i) {
      place_of_[component.instances[i]] = static_cast<std::uint32_t>(i);
      best_[i] = schedule.queue(component.instances[i]);
    }
    limit_ = schedule.tried() + budget.positions;
    budget_ = static_cast<double>(std::max<std::int64_t>(1, budget.positions));
    double value = 0;
    for (const std::uint32_t g : component.groups)
      value += problem_.groups[g].value * static_cast<double>(problem_.groups[g].count);
    // A loss as large as a group is a small one in a small plan only.
    const auto groups = static_cast<double>(component.groups.size());
    tolerance_ = value / groups * std::min(1.0, 8 / groups);
  }

  void run() {
    schedule_.keep();
    double current = schedule_.objective();
    double best = current;
    for (int round = 0; schedule_.tried() < limit_; ++round) {
      if (round % rounds_a_listing == 0) list_open();
      const std::int64_t before = schedule_.tried();
      ruin();
      recreate();
      idle_ = schedule_.tried() == before ? idle_ + 1 : 0;
      if (idle_ > 1000) break;  // nothing to decide
      const double left = static_cast<double>(limit_ - schedule_.tried()) / budget_;
      const double now = schedule_.objective();
      const double chance = prng_.uniform();
      if (now < current - tolerance_ * std::max(0.0, left) * chance * chance * chance || !on_time()) {
        schedule_.undo();
        continue;
      }
      current = now;
      for (const std::uint32_t i : schedule_.changed()) stale_.push_back(i);
      schedule_.keep();
      if (now > best) {
        best = now;
        for (const std::uint32_t i : stale_) best_[place_of_[i]] = schedule_.queue(i);
        stale_.clear();
      }
    }
    schedule_.restore(component_.instances, best_);
  }

 private:
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(prng_.below(bound)); }

  // What a detour made shorter may be late without it.
  bool on_time() const {
    return std::ranges::all_of(schedule_.changed(), [&](std::uint32_t i) {
      return schedule_.queue(i).empty() || schedule_.queue(i).front().slack >= Duration::zero();
    });
  }

  void list_open() {
    for (auto& of_model : open_) of_model.clear();
    for (const std::uint32_t g : component_.groups) {
      if (schedule_.left(g) > 0) open_[problem_.groups[g].model.index()].push_back(g);
    }
  }

  void ruin() {
    ruined_.clear();
    groups_.clear();
    ruined_.push_back(component_.instances[below(component_.instances.size())]);
    const std::size_t wanted = 1 + below(std::min<std::size_t>(3, component_.instances.size()));
    for (int look = 0; look < 4 && ruined_.size() < wanted; ++look) {
      // A neighbour holds a model that the first one holds too.
      const auto& holds = problem_.instances[ruined_[0]].holds;
      if (holds.empty()) break;
      const auto hosts = schedule_.hosts_of(holds[below(holds.size())]);
      const std::uint32_t other = hosts[below(hosts.size())];
      if (is_ours(other) && std::ranges::find(ruined_, other) == ruined_.end()) ruined_.push_back(other);
    }
    const auto& first = schedule_.queue(ruined_[0]);
    const double moment = first.empty() ? 0 : prng_.uniform() * seconds(first.back().end);
    for (const std::uint32_t i : ruined_) {
      const auto& queue = schedule_.queue(i);
      if (queue.empty()) continue;
      std::size_t from = 0;
      std::size_t length = queue.size();
      if (below(4) != 0) {
        length = 1 + below(std::min(longest, queue.size()));
        while (from + 1 < queue.size() && seconds(queue[from].end) < moment) ++from;
        from -= std::min(from, below(length));
        from = std::min(from, queue.size() - length);
      }
      for (std::size_t p = from; p < from + length; ++p) groups_.push_back(queue[p].group);
      schedule_.erase(i, from, from + length);
    }
  }

  bool is_ours(std::uint32_t instance) const {
    return component_.instances[std::min<std::size_t>(place_of_[instance], component_.instances.size() - 1)] ==
           instance;
  }

  void recreate() {
    if (component_.groups.size() <= newcomers) {
      for (const std::uint32_t g : component_.groups) {
        if (schedule_.left(g) > 0) groups_.push_back(g);
      }
    } else {
      for (std::size_t i = 0; i < newcomers; ++i) {
        const auto& holds = problem_.instances[ruined_[below(ruined_.size())]].holds;
        if (holds.empty()) continue;
        const auto& waiting = open_[holds[below(holds.size())].index()];
        if (waiting.empty()) continue;
        const std::uint32_t a = waiting[below(waiting.size())];
        const std::uint32_t b = waiting[below(waiting.size())];
        const std::uint32_t g = schedule_.density(a) < schedule_.density(b) ? b : a;
        if (schedule_.left(g) > 0) groups_.push_back(g);
      }
    }
    std::ranges::sort(groups_);
    groups_.erase(std::ranges::unique(groups_).begin(), groups_.end());
    order();
    for (const auto& [key, group] : keyed_) {
      hosts_.clear();
      const auto hosts = schedule_.hosts(group);
      if (hosts.size() <= few) {
        for (const std::uint32_t i : hosts) add_host(group, i);
      } else {
        for (const std::uint32_t i : ruined_) add_host(group, i);
        for (int other = 0; other < 3; ++other) {
          const std::uint32_t i = hosts[below(hosts.size())];
          if (std::ranges::find(hosts_, i) == hosts_.end()) add_host(group, i);
        }
      }
      // Now and then a part only, so that others may stand beside it.
      const std::int64_t left = schedule_.left(group);
      if (left > 1 && below(20) == 0) {
        schedule_.place(group, hosts_, 1 + static_cast<std::int64_t>(below(left - 1)));
      } else {
        schedule_.place(group, hosts_);
      }
    }
    // Pruning may change what is still to be pruned only in the queue itself.
    pruned_.assign(schedule_.changed().begin(), schedule_.changed().end());
    for (const std::uint32_t i : pruned_) schedule_.prune(i);
  }

  void add_host(std::uint32_t group, std::uint32_t instance) {
    if (below(24) != 0 && is_ours(instance) && schedule_.can_run(group, instance)) hosts_.push_back(instance);
  }

  // In which order what was taken out is put back: one of several, with noise. Least key first.
  void order() {
    const std::size_t how = below(5);
    const std::uint64_t salt = prng_.next();
    keyed_.clear();
    for (const std::uint32_t g : groups_) {
      const Group& group = problem_.groups[g];
      const double noise = prng_.uniform();
      double key = noise;
      if (how == 0 || how == 1) key = -schedule_.density(g) * (0.6 + noise);
      if (how == 2) key = seconds(group.due);
      if (how == 3) key = -group.value * static_cast<double>(schedule_.left(g)) * (0.6 + noise);
      if (how == 4) {  // model by model
        key = static_cast<double>((group.model.value * 0x9e3779b97f4a7c15ULL + salt) * 0x94d049bb133111ebULL >> 40) +
              noise;
      }
      keyed_.emplace_back(key, g);
    }
    std::ranges::sort(keyed_);
  }

  Schedule& schedule_;
  const Problem& problem_;
  const Component& component_;
  Prng prng_;
  std::int64_t limit_ = 0;
  double budget_ = 1;
  double tolerance_ = 0;  // at first, of a loss
  int idle_ = 0;
  std::vector<std::vector<Placed>> best_;  // as component_.instances
  std::vector<std::uint32_t> place_of_;  // by instance, where it is in those
  std::vector<std::vector<std::uint32_t>> open_;  // by model
  std::vector<std::uint32_t> stale_;  // differ from best_
  std::vector<std::uint32_t> ruined_, hosts_, groups_, pruned_;
  std::vector<std::pair<double, std::uint32_t>> keyed_;
};

}  // namespace

void improve(Schedule& schedule, const Component& component, SearchBudget budget) {
  if (component.instances.empty() || component.groups.empty() || budget.positions <= 0) return;
  Search(schedule, component, budget).run();
}

}  // namespace qlm::planner

// A plan in the making: every part on time, and for every position of every queue how much may still be put there, in
// constant time: when what is before it ends, and by how much all after it may be delayed.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/plan/global_plan.hpp"

namespace qlm::planner {

struct Placed {
  std::uint32_t group = 0;
  ModelId model;
  std::int64_t count = 0;
  Duration due{};
  Duration setup{};  // before it
  Duration end{};
  Duration slack{};  // by which it and all after it may be delayed
};

// Where some of a group could stand.
struct Spot {
  std::uint32_t instance = 0;
  std::uint32_t position = 0;
  std::int64_t count = 0;  // as many as fit; 0: none
  double score = 0;  // higher is better, a request: what it keeps, less what the time and setup it takes are worth
};

class Schedule {
 public:
  explicit Schedule(const Problem& problem);

  const Problem& problem() const { return *problem_; }
  const std::vector<Placed>& queue(std::uint32_t instance) const { return queues_[instance]; }
  // Of a group's requests, those that stand nowhere.
  std::int64_t left(std::uint32_t group) const { return left_[group]; }
  // Instances that may run the group, ascending.
  std::span<const std::uint32_t> hosts(std::uint32_t group) const { return hosts_of(problem_->groups[group].model); }
  std::span<const std::uint32_t> hosts_of(ModelId model) const { return hosts_of_model_[model.index()]; }
  bool can_run(std::uint32_t group, std::uint32_t instance) const;
  // Value a second where it runs fastest.
  double density(std::uint32_t group) const { return density_[group]; }
  // The objective, up to a constant.
  double objective() const { return objective_; }
  // Positions looked at so far.
  std::int64_t tried() const { return tried_; }

  // What of a plan is on time, parts in their order.
  void load(const VirtualQueues& plan);
  VirtualQueues plan() const;

  // The best place for what is left of a group on an instance that can run it.
  Spot best_spot(std::uint32_t group, std::uint32_t instance);
  // Puts as much of what is left as fits on the instances named, best places first; `instances` can all run the group.
  void place(std::uint32_t group, std::span<const std::uint32_t> instances,
             std::int64_t most = std::numeric_limits<std::int64_t>::max());
  void erase(std::uint32_t instance, std::size_t first, std::size_t last);
  // Takes out what costs more in setups than it is worth.
  void prune(std::uint32_t instance);

  // Since the last keep() or undo(): instances that changed, and a way back.
  std::span<const std::uint32_t> changed() const { return changed_; }
  void keep();
  void undo();
  // Puts the queues of some instances back to what they were at some time, all of them from the same time.
  void restore(std::span<const std::uint32_t> instances, std::span<const std::vector<Placed>> queues);

 private:
  struct Home {
    std::uint32_t instance;
    std::int64_t count;
  };

  Duration setup(std::uint32_t instance, std::optional<ModelId> from, ModelId to) const;
  std::int64_t kept_here(std::uint32_t group, std::uint32_t instance, std::int64_t more) const;
  std::int64_t put(const Spot& spot, std::uint32_t group, std::int64_t most);
  void save(std::uint32_t instance);
  void refresh(std::uint32_t instance);

  const Problem* problem_;
  std::vector<std::vector<std::uint32_t>> hosts_of_model_;
  std::vector<char> holds_;  // [model * instances + instance]
  std::vector<double> density_;
  std::vector<double> price_;  // by kind: what a second of such an instance is worth
  std::vector<Duration> due_;  // by group
  std::vector<std::vector<Home>> homes_;  // by group: where the incumbent had it
  std::vector<std::int64_t> at_home_;  // by group, while a queue is being summed up

  std::vector<std::vector<Placed>> queues_;
  struct Tail {
    Duration end{};  // of the last part, or when the instance is free
    Duration slack{};  // of the last part: no other has more
  };
  std::vector<Tail> tails_;  // by instance: enough to see that nothing fits
  std::vector<double> worth_;  // by instance: its part of the objective
  std::vector<std::int64_t> left_;
  double objective_ = 0;
  std::int64_t tried_ = 0;

  std::vector<std::uint32_t> changed_;
  std::vector<std::vector<Placed>> before_;  // as `changed_`, and spare ones behind
  std::vector<char> is_changed_;
  std::vector<Spot> spots_;
};

}  // namespace qlm::planner

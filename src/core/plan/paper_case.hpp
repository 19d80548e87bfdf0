// What the paper's scheduler decides over, inside plan/paper_lp: groups cut to size, instances that share models, and
// what an order of groups comes to by the paper's equations, in one reckoning of their lengths or in many.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/plan/paper_lp.hpp"

namespace qlm::paper {

// A group of the program: at most the cap. Seconds from now.
struct Piece {
  std::uint32_t group = 0;  // of the problem
  ModelId model;
  std::int64_t count = 0;
  double first_due = 0;
  double last_due = 0;
};

// By instance of the case, pieces in their order.
using Order = std::vector<std::vector<std::uint32_t>>;

struct Cost {
  double broken = 0;  // constraints; compared by qlm-sp only
  double late = 0;    // sum of p above zero
  double sum = 0;     // of p
  Cost& operator+=(const Cost& other) {
    broken += other.broken;
    late += other.late;
    sum += other.sum;
    return *this;
  }
};

class Case {
 public:
  // One reckoning: the mean and so many deviations.
  Case(const Problem& problem, const planner::Component& part, const Options& options);
  // Many: common random scenarios.
  struct Scenarios {};
  Case(Scenarios, const Problem& problem, const planner::Component& part, const Options& options);

  const std::vector<Piece>& pieces() const { return pieces_; }
  std::size_t instances() const { return instances_.size(); }
  std::uint32_t instance_index(std::size_t local) const { return instances_[local]; }
  const Instance& instance(std::size_t local) const { return problem_->instances[instances_[local]]; }
  bool can_run(std::uint32_t piece, std::size_t local) const { return theta(pieces_[piece].model, local) > 0; }

  // W of a piece in the reckoning, or in expectation; and when it must start, given how fast it runs there.
  double wait(std::uint32_t piece, std::size_t local) const;
  double start_by(std::uint32_t piece, std::size_t local) const;
  // From the end of one model's group to the start of another's: C of (10), and S. Nothing where both are the same.
  double change(std::size_t local, ModelId from, ModelId to) const;
  // To the first group's model, from what is loaded and still runs.
  double first_change(std::size_t local, ModelId to) const;
  double free_at(std::size_t local) const { return seconds(instance(local).free_at); }

  Cost cost(std::size_t local, std::span<const std::uint32_t> queue) const;
  Cost cost(const Order& order) const;
  bool no_worse(const Cost& a, const Cost& b) const;
  // How far from keeping all constraints; none: 0.
  double violation(const Cost& cost) const {
    return !by_chance_ ? cost.late : cost.broken > 0 ? cost.late + cost.broken : 0;
  }

  // By deadline, each where it would start first.
  Order edf() const;
  std::vector<std::uint32_t> by_deadline() const;

 private:
  void cut(const planner::Component& part, std::int64_t cap);
  double theta(ModelId model, std::size_t local) const {
    return instance(local).services[model.index()].tokens_per_second;
  }

  const Problem* problem_;
  std::vector<std::uint32_t> instances_;
  std::vector<Piece> pieces_;
  std::size_t scenarios_ = 1;
  std::vector<double> tokens_;           // [piece * scenarios + scenario]
  std::vector<double> expected_tokens_;  // by piece
  double may_miss_ = 0;                  // scenarios in which a constraint may be broken
  bool by_chance_ = false;
};

// No worse than EDF; `positions` queues are looked at.
Order searched(const Case& all, planner::SearchBudget budget);

// The paper's program, with x_{g,i,k}: piece i stands k-th from the end of instance g's queue.
struct Milp {
  struct Place {
    std::uint32_t variable, piece, instance, from_end;
  };
  lp::Program program;
  std::vector<Place> places;
};
// How many binary variables it has.
std::size_t places(const Case& all);
Milp milp(const Case& all);
// The order that a solution means. Empty where it means none.
Order order_of(const Case& all, const Milp& program, const std::vector<double>& values);

}  // namespace qlm::paper

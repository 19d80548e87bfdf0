// Local search on the paper's own objective: ruin and recreate. Some groups are taken out, of one model or of stretches
// of queues, and each is put back where it costs least, in another order. Kept is what is no worse than the plan of
// some rounds ago (late acceptance, Burke and Bykov 2017: it needs no temperature). What breaks constraints is let
// through at a price that falls while they hold and rises while they do not: good orders lie apart, with late ones in
// between.
#include <algorithm>

#include "base/prng.hpp"
#include "core/plan/paper_case.hpp"

namespace qlm::paper {
namespace {

class Search {
 public:
  Search(const Case& all, planner::SearchBudget budget) : case_(all), left_(budget.positions), chance_(budget.seed) {
    hosts_.resize(all.pieces().size());
    for (std::uint32_t p = 0; p < hosts_.size(); ++p) {
      for (std::uint32_t i = 0; i < all.instances(); ++i) {
        if (all.can_run(p, i)) hosts_[p].push_back(i);
      }
      const std::size_t model = all.pieces()[p].model.index();
      if (alike_.size() <= model) alike_.resize(model + 1);
      alike_[model].push_back(p);
    }
  }

  Order run() {
    const Plan by_deadline = planned(case_.edf());
    now_ = planned(Order(case_.instances()));
    queue_of_.assign(hosts_.size(), 0);
    // By cheapest insertion in the order of the deadlines, where that is no more than a part of the budget.
    const std::size_t positions =
        (hosts_.size() / case_.instances() / 2 + 1) * std::min(case_.instances(), hosts_tried);
    if (static_cast<std::int64_t>(hosts_.size() * positions) < left_ / 2) {
      for (const std::uint32_t piece : case_.by_deadline()) put_back(piece);
      add_up(now_);
    }
    if (now_.total.pieces < by_deadline.total.pieces || !case_.no_worse(now_.total.cost, by_deadline.total.cost))
      go_to(by_deadline);
    best_ = now_;
    if (hosts_.size() > 1) climb();
    return best_.order;
  }

 private:
  // Where a group is put back, on a large fleet: as many instances, others each time.
  static constexpr std::size_t hosts_tried = 8;

  struct Total {
    Cost cost;
    std::size_t pieces = 0;
  };
  struct Plan {
    Order order;
    std::vector<Cost> costs;  // by queue
    Total total;
  };

  Plan planned(Order order) const {
    Plan plan{std::move(order), {}, {}};
    for (std::size_t i = 0; i < plan.order.size(); ++i) plan.costs.push_back(case_.cost(i, plan.order[i]));
    add_up(plan);
    return plan;
  }
  // Added up anew each time: differences would not come back to nothing late.
  static void add_up(Plan& plan) {
    plan.total = {};
    for (std::size_t i = 0; i < plan.order.size(); ++i) {
      plan.total.cost += plan.costs[i];
      plan.total.pieces += plan.order[i].size();
    }
  }
  void go_to(const Plan& plan) {
    now_ = plan;
    for (std::uint32_t i = 0; i < now_.order.size(); ++i) {
      for (const std::uint32_t piece : now_.order[i]) queue_of_[piece] = i;
    }
  }

  double priced(const Cost& cost) const { return cost.sum + price_ * case_.violation(cost); }

  void climb() {
    constexpr std::size_t rounds = 20;
    std::vector<Cost> history(rounds, now_.total.cost);
    const std::size_t patience = 2 * rounds + 5 * hosts_.size();
    Cost lately = now_.total.cost;  // the best since the last kick
    std::size_t stale = 0;
    for (std::size_t round = 0; left_ > 0; ++round) {
      const Plan before = now_;
      const bool kick = stale > patience;
      if (kick && chance_.chance(0.5)) go_to(best_);
      take_some_out();
      for (const std::uint32_t piece : out_) kick ? put_anywhere(piece) : put_back(piece);
      add_up(now_);
      if (kick) {
        history.assign(rounds, now_.total.cost);
        lately = now_.total.cost;
      }
      Cost& some_rounds_ago = history[round % rounds];
      const double value = priced(now_.total.cost);
      if (value > priced(before.total.cost) && value > priced(some_rounds_ago)) go_to(before);
      some_rounds_ago = now_.total.cost;
      stale = !kick && case_.no_worse(lately, now_.total.cost) ? stale + 1 : 0;
      if (stale == 0) lately = now_.total.cost;
      price_ = std::clamp(price_ * (case_.violation(now_.total.cost) > 0 ? 1.1 : 0.9), 0.1, 1e6);
      if (!case_.no_worse(best_.total.cost, now_.total.cost)) best_ = now_;
    }
  }

  void take_some_out() {
    out_.clear();
    const auto seed = static_cast<std::uint32_t>(chance_.below(hosts_.size()));
    const std::size_t most = 2 + chance_.below(std::min<std::size_t>(hosts_.size() - 1, 8));
    if (chance_.chance(0.5)) {
      shuffled_ = alike_[case_.pieces()[seed].model.index()];
      shuffle(shuffled_);
      for (std::size_t i = 0; i < std::min(most, shuffled_.size()); ++i) take_out(shuffled_[i]);
    } else {
      take_stretch(seed, 1 + most / 2);
      const auto other = static_cast<std::uint32_t>(chance_.below(hosts_.size()));
      if (std::ranges::find(out_, other) == out_.end()) take_stretch(other, 1 + most / 2);
    }
    for (const std::uint32_t piece : out_) {
      const std::uint32_t queue = queue_of_[piece];
      now_.costs[queue] = case_.cost(queue, now_.order[queue]);
    }
    left_ -= static_cast<std::int64_t>(out_.size());
    shuffle(out_);
  }

  void take_stretch(std::uint32_t first, std::size_t most) {
    const auto& queue = now_.order[queue_of_[first]];
    const auto at = std::ranges::find(queue, first) - queue.begin();
    const std::size_t end = std::min(queue.size(), static_cast<std::size_t>(at) + most);
    shuffled_.assign(queue.begin() + at, queue.begin() + static_cast<std::ptrdiff_t>(end));
    for (const std::uint32_t piece : shuffled_) take_out(piece);
  }

  void take_out(std::uint32_t piece) {
    auto& queue = now_.order[queue_of_[piece]];
    queue.erase(std::ranges::find(queue, piece));
    out_.push_back(piece);
  }

  void shuffle(std::vector<std::uint32_t>& all) {
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[chance_.below(i)]);
  }

  void put_back(std::uint32_t piece) {
    bool found = false;
    double least = 0;
    Cost least_cost;
    std::uint32_t where = 0;
    std::size_t place = 0;
    const auto& hosts = hosts_[piece];
    const std::size_t first = hosts.size() > hosts_tried ? chance_.below(hosts.size()) : 0;
    for (std::size_t h = 0; h < std::min(hosts.size(), hosts_tried); ++h) {
      const std::uint32_t i = hosts[(first + h) % hosts.size()];
      const double without = priced(now_.costs[i]);
      trial_ = now_.order[i];
      trial_.insert(trial_.begin(), piece);
      for (std::size_t at = 0; at < trial_.size(); ++at) {
        if (at > 0) std::swap(trial_[at - 1], trial_[at]);
        const Cost cost = case_.cost(i, trial_);
        --left_;
        const double more = priced(cost) - without;
        if (found && more >= least) continue;
        found = true;
        least = more;
        least_cost = cost;
        where = i;
        place = at;
      }
    }
    put(piece, where, place);
    now_.costs[where] = least_cost;
  }

  void put_anywhere(std::uint32_t piece) {
    const std::uint32_t where = hosts_[piece][chance_.below(hosts_[piece].size())];
    put(piece, where, chance_.below(now_.order[where].size() + 1));
    now_.costs[where] = case_.cost(where, now_.order[where]);
    --left_;
  }

  void put(std::uint32_t piece, std::uint32_t where, std::size_t place) {
    auto& queue = now_.order[where];
    queue.insert(queue.begin() + static_cast<std::ptrdiff_t>(place), piece);
    queue_of_[piece] = where;
  }

  const Case& case_;
  std::int64_t left_;
  Prng chance_;
  std::vector<std::vector<std::uint32_t>> hosts_;  // by piece
  std::vector<std::vector<std::uint32_t>> alike_;  // by model
  double price_ = 10;  // of a second late

  Plan now_;
  Plan best_;
  std::vector<std::uint32_t> queue_of_;  // by piece
  std::vector<std::uint32_t> out_;
  std::vector<std::uint32_t> shuffled_;
  std::vector<std::uint32_t> trial_;
};

}  // namespace

Order searched(const Case& all, planner::SearchBudget budget) { return Search(all, budget).run(); }

}  // namespace qlm::paper

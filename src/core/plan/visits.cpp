#include "core/plan/visits.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/prng.hpp"
#include "core/plan/visits_fluid.hpp"

namespace qlm::visits {
namespace {

constexpr std::size_t longest = 24;  // visits of an instance

using Legses = std::vector<Legs>;

// As the rollout reads a plan, to the letter.
Legses legs_of(const Fluid& fluid, const Plan& plan) {
  Legses all(fluid.instances());
  for (std::size_t i = 0; i < std::min(plan.size(), all.size()); ++i) {
    for (const Visit& visit : plan[i]) {
      if (visit.model.index() >= fluid.models()) continue;
      all[i].push_back({visit.model.value, fluid.nearest_edge(visit.until), visit.until});
    }
  }
  return all;
}

Plan plan_of(const Legses& all) {
  Plan plan(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const Leg& leg : all[i]) plan[i].push_back({ModelId{leg.model}, leg.until});
  }
  return plan;
}

// Begins with the resident, ends at the horizon, without visits to what cannot run there, that take no time, or that go
// on with the same model.
void make_whole(const Fluid& fluid, std::size_t instance, Legs& legs) {
  const std::uint32_t resident = fluid.resident(instance);
  Legs whole;
  if (resident != no_model) whole.push_back({resident, 0, Duration::zero()});
  // A plan that begins with somebody else leaves the resident at once.
  std::uint32_t from = 0;
  for (const Leg& leg : legs) {
    const std::uint32_t cell = std::min(std::max(leg.cell, from), fluid.cells());
    const bool last = &leg == &legs.back();
    const Duration until = cell == leg.cell ? leg.until : fluid.time_of(cell);
    if (!whole.empty() && whole.back().model == leg.model) {
      whole.back().cell = cell;
      whole.back().until = until;
    } else if (fluid.host(instance, leg.model).rate > 0 && (cell > from || (last && from < fluid.cells()))) {
      whole.push_back({leg.model, cell, until});
    } else {
      if (!whole.empty()) {  // its time is the former's
        whole.back().cell = cell;
        whole.back().until = until;
      }
    }
    from = cell;
  }
  if (whole.size() > longest) whole.resize(longest);
  if (!whole.empty()) {
    whole.back().cell = fluid.cells();
    whole.back().until = fluid.time_of(fluid.cells());
  }
  legs = std::move(whole);
}

// For each instance, the models that it may bring in and that somebody wants.
std::vector<std::vector<std::uint32_t>> choices(const Fluid& fluid) {
  std::vector<std::vector<std::uint32_t>> all(fluid.instances());
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::uint32_t m = 0; m < fluid.models(); ++m) {
      if (fluid.host(i, m).rate > 0 && fluid.wanted(m)) all[i].push_back(m);
    }
  }
  return all;
}

// Looks one step ahead, all through the horizon: stays while the resident has anybody waiting and no other model's latest
// start has come, and then goes where most value would start within `reach` set-ups' time, own set-up included, if that
// is more than here. Where somebody waits here, what can wait until the model would be back counts a tenth.
class OneStep {
 public:
  OneStep(Fluid& fluid, const Problem& problem, const std::vector<std::vector<std::uint32_t>>& choice, double reach)
      : fluid_(fluid), choice_(choice), coming_(fluid.models(), 0.0), soon_(fluid.models(), 0.0) {
    for (std::size_t i = 0; i < fluid.instances(); ++i) {
      for (const std::uint32_t m : choice[i]) {
        const auto& host = fluid.host(i, m);
        setup_ = std::max(setup_, host.drain + host.put_away + host.bring_in);
      }
    }
    window_ = std::max(reach * setup_, fluid.edge(2));
    margin_ = fluid.edge(2);
    for (const Stream& stream : problem.streams) {
      if (stream.model.index() >= fluid.models() || !(stream.rate > 0)) continue;
      coming_[stream.model.index()] += stream.rate;
      if (seconds(stream.slack) < window_ + setup_) soon_[stream.model.index()] += stream.rate;
    }
  }

  Legses plan() {
    fluid_.reset();
    Legses all(fluid_.instances());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (fluid_.resident(i) != no_model) all[i].push_back({fluid_.resident(i), 0, {}});
    }
    supply_.assign(fluid_.models(), 0.0);
    while (fluid_.cell() < fluid_.cells()) {
      const double now = fluid_.edge(fluid_.cell());
      std::ranges::fill(supply_, 0.0);
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (const std::uint32_t m = fluid_.model_on(i); m != no_model)
          supply_[m] += starts(i, m, fluid_.ready(i), fluid_.free_slots(i));
      }
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (fluid_.ready(i) > now || all[i].size() == longest) continue;
        const std::uint32_t next = better(i);
        if (next == no_model) continue;
        if (const std::uint32_t m = fluid_.model_on(i); m != no_model) {
          supply_[m] -= starts(i, m, fluid_.ready(i), fluid_.free_slots(i));
          all[i].back().cell = fluid_.cell();
          all[i].back().until = fluid_.time_of(fluid_.cell());
        }
        fluid_.leave(i, next);
        supply_[next] += starts(i, next, fluid_.ready(i), fluid_.free_slots(i));
        all[i].push_back({next, fluid_.cells(), fluid_.time_of(fluid_.cells())});
      }
      fluid_.serve();
    }
    for (std::size_t i = 0; i < all.size(); ++i) make_whole(fluid_, i, all[i]);
    return all;
  }

 private:
  double starts(std::size_t i, std::uint32_t m, double ready, double slots) const {
    const double left = fluid_.edge(fluid_.cell()) + window_ - std::max(ready, fluid_.edge(fluid_.cell()));
    return left > 0 ? slots + left * fluid_.host(i, m).rate : 0;
  }

  // What somebody there from `ready` on could start within the window: all of it, and what of it cannot wait.
  struct Demand {
    double all = 0;
    double urgent = 0;
  };
  Demand demand(std::uint32_t m, double ready) const {
    const double now = fluid_.edge(fluid_.cell());
    const std::uint32_t in_time = fluid_.cell_with(ready);
    const double gone = fluid_.queued(m, fluid_.cell(), in_time);
    Demand found{.all = std::max(0.0, fluid_.queued(m) - gone) + coming_[m] * window_};
    found.urgent = fluid_.queued(m, in_time, fluid_.cell_with(now + window_ + setup_) + 1) + soon_[m] * window_;
    return found;
  }
  double worth(std::uint32_t m, const Demand& demand, double supply, bool urgent) const {
    const double all = std::min(demand.all, supply);
    return fluid_.worth_of_one(m) * (urgent ? 0.9 * std::min(demand.urgent, supply) + 0.1 * all : all);
  }

  std::uint32_t better(std::size_t i) const {
    const std::uint32_t here = fluid_.model_on(i);
    const double now = fluid_.edge(fluid_.cell());
    double most = 1e-9;
    // Nobody waits any more: what comes is no reason to stay.
    const bool idle = here == no_model || fluid_.queued(here) < fluid_.host(i, here).rate * fluid_.edge(1);
    if (here != no_model) {
      const Demand wanted = demand(here, now);
      const double without = supply_[here] - starts(i, here, fluid_.ready(i), fluid_.free_slots(i));
      const double stay = worth(here, wanted, supply_[here], !idle) - worth(here, wanted, without, !idle);
      // A visit that has not lasted its set-up goes on while it has anything to do.
      if (stay > 0 && fluid_.ready(i) > 0 && now - fluid_.ready(i) < setup_) return no_model;
      most = std::max(most, stay * 1.02);
    }
    std::uint32_t best = no_model;
    for (const std::uint32_t m : choice_[i]) {
      if (m == here) continue;
      const double ready = fluid_.ready_if_left(i, m);
      if (!idle) {
        const std::uint32_t first = fluid_.cell_with(ready);
        if (fluid_.queued(m, first, fluid_.cell_with(ready + margin_) + 1) <= 0) continue;
      }
      const Demand wanted = demand(m, ready);
      const double own = starts(i, m, ready, fluid_.host(i, m).slots);
      const double gain = worth(m, wanted, supply_[m] + own, !idle) - worth(m, wanted, supply_[m], !idle);
      if (gain > most) {
        most = gain;
        best = m;
      }
    }
    return best;
  }

  Fluid& fluid_;
  const std::vector<std::vector<std::uint32_t>>& choice_;
  double setup_ = 0;  // the longest
  double window_ = 0;
  double margin_ = 0;
  std::vector<double> coming_;  // by model, a second
  std::vector<double> soon_;  // of those, with little slack
  std::vector<double> supply_;  // by model: starts within the window of those that have it
};

class Search {
 public:
  Search(const Problem& problem, std::int64_t rollouts, std::uint64_t seed)
      : problem_(problem), fluid_(problem), left_(rollouts), prng_(seed), choice_(choices(fluid_)) {
    for (std::size_t i = 0; i < choice_.size(); ++i) {
      const bool elsewhere = std::ranges::any_of(choice_[i], [&](std::uint32_t m) { return m != fluid_.resident(i); });
      if (elsewhere) open_.push_back(i);
    }
  }

  Plan run(const Plan& incumbent) {
    const Legses given = legs_of(fluid_, incumbent);
    given_ = std::ranges::any_of(given, [](const Legs& legs) { return !legs.empty(); });
    const double floor = fluid_.run(given).worth;
    best_ = given;
    for (std::size_t i = 0; i < best_.size(); ++i) make_whole(fluid_, i, best_[i]);
    worth_ = fluid_.run(best_).worth;
    left_ -= 2;
    try_start();
    if (!open_.empty()) climb();
    return worth_ >= floor ? plan_of(best_) : incumbent;
  }

 private:
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(prng_.below(bound)); }

  bool take_if_better(const Legses& other) {
    --left_;
    const double worth = fluid_.run(other).worth;
    if (!(worth > worth_)) return false;
    worth_ = worth;
    best_ = other;
    return true;
  }

  // Everybody stays; and what one step ahead would do, with some reach or other.
  void try_start() {
    if (left_ < 1) return;
    Legses stay(fluid_.instances());
    for (std::size_t i = 0; i < stay.size(); ++i) make_whole(fluid_, i, stay[i]);
    take_if_better(stay);
    if (left_ < 8 || open_.empty() || (given_ && below(2) != 0)) return;
    constexpr std::array<double, 4> reaches{3, 6, 12, 24};
    greedy_ = OneStep(fluid_, problem_, choice_, reaches[below(reaches.size())]).plan();
    left_ -= 3;  // it costs as much
    take_if_better(greedy_);
  }

  void climb() {
    Legses now = best_;
    for (; left_ > 0; --left_) {
      changed_.clear();
      for (int change = 0; change == 0 || (change < 3 && below(3) == 0); ++change) vary(now);
      const double worth = fluid_.run(now).worth;
      if (worth > worth_) {
        worth_ = worth;
        for (const std::size_t i : changed_) best_[i] = now[i];
      } else {
        for (const std::size_t i : changed_) now[i] = best_[i];
      }
    }
  }

  // Nearer cells are likelier: what comes later will be looked at again.
  std::uint32_t some_cell() {
    const double u = prng_.uniform();
    return static_cast<std::uint32_t>(u * u * fluid_.cells());
  }
  std::uint32_t some_length() { return 1 + static_cast<std::uint32_t>(below(std::size_t{2} << below(6))); }
  std::size_t some_leg(const Legs& legs) {
    const double u = prng_.uniform();
    return static_cast<std::size_t>(u * u * static_cast<double>(legs.size()));
  }
  std::uint32_t some_model(std::size_t instance) { return choice_[instance][below(choice_[instance].size())]; }

  // Visits that are as they are: the resident's.
  std::size_t kept(std::size_t instance) const { return fluid_.resident(instance) == no_model ? 0 : 1; }

  void set(Leg& leg, std::uint32_t cell) {
    leg.cell = std::min(cell, fluid_.cells());
    leg.until = fluid_.time_of(leg.cell);
  }
  void set(Leg& leg, Duration until) {
    leg.until = until;
    leg.cell = fluid_.nearest_edge(until);
  }
  std::uint32_t moved(std::uint32_t cell) {
    const std::uint32_t by = 1 + static_cast<std::uint32_t>(below(1U << below(6)));
    return below(2) == 0 ? cell + by : cell - std::min(cell, by);
  }

  enum class Move {
    insert,
    edge,
    later_edges,
    remove,
    change,
    swap,
    exchange,
    cut,
    greedy,
    cycle,
    repeat,
    remove_model
  };
  // A table of tenths: what pays oftener is tried oftener.
  Move some_move(std::size_t visits) {
    constexpr std::array<std::pair<Move, std::size_t>, 12> often{{{Move::edge, 40},
                                                                  {Move::later_edges, 20},
                                                                  {Move::insert, 14},
                                                                  {Move::swap, 10},
                                                                  {Move::exchange, 10},
                                                                  {Move::repeat, 10},
                                                                  {Move::remove_model, 10},
                                                                  {Move::remove, 7},
                                                                  {Move::change, 7},
                                                                  {Move::cycle, 2},
                                                                  {Move::cut, 1},
                                                                  {Move::greedy, 1}}};
    if (visits < 2) return below(2) == 0 ? Move::insert : Move::cycle;
    std::size_t at = below(132);
    for (const auto& [move, weight] : often) {
      if (at < weight) return move;
      at -= weight;
    }
    return Move::edge;
  }

  void vary(Legses& all) {
    const std::size_t i = open_[below(open_.size())];
    Legs& legs = all[i];
    changed_.push_back(i);
    const std::size_t p = some_leg(legs);
    switch (some_move(legs.size())) {
      case Move::insert: insert(i, legs); break;
      case Move::edge:
        if (p + 1 < legs.size()) set(legs[p], moved(legs[p].cell));
        break;
      case Move::later_edges: {
        const Duration by = fluid_.time_of(std::min(moved(legs[p].cell), fluid_.cells())) - legs[p].until;
        for (std::size_t q = p; q + 1 < legs.size(); ++q) set(legs[q], legs[q].until + by);
        break;
      }
      case Move::remove:
        if (p == 0) {  // the resident is left at once
          set(legs[0], 0U);
        } else {
          if (below(2) == 0) set(legs[p - 1], legs[p].cell);
          legs.erase(legs.begin() + static_cast<std::ptrdiff_t>(p));
        }
        break;
      case Move::change:
        if (p >= kept(i)) legs[p].model = some_model(i);
        break;
      case Move::swap:
        if (p >= kept(i) && p + 1 < legs.size()) std::swap(legs[p].model, legs[p + 1].model);
        break;
      case Move::exchange: exchange(all, i); break;
      case Move::cut: legs.resize(p + 1); break;
      case Move::greedy:
        if (!greedy_.empty()) legs = greedy_[i];
        break;
      case Move::cycle: cycle(i, legs); break;
      case Move::repeat: repeat(legs, p); break;
      case Move::remove_model: {
        const std::uint32_t model = legs[p].model;
        if (p > 0)
          legs.erase(std::remove_if(legs.begin() + static_cast<std::ptrdiff_t>(p), legs.end(),
                                    [&](const Leg& leg) { return leg.model == model; }),
                     legs.end());
        break;
      }
    }
    make_whole(fluid_, i, legs);
  }

  // A visit more, from now on or from some cell; what it interrupts goes on after it, or what follows begins then.
  void insert(std::size_t i, Legs& legs) {
    const std::uint32_t from = below(3) == 0 ? 0 : some_cell();
    const std::uint32_t to = std::min(fluid_.cells(), from + some_length());
    const Leg visit{some_model(i), to, fluid_.time_of(to)};
    const bool resume = below(2) == 0;
    if (legs.empty()) legs = {visit};
    Legs with;
    bool in = false;
    for (const Leg& leg : legs) {
      if (leg.cell <= from && &leg != &legs.back()) {
        with.push_back(leg);
        continue;
      }
      if (!in) {
        in = true;
        with.push_back(leg);
        set(with.back(), from);
        with.push_back(visit);
        if (!resume) continue;
      }
      if (leg.cell > to) with.push_back(leg);
    }
    legs = std::move(with);
  }

  // Some models by turns, from now on or from some cell.
  void cycle(std::size_t i, Legs& legs) {
    const Duration from = fluid_.time_of(below(2) == 0 ? 0 : some_cell());
    while (!legs.empty() && legs.size() > kept(i) && legs.size() > 1 && legs[legs.size() - 2].until >= from)
      legs.pop_back();
    if (!legs.empty()) set(legs.back(), from);
    const double mean = seconds(problem_.horizon) / static_cast<double>(4 << below(4));
    Legs turns(2 + below(2));
    for (Leg& turn : turns)
      turn = {.model = some_model(i), .until = duration_from_seconds(mean * (0.3 + 1.4 * prng_.uniform()))};
    go_round(legs, turns, from);
  }

  // Turns are visits with their lengths for an end.
  void go_round(Legs& legs, const Legs& turns, Duration at) {
    while (true) {
      for (const Leg& turn : turns) {
        if (at >= problem_.horizon || legs.size() >= longest) return;
        at += std::max(turn.until, fluid_.time_of(1));
        legs.push_back(turn);
        set(legs.back(), at);
      }
    }
  }

  // What a few visits do, again and again.
  void repeat(Legs& legs, std::size_t p) {
    const std::size_t count = std::min(2 + below(3), legs.size() - p);
    if (count < 2) return;
    Legs turns;
    for (std::size_t q = p; q < p + count; ++q) {
      turns.push_back(legs[q]);
      if (q > 0) turns.back().until -= legs[q - 1].until;
    }
    legs.resize(p + count);
    go_round(legs, turns, legs.back().until);
  }

  // Two instances change what they do from some cell on.
  void exchange(Legses& all, std::size_t i) {
    const std::size_t j = open_[below(open_.size())];
    if (i == j) return;
    const std::uint32_t from = below(3) == 0 ? 0 : some_cell();
    changed_.push_back(j);
    Legs a = tail(all[i], from);
    Legs b = tail(all[j], from);
    all[i].insert(all[i].end(), b.begin(), b.end());
    all[j].insert(all[j].end(), a.begin(), a.end());
    make_whole(fluid_, j, all[j]);
  }
  Legs tail(Legs& legs, std::uint32_t from) {
    Legs rest;
    Legs before;
    for (const Leg& leg : legs) {
      if (leg.cell > from || &leg == &legs.back()) {
        if (rest.empty()) {
          before.push_back(leg);
          set(before.back(), from);
        }
        rest.push_back(leg);
      } else {
        before.push_back(leg);
      }
    }
    legs = std::move(before);
    return rest;
  }

  const Problem& problem_;
  Fluid fluid_;
  std::int64_t left_;
  Prng prng_;
  std::vector<std::vector<std::uint32_t>> choice_;
  std::vector<std::size_t> open_;  // instances that have one
  bool given_ = false;
  Legses greedy_;
  Legses best_;
  double worth_ = 0;
  std::vector<std::size_t> changed_;
};

}  // namespace

Score rollout(const Problem& problem, const Plan& plan) {
  Fluid fluid(problem);
  return fluid.run(legs_of(fluid, plan));
}

Plan shifted(const Plan& plan, Duration by) {
  Plan later(plan.size());
  for (std::size_t i = 0; i < plan.size(); ++i) {
    for (const Visit& visit : plan[i]) {
      if (visit.until > by || &visit == &plan[i].back()) later[i].push_back({visit.model, visit.until - by});
    }
  }
  return later;
}

Plan improved(const Problem& problem, const Plan& incumbent, std::int64_t rollouts, std::uint64_t seed) {
  return Search(problem, rollouts, seed).run(incumbent);
}

Plan one_step(const Problem& problem) {
  Fluid fluid(problem);
  const auto choice = choices(fluid);
  return plan_of(OneStep(fluid, problem, choice, 12).plan());
}

}  // namespace qlm::visits

// The paper's program with places counted from the end of each queue. A wait before the k-th from the end is part of
// the wait of exactly k groups (or k - 1, for a group's own), so that the sum of all waits is linear in the places; and
// an empty place has nothing before it, so that no constraint needs a large constant. What the paper writes with
// products of variables, the cost of a change of model, is a flow from the model before to the model after.
#include <algorithm>

#include "core/plan/paper_case.hpp"

namespace qlm::paper {
namespace {

// One instance's part of the program.
class Builder {
 public:
  Builder(const Case& all, Milp& out, std::vector<lp::Row>& once, std::uint32_t instance)
      : case_(all), out_(out), once_(once), instance_(instance) {
    for (std::uint32_t p = 0; p < all.pieces().size(); ++p) {
      if (!all.can_run(p, instance)) continue;
      here_.push_back(p);
      const ModelId model = all.pieces()[p].model;
      if (std::ranges::find(models_, model) == models_.end()) models_.push_back(model);
    }
    double change = 0;
    for (const ModelId to : models_) {
      change = std::max(change, all.first_change(instance, to));
      for (const ModelId from : models_) change = std::max(change, all.change(instance, from, to));
    }
    for (const std::uint32_t piece : here_) latest_ += all.wait(piece, instance) + change;
  }

  void build() {
    const std::size_t places = here_.size();
    at_.resize(places);
    for (std::size_t k = 0; k < places; ++k) {
      for (const std::uint32_t piece : here_) {
        // The SLO itself is a constant of the sum; what is left of it is by how much sooner it must start here.
        const double sooner = case_.pieces()[piece].first_due - case_.start_by(piece, instance_);
        const double cost = case_.free_at(instance_) + static_cast<double>(k) * case_.wait(piece, instance_) + sooner;
        const std::uint32_t x = out_.program.add({.cost = cost, .upper = 1, .integer = true});
        at_[k].push_back(x);
        out_.places.push_back({x, piece, instance_, static_cast<std::uint32_t>(k)});
        once_[piece].terms.push_back({x, 1});
      }
    }
    for (std::size_t k = 0; k < places; ++k) changes(k);
    for (std::size_t k = 0; k < places; ++k) {
      occupied(k);
      on_time(k);
    }
  }

 private:
  struct Change {
    std::uint32_t variable;
    double time;
  };

  void add_pieces(lp::Row& row, std::size_t k, double coefficient, const ModelId* of) const {
    for (std::size_t i = 0; i < here_.size(); ++i) {
      if (of == nullptr || case_.pieces()[here_[i]].model == *of) row.terms.push_back({at_[k][i], coefficient});
    }
  }

  // One unit flows into the model that stands at k, from the one before it or, at the head, from what is loaded.
  void changes(std::size_t k) {
    const bool may_follow = k + 1 < here_.size();
    std::vector<lp::Row> into(models_.size(), lp::Row{.lower = 0, .upper = 0});
    lp::Row head{.upper = 1};
    const auto flow = [&](double time, std::size_t to) {
      const std::uint32_t variable = out_.program.add({.cost = static_cast<double>(k + 1) * time, .upper = 1});
      into[to].terms.push_back({variable, 1});
      changes_.push_back({variable, time});
      return variable;
    };
    change_begin_.push_back(changes_.size());
    for (std::size_t to = 0; to < models_.size(); ++to)
      head.terms.push_back({flow(case_.first_change(instance_, models_[to]), to), 1});
    if (may_follow) {
      add_pieces(head, k + 1, 1, nullptr);
      for (std::size_t from = 0; from < models_.size(); ++from) {
        lp::Row out_of{.upper = 0};
        for (std::size_t to = 0; to < models_.size(); ++to)
          out_of.terms.push_back({flow(case_.change(instance_, models_[from], models_[to]), to), 1});
        add_pieces(out_of, k + 1, -1, &models_[from]);
        out_.program.rows.push_back(std::move(out_of));
      }
    }
    for (std::size_t to = 0; to < models_.size(); ++to) {
      add_pieces(into[to], k, -1, &models_[to]);
      out_.program.rows.push_back(std::move(into[to]));
    }
    out_.program.rows.push_back(std::move(head));
  }

  // A place holds one group at most, and the empty ones are the first.
  void occupied(std::size_t k) const {
    lp::Row one{.upper = 1};
    add_pieces(one, k, 1, nullptr);
    out_.program.rows.push_back(std::move(one));
    if (k + 1 == here_.size()) return;
    lp::Row full{.lower = 0};
    add_pieces(full, k, 1, nullptr);
    add_pieces(full, k + 1, -1, nullptr);
    out_.program.rows.push_back(std::move(full));
  }

  // What stands before it and the changes up to it are over by the time it must start (12).
  void on_time(std::size_t k) const {
    lp::Row row{.upper = 0};
    for (std::size_t before = k + 1; before < here_.size(); ++before) {
      for (std::size_t i = 0; i < here_.size(); ++i)
        row.terms.push_back({at_[before][i], case_.wait(here_[i], instance_)});
    }
    for (std::size_t c = change_begin_[k]; c < changes_.size(); ++c) {
      if (changes_[c].time > 0) row.terms.push_back({changes_[c].variable, changes_[c].time});
    }
    for (std::size_t i = 0; i < here_.size(); ++i) {
      // Nothing starts later than `latest_` after free_at: a larger number says no more, and costs precision.
      const double within = std::min(case_.start_by(here_[i], instance_) - case_.free_at(instance_), latest_);
      row.terms.push_back({at_[k][i], -within});
    }
    out_.program.rows.push_back(std::move(row));
  }

  const Case& case_;
  Milp& out_;
  std::vector<lp::Row>& once_;
  std::uint32_t instance_;
  std::vector<std::uint32_t> here_;
  std::vector<ModelId> models_;
  double latest_ = 0;
  std::vector<std::vector<std::uint32_t>> at_;  // [place][of here_]: the variable
  std::vector<Change> changes_;  // by place, ascending
  std::vector<std::size_t> change_begin_;  // by place
};

}  // namespace

std::size_t places(const Case& all) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < all.instances(); ++i) {
    std::size_t here = 0;
    for (std::uint32_t p = 0; p < all.pieces().size(); ++p) here += all.can_run(p, i) ? 1 : 0;
    count += here * here;
  }
  return count;
}

Milp milp(const Case& all) {
  Milp out;
  std::vector<lp::Row> once(all.pieces().size(), lp::Row{.lower = 1, .upper = 1});  // (6)
  for (std::uint32_t i = 0; i < all.instances(); ++i) Builder(all, out, once, i).build();
  for (lp::Row& row : once) out.program.rows.push_back(std::move(row));
  return out;
}

Order order_of(const Case& all, const Milp& program, const std::vector<double>& values) {
  if (values.size() != program.program.variables.size()) return {};
  std::vector<Milp::Place> taken;
  for (const Milp::Place& place : program.places) {
    if (values[place.variable] > 0.5) taken.push_back(place);
  }
  std::ranges::sort(taken, [](const auto& a, const auto& b) {
    return a.instance != b.instance ? a.instance < b.instance : a.from_end > b.from_end;
  });
  Order order(all.instances());
  std::vector<char> seen(all.pieces().size(), 0);
  for (const Milp::Place& place : taken) {
    if (seen[place.piece]) return {};
    seen[place.piece] = 1;
    order[place.instance].push_back(place.piece);
  }
  return taken.size() == all.pieces().size() ? order : Order{};
}

}  // namespace qlm::paper

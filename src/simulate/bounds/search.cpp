#include "simulate/bounds/search.hpp"

#include <algorithm>

namespace qlm::bounds {

Found lowest(std::vector<double> start, const std::vector<Move>& moves,
             const std::function<double(const std::vector<double>&)>& value, double first_step, double last_step) {
  Found best{std::move(start), 0};
  best.value = value(best.at);
  const auto attempt = [&](const Move& move, double step) {
    std::vector<double> at = best.at;
    if (move.to == Move::none) {
      at[move.from] = std::clamp(at[move.from] + step, 0.0, 1.0);
    } else {
      const double moved = std::min(step, at[move.from]);
      at[move.from] -= moved;
      at[move.to] += moved;
    }
    if (at == best.at) return false;
    const double found = value(at);
    if (found >= best.value) return false;
    best = {std::move(at), found};
    return true;
  };
  double step = first_step;
  while (step >= last_step) {
    for (bool better = true; better;) {
      better = false;
      for (const Move& move : moves) {
        better |= attempt(move, step);
        if (move.to == Move::none) better |= attempt(move, -step);
      }
    }
    step /= 2;
  }
  return best;
}

std::vector<double> default_split() { return {0.5, 0.5, 0, 0, 0, 1, 1}; }

void add_moves(StepTimeModel::Kind kind, std::size_t offset, std::vector<Move>& moves) {
  const bool separate = kind == StepTimeModel::Kind::separate;
  const auto exchange = [&](std::size_t first, std::size_t last) {
    for (std::size_t from = first; from <= last; ++from) {
      for (std::size_t to = first; to <= last; ++to) {
        if (from != to) moves.push_back({offset + from, offset + to});
      }
    }
  };
  exchange(0, separate ? 1 : 2);
  if (separate) exchange(3, 5);
  if (kind == StepTimeModel::Kind::knee) moves.push_back({offset + 6});
}

CostSplit split_at(const std::vector<double>& p, std::size_t offset) {
  return {.step = {p[offset], p[offset + 1], p[offset + 2]},
          .prefill_step = {p[offset + 3], p[offset + 4], p[offset + 5]},
          .above_knee = p[offset + 6]};
}

}  // namespace qlm::bounds

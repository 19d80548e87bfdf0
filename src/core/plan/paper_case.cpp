#include "core/plan/paper_case.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/prng.hpp"

namespace qlm::paper {
namespace {

// Nearer than a microsecond is on time: sums of doubles, and a solver's tolerance.
constexpr double tolerance = 1e-6;

// A deadline beyond this many seconds is none: the difference of two numbers near the end of time is not precise.
constexpr double no_hurry = 1e7;

}  // namespace

void Case::cut(const planner::Component& part, std::int64_t cap) {
  instances_ = part.instances;
  for (const std::uint32_t g : part.groups) {
    const Group& group = problem_->groups[g];
    const std::int64_t cuts = (group.count + cap - 1) / cap;
    const double first = std::min(seconds(group.first_due), no_hurry);
    const double span = std::max(std::min(seconds(group.last_due), no_hurry) - first, 0.0);
    const double gaps = static_cast<double>(std::max<std::int64_t>(group.count - 1, 1));
    for (std::int64_t i = 0; i < cuts; ++i) {
      const std::int64_t begin = i * cap;
      const std::int64_t count = std::min(cap, group.count - begin);
      const double end = static_cast<double>(begin + count - 1);
      pieces_.push_back({g, group.model, count, first + span * (static_cast<double>(begin) / gaps),
                         group.count == 1 ? first : first + span * (end / gaps)});
    }
  }
}

Case::Case(const Problem& problem, const planner::Component& part, const Options& options) : problem_(&problem) {
  cut(part, std::max<std::int64_t>(options.group_cap, 1));
  for (const Piece& piece : pieces_) {
    const Group& group = problem.groups[piece.group];
    const auto n = static_cast<double>(piece.count);
    tokens_.push_back(n * group.output_mean + options.deviations * std::sqrt(n) * group.output_deviation);
  }
  expected_tokens_ = tokens_;
}

Case::Case(Scenarios, const Problem& problem, const planner::Component& part, const Options& options)
    : problem_(&problem), scenarios_(std::max<std::size_t>(options.scenarios, 1)), by_chance_(true) {
  cut(part, std::max<std::int64_t>(options.group_cap, 1));
  may_miss_ = (1 - options.delta) * static_cast<double>(scenarios_);
  // The same chance for every plan, and for every variance: in pairs that mirror each other, so that means are kept.
  Prng chance(options.search.seed);
  for (const Piece& piece : pieces_) {
    const Group& group = problem.groups[piece.group];
    const auto n = static_cast<double>(piece.count);
    expected_tokens_.push_back(n * group.output_mean);
    double drawn = 0;
    for (std::size_t s = 0; s < scenarios_; ++s) {
      drawn = s % 2 == 0 ? chance.normal() : -drawn;
      const double sum = n * group.output_mean + std::sqrt(n) * group.output_deviation * drawn;
      tokens_.push_back(std::max(sum, std::min(n, n * group.output_mean)));
    }
  }
}

double Case::wait(std::uint32_t piece, std::size_t local) const {
  return expected_tokens_[piece] / theta(pieces_[piece].model, local);
}

double Case::start_by(std::uint32_t piece, std::size_t local) const {
  const Piece& it = pieces_[piece];
  const auto n = static_cast<double>(it.count);
  return std::min(it.first_due, it.last_due - wait(piece, local) * ((n - 1) / n));
}

double Case::change(std::size_t local, ModelId from, ModelId to) const {
  if (from == to) return 0;
  const Instance& on = instance(local);
  return seconds(on.services[from.index()].completion) + seconds(problem_->setups[on.setups].of(from, to));
}

double Case::first_change(std::size_t local, ModelId to) const {
  const Instance& on = instance(local);
  if (on.loaded == to) return 0;
  return seconds(on.drain) + seconds(problem_->setups[on.setups].of(on.loaded, to));
}

Cost Case::cost(std::size_t local, std::span<const std::uint32_t> queue) const {
  Cost all;
  const double free = free_at(local);
  // One scenario's clock at a time would read the queue over and over; all clocks together read it once.
  std::vector<double> at(scenarios_, free);
  for (std::size_t position = 0; position < queue.size(); ++position) {
    const std::uint32_t piece = queue[position];
    const Piece& it = pieces_[piece];
    const double changing =
        position == 0 ? first_change(local, it.model) : change(local, pieces_[queue[position - 1]].model, it.model);
    const double pace = 1 / theta(it.model, local);
    const auto n = static_cast<double>(it.count);
    const double before_last = (n - 1) / n;
    double missed = 0;
    for (std::size_t s = 0; s < scenarios_; ++s) {
      at[s] += changing;
      const double takes = tokens_[piece * scenarios_ + s] * pace;
      const double p = at[s] - std::min(it.first_due, it.last_due - takes * before_last);
      all.sum += p;
      if (p > tolerance) {
        all.late += p;
        ++missed;
      }
      at[s] += takes;
    }
    if (missed > may_miss_) ++all.broken;
  }
  all.late /= static_cast<double>(scenarios_);
  all.sum /= static_cast<double>(scenarios_);
  return all;
}

Cost Case::cost(const Order& order) const {
  Cost all;
  for (std::size_t i = 0; i < order.size(); ++i) all += cost(i, order[i]);
  return all;
}

bool Case::no_worse(const Cost& a, const Cost& b) const {
  if (by_chance_ && a.broken != b.broken) return a.broken < b.broken;
  // A chance constraint that holds allows what lateness there is.
  if ((!by_chance_ || a.broken > 0) && a.late != b.late) return a.late < b.late;
  return a.sum <= b.sum;
}

std::vector<std::uint32_t> Case::by_deadline() const {
  std::vector<std::uint32_t> order(pieces_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t piece) { return pieces_[piece].first_due; });
  return order;
}

Order Case::edf() const {
  struct Tail {
    double at;
    std::optional<ModelId> model;
  };
  Order order(instances());
  std::vector<Tail> tails;
  tails.reserve(instances());
  for (std::size_t i = 0; i < instances(); ++i) tails.push_back({free_at(i), std::nullopt});
  for (const std::uint32_t piece : by_deadline()) {
    const ModelId model = pieces_[piece].model;
    std::size_t best = instances();
    double soonest = 0;
    for (std::size_t i = 0; i < instances(); ++i) {
      if (!can_run(piece, i)) continue;
      const double start = tails[i].at + (tails[i].model ? change(i, *tails[i].model, model) : first_change(i, model));
      if (best < instances() && start >= soonest) continue;
      best = i;
      soonest = start;
    }
    order[best].push_back(piece);
    tails[best] = {soonest + wait(piece, best), model};
  }
  return order;
}

}  // namespace qlm::paper

#include "core/plan/visits_fluid.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace qlm::visits {
namespace {

constexpr double finest = 1.0 / 320;  // of the horizon: the first cells
constexpr double coarsest = 1.0 / 64;
constexpr double widening = 0.06;  // of the distance
constexpr double tie = 1e-3;  // what breaks ties, beside what is served

double at(const std::vector<Duration>& by_model, std::size_t model) {
  return model < by_model.size() ? std::max(0.0, seconds(by_model[model])) : 0.0;
}

}  // namespace

Fluid::Fluid(const Problem& problem)
    : models_(problem.models), value_of_(problem.models, 0.0), count_of_(problem.models, 0.0) {
  const double horizon = std::max(1e-3, seconds(problem.horizon));
  edges_.push_back(0);
  while (edges_.back() < horizon) {
    const double from = edges_.back();
    const double width = std::clamp(widening * from, finest * horizon, coarsest * horizon);
    edges_.push_back(from + 1.5 * width < horizon ? from + width : horizon);
  }
  for (const double edge : edges_) times_.push_back(duration_from_seconds(edge));
  times_.back() = problem.horizon;

  for (const Instance& instance : problem.instances) {
    for (std::size_t m = 0; m < models_; ++m) {
      const double rate = m < instance.rate.size() ? std::max(0.0, instance.rate[m]) : 0.0;
      const double residence = at(instance.ramp, m);
      hosts_.push_back({.rate = rate,
                        .residence = residence,
                        .slots = rate * residence,
                        .drain = at(instance.drain, m),
                        .put_away = at(instance.put_away, m),
                        .bring_in = at(instance.bring_in, m)});
    }
    State state;
    if (instance.resident && instance.resident->index() < models_) {
      state.model = instance.resident->value;
      state.ready = std::max(0.0, seconds(instance.free_at));
      state.used = state.ready > 0 ? 0.0 : std::clamp(instance.occupied, 0.0, 1.0);
      state.young = state.old = state.used * hosts_[(first_.size() * models_) + state.model].slots / 2;
    } else {
      state.ready = std::max(0.0, seconds(instance.free_at));
    }
    first_.push_back(state);
  }

  const std::size_t width = cells() + 1;
  words_ = (width + 63) / 64;
  waiting_.resize(models_ * width);
  waiting_in_.resize(models_ * words_, 0);
  waiting_count_.resize(models_, 0.0);
  const auto count = [&](ModelId model, double amount, double value) {
    count_of_[model.index()] += amount;
    value_of_[model.index()] += amount * value;
  };
  for (const Waiting& some : problem.waiting) {
    if (some.model.index() >= models_ || some.due < Duration::zero() || !(some.count > 0)) continue;
    Amount& due = waiting_[some.model.index() * width + cell_with(seconds(some.due))];
    due.count += some.count;
    due.value += some.count * some.value;
    waiting_in_[some.model.index() * words_ + cell_with(seconds(some.due)) / 64] |=
        std::uint64_t{1} << cell_with(seconds(some.due)) % 64;
    waiting_count_[some.model.index()] += some.count;
    count(some.model, some.count, some.value);
  }
  std::vector<Stream> streams = problem.streams;
  std::erase_if(streams, [&](const Stream& stream) {
    return stream.model.index() >= models_ || stream.slack < Duration::zero() || !(stream.rate > 0);
  });
  for (const Stream& stream : streams) count(stream.model, stream.rate * horizon, stream.value);
  std::vector<Amount> coming(models_ * width);
  arrivals_from_.push_back(0);
  for (std::uint32_t k = 0; k < cells(); ++k) {
    std::ranges::fill(coming, Amount{});
    for (const Stream& stream : streams) expect(stream, k, coming);
    for (std::size_t m = 0; m < models_; ++m) {
      for (std::uint32_t due = k; due < width; ++due) {
        if (const Amount& amount = coming[m * width + due]; amount.count > 0) arrivals_.push_back({due, amount});
      }
      arrivals_from_.push_back(static_cast<std::uint32_t>(arrivals_.size()));
    }
  }
  double all = 0;
  for (const double value : value_of_) all += value;
  price_of_setup_ = tie * (all > 0 ? all : 1) / horizon;
  price_of_delay_ = tie / horizon;
}

// Who arrives in cell [a, b) is due, evenly, in [a + slack, b + slack).
void Fluid::expect(const Stream& stream, std::uint32_t cell, std::vector<Amount>& coming) const {
  double from = edges_[cell] + seconds(stream.slack);
  const double to = edges_[cell + 1] + seconds(stream.slack);
  for (std::uint32_t due = cell_with(from); from < to; ++due) {
    const double end = due < cells() ? std::min(to, edges_[due + 1]) : to;
    Amount& amount = coming[stream.model.index() * (cells() + 1) + due];
    amount.count += stream.rate * (end - from);
    amount.value += stream.rate * (end - from) * stream.value;
    from = end;
  }
}

std::uint32_t Fluid::cell_with(double at) const {
  return static_cast<std::uint32_t>(std::ranges::upper_bound(edges_, at) - edges_.begin()) - 1;
}

std::uint32_t Fluid::nearest_edge(Duration at) const {
  if (at <= Duration::zero()) return 0;
  if (at >= times_.back()) return cells();
  const auto next = static_cast<std::uint32_t>(std::ranges::upper_bound(times_, at) - times_.begin());
  return times_[next] - at <= at - times_[next - 1] ? next : next - 1;
}

void Fluid::reset() {
  cell_ = 0;
  on_ = first_;
  queue_ = waiting_;
  filled_ = waiting_in_;
  live_ = waiting_count_;
  room_.resize(models_);
  from_.resize(models_);
  share_.resize(models_);
  value_ = count_ = setup_ = sooner_ = 0;
}

double Fluid::free_slots(std::size_t instance) const {
  const State& state = on_[instance];
  return state.model == no_model ? 0.0 : host(instance, state.model).slots - state.young - state.old;
}

double Fluid::ready_if_left(std::size_t instance, std::uint32_t next) const {
  const State& state = on_[instance];
  const double now = edges_[cell_];
  const double bring_in = host(instance, next).bring_in;
  if (state.model == no_model) return std::max(now, state.ready) + bring_in;
  const Host& here = host(instance, state.model);
  // It comes in first, and nothing of it runs.
  if (state.ready > now) return state.ready + here.put_away + bring_in;
  // Residences that end at a constant rate take ln(n) to be gone; down to some tenth of the slots that is near sqrt(n).
  const double full = here.slots > 0 ? (state.young + state.old / 2) / (0.75 * here.slots) : state.used;
  return now + here.drain * std::sqrt(full) + here.put_away + bring_in;
}

void Fluid::leave(std::size_t instance, std::uint32_t next) {
  State& state = on_[instance];
  if (state.model == next) return;
  const double from = std::max(edges_[cell_], state.ready);
  state.ready = ready_if_left(instance, next);
  state.model = next;
  state.young = state.old = 0;
  state.used = 0;
  setup_ += state.ready - from;
}

void Fluid::serve() {
  const double a = edges_[cell_];
  const double b = edges_[cell_ + 1];
  std::ranges::fill(room_, 0.0);
  std::ranges::fill(from_, b);
  for (std::size_t i = 0; i < on_.size(); ++i) {
    State& state = on_[i];
    state.served_for = 0;
    if (state.model == no_model || state.ready >= b) continue;
    const Host& here = host(i, state.model);
    const double from = std::max(a, state.ready);
    state.served_for = b - from;
    // As many as leave every slot taken at the end: see below.
    if (here.slots > 0) {
      const double stays = here.residence / (here.residence + 2 * state.served_for);
      state.room = (here.slots / stays - state.old) / (2 - stays) - state.young;
    } else {
      state.room = here.rate * state.served_for;
    }
    room_[state.model] += state.room;
    from_[state.model] = std::min(from_[state.model], from);
  }
  const std::size_t width = cells() + 1;
  for (std::uint32_t m = 0; m < models_; ++m) {
    Amount* const queue = queue_.data() + m * width;
    std::uint64_t* const filled = filled_.data() + m * words_;
    double& live = live_[m];
    for (std::uint32_t at = arrivals_from_[cell_ * models_ + m]; at < arrivals_from_[cell_ * models_ + m + 1]; ++at) {
      const auto& [due, amount] = arrivals_[at];
      queue[due].count += amount.count;
      queue[due].value += amount.value;
      filled[due / 64] |= std::uint64_t{1} << due % 64;
      live += amount.count;
    }
    share_[m] = 0;
    double room = room_[m];
    if (room > 0 && live > 0) {
      // Those due in this cell before anybody serves them are gone.
      if (from_[m] > a) {
        const double kept = (b - from_[m]) / (b - a);
        live -= queue[cell_].count * (1 - kept);
        queue[cell_].count *= kept;
        queue[cell_].value *= kept;
      }
      double count = 0;
      double value = 0;
      for (std::size_t word = cell_ / 64; word < words_ && room > 0; ++word) {
        std::uint64_t left = filled[word];
        if (word == cell_ / 64) left &= ~std::uint64_t{0} << cell_ % 64;
        for (; left != 0 && room > 0; left &= left - 1) {
          const auto bit = static_cast<std::uint32_t>(std::countr_zero(left));
          Amount& amount = queue[word * 64 + bit];
          if (amount.count <= room) {
            room -= amount.count;
            count += amount.count;
            value += amount.value;
            amount = {};
            filled[word] &= ~(std::uint64_t{1} << bit);
          } else {
            const double part = room / amount.count;
            count += room;
            value += amount.value * part;
            amount.count -= room;
            amount.value -= amount.value * part;
            room = 0;
          }
        }
      }
      live = room > 0 ? 0 : live - count;  // room is left: nobody waits any more
      count_ += count;
      value_ += value;
      sooner_ += value * (edges_.back() - a);
      share_[m] = 1 - room / room_[m];
    }
    live = std::max(0.0, live - queue[cell_].count);
  }
  for (std::size_t i = 0; i < on_.size(); ++i) {
    State& state = on_[i];
    if (state.served_for <= 0) continue;
    const Host& here = host(i, state.model);
    state.used = share_[state.model];
    if (here.slots <= 0) continue;
    // Two stages, each left at 2 / residence a second, in one implicit step: a steady state stays what it is.
    const double stays = here.residence / (here.residence + 2 * state.served_for);
    const double young = state.young + state.room * state.used;
    state.young = young * stays;
    state.old = (state.old + young - state.young) * stays;
  }
  ++cell_;
}

Score Fluid::score() const {
  return {.value = value_,
          .on_time = count_,
          .setup = duration_from_seconds(setup_),
          .worth = value_ + price_of_delay_ * sooner_ - price_of_setup_ * setup_};
}

Score Fluid::run(std::span<const Legs> plan) {
  reset();
  at_.assign(on_.size(), 0);
  const std::size_t planned = std::min(plan.size(), on_.size());
  for (std::size_t i = 0; i < planned; ++i) {
    if (!plan[i].empty()) leave(i, plan[i].front().model);
  }
  while (cell_ < cells()) {
    for (std::size_t i = 0; i < planned; ++i) {
      const Legs& legs = plan[i];
      while (at_[i] + 1 < legs.size() && legs[at_[i]].cell <= cell_) leave(i, legs[++at_[i]].model);
    }
    serve();
  }
  return score();
}

double Fluid::queued(std::uint32_t model, std::uint32_t from, std::uint32_t to) const {
  double sum = 0;
  const Amount* const queue = queue_.data() + model * (cells() + 1);
  for (std::uint32_t due = from; due < std::min(to, cells() + 1); ++due) sum += queue[due].count;
  return sum;
}

}  // namespace qlm::visits

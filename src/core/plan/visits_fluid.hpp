// The rollout behind visits.hpp: requests as a fluid, time in cells that widen with distance. A model's queue is an
// amount for each cell in which requests are due. An instance has slots: those free are filled at once, and who took one
// passes two stages of half a residence each (residences vary, but less than exponential ones), so that it starts `rate`
// a second while it has been full for long, a burst after a swap or a lull, and then less for a while.
//
// What happens inside a cell is spread evenly over it. Times are seconds from now.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/plan/visits.hpp"

namespace qlm::visits {

inline constexpr std::uint32_t no_model = std::numeric_limits<std::uint32_t>::max();

// A visit with its end on a cell's edge.
struct Leg {
  std::uint32_t model = no_model;
  std::uint32_t cell = 0;  // left at the beginning of this one
  Duration until{};  // what `cell` was made from: nearest edge
};
using Legs = std::vector<Leg>;

class Fluid {
 public:
  // What an instance is to a model.
  struct Host {
    double rate = 0;
    double residence = 0;
    double slots = 0;  // rate * residence
    double drain = 0;
    double put_away = 0;
    double bring_in = 0;
  };

  explicit Fluid(const Problem& problem);

  std::uint32_t cells() const { return static_cast<std::uint32_t>(edges_.size()) - 1; }
  double edge(std::uint32_t cell) const { return edges_[cell]; }
  Duration time_of(std::uint32_t cell) const { return times_[cell]; }
  std::uint32_t nearest_edge(Duration at) const;
  std::uint32_t cell_with(double at) const;  // cells(): beyond the horizon

  std::size_t models() const { return models_; }
  std::size_t instances() const { return first_.size(); }
  const Host& host(std::size_t instance, std::uint32_t model) const { return hosts_[instance * models_ + model]; }
  std::uint32_t resident(std::size_t instance) const { return first_[instance].model; }
  bool wanted(std::uint32_t model) const { return value_of_[model] > 0; }  // anything of it waits or comes

  Score run(std::span<const Legs> plan);

  // Step by step, for who decides on the way: reset, then for each cell leave and serve.
  void reset();
  void leave(std::size_t instance, std::uint32_t next);  // at the beginning of the cell
  void serve();  // the cell, and on to the next
  Score score() const;

  std::uint32_t cell() const { return cell_; }
  std::uint32_t model_on(std::size_t instance) const { return on_[instance].model; }
  double ready(std::size_t instance) const { return on_[instance].ready; }
  double free_slots(std::size_t instance) const;
  double ready_if_left(std::size_t instance, std::uint32_t next) const;
  // Of a model's queue, what is due in cells [from, to).
  double queued(std::uint32_t model, std::uint32_t from, std::uint32_t to) const;
  double queued(std::uint32_t model) const { return live_[model]; }
  double worth_of_one(std::uint32_t model) const { return value_of_[model] / count_of_[model]; }

 private:
  struct Amount {
    double count = 0;
    double value = 0;
  };
  struct Arrival {
    std::uint32_t due = 0;  // cell
    Amount amount;
  };
  struct State {
    std::uint32_t model = no_model;
    double ready = 0;  // it serves from then on
    double young = 0;  // slots taken, by stage
    double old = 0;
    double used = 1;  // of its capacity, in the last cell; for those without slots
    double room = 0;  // of this cell
    double served_for = 0;  // seconds of this cell
  };

  void expect(const Stream& stream, std::uint32_t cell, std::vector<Amount>& coming) const;

  std::size_t models_;
  std::vector<double> edges_;
  std::vector<Duration> times_;
  std::vector<Host> hosts_;
  std::vector<State> first_;  // how instances begin
  std::vector<Amount> waiting_;  // [model * (cells + 1) + due cell]
  std::size_t words_ = 0;
  std::vector<std::uint64_t> waiting_in_;  // [model * words + due cell / 64], a bit each: there may be some
  std::vector<double> waiting_count_;  // by model
  std::vector<Arrival> arrivals_;
  std::vector<std::uint32_t> arrivals_from_;  // [cell * models + model]
  std::vector<double> value_of_;  // by model, of all that waits and comes
  std::vector<double> count_of_;
  double price_of_setup_ = 0;  // a second
  double price_of_delay_ = 0;  // of a value, a second

  // The rollout's own.
  std::uint32_t cell_ = 0;
  std::vector<State> on_;
  std::vector<std::uint32_t> at_;  // by instance: the visit
  std::vector<Amount> queue_;
  std::vector<std::uint64_t> filled_;  // as waiting_in_
  std::vector<double> live_;
  std::vector<double> room_;  // by model
  std::vector<double> from_;  // by model: in this cell it is served from then on
  std::vector<double> share_;  // by model, of its room: taken
  double value_ = 0;
  double count_ = 0;
  double setup_ = 0;
  double sooner_ = 0;
};

}  // namespace qlm::visits

#include <algorithm>
#include <numeric>

#include "simulate/bounds/bounds.hpp"
#include "simulate/bounds/fluid.hpp"
#include "simulate/bounds/objectives.hpp"
#include "simulate/bounds/search.hpp"

namespace qlm::bounds {
namespace {

constexpr std::size_t coarse_levels = 64, fine_levels = 1024;
constexpr double least_price = 1.0 / 64;

// One model on one kind of instances.
struct Place {
  std::size_t kind;
  const EngineSpec* spec;
  std::size_t split;  // where its parameters begin
};

struct Job {
  Window window;
  const Request* request;
  bool whole;  // or its prompt only, where nothing says when the last token is due
};

// What the search varies: a price of engine time for each kind of instances, then a CostSplit for each place. A request
// that may run on several kinds is charged token by token where it is cheapest at these prices; all instances together
// offer the sum of their prices a second. Any prices make a valid relaxation.
class Clairvoyant {
 public:
  Clairvoyant(std::span<const Request> requests, std::span<const InstanceKind> fleet) : fleet_(fleet) {
    std::size_t models = 0;
    for (const InstanceKind& kind : fleet) models = std::max(models, kind.models.size());
    places_.resize(models);
    start_.assign(fleet.size(), 1.0);
    for (std::size_t k = 0; fleet.size() > 1 && k < fleet.size(); ++k) moves_.push_back({k});
    for (std::size_t m = 0; m < models; ++m) {
      for (std::size_t k = 0; k < fleet.size(); ++k) {
        if (fleet[k].count < 1 || m >= fleet[k].models.size() || !fleet[k].models[m]) continue;
        places_[m].push_back({k, &*fleet[k].models[m], start_.size()});
        add_moves(fleet[k].models[m]->step.kind, start_.size(), moves_);
        for (const double parameter : default_split()) start_.push_back(parameter);
      }
    }
    for (const Request& request : requests) {
      if (request.model.index() < models) consider(request);
    }
  }

  double value() const {
    // The deadlines of last tokens bind, or, with very long prompts, those of first ones: the lower of two bounds.
    return std::min(most(by_last_), most(by_first_));
  }

 private:
  void consider(const Request& request) {
    const Deadlines due = deadlines(request, request.output);
    const std::vector<Place>& places = places_[request.model.index()];
    const bool possible = std::ranges::any_of(places, [&](const Place& place) {
      if (!fits(*place.spec, request.prompt, request.output)) return false;
      // Who may go on elsewhere may be faster than anywhere alone.
      if (places.size() > 1) return true;
      const AloneTime alone = time_alone(*place.spec, request.prompt, request.output);
      const auto by = [&](Duration deadline, EngineTime time) {
        return deadline == no_deadline || time <= EngineTime(deadline - request.arrival) + EngineTime(1ns);
      };
      if (!by(due.first, alone.first_token) || !by(due.last, alone.first_token + alone.others)) return false;
      return !request.slo.tpot ||
             alone.others <= EngineTime(*request.slo.tpot * (request.output.count - 1)) + EngineTime(1ns);
    });
    if (!possible) return;
    possible_ += request.value;
    const Job prompt{{request.arrival, due.first}, &request, false};
    if (due.first != no_deadline) by_first_.push_back(prompt);
    if (due.last != no_deadline) {
      by_last_.push_back({{request.arrival, due.last}, &request, true});
    } else if (due.first != no_deadline) {
      by_last_.push_back(prompt);
    }
  }

  double most(const std::vector<Job>& jobs) const {
    if (jobs.empty()) return possible_;
    std::vector<Window> windows;
    windows.reserve(jobs.size());
    double at_stake = 0;
    for (const Job& job : jobs) {
      windows.push_back({job.window.release, job.window.due, job.request->value});
      at_stake += job.request->value;
    }
    Fluid fluid(windows);
    std::vector<EngineTime> work(jobs.size());
    const auto at = [&](const std::vector<double>& parameters, std::size_t levels) {
      charge(jobs, parameters, work);
      return fluid.most(work, offered(parameters), levels);
    };
    const auto value = [&](const std::vector<double>& parameters) {
      const double most = at(parameters, coarse_levels);
      // Where that does not tell (all fit), towards the most work for what is offered.
      return most - 1e-6 * std::reduce(work.begin(), work.end()).count() / offered(parameters);
    };
    const Found found = lowest(start_, moves_, value, 0.5, 1.0 / 64);
    return possible_ - at_stake + at(found.at, fine_levels);
  }

  static double price(const std::vector<double>& parameters, std::size_t kind) {
    return std::max(parameters[kind], least_price);
  }

  double offered(const std::vector<double>& parameters) const {
    double sum = 0;
    for (std::size_t k = 0; k < fleet_.size(); ++k) sum += price(parameters, k) * std::max(fleet_[k].count, 0);
    return sum;
  }

  struct Priced {
    LeastWork work;
    double price;
  };

  void charge(const std::vector<Job>& jobs, const std::vector<double>& parameters,
              std::vector<EngineTime>& work) const {
    std::vector<std::vector<Priced>> priced(places_.size());
    for (std::size_t m = 0; m < places_.size(); ++m) {
      for (const Place& place : places_[m]) {
        priced[m].push_back({LeastWork(*place.spec, split_at(parameters, place.split)), price(parameters, place.kind)});
      }
    }
    for (std::size_t i = 0; i < jobs.size(); ++i) work[i] = cheapest(priced[jobs[i].request->model.index()], jobs[i]);
  }

  static EngineTime cheapest(const std::vector<Priced>& places, const Job& job) {
    const Request& r = *job.request;
    if (places.size() == 1) {
      const Priced& only = places.front();
      return only.price * (job.whole ? only.work.whole(r.prompt, r.output) : only.work.prefill(r.prompt));
    }
    const auto least = [&places](auto&& part) {
      EngineTime lowest = part(places.front());
      for (const Priced& place : places) lowest = std::min(lowest, part(place));
      return lowest;
    };
    EngineTime sum = least([&](const Priced& p) { return p.price * p.work.prefill(r.prompt); });
    if (job.whole && r.output > Tokens{1}) sum += cheapest_tokens(places, r.prompt, Tokens{2}, r.output);
    return sum;
  }

  // Each token where it costs least. Where one place is the cheapest at both ends, for certain, it is so in between.
  static EngineTime cheapest_tokens(const std::vector<Priced>& places, Tokens prompt, Tokens from, Tokens to) {
    constexpr std::int64_t few = 16;
    for (const Priced& best : places) {
      const auto beaten_at = [&](const Priced& other, Tokens nth) {
        return best.price * (best.work.smooth_token(prompt, nth) + best.work.rounding()) <= other.price * other.work.smooth_token(prompt, nth);
      };
      const bool all = std::ranges::all_of(places, [&](const Priced& other) {
        return &other == &best || (beaten_at(other, from) && beaten_at(other, to));
      });
      if (all) return best.price * best.work.tokens(prompt, from, to);
    }
    EngineTime sum{};
    if (to - from < Tokens{few}) {
      for (Tokens nth = from; nth <= to; nth += Tokens{1}) {
        EngineTime lowest = places.front().price * places.front().work.token(prompt, nth);
        for (const Priced& place : places) lowest = std::min(lowest, place.price * place.work.token(prompt, nth));
        sum += lowest;
      }
      return sum;
    }
    const Tokens middle = from + Tokens{(to - from).count / 2};
    return cheapest_tokens(places, prompt, from, middle) + cheapest_tokens(places, prompt, middle + Tokens{1}, to);
  }

  std::span<const InstanceKind> fleet_;
  std::vector<std::vector<Place>> places_;  // by model
  std::vector<double> start_;
  std::vector<Move> moves_;
  std::vector<Job> by_last_, by_first_;
  double possible_ = 0;  // value
};

}  // namespace

double bound(std::span<const Request> requests, std::span<const InstanceKind> fleet) {
  double all = 0;
  for (const Request& request : requests) all += request.value;
  return all > 0 ? Clairvoyant(requests, fleet).value() / all : 1;
}

}  // namespace qlm::bounds

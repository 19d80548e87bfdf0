// Which model is on which instance, and until when: several models on few instances, where bringing one in costs time.
// An instance's plan is a list of visits. Plans are compared by a fluid rollout over a horizon: what waits, by its due
// times, and the arrivals that are forecast flow into the instances that have their model, less drains and set-ups; a
// search changes the plan in force a little at a time and keeps what is better (visits_fluid.hpp tells the rollout).
//
// Pure: all times count from the moment of the plan, chance comes from a seed, and a budget is a number of rollouts.
// Models are dense, instances are named by their place. The vectors by model may be shorter than there are models: what
// is missing is zero.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "core/domain/ids.hpp"

namespace qlm::visits {

// Requests that wait and are alike. Late ones are nobody's: they are not given, or are left out.
struct Waiting {
  ModelId model;
  Duration due{};  // latest start; a start before it is on time and counts its value, wherever it is
  double count = 0;
  double value = 1;  // of one
};

// Requests to come: a forecast.
struct Stream {
  ModelId model;
  double rate = 0;  // arrivals a second
  Duration slack{};  // from arrival to the latest start
  double value = 1;  // of one
};

// Who leaves model a for b: no starts from the decision on; drain of a; put_away of a; bring_in of b; b starts.
struct Instance {
  // A swap under way ends then, and `resident` is the model it brings in: from the decision to leave on, the drain
  // included. Zero: `resident` is serving.
  Duration free_at{};
  std::optional<ModelId> resident;
  // Of the resident's slots, those taken: 1 is all. Those free are filled at once, and the emptier it is the shorter is
  // its drain.
  double occupied = 1;
  std::vector<double> rate;  // by model: requests started a second when full; 0: it cannot run here
  std::vector<Duration> bring_in;  // by model: load or wake, and what it takes to be ready
  std::vector<Duration> put_away;  // by model: offload or stop, after its drain
  std::vector<Duration> drain;  // by model: from the decision to leave to the swap, as learned when it was full
  std::vector<Duration> ramp;  // by model: mean residence of a request; rate * ramp slots are free after a swap
};

struct Visit {
  ModelId model;
  Duration until{};  // the decision to leave; the last visit's is the horizon
  bool operator==(const Visit&) const = default;
};
// By instance. The first visit is the resident's; up to now (zero) or before: it is left at once. An instance without
// visits keeps what it has.
using Plan = std::vector<std::vector<Visit>>;

struct Problem {
  std::size_t models = 0;
  std::vector<Waiting> waiting;
  std::vector<Stream> streams;
  std::vector<Instance> instances;
  Duration horizon = 640s;
};

struct Score {
  double value = 0;  // of what starts on time before the horizon
  double on_time = 0;  // requests
  Duration setup{};  // drains, put-aways and bring-ins that begin before the horizon, summed over instances
  // What a plan is judged by: its value, and between those that are worth the same up to a thousandth, sooner starts
  // and less set-up.
  double worth = 0;
};

// A model's requests start by due time on all instances that have it. Decisions fall on the rollout's cells: 2 s wide at
// first (horizon / 320), 10 s at the end.
Score rollout(const Problem& problem, const Plan& plan);

// What is left of a plan some time later. The last visit stays, however old.
Plan shifted(const Plan& plan, Duration by);

// A plan worth at least the incumbent, which may be empty, of another horizon, or begin with models that are not the
// residents: what each instance does is made whole first. `rollouts` counts all that is tried; some 50 every two seconds
// are enough where the incumbent is the last call's answer, shifted.
Plan improved(const Problem& problem, const Plan& incumbent, std::int64_t rollouts, std::uint64_t seed);

// The plan of one who looks one step ahead: an instance leaves for another model when that starts more value within a few
// set-ups' time, its own set-up included, than staying would. For comparison; improved() tries its like too.
Plan one_step(const Problem& problem);

}  // namespace qlm::visits

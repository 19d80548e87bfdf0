// The production controller on a virtual clock, over emulated engines: the same object and the same code as behind the
// gateway, with a heap of instants where the gateway has sockets. A run is a value: the same inputs give the same
// decisions, records and digest on every machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/estimate.hpp"
#include "core/domain/ids.hpp"
#include "core/enginemodel/engine_model.hpp"
#include "core/plan/fleet_plan.hpp"
#include "simulate/report/run_record.hpp"
#include "simulate/workload/prefix.hpp"

namespace qlm::fleet {

// A request as it will turn out to be. The controller is told everything but `output`.
struct Arrival {
  Duration at{};  // since the beginning; in order
  ModelId model;
  ClassId service_class;
  TenantId tenant{};
  Tokens prompt{1};
  Tokens output{1};
  std::optional<Tokens> max_output;  // what the client states
  workload::Prefix prefix;           // how its prompt begins
  Slo slo;                           // what it asks for; the class's where it states none
  bool turned_away = false;          // before the controller hears of it
};

// One of the models an instance serves by turns.
struct HeldModelSpec {
  ModelId model;
  StepTimeModel step;
  EngineLimits limits;
  Duration bring_in{}, put_away{};
};

struct InstanceSpec {
  std::string name;
  StepTimeModel step;
  EngineLimits limits;
  std::vector<ModelId> models;       // served at any time
  std::optional<int> max_in_flight;  // the operator's word
  std::vector<HeldModelSpec> holds;  // not empty: one of these at a time, the first at the beginning, instead of step, limits and models
};

// From then on an instance's steps take so many times what its profile, which the controller knows, says.
struct SpeedChange {
  Duration at{};
  std::size_t instance = 0;
  double slowness = 1;
};

// An engine is away for a while: what it had started is cut off, all else fails at once, and its probes too.
struct Outage {
  Duration from{}, until{};
  std::size_t instance = 0;
};

// What the controller is told wrong, late or not at all; engines do what they would have done. Drawn from `seed`.
struct Disturbance {
  struct Factor {  // over the truth: drawn evenly, one for each request
    double least = 1, most = 1;
  };
  Factor stated;                 // of the max_tokens that clients state
  Factor counted;                // of prompts as they are told, and of the tokens reported of a request while it runs and at its end
  double believed_speed = 1;     // of engines as they are described
  Duration stats_age{};          // of their statistics, when they are heard
  double lost = 0;               // of first tokens, progress, given back slots and statistics: the share that is never told
  std::vector<Outage> outages;
  std::uint64_t seed = 0;
};

struct FleetSpec {
  std::shared_ptr<const ControllerConfiguration> configuration;
  std::vector<InstanceSpec> instances;
  bool tells_slots = true;               // false: the controller finds concurrency by the waiting gauge, as with vLLM
  Duration stats_interval = 2s;
  Duration progress_interval = 1s;       // between two reports of a stream's tokens
  PlanningBudget planning;               // of one plan; its seed is the snapshot's number
  lp::Solve solve;                       // of the paper's policies' small programs; when it fails, the simulation has failed
  std::vector<SpeedChange> changes;      // in order
  Disturbance disturbance;
  std::optional<Duration> picture_at;    // as soon as anything happens from then on
  std::optional<Duration> stop_at;       // what is unfinished then has not been served; otherwise drained
};

struct FleetResult {
  std::vector<report::RequestRecord> requests;  // one for each arrival, in order
  std::vector<TenantId> tenants;                // the same
  std::vector<std::optional<WaitEstimate>> told;  // at its admission; none for one that ran at once
  std::uint64_t digest = 0;                     // of the controller, and of every time in `requests`
  Duration ended{};                             // the last event's instant
  Duration busy{};                              // of all instances
  Tokens prefilled{0}, generated{0};            // computed by all engines, recomputed tokens again
  Tokens cached{0};                             // of prompts, found in engines' prefix caches
  Tokens expected_cached{0};                    // the same, as the controller thought when it chose the instance
  std::int64_t preemptions = 0;
  std::int64_t swaps = 0, evictions = 0, plans = 0;
  paper::ExactCounts exact;                     // over all plans, where there was a solver
  std::string failed;                           // the solver, by its own words; the rest is as far as it came
  Duration swapping{}, draining{};              // of all instances
  Duration swapping_while_arriving{};           // until the last arrival
  std::string picture;                          // the queue and the plan in force, at picture_at
  std::int64_t events = 0;                      // fed to the controller
  std::string broken_invariant;                 // empty, unless check_every was given and found one
};

// `check_every`: the controller's invariants are checked after so many events; 0 never.
FleetResult simulate(const FleetSpec& fleet, const std::vector<Arrival>& arrivals, std::int64_t check_every = 0);

}  // namespace qlm::fleet

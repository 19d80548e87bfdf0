// What a suite measures: cases (a fleet, its models and what is asked of them), each at several loads and with several
// seeds, under several policies. A cell is one case at one load and seed; all policies see the same arrivals.
//
// Load is the offered rate over the measured capacity of the case: as many requests of its mix as a backlog holds, over
// the time in which that backlog is served first come, first served.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "simulate/fleet/fleet.hpp"
#include "simulate/suite/waits.hpp"
#include "simulate/workload/recipe.hpp"
#include "simulate/workload/trace.hpp"

namespace qlm::suite {

struct Case {
  std::string name;  // "w_a/a100-80/mistral-7b@2026"
  std::vector<ServiceClass> classes;
  std::size_t default_class = 0;     // of a request whose trace names none
  std::vector<std::string> models;
  std::vector<Tenant> tenants;       // empty: one without a name
  std::optional<QueueLimits> queue;  // absent: it refuses nobody
  std::vector<fleet::InstanceSpec> instances;
  double delta = 0.95;             // of qlm-sp: how probably each group shall be on time
  std::vector<Component> without;  // left out of the controller, to see what it is worth
  lp::Solve solve;                 // of the paper's policies' small programs
  bool tells_slots = true;           // false: engines' concurrency is stated by max_in_flight, or found by their waiting gauge
  std::int64_t backlog = 0;          // of the capacity measurement, where it must hold more than the suite says
  std::vector<fleet::SpeedChange> changes;  // of instances' speeds, unknown to the controller
  fleet::Disturbance disturbance;    // its seed is the cell's
  bool states_lengths = false;       // clients state max_tokens, and their outputs end there
  std::string undisturbed;           // the case that this one is with something in its way; empty: none is
  Duration waits_from{};             // arrivals before are not judged by what they were told of their wait
  // What arrives in `duration` at a mean rate, all streams together.
  std::function<workload::Trace(double per_second, Duration duration, std::uint64_t seed)> arrivals;
};

struct Suite {
  std::string name;
  std::vector<Case> cases;
  std::vector<std::vector<double>> values = {{}};  // of the classes, in their order; each case with each; empty: as they are
  std::vector<double> loads;
  int seeds = 3;
  Duration duration{};            // of arrivals; drained after
  std::int64_t requests = 0;      // or so many of them, whatever time they take
  std::int64_t backlog = 40'000;  // of the capacity measurement
  std::vector<Policy> policies;
  std::vector<Component> without;  // left out while policies are compared, not where capacities are measured
};

struct SuiteName {
  std::string_view name, description;
};
std::vector<SuiteName> suite_names();
Result<Suite> suite(std::string_view name);
// The same case with other class values, told by its name unless they are all 1. An error where there are not as many classes.
Result<Case> with_values(const Case& of, const std::vector<double>& values);

// The controller's ids are indices into the case's classes and models; a name that is not there is an error.
Result<std::vector<fleet::Arrival>> to_arrivals(const Case& of, const workload::Trace& trace);

// Requests a second, of engines as fast as they are at the beginning.
double measured_capacity(const Case& of, std::int64_t backlog);

// One policy on one cell. Everything counts all arrivals: a request is on time when it was completed, its first token came
// within the class's TTFT, and its mean gap between tokens was within the class's TPOT, or 200 ms where it has none.
struct Attainment {
  std::int64_t offered = 0, on_time = 0;
  double share() const { return offered == 0 ? 1 : static_cast<double>(on_time) / static_cast<double>(offered); }
};
// What of the engines' work somebody had.
struct Service {
  double tokens = 0;     // prompt and generated, of those that were completed
  Duration largest_wait{};
};
struct Figures {
  Attainment all;
  std::map<std::string, Attainment> classes;
  std::map<std::string, double> token_shares;  // by class: of all tokens served while requests arrived
  // By class: the least share of a model's tokens in any whole minute in which it had requests waiting throughout.
  std::map<std::string, double> least_minutes;
  std::map<std::string, std::pair<Attainment, Service>> tenants;  // where they have names; tokens of the time in which requests arrived
  Attainment steady;                   // of arrivals from 900 s after the first to 600 s before the last, where there are any
  double value_attainment = 0;         // value on time over value offered
  double steady_value_attainment = 1;  // the same of the steady ones
  double throughput_tokens_per_s = 0;  // generated, of completed requests, from the first arrival until the last of them was done
  double useful_tokens_per_s = 0;      // of those on time
  double busy_share = 0;               // of the instances' time, from the first arrival until nothing was left to do
  std::int64_t swaps = 0, evictions = 0, preemptions = 0;
  // Prompt and output tokens that engines computed, and of these what served nobody: computed again after a preemption, an
  // eviction or a retry, or for requests that were never completed. (What a cache spared the second time counts as if computed.)
  Tokens computed{0}, wasted{0};
  double wasted_share() const { return computed.count > 0 ? static_cast<double>(wasted.count) / static_cast<double>(computed.count) : 0; }
  double cached_share = 0, expected_cached_share = 0;  // of prompt tokens: found in prefix caches, and as the controller thought
  double swapping_share = 0, draining_share = 0;  // of the instances' time
  double set_up_share = 0;  // of it while requests arrive: swaps
  Duration largest_wait{};             // of a request that was started
  Waits waits;                         // as they were told, and as they were
  paper::ExactCounts exact;            // of the paper's policies, where there is a solver
  std::string failed;                  // what the solver said when it did: then there are no other figures
  std::uint64_t digest = 0;
  double worst_class() const;
};
inline constexpr Duration served_tpot = 200ms;

// What no scheduler passes (simulate/bounds), as shares of the requests and of their value.
struct Limit {
  double attainment = 1, value_attainment = 1;
};
struct Limits {
  Limit bound;    // knowing everything
  // Knowing everything but the outputs' lengths before they end. One model on alike instances: of all arrivals. Several that
  // take turns: of those that Figures::steady counts. Elsewhere nothing below the bound is known.
  Limit ceiling;
  std::optional<Limit> steady_bound;  // several models that take turns: of the steady arrivals, as if nobody else came
  bool of_steady() const { return steady_bound.has_value(); }  // the ceiling
};
// `alike`: of a case that differs in its values alone, so that what they do not change need not be found again.
Limits limits_of(const Case& of, const std::vector<fleet::Arrival>& arrivals, const Limits* alike = nullptr);

bool counts_as_on_time(const report::RequestRecord& request, const ServiceClass& service_class);
Figures figures(const Case& of, const fleet::FleetResult& result);
fleet::FleetSpec fleet_spec(const Case& of, Policy policy, std::uint64_t seed = 0);
// The parts of Figures that say who was served: shares of classes and tenants.
void add_service(Figures& figures, const Case& of, const fleet::FleetResult& result);

}  // namespace qlm::suite

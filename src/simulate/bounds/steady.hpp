// Several models on instances that hold one at a time, alike or not: what they can serve on time of a steady load, and
// what of a backlog. Linear programs over work in mean engine time, small whatever the number of requests; the relaxation
// of order acceptance with family setups (the survey's global plan), so never below what a plan can reach.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "simulate/bounds/work.hpp"
#include "simulate/workload/lengths.hpp"

namespace qlm::bounds {

// The least engine time such requests use on average, for the CostSplit that makes it most.
EngineTime mean_work(const EngineSpec& engine, std::span<const workload::Lengths> lengths);

struct MultiModelInstance {
  std::vector<std::optional<EngineTime>> work;  // by ModelId: of a request on average; absent: cannot run here
  std::vector<Duration> setup;  // by ModelId: the least time to bring it in; absent: none
  std::optional<ModelId> loaded;  // needs no setup
};

// Of one model while requests arrive.
struct SteadyArrivals {
  ModelId model;
  double requests = 0;
  double value = 1;  // of each
};

// The share of the value of all arrivals that can be served in the time in which they arrive: the long run, without the drain a finite run has after its last arrival, of a scheduler that neither chooses requests
// by their lengths nor gives started ones up. A model that an instance serves costs it one setup at least, in the
// proportion in which it serves it. Compare with attainment in the middle of a run, not with that over all of it.
double steady_ceiling(std::span<const SteadyArrivals> arrivals, std::span<const MultiModelInstance> instances, Duration time);

// Requests of one model waiting now and due together.
struct WaitingGroup {
  ModelId model;
  double requests = 0;
  double value = 1;  // of each on time
  Duration due{};  // from now; of their last tokens, if their work is counted whole
};

// The most value that can be on time of what waits now: whatever is done by a deadline fits before it, on each instance,
// with the setups of the models it is done for. `free_at`: when each instance is, from now. It is of one plan, which sees
// mean work and nobody who comes later, and what plans are held against in tests; of a whole run it says nothing that
// bound() does not: with releases and true lengths, one setup a model and instance is all that it would add to hours.
double backlog_bound(std::span<const WaitingGroup> groups, std::span<const MultiModelInstance> instances,
                     std::span<const Duration> free_at);

}  // namespace qlm::bounds

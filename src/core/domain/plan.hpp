// A snapshot of the queue for the planner, and the plan that comes back: dense arrays, no pointers, so that it can be
// made beside the controller and recorded whole.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/ids.hpp"

namespace qlm {

// Waiting requests of one model and class that must start at about the same time: a request group's deadline bucket.
struct GroupSummary {
  ModelId model;
  ClassId service_class;
  double value = 1;           // of one on time
  std::int64_t requests = 0;
  Duration due{};             // latest start, from `taken`; those that are late are there where the policy serves them as all others
  Duration first{};           // of the first of them; not above `due`
};

// What has been arriving lately of one model and class.
struct StreamSummary {
  ModelId model;
  ClassId service_class;
  double value = 1;
  double per_second = 0;
  Duration slack{};           // from arrival to latest start
};

// A model that an instance serves or may be given, and what came to be known of both together.
struct ResidentSummary {
  ModelId model;
  double per_second = 0;      // requests it does when full
  Duration drain{};           // from when no more of it is dispatched until nothing of it runs
  Duration put_away{};        // after that
  Duration bring_in{};
  Duration residence{};       // of a request in the engine
};

// Of the outputs of a model's requests, in tokens.
struct OutputSummary {
  double mean = 0, deviation = 0;
};

struct InstanceSummary {
  InstanceId instance;
  int in_flight = 0;
  int limit = 0;
  bool available = false;
  std::optional<ModelId> resident;  // what it serves, or will when the swap under way is over
  Duration free_at{};               // from `taken`: when that swap is over
  std::vector<ResidentSummary> holds;
};

struct Snapshot {
  SnapshotVersion version;
  Instant taken;
  Policy policy = Policy::fcfs;
  double delta = 0.95;                     // the configuration's
  std::size_t models = 0;
  std::vector<GroupSummary> groups;        // by model, then class, then due
  std::vector<StreamSummary> streams;      // by model, then class
  std::vector<OutputSummary> outputs;      // by model
  std::vector<InstanceSummary> instances;  // by id; those that hold several models
};

// Which model each instance serves, and until when. `made_from` is the snapshot it answers: what happened since is merged
// or it is dropped.
struct Plan {
  struct Visit {
    ModelId model;
    Instant until;
  };
  struct Visits {
    InstanceId instance;
    std::vector<Visit> visits;  // the first is what it serves now
  };
  PlanVersion version;
  SnapshotVersion made_from;
  std::vector<Visits> instances;  // by id
};

}  // namespace qlm

// A snapshot of the queue for the planner, and the plan that comes back: dense arrays, no pointers, so that it can be
// made beside the controller and recorded whole.
#pragma once

#include <cstdint>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/ids.hpp"

namespace qlm {

struct GroupSummary {
  ModelId model;
  ClassId service_class;
  std::int64_t requests = 0;
  Tokens tokens{0};
  Instant earliest_deadline = never;
};

struct InstanceSummary {
  InstanceId instance;
  int in_flight = 0;
  int limit = 0;
  bool available = false;
  std::vector<ModelId> models;
};

struct Snapshot {
  SnapshotVersion version;
  Instant taken;
  std::vector<GroupSummary> groups;        // by model, then class
  std::vector<InstanceSummary> instances;  // by id
};

// Ordered work for each instance. `made_from` is the snapshot it answers: what happened since is merged or it is dropped.
struct Plan {
  struct Visit { InstanceId instance; ModelId model; ClassId service_class; };
  PlanVersion version;
  SnapshotVersion made_from;
  std::vector<Visit> order;
};

}  // namespace qlm

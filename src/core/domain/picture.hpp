// The queue and the plan in force as values for people: who stands before whom and why, and what keeps each instance from
// taking more. Taken at any moment; nothing changes by it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/plan.hpp"

namespace qlm {

// In the order of service.
enum class QueuePhase : std::uint8_t { kept, given_up, late };

// What keeps an instance from taking a request now.
enum class Binding : std::uint8_t {
  none,         // it has room, and takes those first that stand before
  slots,        // it runs as many as it may
  memory,       // its KV memory is full, or too full for this one
  refused,      // its engine refused, and is let alone for a moment
  gathering,    // it waits a moment, so that several start together
  unavailable,  // its breaker is open, or it stalled
  absent,       // the model is not there, and not on its way
  swapping,     // the model is on its way
  cordoned,     // by an operator
};

struct InstancePicture {
  InstanceId id;
  std::string name;
  Binding binding{};
  int in_flight = 0;
  int room = 0;                        // in flight it may have
  Tokens kv{0};                        // held, and soon to be
  std::optional<Tokens> kv_capacity;
  std::vector<ModelId> serves;         // now
  std::optional<ModelId> next;         // a swap to it is under way
  std::vector<Plan::Visit> visits;     // of the plan in force; empty: there is none
};

// Of a waiting request.
struct Standing {
  struct Ahead {
    ClassId service_class;
    QueuePhase phase{};
    std::int64_t requests = 0;
    Tokens tokens{0};
  };
  QueuePhase phase{};
  bool priced_out = false;             // too dear for the load when it came
  std::vector<Ahead> ahead;            // by phase, then class
  std::vector<InstancePicture> instances;  // that serve its model or hold it
};

struct GroupPicture {
  ClassId service_class;
  std::int64_t prompts_from = 0;       // tokens, of its smallest prompts; zero: of any size
  bool priced_out = false;
  std::int64_t kept = 0, given_up = 0, late = 0;
  Tokens tokens{0};
  std::optional<Duration> due;         // of the first that is kept: its place in an order by time, from now
  double admitted = 1;                 // share of those that arrive now that the load leaves room for
};

struct ModelPicture {
  ModelId model;
  std::vector<GroupPicture> groups;    // those with requests, in the order of their first
  bool priced = false;                 // the load leaves no room for some
};

struct Picture {
  Instant at;
  Policy policy{};
  std::optional<Duration> plan_age;    // of the visits
  std::vector<ModelPicture> models;    // with anybody waiting
  std::vector<InstancePicture> instances;
};

// A page of text; names from the configuration. Ends with a line end.
std::string to_text(const Picture& picture, const ControllerConfiguration& names);

// Why those before it stand there, of the kept ones: "they came earlier".
std::string_view order_reason(Policy policy);

}  // namespace qlm

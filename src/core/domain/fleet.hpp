// Instances as the controller knows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/request.hpp"
#include "core/domain/step_time.hpp"

namespace qlm {

// A model that an instance may be given to serve, one at a time, and what the instance is while it does.
struct HeldModel {
  ModelId model;
  std::optional<StepTimeModel> speed;
  std::optional<int> slots;
  std::optional<Tokens> kv_capacity;
  Duration bring_in{};   // until it serves, once nothing else is there; what was learned is the controller's own
  Duration put_away{};   // until it has left
  bool measured = false; // bring_in was seen, here
  bool seen_leaving = false;  // put_away was
  bool asleep = false;   // kept in the host's memory there, by an engine that need only be woken; as found: it was
  std::optional<ResumeLevel> resume = {};          // that its engine can do, and its context; where they are known
  std::optional<Tokens> context_length = {};
  Duration wake{};       // what that takes; zero: not seen yet, then about as long as to put it away

  Duration to_come() const { return !asleep ? bring_in : wake > Duration{} ? wake : put_away; }
};

// What an instance can do, as far as it was found out by probing or configured.
struct InstanceDescription {
  InstanceId id;
  std::string name;
  std::vector<ModelId> models;          // served now (residents that are ready)
  std::optional<int> slots;             // requests it runs at once, where the engine says
  std::optional<int> max_in_flight;     // the operator's word: never more, no allowance on top
  std::optional<Tokens> kv_capacity;    // where the engine says
  std::optional<Tokens> context_length; // of one request
  std::optional<StepTimeModel> speed;   // how long its steps take, where a profile is known
  std::vector<HeldModel> holds;         // not empty: it serves one of these at a time, `models` is the one that is there
  std::optional<ModelId> coming;        // of `holds`: being brought in already; Swapped will tell
  bool reports_waiting = false;         // its metrics tell queued requests: concurrency is found by raising load
  ResumeLevel resume = ResumeLevel::restart;  // that its engine can do
  bool drops_queued = true;             // forgets a queued request whose client left; if not, nothing may queue there
};

// One reading of an engine's own metrics.
struct InstanceStats {
  int running = 0;
  int waiting = 0;
  double kv_usage = 0;  // fraction
};

enum class BreakerState : std::uint8_t { closed, open, half_open };
enum class BreakerCause : std::uint8_t { attempts_failed, health_check_failed, stalled };

}  // namespace qlm

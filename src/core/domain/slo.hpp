// Service-level objectives and the classes that name them.
#pragma once

#include <optional>
#include <string>

#include "base/time.hpp"
#include "core/domain/ids.hpp"

namespace qlm {

// Durations count from arrival at QLM; tpot is the mean over a reply. Absent means: no objective.
struct Slo {
  std::optional<Duration> ttft;
  std::optional<Duration> tpot;
  std::optional<Duration> e2e;

  bool operator==(const Slo&) const = default;
};

// What happens to a request that can no longer be on time (architecture, section 5).
enum class WhenLate : std::uint8_t { serve, reject, downgrade };

struct ServiceClass {
  std::string name;
  Slo slo;
  double objective = 0.99;        // share of requests that must meet the SLO
  double value = 1;               // worth of one request on time
  double min_share = 0;           // share of a model's token rate over a minute
  Duration max_wait = 10min;      // longest time in the queue
  WhenLate when_late = WhenLate::serve;
  ClassId downgrade_to{};         // when_late: downgrade only
  bool durable = false;           // accepted only once the store has it
};

}  // namespace qlm

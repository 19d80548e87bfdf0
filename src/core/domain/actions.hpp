// What the controller wants done. Small values without heap parts, so that deciding allocates nothing.
#pragma once

#include <optional>
#include <variant>

#include "base/time.hpp"
#include "core/domain/estimate.hpp"
#include "core/domain/fleet.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/request.hpp"

// clang-format off: one line each, like a table
namespace qlm::action {

// The request waits in the queue. Told once, so that the shell can say so to the client.
struct Admitted { RequestId request; std::optional<WaitEstimate> wait; };

// Answered by Ended, and then by SlotReleased.
struct Dispatch {
  AttemptKey key;
  InstanceId instance;
  Tokens cached{0};  // of its prompt, expected to be cached there
  ResumeLevel resume = ResumeLevel::restart;  // it may be evicted so: `exact` asks the shell to see to it that it can be
};

// evicted: the request goes on where it is dispatched next, after what the shell has kept of it (text, exact) or from its
// beginning (restart). One at `restart` of which its client was given something meanwhile runs on: the controller hears of
// it by FirstToken, or by ResumeFell, and waits for no other answer than its end.
enum class AbortWhy : std::uint8_t { cancelled, stalled, instance_down, evicted };
// No answer of its own: it hastens that attempt's Ended.
struct Abort { AttemptKey key; InstanceId instance; AbortWhy why; };

// The request is over without an answer of an engine's; the client hears why.
// What a refused request might ask for instead: the least time, of the objective that binds, with which it would be taken
// now. Objectives shorter than that would have to be as long, too.
struct CounterOffer {
  enum class Objective { ttft, e2e, deadline };
  Objective objective;
  Duration least;  // from its arrival; for a deadline too
};

struct Reject {
  RequestId request;
  Outcome outcome = Outcome::rejected;
  Reason reason = Reason::none;
  std::optional<Duration> retry_after;
  std::optional<WaitEstimate> wait;  // what was expected, where that is the reason
  std::optional<CounterOffer> offer = {};  // slo_unreachable: where there is such a time within its class's max_wait
};

// The request is over with an engine's answer, whole or cut; what it cost is in the explain record.
struct Finish { RequestId request; Outcome outcome; Reason reason; };

struct Persist { RequestId request; };                        // answered by Persisted or PersistFailed
struct Publish { RequestId request; FencingToken token; };    // answered by Published or PublishFailed
struct ReleaseClaim { RequestId request; FencingToken token; };

struct Probe { InstanceId instance; };                        // answered by ProbeAnswered
struct StartPlanning { SnapshotVersion snapshot; };           // answered by PlanReady or PlanFailed
// Nothing of ours runs there any more: what is there is put away and `to` brought in.
struct Swap { InstanceId instance; ModelId to; };             // answered by Swapped

// For the operator to know; no answer. An instance is given no work from here on (open), or is again (closed).
struct BreakerChanged {
  InstanceId instance;
  BreakerState to{};
  BreakerCause cause{};  // of opening
  int count = 0;         // failures in a row; stalled: requests that were in flight there
};

}  // namespace qlm::action
// clang-format on

namespace qlm {

using Action =
    std::variant<action::Admitted, action::Dispatch, action::Abort, action::Reject, action::Finish, action::Persist,
                 action::Publish, action::ReleaseClaim, action::Probe, action::StartPlanning, action::Swap,
                 action::BreakerChanged>;

}  // namespace qlm

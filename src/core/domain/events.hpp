// Everything that can happen to the controller (architecture, section 4). Time comes with each event; none is trusted
// to arrive in order or to arrive at all.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/actions.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/fleet.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/plan.hpp"
#include "core/domain/request.hpp"

// clang-format off: one line each, like a table
namespace qlm::event {

// -- requests
struct Arrived { RequestDescription request; };
struct Restored { RequestDescription request; Instant arrived; FencingToken token; };  // from the store, already accepted
struct Cancelled { RequestId request; Reason why = Reason::client_gone; };  // or Reason::cancelled: by an operator

// -- attempts
struct Sent { AttemptKey key; bool streamed = true; };  // streamed: its progress will be seen token by token
struct FirstToken { AttemptKey key; };
struct ResumeFell { AttemptKey key; ResumeLevel to{}; };  // what comes cannot be gone on with as was thought
struct Progress { AttemptKey key; Tokens generated; };  // so far, cumulative; batched by the relay

enum class AttemptEnd : std::uint8_t {
  complete,            // the engine's answer is whole, or it is an error of the request's own (4xx) and final
  refused,             // the engine was too busy (429, 503): nothing is wrong with it
  aborted,             // we ended it
  failed_before_byte,  // nothing was relayed: another instance may try
  failed_after_byte,
  unknown,             // the shell cannot tell whether bytes went out: treated as after
};
struct Ended {
  AttemptKey key;
  AttemptEnd end = AttemptEnd::complete;
  std::optional<Duration> retry_after;  // refused only
  Tokens prompt{0};                     // as the engine counted them; zero where it did not say
  Tokens generated{0};
  std::optional<Tokens> cached;         // of the prompt, where the engine says
  int status = 0;                       // of the engine's answer, where that was an error
};
struct SlotReleased { AttemptKey key; };

// -- store
struct Persisted { RequestId request; FencingToken token; };
struct PersistFailed { RequestId request; };
struct Published { RequestId request; };
struct PublishFailed { RequestId request; bool fenced = false; };  // fenced: another attempt owns the request now
struct Claimed { std::vector<RequestId> requests; };
struct LeaseLost { RequestId request; };

// -- fleet
struct InstanceJoined { InstanceDescription instance; };
struct InstanceChanged { InstanceDescription instance; };  // a probe found out more, or something else
struct InstanceLeft { InstanceId instance; };
struct StatsRead { InstanceId instance; InstanceStats stats; };
struct ProbeAnswered { InstanceId instance; bool healthy = false; std::string detail; };
struct Share { InstanceId instance; int slots = 0; Instant until = never; };  // what this gateway may use of it
// What is there now; another than was asked, or none: it failed. `found`: as its engine told of itself, and how long it took.
// `asleep`: all that are kept in the host's memory there now.
struct Swapped { InstanceId instance; std::optional<ModelId> resident; std::optional<HeldModel> found = {}; Duration put_away{}; std::vector<ModelId> asleep = {}; };
// Nobody asked: an engine that runs was found there, or the one there is gone.
struct ResidentChanged { InstanceId instance; std::optional<ModelId> resident; std::optional<HeldModel> found = {}; std::vector<ModelId> asleep = {}; };

// -- the operator's hand
struct Cordoned { InstanceId instance; bool cordoned = true; };  // is given no new work, or is again; what runs there goes on
// It leaves whatever it serves for that model of those it holds, when nothing runs any more, and stays with it until then.
// A time that is over: it is brought in, and what comes after is decided as ever.
struct Pinned { InstanceId instance; ModelId model; Instant until; };
struct SwapsForbidden { Instant until; };  // none begins before, but for an empty instance and a pinned one; a time that is over: allowed

// -- planning and process
struct PlanReady { Plan plan; };
struct PlanFailed { SnapshotVersion made_from; };
struct ConfigurationChanged { std::shared_ptr<const ControllerConfiguration> configuration; };
struct DrainRequested {};
struct Tick {};  // next_wake() came

}  // namespace qlm::event
// clang-format on

namespace qlm {

using Event =
    std::variant<event::Arrived, event::Restored, event::Cancelled, event::Sent, event::FirstToken, event::ResumeFell, event::Progress,
                 event::Ended, event::SlotReleased, event::Persisted, event::PersistFailed, event::Published,
                 event::PublishFailed, event::Claimed, event::LeaseLost, event::InstanceJoined, event::InstanceChanged,
                 event::InstanceLeft, event::StatsRead, event::ProbeAnswered, event::Share, event::Swapped,
                 event::ResidentChanged, event::Cordoned, event::Pinned, event::SwapsForbidden, event::PlanReady,
                 event::PlanFailed, event::ConfigurationChanged, event::DrainRequested, event::Tick>;

// What an attempt that ended so was lost to; `asked`: why it was aborted, where it was. Nothing where it brought its client
// an answer, or part of one.
Lost lost_to(const event::Ended& ended, std::optional<action::AbortWhy> asked);

}  // namespace qlm

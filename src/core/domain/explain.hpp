// One line of the answer to "why": kept in a bounded ring, asked for by request or by instance.
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/estimate.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/request.hpp"

namespace qlm {

enum class Decision : std::uint8_t {
  admitted,        // count: requests ahead in its model's queue
  rejected,
  dispatched,      // count: requests of its model it left behind in the queue; limit: in flight allowed there
  requeued,        // an attempt ended before its first byte
  first_token,
  completed,
  failed,
  cancelled,
  expired,
  abort_asked,
  slot_reclaimed,  // nobody gave it back, a probe said the instance lives
  breaker_opened,  // count: consecutive failures
  breaker_half_opened,
  breaker_closed,
  stalled,
  limit_raised,    // limit: in flight allowed from now on
  limit_lowered,
  plan_dropped,    // made from a snapshot that is too old
  swap_decided,    // count: requests in flight that are drained first; model: what comes
  swapped,         // model: what is there now
  swap_failed,     // model: what did not come
  resident_lost,   // model: what broke down
  evicted,         // count: tokens generated so far
  cordoned,        // count: requests that run there
  uncordoned,
  drained,         // cordoned, and nothing runs there any more
  pinned,          // model: what is brought in, or stays
  swap_called_off, // model: what would have come
  swaps_forbidden, // count: until when, in seconds from now; zero: allowed again
};

// Why a request went to this instance and not to another that had room too.
enum class ChosenFor : std::uint8_t {
  asked,            // it had room for another, and took who was first: nobody else was asked
  only_one,
  canary,           // it failed, and is tried again
  prefix,           // it has computed the most of the prompt's beginning already, and is not too full
  least_cost,       // by profiles and learned speeds, to all
  least_loaded,
  slower_suffices,  // the faster ones stay free for those who need them
  soonest,          // it cannot be on time anywhere
};

struct ExplainRecord {
  Instant at;
  Decision decision{};
  RequestId request{};                 // zero: not about one request
  TenantId tenant{};                   // whose request it is: only they may read this
  std::optional<InstanceId> instance;
  std::optional<ModelId> model;        // of a swap
  Attempt attempt = no_attempt;
  Reason reason = Reason::none;
  Policy policy{};                     // the order in force
  std::int64_t count = 0;
  std::int64_t limit = 0;
  std::optional<WaitEstimate> wait;
  Tokens output{0};                    // admitted: expected; of one that ended: generated
  Duration rest{};                     // requeued: before it is tried again
  ChosenFor because = ChosenFor::asked;  // dispatched
  Tokens cached{0};                    // dispatched: of its prompt, expected to be cached there
  Lost lost;                           // requeued, failed: what its last attempt was lost to
};

}  // namespace qlm

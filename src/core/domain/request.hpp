// A request as the queue sees it: sizes, objectives and identities, never its text. The body stays in the shell.
#pragma once

#include <cstdint>
#include <optional>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/prefix.hpp"
#include "core/domain/slo.hpp"

namespace qlm {

// How an attempt that is broken off can go on: as its request is written and its engine can, the lesser of the two. Settled
// at its dispatch; later it may only fall.
enum class ResumeLevel : std::uint8_t {
  none,     // not at all (said as `never`): nobody can say what making it twice does
  restart,  // from its beginning, as long as its client was given nothing of it
  text,     // after the text so far; the token at the seam may be another
  exact,    // after the tokens so far: greedy decoding gives the same text
};

struct RequestDescription {
  RequestId id;
  ModelId model;
  ClassId service_class;
  TenantId tenant;
  Slo slo;                            // what it asked for itself, else its class's
  std::optional<Instant> deadline;    // an absolute one (x-slo-deadline, a batch window); otherwise from slo
  Tokens prompt{0};                   // estimated until the engine says
  PrefixMarks prefix;                 // none where nothing is known of how it begins
  std::optional<Tokens> max_output;   // as the client stated it; never invented
  Bytes body{0};
  std::optional<Duration> client_timeout;  // the read time-out the client announced
  bool streaming = false;
  bool waits_gladly = false;          // x-qlm-wait: allow
  ResumeLevel resume = ResumeLevel::exact;  // as far as what it asks for allows
};

enum class RequestState : std::uint8_t {
  persisting,   // admitted, the store has not confirmed it yet (durable classes)
  queued,
  dispatched,   // given to an engine, no content byte relayed yet
  streaming,    // content bytes went out: no retry from here on
  publishing,   // complete, the store has not confirmed it yet (durable classes)
  finished      // completed, failed, cancelled, expired or rejected; about to be forgotten
};

// How a request ended, for logs, metrics and the ledger of promises. Exactly one a request.
enum class Outcome : std::uint8_t { completed, rejected, cancelled, expired, failed };

// Why a request was refused or given up; the gateway turns it into status, text and headers.
enum class Reason : std::uint8_t {
  none,
  draining,            // QLM is stopping
  queue_full,          // the queue's request limit
  queue_bytes_full,    // the queue's byte limit
  tenant_queue_share,  // this tenant holds its share of the queue
  tenant_in_flight,    // this tenant's limit of requests in the system
  tenant_queued,       // this tenant's limit of requests waiting
  tenant_tokens,       // this tenant's rate of tokens
  tenant_requests,     // this tenant's rate of requests
  slo_unreachable,     // when_late: reject, and the bound says it cannot be met
  wait_too_long,       // the bound exceeds the patience of the client or of proxies in between
  no_instance,         // no instance that could serve the model has been up for a while
  deadline_passed,     // when_late: reject, the deadline went by in the queue
  max_wait_passed,     // the class's longest time in the queue went by
  client_timed_out,    // the client's announced time-out went by
  client_gone,
  engine_failed,       // every attempt failed before its first byte
  engine_cut,          // the engine failed after bytes went out
  store_failed,
  cancelled,           // by an operator
};

// Why an attempt brought its client nothing, so that the request may be tried again.
enum class Loss : std::uint8_t {
  none,
  refused,        // the engine was too busy
  not_sent,       // QLM could open no connection of its own
  failed,         // before its first byte
  stalled,        // the instance fell silent, and its work was taken back
  instance_down,  // its health check failed, or it left
};
struct Lost {
  Loss why = Loss::none;
  int status = 0;  // the engine's, where it answered with an error

  bool operator==(const Lost&) const = default;
};

}  // namespace qlm

// The queue's single owner (architecture, section 4): fed with events, it answers with actions. It does no I/O, reads
// no clock and starts no thread, so the gateway, the simulator, the tests and the fuzzers drive the same object.
//
// Threads: none of its own; all calls from one thread. Cost: an event is O(log n) in the requests queued of its model,
// and allocates nothing beyond amortised growth.
//
// Promises, whatever comes in whatever order:
//  - a request that arrived gets exactly one Reject or one Finish;
//  - at most one attempt of a request runs at a time, and a new one is made only after Ended said that nothing of the
//    former was relayed;
//  - an instance never has more attempts in flight than its limit and its allowance, counting those aborted but not
//    yet given back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "core/domain/actions.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/events.hpp"
#include "core/domain/explain.hpp"
#include "core/domain/picture.hpp"
#include "core/domain/plan.hpp"

namespace qlm {

struct RequestView {
  RequestId id;
  RequestState state{};
  ModelId model;
  ClassId service_class;
  TenantId tenant;
  Instant arrived;
  Instant deadline = never;
  Attempt attempt = no_attempt;
  std::optional<InstanceId> instance;
  std::optional<std::int64_t> position;   // 0 is next; of its model's queue, queued ones only
  std::optional<Tokens> tokens_ahead;
  std::optional<WaitEstimate> wait;       // from now
  Instant rests_until = Instant::min();   // refused or failed where it was tried: not tried again before
};

struct InstanceView {
  InstanceId id;
  std::string name;
  BreakerState breaker{};
  bool available = false;   // takes work now
  bool stalled = false;
  bool cordoned = false;    // by an operator
  std::vector<ModelId> serves;     // now
  std::vector<ModelId> holds;      // of these one at a time; empty: what it serves never changes
  std::optional<ModelId> next;     // on its way
  std::optional<ModelId> pinned;   // by an operator
  Instant pinned_until = never;
  int in_flight = 0;        // ledger entries, aborted ones included
  int running = 0;          // of these: a first token was seen
  int limit = 0;            // what it may run at once, without the allowance
  int allowance = 0;
  Duration busy{};          // time with at least one attempt in flight
  std::optional<Instant> stats_at;
};

struct QueueView {
  ModelId model;
  ClassId service_class;
  std::int64_t requests = 0;
  Tokens tokens{0};
};

struct TenantView {
  TenantId id;
  int in_system = 0;        // requests, queued or running
  std::int64_t queued = 0;
  Bytes queued_bytes{0};
};

struct Totals {
  std::int64_t queued = 0;      // persisting ones included
  Bytes queued_bytes{0};
  std::int64_t in_flight = 0;   // requests dispatched or streaming
  std::int64_t arrived = 0, completed = 0, rejected = 0, cancelled = 0, expired = 0, failed = 0;
  std::int64_t swaps = 0, evictions = 0;
  Tokens wasted{0};             // by evictions: generated and lost, and prompts read again that were not cached any more
  Duration draining{};          // of all instances, from the decision to swap until nothing ran
};

class Controller {
 public:
  Controller(std::shared_ptr<const ControllerConfiguration> configuration, std::size_t explain_capacity = 65'536);
  ~Controller();
  Controller(Controller&&) noexcept;
  Controller& operator=(Controller&&) noexcept;

  // Appends what is to be done to `actions`. Times earlier than a former event's are taken as that one's.
  void handle(const Event& event, Instant now, std::vector<Action>& actions);

  // When it wants a Tick at the latest; `never` when nothing is pending.
  Instant next_wake() const;

  // -- queries; cheap enough for the controller's thread, asked when somebody wants to know
  std::optional<RequestView> request(RequestId id, Instant now) const;
  std::vector<RequestView> requests(std::size_t most, Instant now) const;  // the oldest, as they came; O(n log n)
  std::vector<TenantView> tenants() const;  // that ever asked for something, by id
  std::optional<Instant> swaps_forbidden_until() const;
  std::vector<InstanceView> instances() const;
  std::vector<QueueView> queues() const;   // non-empty (model, class) pairs, by model then class
  Totals totals() const;
  Policy policy() const;
  std::optional<Standing> standing(RequestId id) const;            // of a waiting one: who is before it, what binds
  Picture picture() const;                                         // queues, plan and instances, for people
  std::vector<ExplainRecord> explain(RequestId id) const;          // oldest first
  std::vector<ExplainRecord> recent(std::size_t count) const;      // of all, oldest first
  std::optional<WaitEstimate> estimate(ModelId model) const;       // for one that would arrive now
  Snapshot snapshot(Instant now);
  bool drained() const;                    // asked to drain, and nothing is left

  // A number that two runs share exactly when their states and all their former decisions were equal.
  std::uint64_t digest() const;
  // Empty when every invariant holds, else the first one broken. O(n): for tests and debug builds.
  std::string check_invariants() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qlm

// Inside of the controller: its records and the steps its events are made of. Included by the controller's own .cpp
// files only. admission.cpp lets requests in and out of the queue, dispatch.cpp binds them to instances, attempts.cpp
// hears how that went, estimates.cpp learns from it how long requests take and wait, on_time.cpp chooses whom to give up,
// instances.cpp minds breakers and stalls, queries.cpp answers questions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/id_map.hpp"
#include "base/slab.hpp"
#include "core/controller/controller.hpp"
#include "core/controller/governor.hpp"
#include "core/controller/ledger.hpp"
#include "core/controller/model_queue.hpp"
#include "core/controller/order_tree.hpp"
#include "core/controller/timer_heap.hpp"
#include "core/estimate/length_model.hpp"
#include "core/estimate/step_scale.hpp"
#include "core/estimate/wait_calibration.hpp"
#include "core/estimate/waiting_time.hpp"
#include "core/plan/order.hpp"

namespace qlm {

// Of the KV memory: the rest is for outputs longer than expected, so that the engine need not preempt.
inline constexpr double kv_usable = 0.96;
// Tokens that a running request generates until its next report is heard and those it let in have finished.
inline constexpr Tokens lookahead{32};
inline constexpr Tokens unbounded{std::int64_t{1} << 40};
inline constexpr int yield_max = 64;  // tried ones looked at before one that was not
inline constexpr int bypass_max = 8;  // requests looked at behind one that must wait for another instance

struct RequestRecord {
  RequestDescription request;
  RequestState state = RequestState::finished;
  bool live = false;
  bool cancelled = false;             // the client left while an attempt runs
  std::optional<action::AbortWhy> aborting;  // its attempt was asked to end
  Attempt attempt = no_attempt;       // the newest
  std::uint8_t failures = 0;          // attempts that failed; refusals do not count
  std::optional<InstanceId> instance; // of the newest attempt
  std::optional<InstanceId> avoid;    // where the last attempt failed: another one is tried first
  Instant rests_until = Instant::min();  // queued, but not tried again before
  std::uint64_t sequence = 0;         // of arrival
  Tokens cost{0};                     // prompt and expected output, as queued
  std::int64_t work = 0;              // the same in engine time: in mean requests (work_unit)
  struct Told {                       // of its wait, at admission
    WaitExpectation wait;
    Duration bound{};
    Instant at = never;               // never: nothing was told
  } told;
  Tokens charged{0};                  // to the tenant's token bucket
  Instant arrived;
  Instant deadline = never;
  Instant latest_start = never;
  Instant expires = never;
  Reason expiry_reason = Reason::none;
  OrderForest::Index node = OrderForest::none;
  ModelQueue::Place place;
  FencingToken token{};
};

// Work is counted in mean requests: what a prompt of typical length and a model's mean output take of a full engine, in
// fixed point, so that sums over the queue stay exact.
inline constexpr std::int64_t work_unit = 1 << 20;
inline constexpr std::int64_t typical_prompt = 256;  // tokens

struct ModelRecord {
  ModelQueue queue;
  std::optional<EngineLoad> engine;   // a full one of those that serve it, where its speed is known
  int engines = 0;                    // that serve it now
  int allowance = 0;                  // of one: what may stand in its own queue
  Duration gathering{};               // how long one may keep slots free
  struct Demand {                     // under a policy that gives some up; beside the groups' arrivals
    double window = 0;                // seconds that those stand for
    double slack = 0, slack_weight = 0;  // of arrivals: seconds from arrival to latest start, summed
    bool priced = false;              // the load leaves no room for some
    double kept_late = 0;             // work of kept ones that became late all the same, since the last look
    double caution = 0;               // what is left free because of such
  } demand;
  std::vector<InstanceId> instances;  // that serve it, by id
  Instant unserved_since = never;     // no instance up since then; never: at least one is
  bool look_again = false;            // its front changed during this event
  int in_flight = 0;
  // What was seen so far; sums are halved now and then, so that they follow the load.
  std::int64_t completions = 0;
  double work = 0, busy_seconds = 0;      // engine seconds of work done, over time with work in flight
  double outputs = 0, prompts = 0, outputs_weight = 0;
  double squared_outputs = 0;
  double output = typical_output;         // mean
  Instant busy_from;
  Duration unit{1};                       // of a full engine, that a mean request takes
  double capacity = 0;                    // engines as fast as `engine` that its available instances amount to
  Instant refresh_at = Instant::min();    // of the two
  std::int64_t drifts = 0;                // of its output lengths
  std::int64_t changes = 0;               // of engines' speeds and of lengths, seen so far
  Instant changed_at = Instant::min();    // the last of them
  Duration in_flight_work{};              // what is left of those in flight
  QueuePace pace;
  Overtaking overtaking;
  WaitCalibration calibration;

  double mean_output() const { return output; }
  double mean_prompt() const { return outputs_weight >= 1 ? prompts / outputs_weight : double{typical_prompt}; }
  double mean_age() const;
};

// What is left of a rate limit.
struct TokenBucket {
  double left = 0;
  Instant filled = Instant::min();

  void refill(const RateLimit& limit, Instant now);
  // Zero when `cost` may be taken. One thing larger than the whole bucket may when that is full.
  Duration until_there_is(double cost, const RateLimit& limit) const;
};

// Tokens that a running request has generated, on average over those that run: half its length, and more where lengths
// differ, for the long ones run longer.
inline double ModelRecord::mean_age() const { return outputs_weight >= 1 && outputs > 0 ? squared_outputs / (2 * outputs) : typical_output; }

struct TenantRecord {
  int in_system = 0;
  std::int64_t queued = 0;
  Bytes queued_bytes{0};
  TokenBucket tokens, requests;
};

struct InstanceRecord {
  InstanceDescription description;
  bool present = false;
  BreakerState breaker = BreakerState::closed;
  bool stalled = false;
  bool probing = false;        // a Probe was asked and not answered
  bool retrying = false;       // that probe decides whether an open breaker lets a canary through
  int failures = 0;            // since a whole answer; one request's own retries count once
  std::optional<RequestId> failed;   // the last request it failed since a whole answer
  std::optional<RequestId> refused;  // the last one it refused since it took one
  Duration pause{};            // of the breaker, doubled while it keeps failing
  Instant retry_at = never;    // open: when to probe
  Instant hold_until = Instant::min();  // refused by the engine: no dispatch before
  Instant hold_tried_until = Instant::min();  // the same, for requests that were tried before
  Instant gate_opened = Instant::min(); // separate steps: when requests were last let in together
  std::optional<int> share;
  Instant share_until = never;
  Governor governor;
  std::optional<Instant> stats_at;
  Instant last_progress;
  Duration busy{};
  Instant busy_from;
  StepScale scale;
  double relative_speed = 1;           // to the first of its model's instances, by their profiles
  // How fast it has shown itself to be, for the watchdog.
  int completions = 0;
  Duration step{};                     // mean gap between tokens of a stream
  Duration first_token_max{};          // slowest start seen, decaying
  Duration prefill_per_token_max{};    // the same, by prompt token
};

Overtaking::Kind overtaking_kind(Policy policy);  // estimates.cpp

struct Controller::State {
  State(std::shared_ptr<const ControllerConfiguration> c, std::size_t explain_capacity);

  std::shared_ptr<const ControllerConfiguration> configuration;
  Instant now = Instant::min();
  std::vector<Action>* out = nullptr;

  Slab<RequestRecord> requests;
  IdMap<Slab<RequestRecord>::Index> by_id;
  OrderForest forest;
  std::vector<ModelRecord> models;
  std::vector<TenantRecord> tenants;
  std::vector<InstanceRecord> instances;
  Ledger ledger;
  LengthModel lengths;
  TimerHeap expiries;         // by request record
  TimerHeap rests;            // by request record: ends of rests
  TimerHeap instance_timers;  // by instance
  std::vector<ModelId> changed_queues;  // those marked look_again
  Totals totals;
  std::uint64_t sequence = 0;
  SnapshotVersion snapshot_version{};
  bool draining = false;
  Instant select_at = Instant::min();  // next look at whom to give up
  std::uint64_t digest = 0xcbf29ce484222325ULL;

  std::vector<ExplainRecord> ring;
  std::size_t ring_next = 0;
  bool ring_wrapped = false;

  using Index = Slab<RequestRecord>::Index;

  // controller.cpp
  ModelRecord& model(ModelId id);
  TenantRecord& tenant(TenantId id);
  InstanceRecord* instance(InstanceId id);  // null when unknown or gone
  std::optional<Index> find(RequestId id) const { return by_id.find(id.value); }
  void emit(Action action);
  void record(ExplainRecord entry);
  void mix(std::uint64_t value) { digest = (digest ^ value) * 0x100000001b3ULL; digest ^= digest >> 29; }

  // admission.cpp
  void on(const event::Arrived& e);
  void on(const event::Restored& e);
  void on(const event::Cancelled& e);
  void on(const event::Persisted& e);
  void on(const event::PersistFailed& e);
  void on(const event::Published& e);
  void on(const event::PublishFailed& e);
  void on(const event::Claimed& e);
  void on(const event::LeaseLost& e);
  void on(const event::ConfigurationChanged& e);
  void on(const event::DrainRequested& e);
  void admit(const RequestDescription& description, Instant arrived, std::optional<FencingToken> token);
  std::optional<action::Reject> refusal(const RequestDescription& r, std::optional<WaitEstimate> wait);
  void enqueue(Index index);
  void dequeue(Index index);
  void forget(Index index);
  void reject(Index index, Outcome outcome, Reason reason, Decision decision, Lost lost = {});
  void finish(Index index, Outcome outcome, Reason reason, Decision decision);
  void count(Outcome outcome);
  void set_times(RequestRecord& r) const;
  std::int64_t order_key(const RequestRecord& r) const;
  GroupKey group_key(const RequestRecord& r) const;
  GroupKey priced(const RequestRecord& r, ModelRecord& m) const;
  void expire_due();
  std::optional<action::Reject> refusal_by_tenant_limits(const RequestDescription& r, Duration turnover);
  Duration spread(RequestId id, Duration base) const;

  // dispatch.cpp
  OrderForest::Index front(const InstanceRecord& i);
  OrderForest::Index first_of(ModelId id);
  bool sooner(OrderForest::Index a, OrderForest::Index b) const;
  Duration gathering(const InstanceRecord& i) const;
  bool gate_open(const InstanceRecord& i) const;
  void serve(ModelId id);
  void serve(InstanceId id);
  void serve_all();
  void look_again(ModelId id);
  void serve_changed_queues();
  bool has_room(const InstanceRecord& i, Tokens kv) const;
  bool available(const InstanceRecord& i) const;
  bool may_use(const RequestRecord& r, const InstanceRecord& i) const;
  bool yields(const RequestRecord& r, const InstanceRecord& i) const;
  bool held(const RequestRecord& r, const InstanceRecord& i) const { return r.attempt != no_attempt && now < i.hold_tried_until; }
  void taken(InstanceRecord& i, Attempt attempt);
  bool resting(const RequestRecord& r) const { return now < r.rests_until; }
  int capacity(const InstanceRecord& i) const;
  void dispatch(Index index, InstanceRecord& i);
  Tokens soon_generated(ModelId id, Tokens so_far, Tokens at_most) const;
  Tokens memory_at_start(const RequestDescription& r) const;
  bool any_room(ModelId id) const;

  // estimates.cpp
  Duration work_of(const RequestRecord& r) const;
  Duration work_of(const ModelRecord& m, Tokens prompt, double output) const;
  void refresh_engine(ModelId id);
  Tokens expected_output(const RequestDescription& r) const;
  Duration expected_work(const ModelRecord& m, std::int64_t units) const;
  std::int64_t overtaking_key(const RequestRecord& r, std::int64_t order_key) const;
  std::optional<WaitExpectation> expectation(const ModelRecord& m, std::int64_t work_ahead, std::int64_t key) const;
  void describe_work(RequestRecord& r) const;
  std::optional<WaitEstimate> estimate_new(const RequestDescription& r, Instant arrived) const;  // queued nowhere yet
  std::optional<WaitEstimate> estimate_last(ModelId id) const;  // behind all that wait now
  std::optional<WaitEstimate> wait_of(const RequestRecord& r) const;
  std::optional<WaitEstimate> tell(RequestRecord& r, const OrderForest::Ahead& ahead);
  void score(const RequestRecord& r, WaitCalibration::End end);
  void queue_changed(ModelRecord& m);
  void saw_tokens(LedgerEntry& entry, Tokens so_far, bool ended);
  void work_left(LedgerEntry& entry, Duration left);
  void attempt_over(LedgerEntry& entry, Tokens generated, bool whole);
  void refresh_capacity(ModelRecord& m);
  void refresh_estimates(ModelId id);

  // on_time.cpp
  void select_on_time();
  void select_on_time(ModelId id);
  void set_prices(ModelId id, Duration elapsed);
  double work_scale(const ModelRecord& m) const;

  // attempts.cpp
  void on(const event::Sent& e);
  void on(const event::FirstToken& e);
  void on(const event::Progress& e);
  void on(const event::Ended& e);
  void on(const event::SlotReleased& e);
  void instance_refused(InstanceRecord& i, const RequestRecord& r, Duration hold);
  Duration rest_after(const RequestRecord& r, Duration base) const;
  void requeue_or_fail(Index index, Duration base_rest, Lost lost);
  void end_rests();
  void hold_memory(Ledger::Index index, Tokens generated);
  void learn(const RequestRecord& r, const event::Ended& e);
  Duration oldest_unstarted(const InstanceRecord& i) const;
  void ask_abort(Index index, action::AbortWhy why);
  void account_busy(ModelRecord& m, int change);
  void account_busy(InstanceRecord& i, int slots_before);
  void free_slot(Ledger::Index entry);
  void leave_flight(Index index);
  void settle_tokens(RequestRecord& r, const event::Ended& e);

  // instances.cpp
  void on(const event::InstanceJoined& e);
  void on(const event::InstanceChanged& e);
  void on(const event::InstanceLeft& e);
  void on(const event::StatsRead& e);
  void on(const event::ProbeAnswered& e);
  void on(const event::Share& e);
  void on(const event::PlanReady& e);
  void on(const event::PlanFailed& e);
  void on(const event::Tick&) {}  // what is due was done before
  void link_models(InstanceId id, const std::vector<ModelId>& former, const std::vector<ModelId>& now_served);
  void availability_changed(ModelId id);
  void instance_failed(InstanceRecord& i, RequestId request);
  void instance_worked(InstanceRecord& i);
  void close_breaker(InstanceRecord& i);
  void open_breaker(InstanceRecord& i, BreakerCause cause);
  void abort_attempts(InstanceRecord& i, action::AbortWhy why, bool streaming_too);
  void limit_changed(InstanceRecord& i, Governor::Change change);
  Duration stall_limit(const InstanceRecord& i) const;
  void wake(InstanceRecord& i, Instant when);
  void run_instance_timers();
  void evaluate(InstanceRecord& i);
  void progressed(InstanceRecord& i);
  void ask_probe(InstanceRecord& i, bool retrying);
};

}  // namespace qlm

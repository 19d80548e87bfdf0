// The controller's rules again, as plainly as they can be said: every request in one map, every question
// answered by looking at all of them. It runs beside the real controller and holds each of its actions and
// answers against the rules; what the rules leave open (the limit found for an engine that states none, how
// long a wait is expected to be) it takes over from the controller. How long outputs are expected to be it asks
// the controller's own model of them, told the same.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/controller/controller.hpp"
#include "core/estimate/length_model.hpp"

namespace qlm::fuzz {

class NaiveController {
 public:
  explicit NaiveController(std::shared_ptr<const ControllerConfiguration> configuration);

  // Time passed and nothing else happened: what `controller` did about what came due.
  void passed(Instant now, const std::vector<Action>& actions, const Controller& controller);
  // `event` happened at the time last said: what `controller` did about it.
  void happened(const Event& event, const std::vector<Action>& actions, const Controller& controller);

 private:
  struct Request {
    RequestDescription asked;
    RequestState state = RequestState::persisting;
    std::uint64_t sequence = 0;
    Instant arrived, deadline = never, expires = never;
    Reason expiry = Reason::none;
    Tokens cost{0}, charged{0};
    FencingToken token{};
    Attempt attempt = no_attempt;
    int failures = 0;
    std::optional<InstanceId> instance, avoid;
    Instant rests_until = Instant::min();
    bool cancelled = false, aborting = false;
  };
  struct Try {  // one dispatch, until it ended and its slot came back
    enum class At { starting, running, aborting, over };
    InstanceId instance;
    ModelId model;
    At at = At::starting;
    bool held = true, streamed = true;
    Tokens prompt{0}, longest{0}, memory{0}, generated{0}, seen{0};
    Instant dispatched, progressed, release_by = never;
    bool over() const { return at == At::over; }
    bool active() const { return at == At::starting || at == At::running; }
  };
  struct Place {  // an instance
    bool present = false;
    InstanceDescription is;
    BreakerState breaker = BreakerState::closed;
    bool stalled = false, probing = false, retrying = false;
    bool told_open = false;  // of its breaker, last
    std::optional<std::uint64_t> failed, refused;  // the last request of each kind
    int failures = 0, limit = 0, limit_before = 0, allowance = 0, completions = 0;
    Duration pause{}, step{}, slowest_start{}, slowest_prefill{}, patience{};
    Instant retry_at = never, hold_until = Instant::min(), hold_tried_until = Instant::min(), progressed, patient_from, share_until = never;
    std::optional<int> share;
  };
  struct Learned {  // of one model
    Instant unserved_since = never;
    std::int64_t completions = 0;
    double outputs = 0, squares = 0, weight = 0;
  };
  struct Purse {  // what is left to a tenant of a rate
    double left = 0;
    Instant filled = Instant::min();
  };
  class Script;  // the actions of one event, taken one after the other
  using Key = std::pair<std::uint64_t, std::uint8_t>;
  using Requests = std::map<std::uint64_t, Request>;

  void on(const event::Arrived& e, Script& script);
  void on(const event::Restored& e, Script& script);
  void on(const event::Cancelled& e, Script& script);
  void on(const event::Sent& e, Script& script);
  void on(const event::FirstToken& e, Script& script);
  void on(const event::Progress& e, Script& script);
  void on(const event::Ended& e, Script& script);
  void on(const event::SlotReleased& e, Script& script);
  void on(const event::Persisted& e, Script& script);
  void on(const event::PersistFailed& e, Script& script);
  void on(const event::Published& e, Script& script);
  void on(const event::PublishFailed& e, Script& script);
  void on(const event::Claimed&, Script&) {}
  void on(const event::LeaseLost& e, Script& script) { on(event::Cancelled{e.request}, script); }
  void on(const event::InstanceJoined& e, Script& script);
  void on(const event::InstanceChanged& e, Script& script);
  void on(const event::InstanceLeft& e, Script& script);
  void on(const event::StatsRead&, Script& script) { dispatches(script); }
  void on(const event::ProbeAnswered& e, Script& script);
  void on(const event::Share& e, Script& script);
  void on(const event::Swapped&, Script&) {}  // nobody holds several models here
  void on(const event::ResidentChanged&, Script&) {}
  void on(const event::Cordoned&, Script&) {}
  void on(const event::Pinned&, Script&) {}
  void on(const event::SwapsForbidden&, Script&) {}
  void on(const event::PlanReady&, Script&) {}
  void on(const event::PlanFailed&, Script&) {}
  void on(const event::ConfigurationChanged& e, Script& script);
  void on(const event::DrainRequested&, Script&) { draining_ = true; }
  void on(const event::ResumeFell&, Script&) {}  // nobody is evicted here
  void on(const event::Tick&, Script&) {}

  // -- into the queue and out of it
  Request describe(const RequestDescription& asked, Instant arrived);
  Reason refusal(const RequestDescription& r, std::optional<WaitEstimate> wait);
  bool affords(Purse& purse, const RateLimit& limit, std::int64_t cost) const;
  void admit(Request request, Script& script);
  void finish(std::uint64_t id, Outcome outcome, Reason reason, Script& script);
  void give_up(std::uint64_t id, Outcome outcome, Reason reason, Script& script);
  void forget(std::uint64_t id, Outcome outcome);
  void put_back(std::uint64_t id, Duration rest, Script& script);
  Duration rest_after(const Request& r, Duration rest) const;
  void expired(const action::Reject& told);

  // -- the order
  std::int64_t key(const Request& r) const;
  bool before(const Request& a, const Request& b) const;
  std::vector<const Request*> queue(ModelId model) const;  // in order

  // -- who may run where
  Place* place(InstanceId id);
  const Place* place(InstanceId id) const;
  bool serves(const Place& p, ModelId model) const;
  bool available(const Place& p) const;
  int slots(InstanceId id) const;
  int capacity(const Place& p) const;
  bool fits(Tokens memory, const Place& p) const;
  bool has_room(const Place& p) const;
  bool may_use(const Request& r, const Place& p) const;
  bool any_room(ModelId model) const;
  const Request* first(const Place& p) const;

  void dispatches(Script& script);
  void dispatched(const action::Dispatch& d);
  void least_loaded(const action::Dispatch& d) const;
  void nothing_left_undone() const;

  // -- instances
  void described(Place& p, const InstanceDescription& is);
  void refresh_unserved(const std::vector<ModelId>& models);
  void worked(Place& p);
  void answers(Place& p);
  void failed(Place& p, std::uint64_t request, Script& script);
  void took(Place& p, Attempt attempt);
  void refused(Place& p, std::uint64_t request, Duration hold);
  void open(Place& p);
  void hear(const std::vector<Action>& actions);
  void aborted(const action::Abort& told, action::AbortWhy why);
  void aborts(const Place& p, action::AbortWhy why, bool running_too, Script& script);
  void stall(Place& p, Script& script);
  void asked(InstanceId id);
  bool overdue(const Place& p) const;
  bool watched(const Place& p) const;
  void nothing_overdue() const;
  void note_patience();
  Duration stall_limit(const Place& p) const;

  // -- what completions teach
  Learned& model(ModelId id);
  Tokens expected_output(const RequestDescription& r) const;
  Tokens soon_generated(ModelId id, Tokens so_far, Tokens longest) const;
  Tokens at_start(const Request& r) const;
  void seen(Try& t, Tokens so_far, bool ended);
  void plausible(ModelId id, const std::optional<WaitEstimate>& told) const;
  void learn(const Request& r, const event::Ended& e);

  // -- the controller's own answers
  void take_limits();
  void settle_limits();
  void compare() const;
  void compare_requests() const;
  void compare_instances() const;

  std::shared_ptr<const ControllerConfiguration> configuration_;
  const Controller* controller_ = nullptr;  // during a call
  Instant now_ = Instant::min();
  Requests requests_;
  std::map<Key, Try> tries_;
  std::vector<Place> places_;
  std::vector<Learned> models_;
  LengthModel lengths_;
  std::map<std::uint32_t, Purse> tokens_, arrivals_;  // by tenant
  std::uint64_t sequence_ = 0;
  std::int64_t ended_[5] = {};  // by Outcome
  std::int64_t arrived_ = 0;
  std::uint64_t last_ended_ = 0;
  bool draining_ = false;
};

}  // namespace qlm::fuzz

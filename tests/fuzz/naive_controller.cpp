// Requests: into the queue and out of it, and who may run where. Instances and what is learned:
// naive_instances.cpp.
#include "naive_controller.hpp"

#include <algorithm>
#include <utility>

#include "naive_script.hpp"

namespace qlm::fuzz {
namespace {

constexpr std::size_t tried_looked_at = 65;
constexpr std::size_t looked_at = 9;  // requests of a queue, for one that need not wait for another instance

}  // namespace

NaiveController::NaiveController(std::shared_ptr<const ControllerConfiguration> configuration)
    : configuration_(std::move(configuration)) {}

void NaiveController::passed(Instant now, const std::vector<Action>& actions, const Controller& controller) {
  now_ = std::max(now_, now);
  controller_ = &controller;
  take_limits();
  Script script(actions);
  while (!script.done()) {
    if (const auto* rejected = script.next<action::Reject>()) {
      expired(*rejected);
    } else if (const auto* probe = script.next<action::Probe>()) {
      asked(probe->instance);
    } else if (const auto* abort = script.peek<action::Abort>()) {
      REQUIRE(abort->why == action::AbortWhy::stalled && place(abort->instance));
      stall(*place(abort->instance), script);
    } else {
      const auto* dispatch = script.next<action::Dispatch>();
      REQUIRE(dispatch);  // time alone does nothing else
      dispatched(*dispatch);
    }
  }
  hear(actions);
  for (const auto& [id, r] : requests_) REQUIRE(r.state != RequestState::queued || r.expires > now_);
  settle_limits();
  note_patience();
  nothing_overdue();
  nothing_left_undone();
  if (!actions.empty()) compare();  // otherwise the same as after the last event, but for the clock
}

void NaiveController::happened(const Event& event, const std::vector<Action>& actions,
                               const Controller& controller) {
  controller_ = &controller;
  take_limits();
  Script script(actions);
  std::visit([&](const auto& e) { on(e, script); }, event);
  REQUIRE(script.done());
  hear(actions);
  settle_limits();
  note_patience();
  nothing_left_undone();
  compare();
}

// -- arrivals

NaiveController::Request NaiveController::describe(const RequestDescription& asked, Instant arrived) {
  Request r{.asked = asked, .sequence = ++sequence_, .arrived = arrived};
  const ServiceClass& c = configuration_->classes[asked.service_class.index()];
  const bool objective = asked.deadline || asked.slo.ttft || asked.slo.e2e;
  if (asked.deadline) r.deadline = *asked.deadline;
  if (asked.slo.ttft) r.deadline = std::min(r.deadline, add(arrived, *asked.slo.ttft));
  if (asked.slo.e2e) r.deadline = std::min(r.deadline, add(arrived, *asked.slo.e2e));
  if (!objective) r.deadline = add(arrived, configuration_->dispatch.default_deadline);

  // The earliest of three ends the wait; of equal ones the class's own is told.
  r.expires = add(arrived, c.max_wait);
  r.expiry = Reason::max_wait_passed;
  const Instant patience = asked.client_timeout ? add(arrived, *asked.client_timeout) : never;
  if (patience < r.expires) r.expires = patience, r.expiry = Reason::client_timed_out;
  const Instant strict = c.when_late == WhenLate::reject && objective ? r.deadline : never;
  if (strict < r.expires) r.expires = strict, r.expiry = Reason::deadline_passed;
  r.cost = asked.prompt + expected_output(asked);
  return r;
}

Reason NaiveController::refusal(const RequestDescription& r, std::optional<WaitEstimate> wait) {
  if (draining_) return Reason::draining;
  const Instant unserved = model(r.model).unserved_since;
  if (unserved != never && now_ - unserved >= configuration_->dispatch.no_instance_grace)
    return Reason::no_instance;

  std::int64_t queued = 0, own_queued = 0, own = 0;
  Bytes bytes{0}, own_bytes{0};
  for (const auto& [id, other] : requests_) {
    const bool mine = other.asked.tenant == r.tenant;
    own += mine;
    if (other.state != RequestState::queued && other.state != RequestState::persisting) continue;
    ++queued;
    bytes += other.asked.body;
    if (!mine) continue;
    ++own_queued;
    own_bytes += other.asked.body;
  }
  const QueueLimits& limits = configuration_->limits;
  if (queued >= limits.requests) return Reason::queue_full;
  if (bytes + r.body > limits.bytes) return Reason::queue_bytes_full;
  const double share = limits.tenant_share;
  if (share < 1) {
    if (static_cast<double>(own_queued + 1) > std::max(1.0, share * static_cast<double>(limits.requests)))
      return Reason::tenant_queue_share;
    if (static_cast<double>((own_bytes + r.body).count) > share * static_cast<double>(limits.bytes.count)) {
      return Reason::tenant_queue_share;
    }
  }
  if (r.tenant.index() < configuration_->tenants.size()) {
    const TenantLimits& t = configuration_->tenants[r.tenant.index()].limits;
    if (t.in_flight && own >= *t.in_flight) return Reason::tenant_in_flight;
    if (t.queued && own_queued >= *t.queued && !any_room(r.model)) return Reason::tenant_queued;
    if (t.requests && !affords(arrivals_[r.tenant.value], *t.requests, 1)) return Reason::tenant_requests;
    const Tokens cost = r.prompt + expected_output(r);
    if (t.tokens && !affords(tokens_[r.tenant.value], *t.tokens, cost.count)) return Reason::tenant_tokens;
  }

  if (!wait) return Reason::none;
  const ServiceClass& c = configuration_->classes[r.service_class.index()];
  if (!r.streaming && !r.waits_gladly && wait->bound > configuration_->dispatch.proxy_patience)
    return Reason::wait_too_long;
  const bool objective = r.deadline || r.slo.ttft || r.slo.e2e;
  if (!objective) {
    const bool endures = wait->bound <= c.max_wait && (!r.client_timeout || wait->bound <= *r.client_timeout);
    return endures ? Reason::none : Reason::wait_too_long;
  }
  if (c.when_late != WhenLate::reject) return Reason::none;
  const bool in_time = (!r.slo.ttft || wait->bound <= *r.slo.ttft) &&
                       (!r.slo.e2e || wait->bound <= *r.slo.e2e) &&
                       (!r.deadline || wait->bound <= *r.deadline - now_);
  return in_time ? Reason::none : Reason::slo_unreachable;
}

// A purse fills evenly and never beyond its size; what costs more than all of it may be had when it is full.
bool NaiveController::affords(Purse& purse, const RateLimit& limit, std::int64_t cost) const {
  const auto full = static_cast<double>(limit.amount);
  const Instant before = std::exchange(purse.filled, now_);
  purse.left = before == Instant::min()
                   ? full
                   : std::min(full, purse.left + full * (seconds(now_ - before) / seconds(limit.per)));
  const double missing = std::min(static_cast<double>(cost), full) - purse.left;
  return duration_from_seconds(missing / std::max(full, 1e-9) * seconds(limit.per)) <= Duration{};
}

void NaiveController::on(const event::Arrived& e, Script& script) {
  RequestDescription asked = e.request;
  if (requests_.contains(asked.id.value)) return;  // said twice
  ++arrived_;
  if (asked.service_class.index() >= configuration_->classes.size()) asked.service_class = ClassId{0};
  model(asked.model);
  // How long it would wait only the controller knows. What it says is held against the rules: what it refuses for, and
  // what it lets in. A durable one is let in without a word.
  const auto* refused = script.peek<action::Reject>();
  const auto* admitted = script.peek<action::Admitted>();
  std::optional<WaitEstimate> wait;
  if (refused && refused->request == asked.id) wait = refused->wait;
  else if (admitted && admitted->request == asked.id) wait = admitted->wait;
  plausible(asked.model, wait);
  REQUIRE(!wait || !any_room(asked.model));
  const ServiceClass& c = configuration_->classes[asked.service_class.index()];
  const bool may_move = c.when_late == WhenLate::downgrade && c.downgrade_to.index() < configuration_->classes.size() &&
                        (asked.slo.ttft || asked.slo.e2e) && !any_room(asked.model);
  if (may_move) {
    RequestDescription moved = asked;
    moved.service_class = c.downgrade_to;
    moved.slo = configuration_->classes[c.downgrade_to.index()].slo;
    const auto view = controller_->request(asked.id, now_);
    const bool did = view ? view->service_class == c.downgrade_to : refused && refusal(moved, wait) == refused->reason;
    if (did) asked = moved;
  }

  if (const Reason reason = refusal(asked, wait); reason != Reason::none) {
    const auto& told = script.take<action::Reject>();
    REQUIRE(told.request == asked.id && told.outcome == Outcome::rejected && told.reason == reason);
    REQUIRE(told.retry_after && *told.retry_after >= 1s && *told.retry_after <= 750s);
    ++ended_[static_cast<std::size_t>(Outcome::rejected)];
    return;
  }
  Request r = describe(asked, now_);
  if (asked.tenant.index() < configuration_->tenants.size()) {
    const TenantLimits& t = configuration_->tenants[asked.tenant.index()].limits;
    if (t.requests) arrivals_[asked.tenant.value].left -= 1;
    if (t.tokens) {
      r.charged = r.cost;
      tokens_[asked.tenant.value].left -= static_cast<double>(r.cost.count);
    }
  }
  if (configuration_->classes[asked.service_class.index()].durable) {
    REQUIRE(script.take<action::Persist>().request == asked.id);
    requests_[asked.id.value] = r;
    return;
  }
  const auto* first = script.peek_second<action::Dispatch>();
  admit(r, script);
  if (first && first->key.request == asked.id) least_loaded(*first);
  dispatches(script);
}

void NaiveController::on(const event::Restored& e, Script& script) {
  if (requests_.contains(e.request.id.value)) return;
  ++arrived_;
  RequestDescription asked = e.request;
  if (asked.service_class.index() >= configuration_->classes.size()) asked.service_class = ClassId{0};
  Request r = describe(asked, std::min(e.arrived, now_));
  r.token = e.token;
  admit(r, script);
  dispatches(script);
}

void NaiveController::admit(Request r, Script& script) {
  r.state = RequestState::queued;
  model(r.asked.model);
  const bool at_once = any_room(r.asked.model);
  requests_[r.asked.id.value] = r;
  const auto& told = script.take<action::Admitted>();
  REQUIRE(told.request == r.asked.id && !(at_once && told.wait));
  plausible(r.asked.model, told.wait);
}

void NaiveController::on(const event::Persisted& e, Script& script) {
  const auto found = requests_.find(e.request.value);
  if (found == requests_.end() || found->second.state != RequestState::persisting) return;
  found->second.token = e.token;
  admit(found->second, script);
  dispatches(script);
}

void NaiveController::on(const event::PersistFailed& e, Script& script) {
  const auto found = requests_.find(e.request.value);
  if (found == requests_.end() || found->second.state != RequestState::persisting) return;
  give_up(e.request.value, Outcome::rejected, Reason::store_failed, script);
}

// -- the ends of a request

void NaiveController::on(const event::Cancelled& e, Script& script) {
  const auto found = requests_.find(e.request.value);
  if (found == requests_.end()) return;
  Request& r = found->second;
  switch (r.state) {
    case RequestState::persisting:
    case RequestState::queued:
      finish(e.request.value, Outcome::cancelled, Reason::client_gone, script);
      dispatches(script);  // it may have stood before one that can run
      return;
    case RequestState::dispatched:
    case RequestState::streaming:
      r.cancelled = true;
      if (!r.aborting) aborted(script.take<action::Abort>(), action::AbortWhy::cancelled);
      return;
    case RequestState::publishing:
    case RequestState::finished:
      return;
  }
}

void NaiveController::expired(const action::Reject& told) {
  const auto found = requests_.find(told.request.value);
  REQUIRE(found != requests_.end());
  const Request& r = found->second;
  REQUIRE(r.state == RequestState::queued && r.expires <= now_ && told.outcome == Outcome::expired);
  REQUIRE(told.reason == (model(r.asked.model).unserved_since == never ? r.expiry : Reason::no_instance));
  forget(told.request.value, Outcome::expired);
}

void NaiveController::finish(std::uint64_t id, Outcome outcome, Reason reason, Script& script) {
  const auto& told = script.take<action::Finish>();
  REQUIRE(told.request.value == id && told.outcome == outcome && told.reason == reason);
  forget(id, outcome);
}

void NaiveController::give_up(std::uint64_t id, Outcome outcome, Reason reason, Script& script) {
  const auto& told = script.take<action::Reject>();
  REQUIRE(told.request.value == id && told.outcome == outcome && told.reason == reason);
  forget(id, outcome);
}

void NaiveController::forget(std::uint64_t id, Outcome outcome) {
  const auto found = requests_.find(id);
  REQUIRE(found != requests_.end());
  const Request& r = found->second;
  if (r.attempt == no_attempt) tokens_[r.asked.tenant.value].left += static_cast<double>(r.charged.count);
  requests_.erase(found);
  ++ended_[static_cast<std::size_t>(outcome)];
  last_ended_ = id;
}

void NaiveController::on(const event::Published& e, Script& script) {
  const auto found = requests_.find(e.request.value);
  if (found == requests_.end() || found->second.state != RequestState::publishing) return;
  finish(e.request.value, Outcome::completed, Reason::none, script);
}

void NaiveController::on(const event::PublishFailed& e, Script& script) {
  const auto found = requests_.find(e.request.value);
  if (found == requests_.end() || found->second.state != RequestState::publishing) return;
  if (e.fenced) {
    finish(e.request.value, Outcome::failed, Reason::store_failed, script);
    return;
  }
  const auto& again = script.take<action::Publish>();
  REQUIRE(again.request == e.request && again.token == found->second.token);
}

void NaiveController::on(const event::Ended& e, Script& script) {
  const auto tried = tries_.find({e.key.request.value, e.key.attempt.value});
  if (tried == tries_.end() || tried->second.over()) return;  // unknown, or said twice
  Try& attempt = tried->second;
  Place* p = place(attempt.instance);
  if (p && e.end == event::AttemptEnd::complete) {
    p->progressed = now_;
    ++p->completions;
  }
  seen(attempt, std::max(e.generated, attempt.seen), e.end == event::AttemptEnd::complete && (e.prompt.count > 0 || e.generated.count > 0));
  attempt.at = Try::At::over;
  const DispatchParameters& d = configuration_->dispatch;
  attempt.release_by = add(now_, e.end == event::AttemptEnd::complete ? d.whole_release_timeout : d.release_timeout);
  if (!attempt.held) tries_.erase(tried);

  // An attempt that had not ended is the newest of a request that is not over: nothing else would be exactly
  // one.
  const std::uint64_t id = e.key.request.value;
  Request& r = requests_.at(id);
  REQUIRE(r.attempt == e.key.attempt &&
          (r.state == RequestState::dispatched || r.state == RequestState::streaming));
  if (r.charged.count > 0) {
    if (e.prompt.count > 0) {
      tokens_[r.asked.tenant.value].left += static_cast<double>((r.charged - e.prompt - e.generated).count);
    }
    r.charged = Tokens{0};
  }

  using End = event::AttemptEnd;
  const bool complete = e.end == End::complete;
  if (p && complete) took(*p, e.key.attempt), worked(*p);
  const Duration said = std::clamp<Duration>(e.retry_after.value_or(500ms), 500ms, 10s);
  if (p && e.end == End::refused) refused(*p, id, said);
  if (p && !complete && e.end != End::refused && e.end != End::aborted && !r.aborting) failed(*p, id, script);
  if (complete) learn(r, e);

  const bool bytes_out = e.end == End::failed_after_byte || e.end == End::unknown ||
                         (e.end == End::aborted && r.state == RequestState::streaming);
  if (r.cancelled) {
    finish(id, Outcome::cancelled, Reason::client_gone, script);
  } else if (complete && configuration_->classes[r.asked.service_class.index()].durable) {
    r.state = RequestState::publishing;
    const auto& publish = script.take<action::Publish>();
    REQUIRE(publish.request == e.key.request && publish.token == r.token);
  } else if (complete) {
    finish(id, Outcome::completed, Reason::none, script);
  } else if (bytes_out) {
    finish(id, Outcome::failed, Reason::engine_cut, script);
  } else {
    if (e.end != End::refused) ++r.failures;
    put_back(id, e.end == End::refused ? said : 250ms, script);
  }
  dispatches(script);  // when all is told: who was taken or refused decides who goes first
}

// As often as there are instances to try, at once; from then on after a rest that doubles.
Duration NaiveController::rest_after(const Request& r, Duration rest) const {
  const Place* p = place(*r.instance);
  if (!p || !available(*p)) return {};
  const Duration most = std::max<Duration>({rest, 4s, 125ms * r.attempt.value});
  int tries = r.attempt.value;
  for (const Place& other : places_) tries -= serves(other, r.asked.model) && available(other);
  if (tries < 0) return {};
  while (tries-- > 0 && rest < most) rest *= 2;
  return std::min(rest, most);
}

void NaiveController::put_back(std::uint64_t id, Duration rest, Script& script) {
  Request& r = requests_.at(id);
  r.avoid = r.instance;
  if (r.failures >= configuration_->dispatch.attempts_max) {
    give_up(id, Outcome::failed, Reason::engine_failed, script);
    return;
  }
  r.state = RequestState::queued;
  r.rests_until = add(now_, rest_after(r, rest));
}

// -- the order

std::int64_t NaiveController::key(const Request& r) const {
  if (configuration_->policy == Policy::edf) return r.deadline.time_since_epoch().count();
  if (configuration_->policy == Policy::fcfs) return 0;
  const double value = configuration_->classes[r.asked.service_class.index()].value;
  return -static_cast<std::int64_t>(std::clamp(value, -1e9, 1e9) * 1e6);
}

bool NaiveController::before(const Request& a, const Request& b) const {
  return std::pair(key(a), a.sequence) < std::pair(key(b), b.sequence);
}

std::vector<const NaiveController::Request*> NaiveController::queue(ModelId model) const {
  std::vector<const Request*> queued;
  for (const auto& [id, r] : requests_) {
    if (r.state == RequestState::queued && r.asked.model == model) queued.push_back(&r);
  }
  std::ranges::sort(queued, [this](const Request* a, const Request* b) { return before(*a, *b); });
  return queued;
}

// -- who may run where

int NaiveController::slots(InstanceId id) const {
  return static_cast<int>(
      std::ranges::count_if(tries_, [&](const auto& t) { return t.second.held && t.second.instance == id; }));
}

bool NaiveController::fits(Tokens memory, const Place& p) const {
  Tokens reserved{0};
  for (const auto& [key, t] : tries_) {
    if (t.held && t.instance == p.is.id) reserved += t.memory;
  }
  if (!p.is.kv_capacity || slots(p.is.id) == 0) return true;
  return static_cast<double>((reserved + memory).count) <=
         0.96 * static_cast<double>(p.is.kv_capacity->count);
}

bool NaiveController::has_room(const Place& p) const {
  return slots(p.is.id) < capacity(p) && now_ >= p.hold_until;
}

// Not where it failed last, unless nobody else could.
bool NaiveController::may_use(const Request& r, const Place& p) const {
  return r.avoid != p.is.id || std::ranges::none_of(places_, [&](const Place& other) {
           return other.is.id != p.is.id && serves(other, r.asked.model) && available(other);
         });
}

// Of a model: whether one that arrives now need not wait. What rests is in nobody's way.
bool NaiveController::any_room(ModelId model) const {
  const auto goes_first = [this](const Request* r) { return r->rests_until <= now_; };
  if (std::ranges::any_of(queue(model), goes_first)) return false;
  return std::ranges::any_of(places_,
                             [&](const Place& p) { return serves(p, model) && has_room(p) && fits(Tokens{0}, p); });
}

// What an instance takes next: of each model the first that need not wait for another instance, and of these
// the first.
const NaiveController::Request* NaiveController::first(const Place& p) const {
  const Request* found = nullptr;
  bool found_tried = false;
  for (ModelId m : p.is.models) {
    // Who was tried before comes last while the place has taken nobody since it turned somebody down.
    const Request *fresh = nullptr, *tried = nullptr;
    std::size_t avoided = 0, passed = 0;
    for (const Request* r : queue(m)) {
      if (r->rests_until > now_) continue;
      if (!may_use(*r, p)) {
        if (++avoided == looked_at) break;
      } else if (r->attempt != no_attempt && now_ < p.hold_tried_until) {
        if (++passed == tried_looked_at) break;
      } else if (r->attempt == no_attempt || !(p.refused || p.failed)) {
        fresh = r;
        break;
      } else {
        if (!tried) tried = r;
        if (++passed == tried_looked_at) break;
      }
    }
    const Request* r = fresh ? fresh : tried;
    if (!r) continue;
    if (!found || (found_tried == !fresh ? before(*r, *found) : found_tried)) {
      found = r;
      found_tried = !fresh;
    }
  }
  return found;
}

void NaiveController::dispatches(Script& script) {
  while (const auto* d = script.next<action::Dispatch>()) dispatched(*d);
}

void NaiveController::dispatched(const action::Dispatch& d) {
  const auto found = requests_.find(d.key.request.value);
  REQUIRE(found != requests_.end());
  Request& r = found->second;
  REQUIRE(r.state == RequestState::queued && d.key.attempt.value == r.attempt.value + 1);
  Place* p = place(d.instance);
  REQUIRE(p && serves(*p, r.asked.model) && has_room(*p) && fits(at_start(r), *p) && may_use(r, *p));
  REQUIRE(r.rests_until <= now_ && (r.attempt == no_attempt || p->hold_tried_until <= now_));

  REQUIRE(first(*p) == &r);
  if (!watched(*p)) p->progressed = now_;  // no stream was late before
  r.state = RequestState::dispatched;
  r.attempt = d.key.attempt;
  r.instance = d.instance;
  r.aborting = false;
  tries_[{d.key.request.value, d.key.attempt.value}] = {.instance = d.instance,
                                                        .model = r.asked.model,
                                                        .prompt = r.asked.prompt,
                                                        .longest = r.asked.max_output.value_or(Tokens{std::int64_t{1} << 40}),
                                                        .memory = at_start(r),
                                                        .dispatched = now_,
                                                        .progressed = now_};
}

// Asked before the dispatch is noted: nobody else was relatively emptier, nor as empty and earlier by id.
void NaiveController::least_loaded(const action::Dispatch& d) const {
  const Request& r = requests_.at(d.key.request.value);
  const Place* chosen = place(d.instance);
  REQUIRE(chosen);
  const auto load = [&](const Place& p) {  // a canary goes first, or it would never fly
    return p.breaker == BreakerState::half_open ? 0 : static_cast<double>(slots(p.is.id) + 1) / capacity(p);
  };
  for (const Place& p : places_) {
    if (!serves(p, r.asked.model) || !has_room(p) || !fits(at_start(r), p) || first(p) != &r) continue;
    REQUIRE(std::pair(load(*chosen), chosen->is.id) <= std::pair(load(p), p.is.id));
  }
}

// No instance idles while the first that it could take would fit.
void NaiveController::nothing_left_undone() const {
  for (const Place& p : places_) {
    if (!p.present || !has_room(p)) continue;
    const Request* next = first(p);
    REQUIRE(!next || !fits(at_start(*next), p));
  }
}

}  // namespace qlm::fuzz

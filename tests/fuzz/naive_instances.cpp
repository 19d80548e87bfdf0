// Instances: limits, breakers, stalls, slots that come back or do not; what completions teach; the comparison
// itself.
#include <algorithm>
#include <utility>

#include "naive_controller.hpp"
#include "naive_script.hpp"

namespace qlm::fuzz {

NaiveController::Place* NaiveController::place(InstanceId id) {
  return id.index() < places_.size() && places_[id.index()].present ? &places_[id.index()] : nullptr;
}
const NaiveController::Place* NaiveController::place(InstanceId id) const {
  return id.index() < places_.size() && places_[id.index()].present ? &places_[id.index()] : nullptr;
}

bool NaiveController::serves(const Place& p, ModelId model) const {
  return p.present && std::ranges::find(p.is.models, model) != p.is.models.end();
}

bool NaiveController::available(const Place& p) const {
  return p.present && !p.stalled && p.breaker != BreakerState::open;
}

int NaiveController::capacity(const Place& p) const {
  if (!available(p)) return 0;
  if (p.breaker == BreakerState::half_open) return 1;
  const int all = std::max(p.limit, p.limit_before) + p.allowance;
  return p.share && now_ < p.share_until ? std::min(all, *p.share) : all;
}

// -- coming, changing, going

void NaiveController::described(Place& p, const InstanceDescription& is) {
  const DispatchParameters& d = configuration_->dispatch;
  p.is = is;
  p.allowance = is.drops_queued ? d.allowance : 0;
  if (is.max_in_flight) {
    p.limit = std::max(1, std::min(*is.max_in_flight, is.slots.value_or(*is.max_in_flight)));
    p.allowance = std::min(p.allowance, std::max(0, *is.max_in_flight - p.limit));
  } else if (is.slots) {
    p.limit = std::max(1, *is.slots);
  } else {
    p.allowance = 0;
    for (const InstanceView& view : controller_->instances()) {
      if (view.id == is.id) p.limit = view.limit;
    }
    REQUIRE(p.limit >= 1);
  }
  p.limit_before = p.limit;
}

void NaiveController::refresh_unserved(const std::vector<ModelId>& models) {
  for (ModelId m : models) {
    Instant& since = model(m).unserved_since;
    const bool served =
        std::ranges::any_of(places_, [&](const Place& p) { return serves(p, m) && available(p); });
    since = served ? never : std::min(since, now_);
  }
}

void NaiveController::on(const event::InstanceJoined& e, Script& script) {
  while (e.instance.id.index() >= places_.size()) {
    places_.emplace_back().is.id = InstanceId{static_cast<std::uint32_t>(places_.size() - 1)};
  }
  Place& p = places_[e.instance.id.index()];
  if (p.present) return on(event::InstanceChanged{e.instance}, script);
  p = {.present = true, .progressed = now_};
  described(p, e.instance);
  refresh_unserved(p.is.models);
  dispatches(script);
}

void NaiveController::on(const event::InstanceChanged& e, Script& script) {
  Place* p = place(e.instance.id);
  if (!p) return;
  const std::vector<ModelId> former = p->is.models;
  described(*p, e.instance);
  refresh_unserved(former);
  refresh_unserved(p->is.models);
  dispatches(script);
}

void NaiveController::on(const event::InstanceLeft& e, Script& script) {
  Place* p = place(e.instance);
  if (!p) return;
  aborts(*p, action::AbortWhy::instance_down, false, script);
  p->present = false;
  refresh_unserved(p->is.models);
  dispatches(script);
}

void NaiveController::on(const event::Share& e, Script& script) {
  Place* p = place(e.instance);
  if (!p) return;
  p->share = std::max(0, e.slots);
  p->share_until = e.until;
  dispatches(script);
}

void NaiveController::on(const event::ConfigurationChanged& e, Script& script) {
  configuration_ = e.configuration;
  for (Place& p : places_) {
    if (p.present) described(p, InstanceDescription{p.is});
  }
  dispatches(script);
}

// -- breakers

void NaiveController::worked(Place& p) {
  p.failures = 0;
  p.pause = Duration{};
  p.failed.reset();
  answers(p);
}

void NaiveController::answers(Place& p) {
  if (p.breaker == BreakerState::half_open) p.breaker = BreakerState::closed;
}

void NaiveController::failed(Place& p, std::uint64_t request, Script& script) {
  if (std::exchange(p.failed, request) != request) {
    ++p.failures;
    const bool enough = p.failures >= configuration_->dispatch.failures_to_open;
    if (p.breaker == BreakerState::half_open || (p.breaker == BreakerState::closed && enough)) open(p);
  }
  if (p.breaker == BreakerState::open || p.probing) return;
  REQUIRE(script.take<action::Probe>().instance == p.is.id);
  p.probing = true;
}

void NaiveController::took(Place& p, Attempt attempt) {
  p.refused.reset();
  if (attempt.value > 1) p.hold_tried_until = Instant::min();
}

void NaiveController::refused(Place& p, std::uint64_t request, Duration hold) {
  const auto before = std::exchange(p.refused, request);
  if (requests_.at(request).attempt.value > 1) p.hold_tried_until = add(now_, hold);
  else if (before && before != request) p.hold_until = add(now_, hold);
}

void NaiveController::open(Place& p) {
  const DispatchParameters& d = configuration_->dispatch;
  p.breaker = BreakerState::open;
  p.retrying = false;
  p.pause = p.pause == Duration{} ? d.breaker_pause : std::min(p.pause * 2, d.breaker_pause_max);
  p.retry_at = add(now_, p.pause);
  refresh_unserved(p.is.models);
}

void NaiveController::hear(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    const auto* change = std::get_if<action::BreakerChanged>(&action);
    if (!change) continue;
    Place* p = place(change->instance);
    REQUIRE(p && change->to != BreakerState::half_open);
    p->told_open = change->to == BreakerState::open;
  }
}

void NaiveController::aborted(const action::Abort& told, action::AbortWhy why) {
  Request& r = requests_.at(told.key.request.value);
  REQUIRE(told.why == why && told.key.attempt == r.attempt && told.instance == r.instance && !r.aborting);
  r.aborting = true;
  Try& t = tries_.at({told.key.request.value, told.key.attempt.value});
  REQUIRE(!t.over());
  t.at = Try::At::aborting;
}

// Every attempt there that has not begun, or every one, and no other.
void NaiveController::aborts(const Place& p, action::AbortWhy why, bool running_too, Script& script) {
  const auto meant = [&](const Try& t) {
    return t.instance == p.is.id && (t.at == Try::At::starting || (running_too && t.at == Try::At::running));
  };
  for (auto n = std::ranges::count_if(tries_, [&](const auto& t) { return meant(t.second); }); n > 0; --n) {
    const auto& told = script.take<action::Abort>();
    REQUIRE(meant(tries_.at({told.key.request.value, told.key.attempt.value})));
    aborted(told, why);
  }
}

bool NaiveController::overdue(const Place& p) const {
  return std::ranges::any_of(tries_, [&](const auto& t) {
    return t.second.instance == p.is.id && t.second.over() && t.second.release_by <= now_;
  });
}

void NaiveController::asked(InstanceId id) {
  Place* p = place(id);
  REQUIRE(p);
  if (p->probing || !overdue(*p)) {
    REQUIRE(p->breaker == BreakerState::open && p->retry_at <= now_);
    p->retry_at = add(now_, configuration_->dispatch.breaker_pause_max);
    p->retrying = true;
  }
  p->probing = true;
}

void NaiveController::on(const event::ProbeAnswered& e, Script& script) {
  Place* p = place(e.instance);
  if (!p) return;
  p->probing = false;
  std::erase_if(tries_, [&](const auto& t) {
    return t.second.instance == e.instance && t.second.over() && t.second.release_by <= now_;
  });
  const bool pause_over = std::exchange(p->retrying, false);
  if (!e.healthy) {
    ++p->failures;
    if (p->breaker != BreakerState::open || pause_over) open(*p);
    aborts(*p, action::AbortWhy::instance_down, false, script);
  } else if (p->breaker == BreakerState::open && pause_over) {
    p->breaker = BreakerState::half_open;
    p->stalled = false;
    p->failures = 0;
    p->retry_at = never;
    refresh_unserved(p->is.models);
  }
  dispatches(script);
}

// -- the stall watchdog

bool NaiveController::watched(const Place& p) const {
  return std::ranges::any_of(tries_, [&](const auto& t) {
    return t.second.instance == p.is.id && t.second.active() && t.second.streamed;
  });
}

Duration NaiveController::stall_limit(const Place& p) const {
  if (p.completions < 3) return configuration_->dispatch.stall_unlearned;
  Tokens starting{0};
  for (const auto& [key, t] : tries_) {
    if (t.instance == p.is.id && t.at == Try::At::starting) starting += t.prompt;
  }
  Duration starts{};
  if (starting.count > 0) starts = std::max(p.slowest_start, p.slowest_prefill * starting.count);
  return std::max({configuration_->dispatch.stall_floor, p.step * 20, starts * 2});
}

void NaiveController::stall(Place& p, Script& script) {
  REQUIRE(!p.stalled && watched(p) && add(p.progressed, stall_limit(p)) <= now_);
  aborts(p, action::AbortWhy::stalled, true, script);
  p.stalled = true;
  open(p);
}

void NaiveController::nothing_overdue() const {
  for (const Place& p : places_) {
    if (!p.present) continue;
    REQUIRE(p.probing || !overdue(p));
    REQUIRE(p.breaker != BreakerState::open || p.retry_at > now_);
    REQUIRE(p.stalled || !watched(p) || add(p.progressed, p.patience) > now_);
  }
}

// A start that ends without a token takes its time with it, and nobody need notice at once: what counts is the longest
// limit since the last token.
void NaiveController::note_patience() {
  for (Place& p : places_) {
    if (!p.present) continue;
    const Duration limit = stall_limit(p);
    p.patience = std::exchange(p.patient_from, p.progressed) == p.progressed ? std::max(p.patience, limit) : limit;
  }
}

// -- attempts under way

void NaiveController::on(const event::Sent& e, Script& script) {
  const auto t = tries_.find({e.key.request.value, e.key.attempt.value});
  if (t == tries_.end()) return;
  Try& sent = t->second;
  sent.streamed = e.streamed;
  if (!e.streamed) sent.memory = sent.prompt + soon_generated(sent.model, Tokens{0}, sent.longest) * 2;
  dispatches(script);
}

void NaiveController::on(const event::FirstToken& e, Script& script) {
  const auto tried = tries_.find({e.key.request.value, e.key.attempt.value});
  if (tried == tries_.end()) return;
  Try& t = tried->second;
  Place* p = place(t.instance);
  if (p && t.at == Try::At::starting) {
    const Duration took = now_ - t.dispatched;
    p->slowest_start = std::max(took, p->slowest_start - p->slowest_start / 64);
    const Duration each = took / std::max<std::int64_t>(64, t.prompt.count);
    p->slowest_prefill = std::max(each, p->slowest_prefill - p->slowest_prefill / 64);
  }
  if (t.at == Try::At::starting) {
    t.at = Try::At::running;
    seen(t, Tokens{1}, false);
  }
  t.progressed = now_;
  if (p) p->progressed = now_;
  const auto found = requests_.find(e.key.request.value);
  if (found == requests_.end()) return;
  Request& r = found->second;
  if (r.attempt != e.key.attempt || r.state != RequestState::dispatched) return;
  r.state = RequestState::streaming;
  if (!p) return;
  took(*p, e.key.attempt);
  answers(*p);
  dispatches(script);
}

void NaiveController::on(const event::Progress& e, Script& script) {
  const auto tried = tries_.find({e.key.request.value, e.key.attempt.value});
  if (tried == tries_.end() || e.generated <= tried->second.generated) return;
  Try& t = tried->second;
  if (t.at == Try::At::starting) on(event::FirstToken{e.key}, script);
  Place* p = place(t.instance);
  if (p && t.generated.count > 0) {
    const Duration gap = (now_ - t.progressed) / (e.generated - t.generated).count;
    p->step = p->step == Duration{} ? gap : p->step + (gap - p->step) / 16;
  }
  seen(t, e.generated, false);
  t.generated = e.generated;
  t.memory = t.prompt + soon_generated(t.model, t.generated, t.longest);
  t.progressed = now_;
  if (p) p->progressed = now_;
  dispatches(script);
}

void NaiveController::on(const event::SlotReleased& e, Script& script) {
  const auto t = tries_.find({e.key.request.value, e.key.attempt.value});
  if (t == tries_.end()) return;
  t->second.held = false;
  if (t->second.over()) tries_.erase(t);
  dispatches(script);
}

// -- what completions teach

NaiveController::Learned& NaiveController::model(ModelId id) {
  while (id.index() >= models_.size()) models_.push_back({.unserved_since = now_});
  return models_[id.index()];
}

Tokens NaiveController::expected_output(const RequestDescription& r) const {
  return Tokens{static_cast<std::int64_t>(lengths_.mean({r.model, r.prompt, r.max_output}))};
}

Tokens NaiveController::soon_generated(ModelId id, Tokens so_far, Tokens longest) const {
  double age = 256;
  if (id.index() < models_.size() && models_[id.index()].weight >= 1 && models_[id.index()].outputs > 0) {
    age = models_[id.index()].squares / (2 * models_[id.index()].outputs);
  }
  return std::min(longest, std::max(so_far + Tokens{32}, Tokens{static_cast<std::int64_t>(age / 2)}));
}
Tokens NaiveController::at_start(const Request& r) const {
  return r.asked.prompt + soon_generated(r.asked.model, Tokens{0}, r.asked.max_output.value_or(Tokens{std::int64_t{1} << 40}));
}

void NaiveController::seen(Try& t, Tokens so_far, bool ended) {
  if (so_far < t.seen || (so_far == t.seen && !ended)) return;
  const auto cap = t.longest < Tokens{std::int64_t{1} << 40} ? std::optional(t.longest) : std::nullopt;
  lengths_.observe({t.model, t.prompt, cap}, t.seen, so_far, ended);
  t.seen = so_far;
}

// Nothing is told before twenty have completed; a bound is never below what is expected.
void NaiveController::plausible(ModelId id, const std::optional<WaitEstimate>& told) const {
  if (!told) return;
  REQUIRE(id.index() < models_.size() && models_[id.index()].completions >= 20);
  REQUIRE(told->expected >= Duration{} && told->bound >= told->expected);
}

void NaiveController::learn(const Request& r, const event::Ended& e) {
  if (e.prompt.count <= 0 && e.generated.count <= 0) return;
  Learned& m = model(r.asked.model);
  ++m.completions;
  m.outputs += static_cast<double>(e.generated.count);
  m.squares += static_cast<double>(e.generated.count) * static_cast<double>(e.generated.count);
  m.weight += 1;
  if (m.weight > 500) m.outputs /= 2, m.squares /= 2, m.weight /= 2;
}

// -- the controller's own answers

void NaiveController::take_limits() {
  for (const InstanceView& view : controller_->instances()) {
    Place* p = place(view.id);
    if (!p) continue;
    p->limit_before = p->limit;
    if (!p->is.slots && !p->is.max_in_flight) p->limit = view.limit;
    REQUIRE(view.limit >= 1 && view.limit <= std::max(p->limit_before, configuration_->dispatch.limit_max));
  }
}

// While something happened both the old limit and the new one were in force, for one part of it each.
void NaiveController::settle_limits() {
  for (Place& p : places_) p.limit_before = p.limit;
}

void NaiveController::compare() const {
  const std::string broken = controller_->check_invariants();
  if (!broken.empty()) std::fprintf(stderr, "%s\n", broken.c_str());
  REQUIRE(broken.empty());
  compare_requests();
  compare_instances();
}

void NaiveController::compare_requests() const {
  std::int64_t queued = 0, in_flight = 0;
  Bytes bytes{0};
  Instant earliest = never;
  for (const auto& [id, r] : requests_) {
    const auto view = controller_->request(RequestId{id}, now_);
    REQUIRE(view && view->state == r.state && view->model == r.asked.model && view->tenant == r.asked.tenant);
    REQUIRE(view->service_class == r.asked.service_class && view->arrived == r.arrived &&
            view->deadline == r.deadline);
    REQUIRE(view->attempt == r.attempt && view->instance == r.instance);
    REQUIRE(view->position.has_value() == (r.state == RequestState::queued));
    const bool rests = r.state == RequestState::queued && r.rests_until > now_;
    REQUIRE(rests ? view->rests_until == r.rests_until : view->rests_until <= now_);
    in_flight += r.state == RequestState::dispatched || r.state == RequestState::streaming;
    if (r.state != RequestState::queued && r.state != RequestState::persisting) continue;
    ++queued;
    bytes += r.asked.body;
    if (r.state == RequestState::queued) earliest = std::min(earliest, r.expires);
    if (rests) earliest = std::min(earliest, r.rests_until);
  }
  const Totals told = controller_->totals();
  REQUIRE(told.queued == queued && told.queued_bytes == bytes && told.in_flight == in_flight &&
          told.arrived == arrived_);
  const auto ended = [this](Outcome outcome) { return ended_[static_cast<std::size_t>(outcome)]; };
  REQUIRE(told.completed == ended(Outcome::completed) && told.rejected == ended(Outcome::rejected));
  REQUIRE(told.cancelled == ended(Outcome::cancelled) && told.expired == ended(Outcome::expired));
  REQUIRE(told.failed == ended(Outcome::failed));
  REQUIRE(requests_.contains(last_ended_) || !controller_->request(RequestId{last_ended_}, now_));
  REQUIRE(controller_->next_wake() <= earliest);
  REQUIRE(controller_->drained() == (draining_ && requests_.empty()));

  std::int64_t in_queues = 0;
  for (const QueueView& view : controller_->queues()) in_queues += view.requests;
  for (std::uint32_t m = 0; m < models_.size(); ++m) {
    Tokens ahead{0};
    std::int64_t position = 0;
    for (const Request* r : queue(ModelId{m})) {
      const auto view = controller_->request(r->asked.id, now_);
      REQUIRE(view->position == position && view->tokens_ahead == ahead);
      plausible(ModelId{m}, view->wait);
      ahead += r->cost;
      ++position;
    }
    in_queues -= position;
    const auto answer = controller_->estimate(ModelId{m});
    if (!any_room(ModelId{m})) {
      plausible(ModelId{m}, answer);
    } else {
      REQUIRE(answer && answer->bound == Duration{});
    }
  }
  REQUIRE(in_queues == 0);
}

void NaiveController::compare_instances() const {
  const auto views = controller_->instances();
  REQUIRE(std::ranges::count_if(places_, &Place::present) == static_cast<std::ptrdiff_t>(views.size()));
  for (const InstanceView& view : views) {
    const Place* p = place(view.id);
    REQUIRE(p && view.breaker == p->breaker && view.stalled == p->stalled && view.available == available(*p));
    REQUIRE(p->told_open == (p->breaker != BreakerState::closed));
    REQUIRE(view.limit == p->limit && view.allowance == p->allowance && view.in_flight == slots(view.id));
    REQUIRE(view.running == std::ranges::count_if(tries_, [&](const auto& t) {
              return t.second.instance == view.id && t.second.at == Try::At::running;
            }));
  }
}

}  // namespace qlm::fuzz

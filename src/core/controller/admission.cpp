// Into the queue and out of it: limits, refusals, deadlines, cancellation, configuration.
#include <algorithm>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr Duration retry_floor = 1s;
constexpr Duration retry_ceiling = 600s;
constexpr Duration evicted_pace = 200ms;  // a token, of a request that states no TPOT

}  // namespace

// Clients told the same time would come back together: up to a quarter is added, by id.
Duration Controller::State::spread(RequestId id, Duration base) const {
  const Duration clamped = std::clamp(base, retry_floor, retry_ceiling);
  const std::uint64_t scrambled = (id.value * 0x9e3779b97f4a7c15ULL) >> 40;  // 24 bits
  return clamped + Duration{clamped.count() / 4 / (1 << 24) * static_cast<std::int64_t>(scrambled)};
}

void TokenBucket::refill(const RateLimit& limit, Instant now) {
  const auto full = static_cast<double>(limit.amount);
  left = filled == Instant::min() ? full : std::min(full, left + full * (seconds(now - filled) / seconds(limit.per)));
  filled = now;
}

Duration TokenBucket::until_there_is(double cost, const RateLimit& limit) const {
  const auto full = static_cast<double>(limit.amount);
  const double missing = std::min(cost, full) - left;
  return missing <= 0 ? Duration{} : duration_from_seconds(missing / std::max(full, 1e-9) * seconds(limit.per));
}

std::optional<action::Reject> Controller::State::refusal_by_tenant_limits(const RequestDescription& r, Duration turnover) {
  const auto no = [&](Reason reason, Duration retry_after) {
    return action::Reject{r.id, Outcome::rejected, reason, spread(r.id, retry_after), std::nullopt};
  };
  const QueueLimits& limits = configuration->limits;
  TenantRecord& t = tenant(r.tenant);
  const double share = limits.tenant_share;
  if (share < 1 && (static_cast<double>(t.queued + 1) > std::max(1.0, share * static_cast<double>(limits.requests)) ||
                    static_cast<double>((t.queued_bytes + r.body).count) >
                        share * static_cast<double>(limits.bytes.count))) {
    return no(Reason::tenant_queue_share, turnover);
  }
  if (r.tenant.index() >= configuration->tenants.size()) return std::nullopt;
  const TenantLimits& own = configuration->tenants[r.tenant.index()].limits;
  if (own.in_flight && t.in_system >= *own.in_flight) return no(Reason::tenant_in_flight, 2s);
  // What an instance has room for does not wait.
  if (own.queued && t.queued >= *own.queued && !any_room(r.model)) return no(Reason::tenant_queued, turnover);
  if (own.requests) {
    t.requests.refill(*own.requests, now);
    const Duration left = t.requests.until_there_is(1, *own.requests);
    if (left > Duration{}) return no(Reason::tenant_requests, left);
  }
  if (own.tokens) {
    t.tokens.refill(*own.tokens, now);
    const Duration left = t.tokens.until_there_is(static_cast<double>((r.prompt + expected_output(r)).count), *own.tokens);
    if (left > Duration{}) return no(Reason::tenant_tokens, left);
  }
  return std::nullopt;
}

std::optional<action::Reject> Controller::State::refusal(const RequestDescription& r, std::optional<WaitEstimate> wait) {
  const auto no = [&](Reason reason, std::optional<Duration> retry_after) {
    return action::Reject{r.id, Outcome::rejected, reason, retry_after, wait};
  };
  const Duration turnover = wait ? wait->bound / 4 : 2s;  // until the queue has visibly moved

  if (draining) return no(Reason::draining, spread(r.id, 5s));

  const ModelRecord& m = model(r.model);
  if (m.unserved_since != never && now - m.unserved_since >= configuration->dispatch.no_instance_grace) {
    return no(Reason::no_instance, spread(r.id, 10s));
  }

  const QueueLimits& limits = configuration->limits;
  if (totals.queued >= limits.requests) return no(Reason::queue_full, spread(r.id, turnover));
  if (totals.queued_bytes + r.body > limits.bytes) return no(Reason::queue_bytes_full, spread(r.id, turnover));

  if (auto refused = refusal_by_tenant_limits(r, turnover)) {
    refused->wait = wait;
    return refused;
  }

  if (!wait) return std::nullopt;
  if (!r.streaming && !r.waits_gladly && wait->bound > configuration->dispatch.proxy_patience) {
    return no(Reason::wait_too_long, spread(r.id, wait->bound - configuration->dispatch.proxy_patience));
  }
  const ServiceClass& c = configuration->classes[r.service_class.index()];
  const bool has_objective = r.slo.ttft || r.slo.e2e || r.deadline;
  const Duration patience = std::min(c.max_wait, r.client_timeout.value_or(Duration::max()));
  if (!has_objective && wait->bound > patience) return no(Reason::wait_too_long, spread(r.id, wait->bound - patience));
  if (c.when_late == WhenLate::reject && has_objective) {
    Duration allowed = std::min(r.slo.ttft.value_or(Duration::max()), r.slo.e2e.value_or(Duration::max()));
    if (r.deadline) allowed = std::min(allowed, *r.deadline - now);
    if (wait->bound > allowed) {
      auto refused = no(Reason::slo_unreachable, spread(r.id, wait->bound - allowed));
      refused.offer = counter_offer(r, wait->bound);
      return refused;
    }
  }
  return std::nullopt;
}

// Whoever asks for less haste stands further back and waits longer: a fixed point, found from below.
std::optional<action::CounterOffer> Controller::State::counter_offer(const RequestDescription& r, Duration bound) const {
  constexpr int looks = 6;
  constexpr Duration grain = 100ms;  // of what is offered
  using Objective = action::CounterOffer::Objective;
  const Duration ttft = r.slo.ttft.value_or(Duration::max()), e2e = r.slo.e2e.value_or(Duration::max());
  const Duration until = r.deadline ? *r.deadline - now : Duration::max();
  const Duration allowed = std::min({ttft, e2e, until});
  const Objective objective = allowed == ttft ? Objective::ttft : allowed == e2e ? Objective::e2e : Objective::deadline;
  const Duration patience = std::min(configuration->classes[r.service_class.index()].max_wait, r.client_timeout.value_or(Duration::max()));
  for (int look = 0; look < looks; ++look) {
    if (bound > patience - grain) return std::nullopt;
    const Duration least = (bound + grain - Duration{1}) / grain * grain;
    RequestDescription looser = r;
    if (looser.slo.ttft) looser.slo.ttft = std::max(*looser.slo.ttft, least);
    if (looser.slo.e2e) looser.slo.e2e = std::max(*looser.slo.e2e, least);
    if (looser.deadline) looser.deadline = std::max(*looser.deadline, add(now, least));
    const Foretold then = foretell(looser, now);
    if (!then.told || then.told->bound <= least) return action::CounterOffer{objective, least};
    bound = then.told->bound;
  }
  return std::nullopt;
}

void Controller::State::on(const event::Arrived& e) { admit(e.request, now, std::nullopt); }
void Controller::State::on(const event::Restored& e) { admit(e.request, std::min(e.arrived, now), e.token); }

void Controller::State::admit(const RequestDescription& description, Instant arrived,
                              std::optional<FencingToken> token) {
  if (by_id.find(description.id.value)) return;  // said twice: the first one counts
  RequestDescription r = description;
  if (r.service_class.index() >= configuration->classes.size()) r.service_class = ClassId{0};
  ++totals.arrived;
  queue_changed(model(r.model));  // known from here on, and its pace up to now
  const bool restored = token.has_value();

  Foretold foretold;
  if (!restored) {
    if (!any_room(r.model)) foretold = foretell(r, arrived);
    std::optional<WaitEstimate>& wait = foretold.told;
    const ServiceClass& asked = configuration->classes[r.service_class.index()];
    if (asked.when_late == WhenLate::downgrade && wait && asked.downgrade_to.index() < configuration->classes.size()) {
      const Duration allowed = std::min(r.slo.ttft.value_or(Duration::max()), r.slo.e2e.value_or(Duration::max()));
      if (wait->bound > allowed) {
        r.service_class = asked.downgrade_to;
        r.slo = configuration->classes[r.service_class.index()].slo;
        foretold = foretell(r, arrived);
      }
    }
    if (const auto no = refusal(r, wait)) {
      count(Outcome::rejected);
      record({.decision = Decision::rejected, .request = r.id, .tenant = r.tenant, .reason = no->reason, .count = totals.queued, .wait = wait});
      emit(*no);
      return;
    }
  }

  const Index index = requests.acquire();
  RequestRecord& record_of = requests[index];
  record_of.request = r;
  record_of.live = true;
  record_of.sequence = ++sequence;
  describe_work(record_of);
  if (token) record_of.token = *token;
  by_id.insert(r.id.value, index);

  TenantRecord& t = tenant(r.tenant);
  ++t.in_system;
  if (r.tenant.index() < configuration->tenants.size() && !restored) {
    const TenantLimits& own = configuration->tenants[r.tenant.index()].limits;
    if (own.requests) t.requests.left -= 1;
    if (own.tokens) {
      record_of.charged = record_of.cost;
      t.tokens.left -= static_cast<double>(record_of.cost.count);
    }
  }
  record_of.state = RequestState::persisting;
  ++totals.queued;
  totals.queued_bytes += r.body;
  ++t.queued;
  t.queued_bytes += r.body;
  record_of.arrived = arrived;
  set_times(record_of);

  if (configuration->classes[r.service_class.index()].durable && !restored) {
    emit(action::Persist{r.id});
    return;
  }
  enqueue(index, foretold);
  serve(r.model);
}

void Controller::State::set_times(RequestRecord& r) const {
  const ServiceClass& c = configuration->classes[r.request.service_class.index()];
  const bool has_objective = r.request.deadline || r.request.slo.ttft || r.request.slo.e2e;
  Instant whole_by = r.request.deadline.value_or(never);
  if (r.request.slo.e2e) whole_by = std::min(whole_by, add(r.arrived, *r.request.slo.e2e));
  r.deadline = whole_by;
  if (r.request.slo.ttft) r.deadline = std::min(r.deadline, add(r.arrived, *r.request.slo.ttft));
  if (!has_objective) r.deadline = add(r.arrived, configuration->dispatch.default_deadline);

  r.latest_start = r.deadline;
  const std::size_t at = r.request.model.index();
  const bool speed_known = at < models.size() && models[at].engine;
  Duration step{}, output{};  // of a full engine, and all that is still to come there
  if (speed_known && (r.kept.count > 0 || whole_by != never)) {
    const LengthKey key{r.request.model, r.request.prompt - r.kept, of_whole(r.request.max_output, r.kept)};
    step = full_step(*models[at].engine);
    output = duration_from_seconds(seconds(step) * lengths.residual(key, r.kept));
  }
  if (r.kept.count > 0) {
    // Evicted: its first token is out, and a mean TPOT leaves room for a pause: what was generated took less than it may,
    // and what is still to come will.
    const Duration pace = r.request.slo.tpot.value_or(evicted_pace);
    const double to_come = step > Duration{} ? seconds(output) / seconds(step) : 0;
    const double spared = static_cast<double>(r.kept.count + 1) * seconds(pace) + to_come * std::max(0.0, seconds(pace - step));
    r.deadline = std::min(whole_by, add(r.first_token, duration_from_seconds(spared)));
    r.latest_start = std::min(r.deadline, whole_by == never ? never : whole_by - output);
  } else if (speed_known && r.deadline != never) {
    const Duration margin = start_margin(*models[at].engine, r.request.prompt, models[at].allowance) + models[at].gathering;
    r.latest_start = r.deadline - margin;
    if (whole_by != never) r.latest_start = std::min(r.latest_start, whole_by - margin - output);
  }

  r.expires = add(r.arrived, c.max_wait);
  r.expiry_reason = Reason::max_wait_passed;
  if (r.request.client_timeout && add(r.arrived, *r.request.client_timeout) < r.expires) {
    r.expires = add(r.arrived, *r.request.client_timeout);
    r.expiry_reason = Reason::client_timed_out;
  }
  if (c.when_late == WhenLate::reject && has_objective && r.deadline < r.expires) {
    r.expires = r.deadline;
    r.expiry_reason = Reason::deadline_passed;
  }
}

std::int64_t Controller::State::order_key(const RequestRecord& r) const {
  const ServiceClass& c = configuration->classes[r.request.service_class.index()];
  return qlm::order_key(configuration->policy,
                        {.deadline = r.deadline, .latest_start = r.latest_start, .class_value = c.value, .work = work_of(r)});
}

GroupKey Controller::State::group_key(const RequestRecord& r) const {
  // Where models are planned, sizes do not matter: what a model's mean request takes decides.
  const bool by_size = traits(configuration->policy).groups_by_size && !planned(r.request.model);
  return {r.request.service_class, by_size ? size_bucket(r.request.prompt) : 0, false};
}

// A new request's group, and whether the load leaves room for it there: of a group that it does in part, every so many-th.
GroupKey Controller::State::priced(const RequestRecord& r, ModelRecord& m) {
  GroupKey key = group_key(r);
  if (!traits(configuration->policy).gives_up) return key;
  const ModelQueue::GroupIndex at = m.queue.group(key);
  ModelQueue::Group& group = m.queue.groups()[at];
  group.arrivals += 1;
  group.arrived_prompts += static_cast<double>(r.request.prompt.count);
  if (r.deadline != never) {
    m.demand.slack += seconds(r.latest_start - r.arrived);
    m.demand.slack_weight += 1;
  }
  ModelRecord::TenantDemand* const of_tenant = demand_of(m, r.request.tenant);
  const bool within = !of_tenant || within_part(m, *of_tenant, r, at);
  if (of_tenant && m.demand.shared) {
    key.priced_out = !within;
    return key;
  }
  group.credit += group.admitted;
  key.priced_out = group.credit < 1;
  if (!key.priced_out) group.credit -= 1;
  return key;
}

// A persisting, dispatched or new request stands in its model's queue from here on.
void Controller::State::enqueue(Index index, const Foretold& foretold) {
  RequestRecord& r = requests[index];
  ModelRecord& m = model(r.request.model);
  const bool first_time = r.attempt == no_attempt;
  if (!first_time) {
    ++totals.queued;
    totals.queued_bytes += r.request.body;
    TenantRecord& t = tenant(r.request.tenant);
    ++t.queued;
    t.queued_bytes += r.request.body;
  }
  const bool runs_at_once = first_time && any_room(r.request.model);
  r.state = RequestState::queued;
  r.place = {m.queue.group(first_time ? priced(r, m) : group_key(r)), false};
  r.node = m.queue.insert(forest, r.place, order_key(r), r.sequence, {r.cost, r.work}, r.request.prompt, index);
  if (!m.queue.groups()[r.place.group].key.priced_out) waits_within_part(r, true);
  queue_changed(m);
  expiries.set(index, r.expires);
  if (first_time) {
    const ModelQueue::Phase phase = m.queue.phase(forest, r.place, r.node);
    // What it was let in by is what it is told: itself it does not count yet. (Of a model that takes turns, somebody who waits
    // may be news.)
    const bool same = foretold.order == forest.bound(r.node) && foretold.phase == phase && !planned(r.request.model);
    const OrderForest::Ahead ahead = same ? foretold.ahead : m.queue.ahead(forest, phase, forest.bound(r.node));
    const auto wait = runs_at_once ? std::nullopt : tell(r, ahead, same ? &foretold : nullptr);
    if (phase == ModelQueue::Phase::kept) {
      m.overtaking.came(now, overtaking_key(r, forest.key(r.node)), static_cast<double>(r.work) / work_unit);
    }
    record({.decision = Decision::admitted, .request = r.request.id, .count = ahead.count, .wait = wait, .output = r.cost - r.request.prompt});
    emit(action::Admitted{r.request.id, wait});
  }
}

void Controller::State::dequeue(Index index) {
  RequestRecord& r = requests[index];
  if (r.node != OrderForest::none) {
    ModelQueue& queue = model(r.request.model).queue;
    const auto passed_over = bypass_max + yield_max + static_cast<std::int64_t>(rests.size());  // at most, by instances with room
    std::vector<OrderForest::Index>& owed = model(r.request.model).shares.first;
    const bool is_owed = std::erase(owed, r.node) > 0;
    if (is_owed || queue.near_front(forest, r.place, r.node, passed_over)) look_again(r.request.model);
    waits_within_part(r, false);
    queue.erase(forest, r.place, r.node, r.request.prompt);
    queue_changed(model(r.request.model));
  }
  r.node = OrderForest::none;
  expiries.clear(index);
  rests.clear(index);
  --totals.queued;
  totals.queued_bytes -= r.request.body;
  TenantRecord& t = tenant(r.request.tenant);
  --t.queued;
  t.queued_bytes -= r.request.body;
}

void Controller::State::count(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed: ++totals.completed; break;
    case Outcome::rejected: ++totals.rejected; break;
    case Outcome::cancelled: ++totals.cancelled; break;
    case Outcome::expired: ++totals.expired; break;
    case Outcome::failed: ++totals.failed; break;
  }
}

void Controller::State::forget(Index index) {
  RequestRecord& r = requests[index];
  if (r.state == RequestState::queued || r.state == RequestState::persisting) dequeue(index);
  if (r.state == RequestState::dispatched || r.state == RequestState::streaming) leave_flight(index);
  TenantRecord& t = tenant(r.request.tenant);
  --t.in_system;
  if (r.attempt == no_attempt) t.tokens.left += static_cast<double>(r.charged.count);  // nothing was used
  by_id.erase(r.request.id.value);
  r.state = RequestState::finished;
  r.live = false;
  requests.release(index);
}

void Controller::State::reject(Index index, Outcome outcome, Reason reason, Decision decision, Lost lost) {
  const RequestRecord& r = requests[index];
  const RequestId id = r.request.id;
  const auto wait = r.state == RequestState::queued ? wait_of(r) : std::nullopt;
  std::optional<Duration> retry_after;
  if (reason == Reason::no_instance || reason == Reason::engine_failed) retry_after = spread(id, 5s);
  record({.decision = decision, .request = id, .instance = r.instance, .attempt = r.attempt, .reason = reason, .wait = wait, .lost = lost});
  score(r, WaitCalibration::End::given_up);
  forget(index);
  count(outcome);
  emit(action::Reject{id, outcome, reason, retry_after, wait});
}

void Controller::State::finish(Index index, Outcome outcome, Reason reason, Decision decision) {
  const RequestRecord& r = requests[index];
  const RequestId id = r.request.id;
  record({.decision = decision, .request = id, .instance = r.instance, .attempt = r.attempt, .reason = reason, .output = r.received});
  score(r, WaitCalibration::End::cancelled);
  forget(index);
  count(outcome);
  emit(action::Finish{id, outcome, reason});
}

void Controller::State::expire_due() {
  while (!expiries.empty() && expiries.earliest() <= now) {
    const Index index = expiries.top();
    const RequestRecord& r = requests[index];
    const bool unserved = model(r.request.model).unserved_since != never;
    reject(index, Outcome::expired, unserved ? Reason::no_instance : r.expiry_reason, Decision::expired);
  }
}

void Controller::State::on(const event::Cancelled& e) {
  const auto index = find(e.request);
  if (!index) return;
  RequestRecord& r = requests[*index];
  if (r.state == RequestState::publishing) return;  // done already; whoever asks for it later will find it
  if (r.state == RequestState::dispatched || r.state == RequestState::streaming) {
    r.cancelled = e.why;
    ask_abort(*index, action::AbortWhy::cancelled);
    return;
  }
  finish(*index, Outcome::cancelled, e.why, Decision::cancelled);
}

void Controller::State::on(const event::Persisted& e) {
  const auto index = find(e.request);
  if (!index || requests[*index].state != RequestState::persisting) return;
  requests[*index].token = e.token;
  enqueue(*index);
  serve(requests[*index].request.model);
}

void Controller::State::on(const event::PersistFailed& e) {
  const auto index = find(e.request);
  if (!index || requests[*index].state != RequestState::persisting) return;
  reject(*index, Outcome::rejected, Reason::store_failed, Decision::rejected);
}

void Controller::State::on(const event::Published& e) {
  const auto index = find(e.request);
  if (!index || requests[*index].state != RequestState::publishing) return;
  finish(*index, Outcome::completed, Reason::none, Decision::completed);
}

void Controller::State::on(const event::PublishFailed& e) {
  const auto index = find(e.request);
  if (!index || requests[*index].state != RequestState::publishing) return;
  if (e.fenced) {  // another attempt owns the request now and will publish it
    finish(*index, Outcome::failed, Reason::store_failed, Decision::failed);
  } else {
    emit(action::Publish{e.request, requests[*index].token});
  }
}

// One gateway alone claims nothing; several will (architecture, section 10). What it holds already, it keeps.
void Controller::State::on(const event::Claimed&) {}

void Controller::State::on(const event::LeaseLost& e) { on(event::Cancelled{e.request}); }

void Controller::State::on(const event::ConfigurationChanged& e) {
  if (!e.configuration || e.configuration->classes.empty()) return;
  const bool reorder = e.configuration->policy != configuration->policy ||
                       e.configuration->policy == Policy::priority;
  configuration = e.configuration;
  if (reorder) {
    select_at = Instant::min();
    planning = {};
    for (ModelRecord& m : models) {
      m.overtaking = Overtaking(overtaking_kind(configuration->policy));
      m.demand = {};
      m.shares = {};
      ModelQueue rebuilt;
      while (!m.queue.empty()) {
        const auto node = m.queue.first(forest);
        const Index index = forest.payload(node);
        RequestRecord& r = requests[index];
        m.queue.erase(forest, r.place, node, r.request.prompt);
        r.within_part = false;
        r.place = {rebuilt.group(group_key(r)), false};
        r.node = rebuilt.insert(forest, r.place, order_key(r), r.sequence, {r.cost, r.work}, r.request.prompt, index);
      }
      m.queue = std::move(rebuilt);
    }
  }
  for (InstanceRecord& i : instances) {
    if (i.present) i.governor.describe(i.description, configuration->dispatch);
  }
  serve_all();
}

void Controller::State::on(const event::DrainRequested&) { draining = true; }

}  // namespace qlm

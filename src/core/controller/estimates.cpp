// What requests take and how long they wait, learned from what the engines are seen to do (core/estimate).
#include <algorithm>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr int completions_to_estimate = 20;
constexpr Duration refresh_interval = 1s;
constexpr double presumed_seconds = 5;  // that a guess at the pace counts for, beside what was measured

}  // namespace

Tokens Controller::State::expected_output(const RequestDescription& r) const {
  return Tokens{static_cast<std::int64_t>(lengths.mean({r.model, r.prompt, r.max_output}))};
}

Duration Controller::State::expected_work(const ModelRecord& m, std::int64_t units) const {
  return Duration{static_cast<std::int64_t>(static_cast<double>(units) / work_unit * static_cast<double>(m.unit.count()))};
}

Duration Controller::State::work_of(const RequestRecord& r) const {
  const ModelRecord& m = models[r.request.model.index()];
  const Duration work = work_of(m, r.request.prompt, static_cast<double>(expected_output(r.request).count));
  if (!m.engine) return work;
  // Context is read again for every token: an output twice as long reads it four times as much.
  const double context = lengths.variance({r.request.model, r.request.prompt, r.request.max_output}) / 2;
  return work + duration_from_seconds(context * m.engine->step.per_context_token_ms / 1000);
}

Duration Controller::State::work_of(const ModelRecord& m, Tokens prompt, double output) const {
  if (m.engine) return request_work(*m.engine, prompt, output);
  return Duration{prompt.count * 1000 / 8 + static_cast<std::int64_t>(output * 1000)};
}

void Controller::State::refresh_engine(ModelId id) {
  ModelRecord& m = model(id);
  m.engine.reset();
  m.engines = 0;
  for (InstanceId at : m.instances) {
    InstanceRecord& i = instances[at.index()];
    if (!i.present) continue;
    if (available(i)) ++m.engines;
    i.scale.describe(i.description.speed);
    i.relative_speed = 1;
    if (!i.description.speed) continue;
    const double kv = i.description.kv_capacity ? static_cast<double>(i.description.kv_capacity->count) : 0;
    const EngineLoad load = full_load(*i.description.speed, i.governor.limit(), kv, m.mean_prompt(), m.mean_output());
    if (!m.engine) {
      m.engine = load;
      m.allowance = i.governor.allowance();
      m.gathering = gathering(i);
    }
    const Tokens prompt{static_cast<std::int64_t>(m.mean_prompt())};
    i.relative_speed = seconds(request_work(*m.engine, prompt, m.output)) / seconds(request_work(load, prompt, m.output));
  }
  if (!m.engine) refresh_absent_engine(m, id);
  refresh_capacity(m);
}

void Controller::State::describe_work(RequestRecord& r) const {
  const ModelRecord& m = models[r.request.model.index()];
  r.cost = r.request.prompt + expected_output(r.request);
  Duration work = work_of(r);
  if (m.engine && m.engine->memory > 0) {
    // So it does with the memory that it holds, where that is what there is too little of: for the wait, not for the order.
    const StepTimeModel& step = m.engine->step;
    const double base = step.kind == StepTimeModel::Kind::separate ? step.decode_base_ms : step.base_ms;
    const double held = lengths.variance({r.request.model, r.request.prompt, r.request.max_output}) / 2;
    work += duration_from_seconds(held * base / m.engine->memory / 1000);
  }
  r.work = static_cast<std::int64_t>(static_cast<double>(work.count()) / static_cast<double>(m.unit.count()) * work_unit);
}

// -- the wait

// Where a request stands in the order, told so that those that come later can be compared with it.
std::int64_t Controller::State::overtaking_key(const RequestRecord& r, std::int64_t order_key) const {
  switch (configuration->policy) {
    case Policy::fcfs: return 0;
    case Policy::priority: return order_key * 1024;
    case Policy::sjf: return order_key;
    case Policy::edf:
    case Policy::edf_expire:
    case Policy::greedy:
    case Policy::shepherd:
    case Policy::qlm_lp:
    case Policy::qlm_lp_expire:
    case Policy::qlm_sp:
    case Policy::qlm: return order_key - r.arrived.time_since_epoch().count();
  }
  return 0;
}

Overtaking::Kind overtaking_kind(Policy policy) {
  switch (policy) {
    case Policy::fcfs: return Overtaking::Kind::nobody;
    case Policy::priority:
    case Policy::sjf: return Overtaking::Kind::by_rank;
    case Policy::edf:
    case Policy::edf_expire:
    case Policy::greedy:
    case Policy::shepherd:
    case Policy::qlm_lp:
    case Policy::qlm_lp_expire:
    case Policy::qlm_sp:
    case Policy::qlm: return Overtaking::Kind::by_time;
  }
  return Overtaking::Kind::nobody;
}

std::optional<WaitExpectation> Controller::State::expectation(ModelId id, std::int64_t work_ahead, std::int64_t key) const {
  const ModelRecord& m = models[id.index()];
  if (m.completions < completions_to_estimate) return std::nullopt;
  const bool takes_turns = planned(id);
  const double engines = m.capacity > 0 ? m.capacity : 1;
  const double rate = takes_turns ? engines * m.pace.rate_of_one() : m.pace.rate();
  if (!(rate > 0)) return std::nullopt;
  const double apart = seconds(m.unit);
  // What runs where it is being left is not in the way of those who wait for its next visit, which begins with free slots.
  const double steady = m.pace.steady_in_flight();
  const double running = takes_turns && m.capacity == 0 ? 0 : seconds(m.in_flight_work) - steady;
  const double ahead = std::max(apart / 2, seconds(expected_work(m, work_ahead)) + running + apart / 2);
  // In mean requests: what came stays as much when outputs turn out longer.
  const auto until_served = [&](double at_rate) { return m.overtaking.seconds_until(now, ahead / apart, key, at_rate / apart); };
  double expected = until_served(rate);
  const Duration one_more = duration_from_seconds(apart / rate);
  if (takes_turns) {
    // The share of the time until then in which it is served; those who overtake come all the while.
    const double until = m.turns.seconds_until(now, engines * expected, visits_ahead(id), engines, steady / rate);
    if (until > expected) expected = until_served(rate * expected / until);
  }
  return WaitExpectation{.expected = duration_from_seconds(expected), .apart = one_more};
}

Foretold Controller::State::foretell(const RequestDescription& asked, Instant arrived) const {
  if (asked.model.index() >= models.size()) return {};
  const ModelRecord& m = models[asked.model.index()];
  RequestRecord r;
  r.request = asked;
  r.arrived = arrived;
  set_times(r);
  Foretold found{.order = {order_key(r), sequence + 1}};
  found.phase = m.queue.phase_of_new(group_key(r), found.order);
  found.ahead = m.queue.ahead(forest, found.phase, found.order);
  found.wait = expectation(asked.model, found.ahead.work, overtaking_key(r, found.order.key));
  if (found.wait) found.told = m.calibration.bound(asked.service_class, *found.wait);
  return found;
}

std::optional<WaitEstimate> Controller::State::estimate_last(ModelId id) const {
  if (id.index() >= models.size()) return std::nullopt;
  const ModelRecord& m = models[id.index()];
  const auto wait = expectation(id, m.queue.work(), INT64_MIN);
  if (!wait) return std::nullopt;
  return m.calibration.bound(ClassId{UINT32_MAX}, *wait);
}

std::optional<WaitEstimate> Controller::State::wait_of(const RequestRecord& r) const {
  if (r.node == OrderForest::none) return std::nullopt;
  const ModelRecord& m = models[r.request.model.index()];
  if (m.queue.phase(forest, r.place, r.node) != ModelQueue::Phase::kept) return std::nullopt;
  const auto ahead = m.queue.ahead(forest, r.place, r.node);
  const auto wait = expectation(r.request.model, ahead.work, overtaking_key(r, forest.key(r.node)) - (now - r.arrived).count());
  if (!wait) return std::nullopt;
  return m.calibration.bound(r.request.service_class, *wait);
}

std::optional<WaitEstimate> Controller::State::tell(RequestRecord& r, const OrderForest::Ahead& ahead, const Foretold* same) {
  const ModelRecord& m = models[r.request.model.index()];
  // One that the load leaves no room for waits until the load is less: nobody knows when.
  if (m.queue.phase(forest, r.place, r.node) != ModelQueue::Phase::kept) return std::nullopt;
  const auto wait = same ? same->wait : expectation(r.request.model, ahead.work, overtaking_key(r, forest.key(r.node)));
  if (!wait) return std::nullopt;
  const WaitEstimate told = m.calibration.bound(r.request.service_class, *wait);
  r.told = {.wait = *wait, .bound = told.bound, .at = now};
  return told;
}

void Controller::State::score(const RequestRecord& r, WaitCalibration::End end) {
  if (r.node == OrderForest::none || r.attempt != no_attempt) return;  // dispatched before: it was scored then
  ModelRecord& m = model(r.request.model);
  if (r.told.at != never && configuration->has(Component::calibration)) m.calibration.score(now, r.request.service_class, r.told.wait, r.told.bound, now - r.told.at, end, r.told.at < m.changed_at);
}

// -- what is seen

// While no engine is there nobody's pace is seen: it will be what it was.
void Controller::State::queue_changed(ModelRecord& m) {
  m.pace.pass(now, m.capacity, waited_for(m));
  m.turns.is(now, m.turns.served(), !m.queue.empty());
}

void Controller::State::work_left(LedgerEntry& entry, Duration left) {
  if (entry.model.index() < models.size()) models[entry.model.index()].in_flight_work += left - entry.work_left;
  entry.work_left = left;
}

void Controller::State::saw_tokens(LedgerEntry& entry, Tokens so_far, bool ended) {
  ModelRecord& m = model(entry.model);
  InstanceRecord* i = instance(entry.instance);
  const auto cap = of_whole(entry.longest < unbounded ? std::optional(entry.longest) : std::nullopt, entry.kept);
  // What was generated before an eviction is prompt to the engine and output to the request.
  const LengthKey key{entry.model, entry.prompt - entry.kept, cap};
  const bool began = entry.seen_running;
  const Tokens fresh = so_far - entry.seen;
  if (fresh.count < 0) return;
  if (!began && (fresh.count > 0 || ended)) {
    entry.seen_running = true;
    // Work counts whole prompts: what a prefix cache spares an engine shows as its speed.
    if (i) i->scale.started(now, entry.prompt);
  }
  if (fresh.count > 0 || ended) {
    if (i) i->scale.generated(now, fresh);
    if (configuration->has(Component::length_model)) {
      lengths.observe(key, entry.kept + entry.seen, entry.kept + so_far, ended);
      delivered.observe({key.model, key.prompt, std::nullopt}, entry.kept + entry.seen, entry.kept + so_far, ended);
    }
    const auto from = static_cast<double>(so_far.count);
    const Duration until_now = work_of(m, entry.prompt, from);
    const Duration before = began ? work_of(m, entry.prompt, static_cast<double>(entry.seen.count)) : Duration{};
    const double work = seconds(until_now - before);
    m.work += work;
    m.pace.pass(now, m.capacity, waited_for(m));
    m.pace.did(work);
    entry.seen = so_far;
    if (!ended) {
      work_left(entry, work_of(m, entry.prompt, from + lengths.residual(key, entry.kept + so_far)) - until_now);
    }
  }
}

void Controller::State::attempt_over(LedgerEntry& entry, Tokens generated, bool whole) {
  saw_tokens(entry, std::max(generated, entry.seen), whole);
  work_left(entry, Duration{});
  if (InstanceRecord* i = instance(entry.instance); i && entry.seen_running) i->scale.ended(now, entry.prompt + entry.seen);
}

void Controller::State::refresh_estimates(ModelId id) {
  ModelRecord& m = model(id);
  if (now < m.refresh_at) return;
  m.refresh_at = add(now, refresh_interval);
  refresh_engine(id);
}

// Called when its instances, their availability or their speed may have changed.
void Controller::State::refresh_capacity(ModelRecord& m) {
  m.unit = std::max(Duration{1}, work_of(m, Tokens{typical_prompt}, m.output));
  double capacity = 0;
  std::int64_t changes = m.drifts;
  for (InstanceId id : m.instances) {
    const InstanceRecord& i = instances[id.index()];
    changes += i.scale.changes();
    if (available(i)) capacity += i.relative_speed / i.scale.scale();
  }
  if (changes != m.changes) m.changed_at = now;
  m.changes = changes;
  m.turns.is(now, capacity > 0, !m.queue.empty());
  // While nobody is available the queue will be served by those that were: what else could be said? One that takes turns
  // is served nowhere in between, and that is not its pace.
  if (capacity > 0 || !m.homes.empty()) m.capacity = capacity;
  m.pace.pass(now, m.capacity, waited_for(m));
  if (m.engine) m.pace.presume(1, presumed_seconds);
  else if (m.busy_seconds > 0 && m.capacity > 0) m.pace.presume(m.work / m.busy_seconds / m.capacity, presumed_seconds);
}

}  // namespace qlm

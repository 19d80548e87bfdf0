// What becomes of the models of an instance that holds several: one came, did not come, broke down or was found there; what
// their coming and going takes; which of them cannot be had at present; and what an empty instance is given.
#include <algorithm>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr double learning = 0.25;           // of the newest swap
constexpr Duration after_failure = 2s;      // before a model that failed is tried again; twice as long each time,
constexpr Duration failure_longest = 5min;  // and not longer
constexpr int failures_to_miss = 2;         // from there on an instance does not count as one that can serve it
constexpr Duration proven = 1min;           // a model that stood so long had come well

}  // namespace

// -- models that cannot be had

const InstanceRecord::Residency::Failing* Controller::State::failing(const InstanceRecord& i, ModelId id) const {
  const auto at = std::ranges::find(i.residency.failing, id, &InstanceRecord::Residency::Failing::model);
  return at == i.residency.failing.end() ? nullptr : &*at;
}

// Whether it can be brought in there now.
bool Controller::State::can_come(const InstanceRecord& i, ModelId id) const {
  const auto* failed = failing(i, id);
  return may_come(i, id) && (!failed || now >= failed->not_before);
}

// Whether whoever wants the model may count on that instance.
bool Controller::State::can_serve(const InstanceRecord& i, ModelId id) const {
  if (!available(i)) return false;
  const auto* failed = failing(i, id);
  return !failed || failed->came || failed->count < failures_to_miss;
}

void Controller::State::has_failed(InstanceRecord& i, ModelId id) {
  auto& all = i.residency.failing;
  auto at = std::ranges::find(all, id, &InstanceRecord::Residency::Failing::model);
  if (at == all.end()) at = all.insert(all.end(), {id, 0, false, {}});
  const Duration pause = std::min(failure_longest, after_failure * (1 << std::min(at->count, 5)));
  ++at->count;
  at->came = false;
  at->not_before = add(now, pause);
  wake(i, at->not_before);
  availability_changed(id);
}

// It came. That says little as long as it breaks down right afterwards.
void Controller::State::has_come(InstanceRecord& i, ModelId id) {
  auto& all = i.residency.failing;
  const auto at = std::ranges::find(all, id, &InstanceRecord::Residency::Failing::model);
  if (at != all.end()) at->came = true;
  availability_changed(id);
}

// -- what was learned of them

// As its engine tells of itself; where nobody has seen it come elsewhere, what it took here is the best guess.
void Controller::State::learn_resident(InstanceRecord& i, const HeldModel& found) {
  const auto held = std::ranges::find(i.description.holds, found.model, &HeldModel::model);
  if (held == i.description.holds.end()) return;
  held->slots = found.slots;
  held->context_length = found.context_length;
  held->kv_capacity = found.kv_capacity;
  if (found.resume) held->resume = found.resume;
  if (found.speed) held->speed = found.speed;
  if (found.bring_in <= Duration{}) return;
  if (found.asleep) {
    held->wake = held->wake > Duration{} ? held->wake + duration_from_seconds(learning * seconds(found.bring_in - held->wake)) : found.bring_in;
    return;
  }
  held->bring_in = held->measured ? held->bring_in + duration_from_seconds(learning * seconds(found.bring_in - held->bring_in)) : found.bring_in;
  held->measured = true;
  for (const InstanceId home : model(found.model).homes) {
    for (HeldModel& other : instances[home.index()].description.holds) {
      if (other.model == found.model && !other.measured) other.bring_in = held->bring_in;
    }
  }
}

void Controller::State::are_asleep(InstanceRecord& i, const std::vector<ModelId>& asleep) {
  for (HeldModel& held : i.description.holds) held.asleep = std::ranges::find(asleep, held.model) != asleep.end();
}

// -- it came, or did not

// Another engine than before is there, or none: what was known of the former's health says nothing of it.
void Controller::State::reside(InstanceRecord& i, std::optional<ModelId> resident) {
  be(i, resident);
  i.residency.came = now;
  i.governor.describe(i.description, configuration->dispatch);
  i.scale = StepScale{};
  progressed(i);
  link_models(i.description.id, {}, i.description.models);
}

void Controller::State::well_again(InstanceRecord& i) {
  i.failures = 0;
  i.failed.reset();
  i.probing = false;
  i.stalled = false;
  i.pause = Duration{};
  if (std::exchange(i.breaker, BreakerState::closed) == BreakerState::closed) return;
  record({.decision = Decision::breaker_closed, .instance = i.description.id});
  emit(action::BreakerChanged{.instance = i.description.id, .to = BreakerState::closed});
  for (const HeldModel& h : i.description.holds) availability_changed(h.model);
}

void Controller::State::on(const event::Swapped& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i || !i->residency.asked) return;
  InstanceRecord::Residency& residency = i->residency;
  const auto wanted = std::exchange(residency.next, std::nullopt);
  residency.asked = false;
  const bool done = e.resident == wanted;
  if (i->hand.once && i->hand.pin == wanted) i->hand = {.cordoned = i->hand.cordoned, .drains = i->hand.drains};
  if (e.put_away > Duration{}) {
    const auto left = std::ranges::find_if(i->description.holds, [&](const HeldModel& h) { return h.model == residency.resident; });
    if (left != i->description.holds.end()) {
      left->put_away = left->seen_leaving ? left->put_away + duration_from_seconds(learning * seconds(e.put_away - left->put_away)) : e.put_away;
      left->seen_leaving = true;
    }
  }
  if (done) {
    if (!i->description.coming) ++totals.swaps;  // else it was there already, or on its way
    const Duration described = setup_time(*i, *wanted);
    if (described > Duration{} && !e.found) {
      const double ratio = std::clamp(seconds(now - residency.asked_at) / seconds(described), 0.1, 10.0);
      residency.setup_scale *= 1 + learning * (ratio - 1);
    }
    has_come(*i, *wanted);
  } else {
    has_failed(*i, *wanted);
  }
  i->description.coming.reset();
  if (e.found) learn_resident(*i, *e.found);
  are_asleep(*i, e.asleep);
  if (e.found || !e.resident) well_again(*i);
  reside(*i, e.resident);
  record({.decision = done ? Decision::swapped : Decision::swap_failed, .instance = e.instance, .model = done ? e.resident : wanted});
  wake(*i, now);  // an empty one looks for what to be
  serve(e.instance);
}

void Controller::State::on(const event::ResidentChanged& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i || i->description.holds.empty() || i->residency.asked) return;
  if (e.found) learn_resident(*i, *e.found);
  are_asleep(*i, e.asleep);
  const std::optional<ModelId> former = i->residency.resident;
  if (former && former != e.resident) {
    record({.decision = Decision::resident_lost, .instance = e.instance, .model = former});
    abort_attempts(*i, action::AbortWhy::instance_down, true);
    if (now - i->residency.came >= proven) std::erase_if(i->residency.failing, [&](const auto& f) { return f.model == *former; });
    has_failed(*i, *former);
  }
  if (former == e.resident && !e.found) return;
  const std::vector<ModelId> served = i->description.models;
  link_models(e.instance, served, {});
  well_again(*i);
  // One that is on its way to another model is given no work of this one any more.
  if (i->residency.next) be(*i, std::nullopt);
  else reside(*i, e.resident);
  if (i->residency.next) swap_when_empty(*i);
  wake(*i, now);
  serve(e.instance);
}

// -- what an empty one is given

// While nobody waits: the model that the fewest have, so that whoever comes next finds it.
void Controller::State::fill(InstanceRecord& i) {
  if (i.description.holds.empty() || i.residency.resident || i.residency.next || totals.queued > 0 || !available(i)) return;
  const auto serving = [&](ModelId id) {
    return std::ranges::count_if(instances, [&](const InstanceRecord& other) {
      return other.present && (other.residency.resident == id || other.residency.next == id || std::ranges::count(other.description.models, id) > 0);
    });
  };
  std::optional<ModelId> next;
  Instant again = never;
  for (const HeldModel& held : i.description.holds) {
    if (!may_come(i, held.model)) continue;
    if (!can_come(i, held.model)) again = std::min(again, failing(i, held.model)->not_before);
    else if (!next || serving(held.model) < serving(*next)) next = held.model;
  }
  if (next) leave_for(i, *next);
  else if (again != never) wake(i, again);
}

}  // namespace qlm

// Late binding: the next request of a queue goes to an instance only when that can run it at once.
#include <algorithm>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

// Separate steps: so many requests start together, or those that came within this time.
constexpr int gathered = 24;
constexpr Duration gathering_max = 1s;

}  // namespace

bool Controller::State::well(const InstanceRecord& i) const { return i.present && !i.stalled && i.breaker != BreakerState::open; }
bool Controller::State::available(const InstanceRecord& i) const { return well(i) && !i.hand.cordoned; }

int Controller::State::capacity(const InstanceRecord& i) const {
  if (!available(i)) return 0;
  if (i.breaker == BreakerState::half_open) return 1;  // the canary
  if (!configuration->has(Component::late_binding)) return INT32_MAX;  // all of it at once: the engine queues
  int limit = i.governor.limit() + i.governor.allowance();
  if (i.share && now < i.share_until) limit = std::min(limit, *i.share);
  return limit;
}

// How long an engine with separate steps may keep free slots, so that their requests start in one step.
Duration Controller::State::gathering(const InstanceRecord& i) const {
  if (!traits(configuration->policy).gathers || !i.description.speed || !configuration->has(Component::gathering)) return Duration{};
  return i.description.speed->kind == StepTimeModel::Kind::separate ? gathering_max : Duration{};
}

bool Controller::State::gate_open(const InstanceRecord& i) const {
  const Ledger::Account& account = ledger.account(i.description.id);
  const Duration wait = gathering(i);
  if (wait == Duration{} || account.slots == 0 || now == i.gate_opened || now >= add(i.gate_opened, wait)) return true;
  std::int64_t waiting = 0;
  double cost = 1;
  for (const ModelId id : i.description.models) {
    const ModelRecord& m = models[id.index()];
    waiting += m.queue.count();
    cost = std::max(cost, m.mean_prompt() + m.mean_output());
  }
  double together = capacity(i) - account.slots;
  if (i.description.kv_capacity) {
    together = std::min(together, static_cast<double>((*i.description.kv_capacity - account.kv).count) * kv_usable / cost);
  }
  return together >= static_cast<double>(std::min<std::int64_t>(waiting, gathered));
}

// What keeps it from taking one that needs so much memory; whether it serves its model is the caller's to know.
Binding Controller::State::binding(const InstanceRecord& i, Tokens kv) const {
  const Ledger::Account& account = ledger.account(i.description.id);
  if (account.slots >= capacity(i)) return available(i) ? Binding::slots : well(i) ? Binding::cordoned : Binding::unavailable;
  if (now < i.hold_until) return Binding::refused;
  if (!gate_open(i)) return Binding::gathering;
  if (!i.description.kv_capacity || account.slots == 0 || !configuration->has(Component::late_binding)) return Binding::none;
  const bool fits = static_cast<double>((account.kv + kv).count) <= kv_usable * static_cast<double>(i.description.kv_capacity->count);
  return fits ? Binding::none : Binding::memory;
}

// For one that arrives now; what rests does not stand before it.
bool Controller::State::any_room(ModelId id) const {
  if (id.index() >= models.size()) return false;
  const ModelRecord& m = models[id.index()];
  if (m.queue.count() > static_cast<std::int64_t>(rests.size())) return false;
  for (auto node = m.queue.first(forest); node != OrderForest::none;) {
    const RequestRecord& r = requests[forest.payload(node)];
    if (!resting(r)) return false;
    node = m.queue.next(forest, r.place, node);
  }
  return std::ranges::any_of(m.instances, [&](InstanceId i) { return has_room(instances[i.index()], Tokens{0}); });
}

// What goes on after what was generated needs an engine that can; where the last attempt failed is tried again only when
// nobody else could.
bool Controller::State::may_use(const RequestRecord& r, const InstanceRecord& i) const {
  if (r.kept.count > 0 && resume_level(r, i) < ResumeLevel::text) return false;
  if (r.avoid != i.description.id) return true;
  const ModelRecord& m = models[r.request.model.index()];
  return std::ranges::none_of(m.instances, [&](InstanceId other) {
    return other != i.description.id && available(instances[other.index()]);
  });
}

// Output tokens to keep memory for: those there are and the next ones, and for a young request half of what running ones
// have on average, for when many start together.
Tokens Controller::State::soon_generated(ModelId id, Tokens so_far, Tokens at_most) const {
  const double age = id.index() < models.size() ? models[id.index()].mean_age() : typical_output;
  return std::min(at_most, std::max(so_far + lookahead, Tokens{static_cast<std::int64_t>(age / 2)}));
}

Tokens Controller::State::memory_at_start(const RequestDescription& r) const {
  return r.prompt + soon_generated(r.model, Tokens{0}, r.max_output.value_or(unbounded));
}

// What an instance takes next: the first, of all models it serves, that need not wait for another instance. An earlier
// one that does not fit its memory yet holds it for itself: passed over by small ones, a large one would never run.
OrderForest::Index Controller::State::front(const InstanceRecord& i) {
  OrderForest::Index best = OrderForest::none;
  bool best_yields = false, best_owed = false;
  for (ModelId candidate : i.description.models) {
    OrderForest::Index node = first_to_serve(candidate), yielding = OrderForest::none;
    for (int avoided = 0, yielded = 0; node != OrderForest::none; node = following(candidate, node)) {
      const RequestRecord& r = requests[forest.payload(node)];
      if (resting(r)) continue;
      const bool may = may_use(r, i), is_held = held(r, i);
      if (may && !is_held && !yields(r, i)) break;
      if (may && !is_held && yielding == OrderForest::none) yielding = node;
      ++(may ? yielded : avoided);
      if (yielded > yield_max || avoided > bypass_max) {
        node = OrderForest::none;
        break;
      }
    }
    const bool node_yields = node == OrderForest::none;
    if (node_yields) node = yielding;
    if (node == OrderForest::none) continue;
    const bool is_owed = std::ranges::find(models[candidate.index()].shares.first, node) != models[candidate.index()].shares.first.end();
    const bool alike = node_yields == best_yields && is_owed == best_owed;
    if (best == OrderForest::none || (alike ? sooner(node, best) : node_yields != best_yields ? best_yields : is_owed)) {
      best = node;
      best_yields = node_yields;
      best_owed = is_owed;
    }
  }
  return best;
}

// An instance that refused or failed somebody, and has taken nobody since, is asked by those whom nobody refused or failed
// yet: were a few of those who were the ones no engine serves, they would otherwise be all it is ever asked.
bool Controller::State::yields(const RequestRecord& r, const InstanceRecord& i) const {
  return r.attempt != no_attempt && (i.refused || i.failed);
}

// The first of a model's queue. Those at its front that became late are moved out of the way of those that are not.
OrderForest::Index Controller::State::first_of(ModelId id) {
  ModelQueue& queue = models[id.index()].queue;
  for (;;) {
    const OrderForest::Index node = queue.first(forest);
    if (node == OrderForest::none) return node;
    if (!became_late(id, node)) return node;
  }
}

// Then it is moved.
bool Controller::State::became_late(ModelId id, OrderForest::Index node) {
  RequestRecord& r = requests[forest.payload(node)];
  if (!traits(configuration->policy).late_last || r.place.late || now <= r.latest_start) return false;
  ModelQueue& queue = models[id.index()].queue;
  if (queue.phase(forest, r.place, node) == ModelQueue::Phase::kept) models[id.index()].demand.kept_late += seconds(work_of(r));
  waits_within_part(r, false);
  r.node = queue.make_late(forest, r.place.group, node, r.request.prompt);
  r.place.late = true;
  return true;
}

// The same, but for those that are owed a share.
OrderForest::Index Controller::State::first_to_serve(ModelId id) {
  find_owed(id);
  const std::vector<OrderForest::Index>& owed = models[id.index()].shares.first;
  return owed.empty() ? first_of(id) : owed.front();
}

// Who is served after it, if first_to_serve() is asked now: whoever else is owed something, then the order without those.
OrderForest::Index Controller::State::following(ModelId id, OrderForest::Index node) {
  const ModelRecord& m = models[id.index()];
  const std::vector<OrderForest::Index>& owed = m.shares.first;
  const auto next = [&](OrderForest::Index at) { return m.queue.next(forest, requests[forest.payload(at)].place, at); };
  const auto at = std::ranges::find(owed, node);
  if (at != owed.end() && at + 1 != owed.end()) return *(at + 1);
  OrderForest::Index after = at != owed.end() ? first_of(id) : next(node);
  while (after != OrderForest::none && std::ranges::find(owed, after) != owed.end()) after = next(after);
  return after;
}

bool Controller::State::sooner(OrderForest::Index a, OrderForest::Index b) const {
  const RequestRecord& x = requests[forest.payload(a)];
  const RequestRecord& y = requests[forest.payload(b)];
  const auto phase_x = models[x.request.model.index()].queue.phase(forest, x.place, a);
  const auto phase_y = models[y.request.model.index()].queue.phase(forest, y.place, b);
  return phase_x != phase_y ? phase_x < phase_y : forest.before(a, b);
}

void Controller::State::serve(ModelId id) {
  ModelRecord& m = model(id);
  OrderForest::Index node = first_to_serve(id);
  // Until no instance is left that looks further: one that some avoid and others give way at has seen both numbers.
  for (int avoiding = 0, yielding = 0; node != OrderForest::none && avoiding <= bypass_max && yielding <= bypass_max + yield_max;) {
    const Index index = forest.payload(node);
    const RequestRecord& r = requests[index];
    if (resting(r)) {
      node = following(id, node);
      continue;
    }
    with_room.clear();
    bool avoided = false, gives_way = false;
    for (InstanceId candidate : m.instances) {
      InstanceRecord& i = instances[candidate.index()];
      if (!may_use(r, i)) {
        avoided = true;
        continue;
      }
      if (held(r, i) || (yields(r, i) && front(i) != node)) {
        gives_way = true;
        continue;
      }
      if (!has_room(i, memory_at_start(r.request))) {
        if (available(i)) i.governor.note_full();
        continue;
      }
      if (front(i) == node) with_room.push_back(candidate);
    }
    const OrderForest::Index after = following(id, node);
    if (!with_room.empty()) {
      const InstanceChoice choice = choose_instance_for(r);
      dispatch(index, instances[with_room[choice.index].index()], choice.why);
      node = m.shares.passing_over ? first_to_serve(id) : after;  // who is owed something may be another now
      continue;
    }
    if (gives_way) {
      ++yielding;
    } else if (avoided) {
      ++avoiding;  // it waits for another instance; others need not wait for it
    } else {
      return;
    }
    node = after;
  }
}

void Controller::State::serve(InstanceId id) {
  for (;;) {
    InstanceRecord* i = instance(id);
    if (!i || !available(*i)) return;
    const OrderForest::Index best = front(*i);
    if (best == OrderForest::none) return;
    if (!has_room(*i, memory_at_start(requests[forest.payload(best)].request))) {
      i->governor.note_full();
      return;
    }
    dispatch(forest.payload(with_prefix(*i, best)), *i, ChosenFor::asked);
  }
}

// A request at the front may wait for memory or for another instance, and keep those behind it waiting: when it leaves,
// or may go elsewhere, instances with room have to look at the queue again. Done at the end of the event, when all is told.
void Controller::State::look_again(ModelId id) {
  ModelRecord& m = model(id);
  if (m.look_again) return;
  m.look_again = true;
  changed_queues.push_back(id);
}

// It may take more than before, or others go first there: one of them may fit where the first one did not.
void Controller::State::look_again(const InstanceRecord& i) {
  for (ModelId m : i.description.models) look_again(m);
}

void Controller::State::serve_changed_queues() {
  while (!changed_queues.empty()) {
    const ModelId id = changed_queues.back();
    changed_queues.pop_back();
    model(id).look_again = false;
    for (InstanceId i : model(id).instances) {
      if (totals.queued > 0 && has_room(instances[i.index()], Tokens{0})) serve(i);
    }
  }
}

void Controller::State::serve_all() {
  for (std::size_t id = 0; id < models.size(); ++id) serve(ModelId{static_cast<std::uint32_t>(id)});
}

void Controller::State::dispatch(Index index, InstanceRecord& i, ChosenFor because) {
  RequestRecord& r = requests[index];
  const Tokens cached = cached_at(r, i);
  prefix_sent(r, i, cached);
  score(r, WaitCalibration::End::dispatched);
  const LedgerEntry::Charge charged = charge(model(r.request.model), r, model(r.request.model).queue.phase(forest, r.place, r.node));
  dequeue(index);
  r.state = RequestState::dispatched;
  r.attempt = Attempt{static_cast<std::uint8_t>(r.attempt.value + 1)};
  r.instance = i.description.id;
  r.aborting.reset();
  ++totals.in_flight;
  ModelRecord& m = model(r.request.model);
  account_busy(m, +1);

  const Ledger::Account before = ledger.account(i.description.id);
  if (before.watched == 0) progressed(i);
  if (const Duration wait = gathering(i); wait > Duration{} && i.gate_opened != now) {
    i.gate_opened = now;
    wake(i, add(now, wait));
  }
  const ResumeLevel resume = resume_level(r, i);
  const auto entry = ledger.open({.key = {r.request.id, r.attempt},
                                  .instance = i.description.id,
                                  .model = r.request.model,
                                  .resume = resume,
                                  .prompt = r.request.prompt,
                                  .longest = r.request.max_output.value_or(unbounded),
                                  .cached = cached,
                                  .kept = r.kept,
                                  .kv = memory_at_start(r.request),
                                  .charge = charged,
                                  .dispatched = now,
                                  .last_progress = now});
  work_left(ledger[entry], expected_work(m, r.work));
  if (!m.queue.empty()) m.pace.dispatched(seconds(m.in_flight_work));
  account_busy(i, before.slots);
  record({.decision = Decision::dispatched,
          .request = r.request.id,
          .instance = i.description.id,
          .attempt = r.attempt,
          .count = m.queue.count(),
          .limit = capacity(i),
          .because = because,
          .cached = cached});
  emit(action::Dispatch{{r.request.id, r.attempt}, i.description.id, cached, resume});
}

}  // namespace qlm

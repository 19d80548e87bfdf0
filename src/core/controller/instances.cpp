// Instances come, go, fail and return: breakers, the stall watchdog, limits, shares and plans.
#include <algorithm>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {

void Controller::State::wake(InstanceRecord& i, Instant when) {
  const auto handle = i.description.id.value;
  if (when < instance_timers.when(handle)) instance_timers.set(handle, when);
}

void Controller::State::link_models(InstanceId id, const std::vector<ModelId>& former,
                                    const std::vector<ModelId>& now_served) {
  for (ModelId m : former) std::erase(model(m).instances, id);
  for (ModelId m : now_served) {
    std::vector<InstanceId>& list = model(m).instances;
    const auto place = std::ranges::lower_bound(list, id);
    if (place == list.end() || *place != id) list.insert(place, id);
  }
  for (ModelId m : former) availability_changed(m);
  for (ModelId m : now_served) availability_changed(m);
  for (ModelId m : former) refresh_engine(m);
  for (ModelId m : now_served) refresh_engine(m);
}

void Controller::State::availability_changed(ModelId id) {
  ModelRecord& m = model(id);
  const auto is_available = [&](InstanceId i) { return available(instances[i.index()]); };
  const bool served = std::ranges::any_of(m.instances, is_available) || std::ranges::any_of(m.homes, [&](InstanceId i) { return can_serve(instances[i.index()], id); });
  if (served) {
    m.unserved_since = never;
  } else if (m.unserved_since == never) {
    m.unserved_since = now;
  }
  refresh_capacity(m);
  look_again(id);  // what waited for another instance may have to take this one after all
}

void Controller::State::on(const event::InstanceJoined& e) {
  const InstanceId id = e.instance.id;
  if (id.index() >= instances.size()) instances.resize(id.index() + 1);
  InstanceRecord& i = instances[id.index()];
  if (i.present) {
    on(event::InstanceChanged{e.instance});
    return;
  }
  i = InstanceRecord{.hand = i.hand};
  i.present = true;
  i.description = e.instance;
  i.last_progress = now;
  i.busy_from = now;
  describe_residency(i);
  i.governor.describe(i.description, configuration->dispatch);
  link_models(id, {}, i.description.models);
  if (i.hand.pin) wake(i, now);
  if (ledger.account(id).first != Ledger::none) wake(i, now);  // it was here before, and something of then is open
  serve(id);
}

void Controller::State::on(const event::InstanceChanged& e) {
  InstanceRecord* i = instance(e.instance.id);
  if (!i) return;
  const std::vector<ModelId> former = i->description.models;
  forget_residency(*i);
  i->description = e.instance;
  describe_residency(*i);
  i->governor.describe(i->description, configuration->dispatch);
  link_models(e.instance.id, former, i->description.models);
  serve(e.instance.id);
}

void Controller::State::on(const event::InstanceLeft& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i) return;
  abort_attempts(*i, action::AbortWhy::instance_down, false);
  i->present = false;
  instance_timers.clear(e.instance.value);
  forget_residency(*i);
  const std::vector<ModelId> former = i->description.models;
  link_models(e.instance, former, {});
}

void Controller::State::limit_changed(InstanceRecord& i, Governor::Change change) {
  if (change == Governor::Change::none) return;
  record({.decision = change == Governor::Change::raised ? Decision::limit_raised : Decision::limit_lowered,
          .instance = i.description.id,
          .limit = i.governor.limit()});
  if (change == Governor::Change::raised) look_again(i);
}

void Controller::State::on(const event::StatsRead& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i) return;
  i->stats_at = now;
  limit_changed(*i, i->governor.on_stats(e.stats, now, ledger.account(e.instance).slots, configuration->dispatch));
}

void Controller::State::on(const event::Share& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i) return;
  i->share = std::max(0, e.slots);
  i->share_until = e.until;
  wake(*i, e.until);
  serve(e.instance);
}

// -- breaker

// Only a whole answer wipes failures out: an engine that breaks every stream off in its middle does begin them all.
void Controller::State::instance_worked(InstanceRecord& i) {
  i.failures = 0;
  if (std::exchange(i.failed, std::nullopt)) look_again(i);
  i.pause = Duration{};
  close_breaker(i);
}

// Somebody was: a first token, or a whole answer.
void Controller::State::taken(InstanceRecord& i, Attempt attempt) {
  const bool lets_on = attempt != first_attempt && now < i.hold_tried_until;
  if (std::exchange(i.refused, std::nullopt) || lets_on) look_again(i);
  if (lets_on) i.hold_tried_until = Instant::min();
}

// A first token is enough to be given work again; what comes of it decides how long the next pause is.
void Controller::State::close_breaker(InstanceRecord& i) {
  if (i.breaker != BreakerState::half_open) return;
  i.breaker = BreakerState::closed;
  record({.decision = Decision::breaker_closed, .instance = i.description.id});
  emit(action::BreakerChanged{.instance = i.description.id, .to = BreakerState::closed});
  look_again(i);
}

// A request that fails twice in a row says less about the instance than about itself: whether the engine is there is
// asked at once instead, and the request rests meanwhile.
void Controller::State::instance_failed(InstanceRecord& i, RequestId request) {
  const bool another = i.failed != request;
  if (!std::exchange(i.failed, request)) look_again(i);
  if (another) {
    ++i.failures;
    if (i.breaker == BreakerState::half_open || i.failures >= configuration->dispatch.failures_to_open) {
      if (i.breaker != BreakerState::open) open_breaker(i, BreakerCause::attempts_failed);
    }
  }
  if (i.breaker != BreakerState::open) ask_probe(i, false);
}

void Controller::State::open_breaker(InstanceRecord& i, BreakerCause cause) {
  const DispatchParameters& d = configuration->dispatch;
  if (i.breaker != BreakerState::open) {  // one that stays open is no news
    const int in_flight = ledger.account(i.description.id).slots;
    emit(action::BreakerChanged{i.description.id, BreakerState::open, cause, cause == BreakerCause::stalled ? in_flight : i.failures});
  }
  i.breaker = BreakerState::open;
  i.prefixes.index.clear();  // it may have been started anew
  i.retrying = false;
  i.pause = i.pause == Duration{} ? d.breaker_pause : std::min(i.pause * 2, d.breaker_pause_max);
  i.retry_at = add(now, i.pause);
  wake(i, i.retry_at);
  record({.decision = Decision::breaker_opened, .instance = i.description.id, .count = i.failures});
  for (ModelId m : i.description.models) availability_changed(m);
  for (const HeldModel& h : i.description.holds) availability_changed(h.model);
}

void Controller::State::abort_attempts(InstanceRecord& i, action::AbortWhy why, bool streaming_too) {
  for (auto at = ledger.account(i.description.id).first; at != Ledger::none; at = ledger[at].next) {
    const LedgerEntry& entry = ledger[at];
    if (entry.ended || entry.state == LedgerEntry::State::aborting) continue;
    if (entry.state == LedgerEntry::State::running && !streaming_too) continue;
    const auto index = find(entry.key.request);
    if (index && requests[*index].attempt == entry.key.attempt) ask_abort(*index, why);
  }
}

void Controller::State::ask_probe(InstanceRecord& i, bool retrying) {
  i.retrying = i.retrying || retrying;
  if (i.probing) return;
  i.probing = true;
  emit(action::Probe{i.description.id});
}

void Controller::State::on(const event::ProbeAnswered& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i) return;
  i->probing = false;
  // One asked before the breaker opened says nothing new.
  const bool pause_over = std::exchange(i->retrying, false);

  // It answered, or it is gone: either way nobody works on what we aborted long ago.
  bool reclaimed = false;
  for (auto at = ledger.account(e.instance).first; at != Ledger::none;) {
    const auto following = ledger[at].next;
    if (ledger[at].ended && ledger[at].slot_held && ledger[at].release_by <= now) {
      record({.decision = Decision::slot_reclaimed,
              .request = ledger[at].key.request,
              .instance = e.instance,
              .attempt = ledger[at].key.attempt});
      const int before = ledger.account(e.instance).slots;
      ledger.release_slot(at);
      account_busy(*i, before);
      reclaimed = true;
    }
    at = following;
  }
  if (reclaimed) slot_closed(*i);

  if (!e.healthy) {
    ++i->failures;
    if (i->breaker != BreakerState::open || pause_over) open_breaker(*i, BreakerCause::health_check_failed);
    abort_attempts(*i, action::AbortWhy::instance_down, false);
    return;
  }
  if (i->breaker == BreakerState::open && pause_over) {
    i->breaker = BreakerState::half_open;
    i->stalled = false;
    i->failures = 0;
    i->retry_at = never;
    record({.decision = Decision::breaker_half_opened, .instance = e.instance});
    for (ModelId m : i->description.models) availability_changed(m);
    for (const HeldModel& h : i->description.holds) availability_changed(h.model);
    serve(e.instance);
  } else if (reclaimed) {
    serve(e.instance);
  }
}

// -- the stall watchdog (architecture, section 8)

Duration Controller::State::stall_limit(const InstanceRecord& i) const {
  const DispatchParameters& d = configuration->dispatch;
  if (i.completions < 3) return d.stall_unlearned;
  Tokens starting{0};
  for (auto at = ledger.account(i.description.id).first; at != Ledger::none; at = ledger[at].next) {
    if (ledger[at].state == LedgerEntry::State::queued_at_engine) starting += ledger[at].prompt;
  }
  // A prefill shows no token for as long as it takes: what is starting may take what starts have taken so far, by
  // their slowest.
  const Duration starts = starting.count == 0 ? Duration{}
                                              : std::max(i.first_token_max, i.prefill_per_token_max * starting.count);
  return std::max({d.stall_floor, i.step * 20, starts * 2});
}

// What it may take until the next token changes with every one: looked at as early as it can be.
void Controller::State::progressed(InstanceRecord& i) {
  i.last_progress = now;
  wake(i, add(now, configuration->dispatch.stall_floor));
}

void Controller::State::run_instance_timers() {
  while (!instance_timers.empty() && instance_timers.earliest() <= now) {
    const InstanceId id{instance_timers.top()};
    instance_timers.clear(id.value);
    if (InstanceRecord* i = instance(id)) evaluate(*i);
  }
}

void Controller::State::evaluate(InstanceRecord& i) {
  const InstanceId id = i.description.id;
  bool overdue = false;
  Instant next = never;
  for (auto at = ledger.account(id).first; at != Ledger::none; at = ledger[at].next) {
    const LedgerEntry& entry = ledger[at];
    if (entry.ended && entry.slot_held) {
      if (entry.release_by <= now) overdue = true;
      else next = std::min(next, entry.release_by);
    }
  }
  if (ledger.account(id).watched > 0 && !i.stalled) {
    const Instant due = add(i.last_progress, stall_limit(i));
    if (due <= now) {
      i.stalled = true;
      record({.decision = Decision::stalled, .instance = id, .count = ledger.account(id).slots});
      open_breaker(i, BreakerCause::stalled);
      abort_attempts(i, action::AbortWhy::stalled, true);
    } else {
      next = std::min(next, due);
    }
  }
  if (overdue) ask_probe(i, false);
  if (i.breaker == BreakerState::open) {
    if (i.retry_at <= now) {
      i.retry_at = add(now, configuration->dispatch.breaker_pause_max);  // asked again if no answer comes
      i.probing = false;
      ask_probe(i, true);
    }
    next = std::min(next, i.retry_at);
  }
  if (const Instant opens = add(i.gate_opened, gathering(i)); i.gate_opened != Instant::min() && opens > now) next = std::min(next, opens);
  if (i.hold_until > now) next = std::min(next, i.hold_until);
  if (i.hold_tried_until > now) next = std::min(next, i.hold_tried_until);
  if (i.share && i.share_until > now) next = std::min(next, i.share_until);
  if (overdue) next = std::min(next, add(now, configuration->dispatch.release_timeout));
  if (pinned(i)) next = std::min(next, i.hand.pinned_until);
  if (next != never) wake(i, next);
  bring_in_pinned(i);
  fill(i);
  serve(id);
}

}  // namespace qlm

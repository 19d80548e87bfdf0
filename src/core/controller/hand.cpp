// What an operator says of instances: no new work for one, a model that it is to serve, no swaps for a while.
#include <algorithm>

#include "core/controller/state.hpp"

namespace qlm {

// -- no new work

void Controller::State::on(const event::Cordoned& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i || i->hand.cordoned == e.cordoned) return;
  const bool empty = ledger.account(e.instance).first == Ledger::none;
  i->hand.cordoned = e.cordoned;
  i->hand.drains = e.cordoned && !empty;
  record({.decision = e.cordoned ? Decision::cordoned : Decision::uncordoned, .instance = e.instance, .count = ledger.account(e.instance).slots});
  if (e.cordoned && empty) record({.decision = Decision::drained, .instance = e.instance});
  for (const ModelId m : i->description.models) availability_changed(m);
  for (const HeldModel& h : i->description.holds) availability_changed(h.model);
  if (e.cordoned) return;
  wake(*i, now);  // an empty one looks for what to be
  residency_at = now;
  serve(e.instance);
}

void Controller::State::slot_closed(InstanceRecord& i) {
  const InstanceId id = i.description.id;
  if (i.hand.drains && ledger.account(id).first == Ledger::none) {
    i.hand.drains = false;
    record({.decision = Decision::drained, .instance = id});
  }
  swap_when_empty(i);
}

// -- which model

std::optional<ModelId> Controller::State::pinned(const InstanceRecord& i) const { return now < i.hand.pinned_until ? i.hand.pin : std::nullopt; }

// Whether the operator lets it be brought in there. An empty instance may be given anything.
bool Controller::State::may_come(const InstanceRecord& i, ModelId id) const {
  if (const auto pin = pinned(i)) return id == *pin;
  return now >= swaps_allowed_at || !i.residency.resident;
}

void Controller::State::on(const event::Pinned& e) {
  InstanceRecord* i = instance(e.instance);
  if (!i || std::ranges::find(i->description.holds, e.model, &HeldModel::model) == i->description.holds.end()) return;
  const bool once = e.until <= now;
  i->hand.pin = e.model;
  i->hand.pinned_until = once ? never : e.until;
  i->hand.once = once;
  record({.decision = Decision::pinned, .instance = e.instance, .model = e.model});
  if (i->residency.next != e.model) call_off_swap(*i);
  if (once && i->residency.resident == e.model && !i->residency.next) i->hand.pinned_until = Instant::min();  // it is there
  if (!once) wake(*i, e.until);
  bring_in_pinned(*i);
}

// Though swaps are forbidden, and though it is cordoned: the operator said so.
void Controller::State::bring_in_pinned(InstanceRecord& i) {
  const auto pin = pinned(i);
  if (!pin || !well(i) || i.residency.next || i.residency.resident == pin || !can_come(i, *pin)) return;
  leave_for(i, *pin);
}

void Controller::State::on(const event::SwapsForbidden& e) {
  swaps_allowed_at = e.until;
  residency_at = now;
  record({.decision = Decision::swaps_forbidden, .count = e.until <= now ? 0 : (e.until - now) / 1s});
  for (InstanceRecord& i : instances) {
    if (i.present && i.residency.next && !may_come(i, *i.residency.next)) call_off_swap(i);
  }
}

// One that was decided and has not begun: what is there stays, and is given work again.
void Controller::State::call_off_swap(InstanceRecord& i) {
  if (!i.residency.next || i.residency.asked) return;
  const InstanceId id = i.description.id;
  record({.decision = Decision::swap_called_off, .instance = id, .model = i.residency.next});
  i.residency.next.reset();
  be(i, i.residency.resident);
  link_models(id, {}, i.description.models);
  wake(i, now);
  serve(id);
}

}  // namespace qlm

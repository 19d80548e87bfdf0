// Answers about the queue, and the checks that tests run after every step.
#include <algorithm>
#include <cmath>
#include <string>

#include "core/controller/state.hpp"

namespace qlm {

std::optional<RequestView> Controller::request(RequestId id, Instant) const {
  const State& s = *state_;
  const auto index = s.find(id);
  if (!index) return std::nullopt;
  const RequestRecord& r = s.requests[*index];
  RequestView view{.id = id,
                   .state = r.state,
                   .model = r.request.model,
                   .service_class = r.request.service_class,
                   .tenant = r.request.tenant,
                   .arrived = r.arrived,
                   .deadline = r.deadline,
                   .attempt = r.attempt,
                   .instance = r.instance,
                   .position = std::nullopt,
                   .tokens_ahead = std::nullopt,
                   .wait = std::nullopt,
                   .rests_until = r.rests_until};
  if (r.node != OrderForest::none) {
    const auto ahead = s.models[r.request.model.index()].queue.ahead(s.forest, r.place, r.node);
    view.position = ahead.count;
    view.tokens_ahead = ahead.tokens;
    view.wait = s.wait_of(r);
  }
  return view;
}

std::vector<RequestView> Controller::requests(std::size_t most, Instant now) const {
  const State& s = *state_;
  std::vector<RequestId> ids;
  for (State::Index index = 0; index < s.requests.end(); ++index) {
    if (s.requests[index].live) ids.push_back(s.requests[index].request.id);
  }
  most = std::min(most, ids.size());
  std::ranges::partial_sort(ids, ids.begin() + static_cast<std::ptrdiff_t>(most), {}, &RequestId::value);
  std::vector<RequestView> views;
  for (std::size_t k = 0; k < most; ++k) views.push_back(*request(ids[k], now));
  return views;
}

std::vector<TenantView> Controller::tenants() const {
  std::vector<TenantView> views;
  for (std::uint32_t t = 0; t < state_->tenants.size(); ++t) {
    const TenantRecord& tenant = state_->tenants[t];
    views.push_back({TenantId{t}, tenant.in_system, tenant.queued, tenant.queued_bytes});
  }
  return views;
}

std::optional<Instant> Controller::swaps_forbidden_until() const {
  return state_->now < state_->swaps_allowed_at ? std::optional(state_->swaps_allowed_at) : std::nullopt;
}

std::vector<InstanceView> Controller::instances() const {
  const State& s = *state_;
  std::vector<InstanceView> views;
  for (const InstanceRecord& i : s.instances) {
    if (!i.present) continue;
    const Ledger::Account& account = s.ledger.account(i.description.id);
    views.push_back({.id = i.description.id,
                     .name = i.description.name,
                     .breaker = i.breaker,
                     .available = s.available(i),
                     .stalled = i.stalled,
                     .cordoned = i.hand.cordoned,
                     .serves = i.description.models,
                     .holds = {},
                     .next = i.residency.next,
                     .pinned = s.pinned(i),
                     .pinned_until = i.hand.pinned_until,
                     .in_flight = account.slots,
                     .running = account.running,
                     .limit = i.governor.limit(),
                     .allowance = i.governor.allowance(),
                     .busy = i.busy + (account.slots > 0 ? s.now - i.busy_from : Duration{}),
                     .stats_at = i.stats_at});
    for (const HeldModel& held : i.description.holds) views.back().holds.push_back(held.model);
  }
  return views;
}

std::vector<QueueView> Controller::queues() const {
  const State& s = *state_;
  std::vector<QueueView> views;
  const std::size_t classes = s.configuration->classes.size();
  std::vector<QueueView> of_model(classes);
  for (std::size_t m = 0; m < s.models.size(); ++m) {
    std::ranges::fill(of_model, QueueView{});
    for (const ModelQueue::Group& group : s.models[m].queue.groups()) {
      QueueView& view = of_model[group.key.service_class.index()];
      view.requests += s.forest.count(group.tree) + s.forest.count(group.late);
      view.tokens += s.forest.tokens(group.tree) + s.forest.tokens(group.late);
    }
    for (std::size_t c = 0; c < classes; ++c) {
      if (of_model[c].requests == 0) continue;
      of_model[c].model = ModelId{static_cast<std::uint32_t>(m)};
      of_model[c].service_class = ClassId{static_cast<std::uint32_t>(c)};
      views.push_back(of_model[c]);
    }
  }
  return views;
}

Totals Controller::totals() const { return state_->totals; }
Policy Controller::policy() const { return state_->configuration->policy; }

std::vector<ExplainRecord> Controller::recent(std::size_t count) const {
  const State& s = *state_;
  const std::size_t held = s.ring_wrapped ? s.ring.size() : s.ring_next;
  const std::size_t wanted = std::min(count, held);
  std::vector<ExplainRecord> records;
  records.reserve(wanted);
  for (std::size_t k = wanted; k > 0; --k) {
    records.push_back(s.ring[(s.ring_next + s.ring.size() - k) % s.ring.size()]);
  }
  return records;
}

std::vector<ExplainRecord> Controller::explain(RequestId id) const {
  const State& s = *state_;
  const std::size_t held = s.ring_wrapped ? s.ring.size() : s.ring_next;
  std::vector<ExplainRecord> records;
  // Back from the newest; a request's first record ends the search.
  for (std::size_t k = 1; k <= held; ++k) {
    const ExplainRecord& record = s.ring[(s.ring_next + s.ring.size() - k) % s.ring.size()];
    if (record.request != id) continue;
    records.push_back(record);
    if (record.decision == Decision::admitted || record.decision == Decision::rejected) break;
  }
  std::ranges::reverse(records);
  return records;
}

std::optional<WaitEstimate> Controller::estimate(ModelId model) const {
  const State& s = *state_;
  if (s.any_room(model)) return WaitEstimate{};
  return s.estimate_last(model);
}

bool Controller::drained() const { return state_->draining && state_->by_id.size() == 0; }

std::uint64_t Controller::digest() const {
  const State& s = *state_;
  std::uint64_t d = s.digest;
  for (std::int64_t part : {s.totals.queued, s.totals.in_flight, s.totals.completed, s.totals.rejected,
                            s.totals.cancelled, s.totals.expired, s.totals.failed}) {
    d = (d ^ static_cast<std::uint64_t>(part)) * 0x100000001b3ULL;
  }
  return d;
}

std::string Controller::check_invariants() const {
  const State& s = *state_;
  const auto broken = [](const std::string& what, std::uint64_t id) { return what + " (id " + std::to_string(id) + ")"; };

  std::int64_t queued = 0, in_flight = 0, live = 0, in_trees = 0;
  Bytes bytes{0};
  for (State::Index index = 0; index < s.requests.end(); ++index) {
    const RequestRecord& r = s.requests[index];
    if (!r.live) continue;
    ++live;
    const std::uint64_t id = r.request.id.value;
    if (s.by_id.find(id) != index) return broken("a live request is not found by its id", id);
    const bool has_node = r.node != OrderForest::none;
    switch (r.state) {
      case RequestState::persisting:
      case RequestState::queued:
        ++queued;
        bytes += r.request.body;
        if (has_node != (r.state == RequestState::queued)) return broken("in the wrong queue for its state", id);
        if (has_node && s.forest.payload(r.node) != index) return broken("its queue node is another's", id);
        break;
      case RequestState::dispatched:
      case RequestState::streaming: {
        ++in_flight;
        if (has_node) return broken("queued and in flight at once", id);
        if (r.attempt == no_attempt || !r.instance) return broken("in flight without an attempt", id);
        break;
      }
      case RequestState::publishing: break;
      case RequestState::finished: return broken("finished but alive", id);
    }
  }
  if (static_cast<std::size_t>(live) != s.by_id.size()) return "ids and live requests differ in number";
  // Not a number is within nothing.
  const auto off = [](const auto& admission) {
    return !(admission.admitted >= 0 && admission.admitted < 1.001 && admission.credit >= 0 && admission.credit < 1.001);
  };
  for (const ModelRecord& m : s.models) {
    for (std::size_t g = 0; g < m.queue.groups().size(); ++g) {
      if (off(m.queue.groups()[g])) return broken("no part of a group that could be admitted", g);
    }
    for (std::size_t k = 0; k < m.demand.tenants.size(); ++k) {
      std::int64_t waiting = 0;
      if (!std::isfinite(m.demand.tenants[k].lead)) return broken("a tenant's lead is not a number", k);
      for (const auto& cell : m.demand.tenants[k].cells) {
        if (off(cell)) return broken("no part of a tenant's requests that could be admitted", k);
        for (auto bin = cell.waiting.lower_bound(cell.kept_from); bin != cell.waiting.end(); ++bin) waiting += bin->second;
      }
      if (waiting != m.demand.tenants[k].waiting) return broken("what is kept of a tenant is miscounted", k);
    }
  }
  if (queued != s.totals.queued) return "queued requests are miscounted";
  if (bytes != s.totals.queued_bytes) return "queued bytes are miscounted";
  if (in_flight != s.totals.in_flight) return "requests in flight are miscounted";
  const Totals& t = s.totals;
  if (t.arrived != live + t.completed + t.rejected + t.cancelled + t.expired + t.failed) {
    return "a request was lost or ended twice";
  }
  for (const ModelRecord& m : s.models) in_trees += m.queue.count();
  if (in_trees > queued) return "more requests in the queues than queued";

  std::size_t entries = 0;
  for (std::size_t k = 0; k < s.instances.size(); ++k) {
    const InstanceId id{static_cast<std::uint32_t>(k)};
    const Ledger::Account& account = s.ledger.account(id);
    int slots = 0, running = 0, watched = 0;
    Tokens kv{0};
    for (auto at = account.first; at != Ledger::none; at = s.ledger[at].next) {
      const LedgerEntry& entry = s.ledger[at];
      ++entries;
      if (entry.ended && !entry.slot_held) return broken("a closed ledger entry is still there", entry.key.request.value);
      slots += entry.slot_held ? 1 : 0;
      running += entry.state == LedgerEntry::State::running ? 1 : 0;
      const bool active = entry.state == LedgerEntry::State::running || entry.state == LedgerEntry::State::queued_at_engine;
      watched += active && entry.streamed ? 1 : 0;
      if (entry.slot_held) kv += entry.kv;
      const bool timed = entry.ended && entry.slot_held && s.instances[k].present;
      if (timed && s.instance_timers.when(id.value) == never) return broken("a slot nobody will ask for", k);
    }
    if (const InstanceRecord& i = s.instances[k]; i.present && !i.description.holds.empty()) {
      const std::optional<ModelId> served = i.residency.next ? std::nullopt : i.residency.resident;
      const std::vector<ModelId>& models = i.description.models;
      if (served ? models != std::vector{*served} : !models.empty()) return broken("serves another model than the one that is there", k);
      if (i.residency.asked && (!i.residency.next || account.first != Ledger::none)) return broken("is being swapped with work in flight", k);
    }
    if (slots != account.slots || running != account.running || watched != account.watched || kv != account.kv) {
      return broken("the ledger's sums are wrong at an instance", k);
    }
  }
  if (entries != s.ledger.size()) return "ledger entries belong to no instance";
  return {};
}

}  // namespace qlm

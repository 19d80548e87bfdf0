// Which model is served where, of instances that hold several: when one is left and for which, its drain and the eviction
// of what would drain too long, the asking for a swap (residents.cpp has what comes of it), and plans, their asking and
// their carrying out. What a rule or a plan says comes from core/plan; here it is put into practice.
#include <algorithm>
#include <array>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr Duration look_interval = 500ms;
constexpr Duration plan_interval = 2s;
constexpr Duration plan_stale = 10s;       // a plan so old is not followed any more
constexpr Duration answer_patience = 30s;  // for a plan
constexpr int cells_a_group = 48;
constexpr double learning = 0.25;          // of the newest drain or swap
constexpr double typical_drain = 2.5;      // residences, before one was seen

// What an instance would do of a model it holds; the model's speed there must be known.
EngineLoad full_load_of(const HeldModel& held, const InstanceRecord& i, const ModelRecord& m) {
  const double kv = held.kv_capacity ? static_cast<double>(held.kv_capacity->count) : 0;
  return full_load(*held.speed, held.slots.value_or(i.governor.limit()), kv, m.mean_prompt(), m.mean_output());
}

}  // namespace

// -- what an instance holds

void Controller::State::describe_residency(InstanceRecord& i) {
  InstanceDescription& d = i.description;
  if (d.holds.empty()) return;
  ++holders;
  for (const HeldModel& held : d.holds) {
    std::vector<InstanceId>& homes = model(held.model).homes;
    const auto place = std::ranges::lower_bound(homes, d.id);
    if (place == homes.end() || *place != d.id) homes.insert(place, d.id);
  }
  i.residency = {};
  i.residency.came = now;
  be(i, d.models.empty() ? std::nullopt : std::optional(d.models.front()));
  if (d.coming) {
    i.residency.next = d.coming;
    i.residency.asked = true;
    i.residency.asked_at = now;
  } else if (!i.residency.resident) {
    wake(i, now);
  }
  for (const HeldModel& held : d.holds) {
    availability_changed(held.model);
    refresh_engine(held.model);
  }
}

void Controller::State::forget_residency(InstanceRecord& i) {
  if (i.description.holds.empty()) return;
  --holders;
  for (const HeldModel& held : i.description.holds) std::erase(model(held.model).homes, i.description.id);
  for (const HeldModel& held : i.description.holds) availability_changed(held.model);
  i.residency = {};
}

// The description becomes that of an instance with that model alone.
void Controller::State::be(InstanceRecord& i, std::optional<ModelId> resident) {
  InstanceDescription& d = i.description;
  i.residency.resident.reset();
  d.models.clear();
  i.prefixes.index.clear();
  const auto held = std::ranges::find_if(d.holds, [&](const HeldModel& h) { return h.model == resident; });
  if (held == d.holds.end()) return;
  i.residency.resident = resident;
  d.models = {held->model};
  d.speed = held->speed;
  d.slots = held->slots;
  d.kv_capacity = held->kv_capacity;
  if (held->resume) d.resume = *held->resume;
  if (held->context_length) d.context_length = held->context_length;
}

Duration Controller::State::setup_time(const InstanceRecord& i, ModelId to) const {
  Duration described{};
  for (const HeldModel& held : i.description.holds) {
    if (held.model == to) described += held.to_come();
    if (held.model == i.residency.resident) described += held.put_away;
  }
  return duration_from_seconds(i.residency.setup_scale * seconds(described));
}

std::vector<ResidentSummary> Controller::State::residents(const InstanceRecord& i) const {
  std::vector<ResidentSummary> all;
  for (const HeldModel& held : i.description.holds) {
    if (held.model != i.residency.resident && !can_come(i, held.model)) continue;
    const ModelRecord& m = models[held.model.index()];
    const double scale = i.residency.setup_scale;
    ResidentSummary r{.model = held.model,
                      .drain = m.drain,
                      .put_away = duration_from_seconds(scale * seconds(held.put_away)),
                      .bring_in = duration_from_seconds(scale * seconds(held.to_come()))};
    if (held.speed) {
      const EngineLoad load = full_load_of(held, i, m);
      const double work = seconds(request_work(load, Tokens{static_cast<std::int64_t>(m.mean_prompt())}, m.mean_output()));
      r.per_second = 1 / work;
      r.residence = duration_from_seconds(work * load.batch);
    } else {
      r.per_second = 1 / seconds(m.unit);
      r.residence = duration_from_seconds(seconds(m.unit) * i.governor.limit());
    }
    if (r.drain == Duration{}) r.drain = duration_from_seconds(typical_drain * seconds(r.residence));
    all.push_back(r);
  }
  return all;
}

// A model that is nowhere now has no full engine: it is known by those that hold it.
void Controller::State::refresh_absent_engine(ModelRecord& m, ModelId id) {
  for (const InstanceId home : m.homes) {
    const InstanceRecord& i = instances[home.index()];
    for (const HeldModel& held : i.description.holds) {
      if (held.model == id && held.speed && !m.engine) m.engine = full_load_of(held, i, m);
    }
  }
}

// -- leaving, and coming

void Controller::State::leave_for(InstanceRecord& i, ModelId next) {
  const InstanceId id = i.description.id;
  i.residency.next = next;
  i.residency.asked = false;
  i.residency.decided = now;
  i.residency.draining = ledger.account(id).slots;
  record({.decision = Decision::swap_decided, .instance = id, .model = next, .count = i.residency.draining});
  const std::vector<ModelId> former = std::exchange(i.description.models, {});
  link_models(id, former, {});
  swap_when_empty(i);
}

// The last few of a drain would keep all the others' slots empty. Who cannot go on elsewhere is waited for.
void Controller::State::evict_rest(InstanceRecord& i) {
  const InstanceId id = i.description.id;
  for (auto at = ledger.account(id).first; at != Ledger::none; at = ledger[at].next) {
    const LedgerEntry& entry = ledger[at];
    if (entry.ended || entry.state == LedgerEntry::State::aborting) continue;
    const auto index = find(entry.key.request);
    if (!index || requests[*index].attempt != entry.key.attempt || !can_evict(requests[*index], entry)) continue;
    ask_abort(*index, action::AbortWhy::evicted);
  }
}

int Controller::State::unended(const InstanceRecord& i) const {
  int found = 0;
  for (auto at = ledger.account(i.description.id).first; at != Ledger::none; at = ledger[at].next) found += ledger[at].ended ? 0 : 1;
  return found;
}

// A slot is given back with its attempt's end or right after it. One that is not, when a swap waits for nothing else, keeps
// everybody waiting: it is asked for soon.
void Controller::State::hurry_releases(InstanceRecord& i) {
  if (!i.residency.next || unended(i) > 0) return;
  const Instant soon = add(now, configuration->dispatch.drained_release_timeout);
  for (auto at = ledger.account(i.description.id).first; at != Ledger::none; at = ledger[at].next) {
    ledger[at].release_by = std::min(ledger[at].release_by, soon);
    wake(i, ledger[at].release_by);
  }
}

void Controller::State::swap_when_empty(InstanceRecord& i) {
  InstanceRecord::Residency& residency = i.residency;
  if (!residency.next || residency.asked) return;
  if (ledger.account(i.description.id).first != Ledger::none) {
    const int running = unended(i);  // a slot may be given back before its attempt's end is told
    hurry_releases(i);
    // Where the order alone decides, who was evicted is first again, and would bring the model straight back. And who is
    // evicted makes room for more than they are, or a few of each model would be evicted in turns and none be done.
    const bool more_wait = model(*residency.next).queue.count() > running;
    if (more_wait && !i.hand.cordoned && running <= traits(configuration->policy).evicts_rest * i.governor.limit()) evict_rest(i);
    return;
  }
  residency.asked = true;
  residency.asked_at = now;
  totals.draining += now - residency.decided;
  // Of a full one: what it took when little ran says nothing about it.
  if (residency.resident && residency.draining * 2 > i.governor.limit()) {
    Duration& learned = model(*residency.resident).drain;
    const Duration took = std::max(Duration{1}, now - residency.decided);
    learned = learned == Duration{} ? took : learned + duration_from_seconds(learning * seconds(took - learned));
  }
  emit(action::Swap{i.description.id, *residency.next});
}

// -- what is known for a decision

// Those that are not late, or all where late ones are served as all others, cut by their place in the order, which is their latest start or deadline.
void Controller::State::add_groups(ModelId id, std::vector<GroupSummary>& to) const {
  const bool late_too = !traits(configuration->policy).late_last;
  for (const ModelQueue::Group& group : models[id.index()].queue.groups()) {
    const OrderForest::Tree& tree = group.tree;
    const std::int64_t count = forest.count(tree);
    const std::int64_t before = count == 0 || late_too ? 0 : forest.before(tree, {now.time_since_epoch().count(), 0}).count;
    if (before >= count) continue;
    const std::int64_t from = forest.key(forest.at_rank(tree, before)), last = forest.key(forest.at_rank(tree, count - 1));
    const std::int64_t step = std::max<std::int64_t>(std::chrono::nanoseconds(2s).count(), (last - from) / cells_a_group + 1);
    const double value = configuration->classes[group.key.service_class.index()].value;
    std::array<std::int64_t, cells_a_group> cells{};
    forest.histogram(tree, from, step, cells);
    for (std::int64_t edge = from; const std::int64_t here : cells) {
      const Duration due = Instant{Duration{std::min(edge + step / 2, last)}} - now;
      if (here > 0) {
        to.push_back({.model = id, .service_class = group.key.service_class, .value = value, .requests = here, .due = due, .first = Instant{Duration{edge}} - now});
      }
      edge += step;
    }
  }
}

Snapshot Controller::snapshot(Instant now) {
  State& s = *state_;
  s.snapshot_version = SnapshotVersion{s.snapshot_version.value + 1};
  Snapshot snapshot{.version = s.snapshot_version, .taken = std::max(now, s.now), .policy = s.configuration->policy, .delta = s.configuration->delta, .models = s.models.size(), .groups = {}, .streams = {}, .outputs = {}, .instances = {}};
  for (std::size_t k = 0; k < s.models.size(); ++k) {
    const ModelId id{static_cast<std::uint32_t>(k)};
    const ModelRecord& m = s.models[k];
    snapshot.outputs.push_back({m.mean_output(), m.output_deviation()});
    if (!s.planned(id)) continue;
    s.add_groups(id, snapshot.groups);
    if (m.demand.window <= 0) continue;
    for (const ModelQueue::Group& group : m.queue.groups()) {
      if (group.arrivals <= 0) continue;
      const ServiceClass& c = s.configuration->classes[group.key.service_class.index()];
      const Duration objective = std::min(c.slo.ttft.value_or(Duration::max()), c.slo.e2e.value_or(Duration::max()));
      const Duration margin = m.engine ? start_margin(*m.engine, Tokens{static_cast<std::int64_t>(m.mean_prompt())}, m.allowance) : Duration{};
      snapshot.streams.push_back({.model = id,
                                  .service_class = group.key.service_class,
                                  .value = c.value,
                                  .per_second = group.arrivals / m.demand.window,
                                  .slack = (objective == Duration::max() ? s.configuration->dispatch.default_deadline : objective) - margin});
    }
  }
  for (const InstanceRecord& i : s.instances) {
    if (!i.present || i.description.holds.empty()) continue;
    InstanceSummary of{.instance = i.description.id,
                       .in_flight = s.ledger.account(i.description.id).slots,
                       .limit = i.governor.limit(),
                       .available = s.available(i),
                       .resident = i.residency.next ? i.residency.next : i.residency.resident,
                       .free_at = {},
                       .holds = s.residents(i)};
    if (i.residency.next) {
      const Instant begins = i.residency.asked ? i.residency.asked_at
                                               : std::max(s.now, add(i.residency.decided, i.residency.resident ? s.models[i.residency.resident->index()].drain : Duration{}));
      of.free_at = std::max(Duration{}, add(begins, s.setup_time(i, *i.residency.next)) - snapshot.taken);
    }
    snapshot.instances.push_back(std::move(of));
  }
  return snapshot;
}

// -- deciding

void Controller::State::on(const event::PlanReady& e) {
  if (e.plan.made_from != planning.asked) {
    record({.decision = Decision::plan_dropped, .count = static_cast<std::int64_t>(e.plan.made_from.value)});
    return;
  }
  planning.asked.reset();
  planning.in_force = e.plan;
  planning.made = now;
  residency_at = now;
}

void Controller::State::on(const event::PlanFailed& e) {
  if (e.made_from == planning.asked) planning.asked.reset();
}

void Controller::State::ask_for_plan() {
  if (now < planning.at || (planning.asked && now < add(planning.asked_at, answer_patience))) return;
  planning.at = add(now, plan_interval);
  planning.asked = SnapshotVersion{snapshot_version.value + 1};  // the one that is taken now
  planning.asked_at = now;
  emit(action::StartPlanning{*planning.asked});
}

// The model whose visit is now; what it serves already, or none where no plan is in force.
std::optional<ModelId> Controller::State::planned_next(const InstanceRecord& i) const {
  const auto of = std::ranges::find(planning.in_force.instances, i.description.id, &Plan::Visits::instance);
  if (of == planning.in_force.instances.end()) return std::nullopt;
  for (const Plan::Visit& visit : of->visits) {
    // A plan of what waits, and not of what will come, goes on to the next visit where nobody is left.
    const bool over = traits(configuration->policy).paper_plans && models[visit.model.index()].queue.empty();
    if (now < visit.until && !over) return visit.model;
  }
  return std::nullopt;
}

// By model, who waits and who serves it.
std::vector<swap_rule::Demand> Controller::State::demand() {
  const bool by_due = traits(configuration->policy).swaps_for_on_time;
  std::vector<swap_rule::Demand> all(models.size());
  std::vector<OrderForest::Index> firsts;
  for (std::size_t k = 0; k < models.size(); ++k) {
    const ModelId id{static_cast<std::uint32_t>(k)};
    if (!planned(id)) continue;
    refresh_estimates(id);
    const OrderForest::Index first = first_of(id);
    swap_rule::Demand& d = all[k];
    d.waiting = models[k].queue.count();
    if (first != OrderForest::none) firsts.push_back(first);
    if (by_due) {
      add_groups(id, d.live);
      std::ranges::stable_sort(d.live, {}, &GroupSummary::due);
      for (const GroupSummary& g : d.live) d.live_requests += g.requests;
    }
    for (const InstanceId at : models[k].instances) d.serving += available(instances[at.index()]) ? 1 : 0;
  }
  std::ranges::sort(firsts, [this](OrderForest::Index x, OrderForest::Index y) { return sooner(x, y); });
  for (std::size_t rank = 0; rank < firsts.size(); ++rank) all[requests[forest.payload(firsts[rank])].request.model.index()].order = static_cast<int>(rank);
  for (const InstanceRecord& i : instances) {
    if (i.present && i.residency.next) ++all[i.residency.next->index()].serving;
  }
  return all;
}

// Whether a plan is followed now.
bool Controller::State::follows_plan() {
  if (!traits(configuration->policy).plans || !configuration->has(Component::plan)) return false;
  if (totals.queued > 0) ask_for_plan();
  return plan_in_force();
}

bool Controller::State::plan_in_force() const { return traits(configuration->policy).plans && now < add(planning.made, plan_stale); }

void Controller::State::decide_residency() {
  if (holders == 0 || now < residency_at) return;
  residency_at = add(now, look_interval);
  for (InstanceRecord& i : instances) bring_in_pinned(i);
  std::vector<swap_rule::Demand> wanted = demand();
  const bool follow = follows_plan();
  std::vector<InstanceId> undecided;
  for (const InstanceRecord& i : instances) {
    if (i.present && !i.description.holds.empty() && available(i) && !i.residency.next && !pinned(i)) undecided.push_back(i.description.id);
  }
  // Who has least to do where it is goes first.
  const auto order_here = [&](InstanceId id) {
    const auto& resident = instances[id.index()].residency.resident;
    return resident ? wanted[resident->index()].order : swap_rule::nobody;
  };
  std::ranges::stable_sort(undecided, std::greater<>{}, order_here);
  for (const InstanceId id : undecided) {
    InstanceRecord& i = instances[id.index()];
    const std::vector<ResidentSummary> holds = residents(i);
    const bool idle = ledger.account(id).slots == 0;
    std::optional<ModelId> next = follow ? planned_next(i) : std::nullopt;
    if (next && next != i.residency.resident && !can_come(i, *next)) next.reset();
    // A plan knows of late ones as little as of what came after it: nobody waits beside an instance with nothing to do.
    const bool left_idle = idle && next == i.residency.resident && next && wanted[next->index()].waiting == 0;
    // The paper's plan has all that wait: whoever has no part in it stays, as long as there is something to do.
    const bool stays = follow && traits(configuration->policy).paper_plans && i.residency.resident && wanted[i.residency.resident->index()].waiting > 0;
    if ((!next && !stays) || left_idle) {
      next = swap_rule::next_model(configuration->policy, wanted,
                                   {i.residency.resident, idle, now - i.residency.came, holds});
    }
    if (!next || next == i.residency.resident) continue;
    if (i.residency.resident) --wanted[i.residency.resident->index()].serving;
    ++wanted[next->index()].serving;
    leave_for(i, *next);
  }
}

}  // namespace qlm

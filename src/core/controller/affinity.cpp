// Which instance a request goes to where several have room, and what each may have cached of its prompt.
#include <algorithm>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr Duration patience = 60s;               // more than this until it must start
constexpr std::int64_t memory_assumed = 200'000;  // tokens, of an engine that does not tell
constexpr std::int64_t worth_looking = 64;        // cached tokens
constexpr double trust_gain = 1.0 / 8;
constexpr int looked_at = 16;                    // requests behind the first
constexpr int passed_max = 4;                    // times that one is passed over for a prefix
constexpr std::int64_t alike_part = 20;          // of the time somebody has: nearer than that part is as urgent

}  // namespace

Tokens Controller::State::cached_at(const RequestRecord& r, const InstanceRecord& i) const {
  if (r.request.prefix.count == 0 || i.prefixes.index.empty() || !configuration->has(Component::affinity)) return Tokens{0};
  const std::int64_t memory = i.description.kv_capacity ? i.description.kv_capacity->count : memory_assumed;
  const std::int64_t held = ledger.account(i.description.id).kv.count;
  const std::size_t marks = i.prefixes.index.held(r.request.prefix, i.prefixes.computed, memory - held);
  const double share = std::min(1.0, r.request.prefix.share(marks));
  const double tokens = share * static_cast<double>(r.request.prompt.count);
  if (tokens < double{worth_looking}) return Tokens{0};
  return Tokens{std::max<std::int64_t>(1, static_cast<std::int64_t>(i.prefixes.trust * tokens))};
}

// Of those with room, who are asked in the order of their ids.
InstanceChoice Controller::State::choose_instance_for(const RequestRecord& r) {
  if (with_room.size() == 1) return {};
  const auto output = static_cast<double>((r.cost - r.request.prompt).count);
  const bool has_objective = r.request.deadline || r.request.slo.ttft || r.request.slo.e2e;
  ChoiceFacts facts{.prompt = r.request.prompt, .output = output};
  if (has_objective && now < r.deadline) facts.first_token_within = r.deadline - now;
  Instant whole_by = r.request.deadline.value_or(never);
  if (r.request.slo.e2e) whole_by = std::min(whole_by, add(r.arrived, *r.request.slo.e2e));
  if (whole_by != never && now < whole_by) facts.whole_within = whole_by - now;
  if (r.request.slo.tpot) facts.tpot = *r.request.slo.tpot;
  facts.patient = has_objective && r.latest_start > add(now, patience);
  their_offers.clear();
  for (const InstanceId id : with_room) {
    const InstanceRecord& i = instances[id.index()];
    const Ledger::Account& account = ledger.account(id);
    their_offers.push_back({.step = i.description.speed ? &*i.description.speed : nullptr,
                      .scale = i.scale.scale(),
                      .running = account.slots,
                      .room = capacity(i),
                      .held = account.kv,
                      .cached = cached_at(r, i),
                      .canary = i.breaker == BreakerState::half_open});
  }
  return choose_instance(facts, their_offers);
}

// The first, or one behind it that is as urgent and whose prompt begins with what is cached here. It costs the first at most a
// few turns, and nobody else any: they are in the order they would be in without it.
OrderForest::Index Controller::State::with_prefix(const InstanceRecord& i, OrderForest::Index first) {
  if (!traits(configuration->policy).keeps_prefixes || i.prefixes.index.empty() || !configuration->has(Component::affinity)) return first;
  RequestRecord& r = requests[forest.payload(first)];
  const ModelRecord& m = models[r.request.model.index()];
  const auto is_owed = [&m](OrderForest::Index node) { return std::ranges::find(m.shares.first, node) != m.shares.first.end(); };
  if (m.instances.size() < 2 || r.passed >= passed_max || is_owed(first) || r.attempt != no_attempt) return first;
  if (m.queue.phase(forest, r.place, first) != ModelQueue::Phase::kept || r.latest_start == never) return first;
  Tokens most = cached_at(r, i) + Tokens{worth_looking};
  const Instant alike = add(r.latest_start, (r.latest_start - r.arrived) / alike_part);
  OrderForest::Index best = first, node = first;
  for (int k = 0; k < looked_at; ++k) {
    node = m.queue.next(forest, requests[forest.payload(node)].place, node);
    if (node == OrderForest::none) break;
    const RequestRecord& other = requests[forest.payload(node)];
    if (other.latest_start > alike || m.queue.phase(forest, other.place, node) != ModelQueue::Phase::kept) break;
    if (is_owed(node) || other.attempt != no_attempt || resting(other)) continue;
    const Tokens cached = cached_at(other, i);
    if (cached <= most || !has_room(i, memory_at_start(other.request))) continue;
    best = node;
    most = cached;
  }
  if (best != first) ++r.passed;
  return best;
}

void Controller::State::prefix_sent(const RequestRecord& r, InstanceRecord& i, Tokens cached) {
  if (r.request.prefix.count == 0) return;
  i.prefixes.computed += (r.request.prompt - cached).count;
  i.prefixes.index.used(r.request.prefix, i.prefixes.computed);
}

// What the engine says it had is what the next ones are expected to find there.
void Controller::State::prefix_done(const RequestRecord& r, InstanceRecord& i, const event::Ended& e, Tokens expected) {
  if (r.request.prefix.count == 0) return;
  i.prefixes.computed += e.generated.count;
  if (e.end != event::AttemptEnd::complete) return;
  i.prefixes.index.used(r.request.prefix, i.prefixes.computed);
  if (!e.cached || expected.count == 0) return;
  const double untrusting = static_cast<double>(expected.count) / i.prefixes.trust;
  i.prefixes.trust += trust_gain * (std::min(1.0, static_cast<double>(e.cached->count) / untrusting) - i.prefixes.trust);
  i.prefixes.trust = std::max(0.05, i.prefixes.trust);  // an engine whose cache is switched on is found out
}

}  // namespace qlm

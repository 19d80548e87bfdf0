// Who loses where there is too little for all, between tenants: each is left its part of a model's tokens by weight. Below
// capacity nothing of this acts, and deadlines alone decide.
//
// What the load leaves room for (on_time.cpp) is shared among those who ask for it; of its part each keeps the requests worth
// most a second of work. A tenant that was served more than its part while it could not have all has less from then on, and one
// that was served less has more (the counters of a virtual token counter, Sheng et al. 2024; who can have all it asks for is lifted: its
// claims and its debts are forgotten). State: a few numbers a tenant and group of a model; an arrival costs O(1).
#include <algorithm>
#include <utility>

#include "core/controller/state.hpp"
#include "core/plan/fair_parts.hpp"

namespace qlm {
namespace {

constexpr double evened_out = 300;  // seconds in which a lead is given back
constexpr double lifted = 60;       // seconds in which it is forgotten by who has all it asks for
constexpr double active = 0.5;      // arrivals lately

std::int64_t start_bin(std::int64_t latest_start) { return latest_start >> 31; }  // two seconds

}  // namespace

ModelRecord::TenantDemand* Controller::State::demand_of(ModelRecord& m, TenantId id) {
  if (configuration->tenants.size() < 2 || !traits(configuration->policy).gives_up) return nullptr;
  if (id.index() >= m.demand.tenants.size()) m.demand.tenants.resize(id.index() + 1);
  return &m.demand.tenants[id.index()];
}

double Controller::State::weight_of(std::size_t tenant) const {
  return tenant < configuration->tenants.size() ? std::max(1e-6, configuration->tenants[tenant].weight) : 1;
}

// Whether a new request is within its tenant's part, in overload: by what has been arriving, and in a burst by what it has waiting.
bool Controller::State::within_part(ModelRecord& m, ModelRecord::TenantDemand& t, const RequestRecord& r, std::size_t group) {
  if (group >= t.cells.size()) t.cells.resize(group + 1);
  ModelRecord::TenantDemand::Cell& cell = t.cells[group];
  const double weight = weight_of(r.request.tenant.index());
  const double all = m.demand.active_weight + (t.arrivals < active ? weight : 0);
  cell.arrivals += 1;
  t.arrivals += 1;
  if (!m.demand.shared) return true;
  cell.credit += cell.admitted;
  const bool in_turn = cell.credit >= 1;
  if (in_turn) cell.credit -= 1;
  const double waiting = seconds(expected_work(m, t.waiting + r.work));
  return in_turn && waiting <= m.demand.keepable * weight / std::max(all, weight);
}

// From now on a request that was within its tenant's part stands in its queue, or it does no more or has become late.
void Controller::State::waits_within_part(RequestRecord& r, bool waits) {
  if (waits == r.within_part) return;
  ModelRecord& m = model(r.request.model);
  ModelRecord::TenantDemand* const t = waits ? demand_of(m, r.request.tenant) : &m.demand.tenants[r.request.tenant.index()];
  if (!t) return;
  r.within_part = waits;
  if (r.place.group >= t->cells.size()) t->cells.resize(r.place.group + 1);
  ModelRecord::TenantDemand::Cell& cell = t->cells[r.place.group];
  const std::int64_t bin = start_bin(forest.key(r.node)), work = waits ? r.work : -r.work;
  const auto at = cell.waiting.try_emplace(bin, 0).first;
  if ((at->second += work) == 0) cell.waiting.erase(at);
  if (bin >= cell.kept_from) t->waiting += work;
}

// Whoever was given up does not stand in the way of those of its tenant that can be on time: only bins between the former cut
// and the new one are looked at.
void Controller::State::follow_cuts(ModelRecord& m) {
  for (ModelRecord::TenantDemand& t : m.demand.tenants) {
    for (std::size_t g = 0; g < t.cells.size(); ++g) {
      ModelRecord::TenantDemand::Cell& cell = t.cells[g];
      const std::int64_t from = start_bin(m.queue.groups()[g].cut.key), before = std::exchange(cell.kept_from, from);
      const auto end = cell.waiting.lower_bound(std::max(from, before));
      for (auto at = cell.waiting.lower_bound(std::min(from, before)); at != end; ++at) t.waiting += from < before ? at->second : -at->second;
    }
  }
}

// `offers`: what has been arriving, by value a second of work, with what of it there is room for.
void Controller::State::share_among_tenants(ModelRecord& m, const std::vector<Offer>& offers, double slack, Duration elapsed) {
  std::vector<FairClaim> claims;
  std::vector<std::size_t> who;
  m.demand.active_weight = 0;
  double room = 0;
  for (const Offer& offer : offers) room += offer.admitted * offer.work_a_second;
  for (std::size_t k = 0; k < m.demand.tenants.size(); ++k) {
    ModelRecord::TenantDemand& t = m.demand.tenants[k];
    for (ModelRecord::TenantDemand::Cell& cell : t.cells) cell.admitted = 1;
    if (t.arrivals < active) continue;
    double work = 0, tokens = 0;
    for (const Offer& offer : offers) {
      if (offer.group >= t.cells.size()) continue;
      work += t.cells[offer.group].arrivals * offer.work;
      tokens += t.cells[offer.group].arrivals * offer.tokens;
    }
    if (tokens <= 0) continue;
    const double weight = weight_of(k);
    m.demand.active_weight += weight;
    claims.push_back({.weight = weight, .demand = tokens / m.demand.window, .cost = work / tokens, .owed = -t.lead / evened_out});
    who.push_back(k);
  }
  m.demand.shared = m.demand.priced && who.size() > 1;
  m.demand.keepable = m.engines * slack;
  const FairParts fair = fair_parts(claims, m.demand.shared ? room : 1e300);

  double served = 0, weights = 0;
  const auto contends = [&](std::size_t i) { return m.demand.shared && claims[i].weight * fair.level < 0.99 * claims[i].demand; };
  for (std::size_t i = 0; i < who.size(); ++i) {
    if (!contends(i)) continue;
    served += m.demand.tenants[who[i]].served;
    weights += claims[i].weight;
  }
  for (std::size_t i = 0; i < who.size(); ++i) {
    ModelRecord::TenantDemand& t = m.demand.tenants[who[i]];
    if (contends(i)) t.lead += t.served - claims[i].weight * served / weights;
    else t.lead *= std::max(0.0, 1 - seconds(elapsed) / lifted);
    t.served = 0;
    if (!m.demand.shared) continue;
    double left = fair.parts[i] * claims[i].cost;
    for (const Offer& offer : offers) {
      if (offer.group < t.cells.size()) left -= offer.guaranteed / offer.work_a_second * offer.work * t.cells[offer.group].arrivals / m.demand.window;
    }
    for (const Offer& offer : offers) {
      if (offer.group >= t.cells.size() || t.cells[offer.group].arrivals <= 0) continue;
      ModelRecord::TenantDemand::Cell& cell = t.cells[offer.group];
      const double guaranteed = offer.guaranteed / offer.work_a_second;
      const double rest = (1 - guaranteed) * offer.work * cell.arrivals / m.demand.window;
      cell.admitted = guaranteed + (rest > 0 ? (1 - guaranteed) * std::clamp(left / rest, 0.0, 1.0) : 0);
      left -= rest;
    }
  }
}

}  // namespace qlm

// Parts of a model's service that somebody has whatever the order says: each class its minimum share while it has requests
// waiting, and those that were given up or are late a little, so that each of them is served at some time.
//
// Counted in tokens, as deficits (Shreedhar and Varghese 1996): of what an attempt used each party that waits is owed its share,
// and whose it was pays; who is owed what its first request costs goes first. What is expected of an attempt is paid when it is
// dispatched, and what it did not use given back when it ends: those that were refused or failed cost nothing. Below capacity
// nobody needs that: it acts only while somebody is passed over.
#include <algorithm>
#include <functional>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr Duration minute = 60s;
constexpr double passed_over_share = 0.005;  // of the tokens, under a policy that gives some up

double most_owed(const ModelRecord::Shares& s, const ModelRecord::Shares::Party& party) {
  return party.waits ? std::max(party.share * s.tokens, party.cost) : 0.0;
}

}  // namespace

void Controller::State::keep_shares(ModelId id, Duration elapsed) {
  ModelRecord& m = model(id);
  ModelRecord::Shares& s = m.shares;
  const std::vector<ServiceClass>& classes = configuration->classes;
  const double fade = std::max(0.0, 1 - seconds(elapsed) / seconds(minute));
  s.of_class.resize(classes.size());
  std::vector<bool> waits(classes.size(), false);
  for (const ModelQueue::Group& group : m.queue.groups()) {
    if (forest.count(group.tree) + forest.count(group.late) > 0) waits[group.key.service_class.index()] = true;
  }
  const bool passing_over = configuration->policy == Policy::priority ? !m.queue.empty() : m.queue.given_up() > 0;
  if (s.passing_over && !passing_over) look_again(id);
  s.passing_over = passing_over;
  s.tokens *= fade;
  const auto look = [&](ModelRecord::Shares::Party& party, double share, bool waiting) {
    party.share = share;
    party.waits = waiting;
    // Lent when idle: nothing is owed for that time. What was taken beyond the share is forgotten within a minute.
    const double most = share * s.tokens;
    party.owed = std::clamp(party.owed < 0 ? party.owed * fade : party.owed, -most, most_owed(s, party));
    party.needs = 0;
  };
  for (std::size_t c = 0; c < classes.size(); ++c) look(s.of_class[c], classes[c].min_share, waits[c]);
  look(s.passed_over, traits(configuration->policy).gives_up ? passed_over_share : 0, passing_over);
}

// Who goes before all others for what it is owed: the first of each party that is owed that much, for one may rest or wait for
// another instance. They are looked for by first_to_serve() only.
void Controller::State::find_owed(ModelId id) {
  ModelRecord& m = model(id);
  ModelRecord::Shares& s = m.shares;
  s.first.clear();
  if (!s.passing_over) return;
  std::vector<std::pair<double, OrderForest::Index>> found;
  const auto look = [&](ModelRecord::Shares::Party& party, const auto& first) {
    if (party.owed <= party.needs) return;
    OrderForest::Index node = first();
    while (node != OrderForest::none && became_late(id, node)) node = first();
    if (node == OrderForest::none) {
      party.owed = party.needs = 0;
      return;
    }
    const auto cost = static_cast<double>(requests[forest.payload(node)].cost.count);
    if (party.owed >= cost) found.emplace_back(party.owed, node);
    else party.needs = party.cost = cost;  // so that nobody is looked for until there is enough for it
  };
  for (std::size_t c = 0; c < s.of_class.size(); ++c) {
    look(s.of_class[c], [&] { return m.queue.first_of(forest, ClassId{static_cast<std::uint32_t>(c)}); });
  }
  std::ranges::stable_sort(found, std::greater<>{}, &std::pair<double, OrderForest::Index>::first);
  for (const auto& [owed, node] : found) s.first.push_back(node);
  // Those passed over after all classes.
  found.clear();
  look(s.passed_over, [&] { return m.queue.first_passed_over(forest); });
  if (!found.empty() && std::ranges::find(s.first, found.front().second) == s.first.end()) s.first.push_back(found.front().second);
}

// A request of it goes out, from that phase.
LedgerEntry::Charge Controller::State::charge(ModelRecord& m, const RequestRecord& r, ModelQueue::Phase phase) {
  const LedgerEntry::Charge charge{.tenant = r.request.tenant,
                                   .service_class = r.request.service_class,
                                   .tokens = r.cost,
                                   .of_shares = m.shares.passing_over,
                                   .passed_over = phase != ModelQueue::Phase::kept};
  pay(m, charge, static_cast<double>(r.cost.count));
  return charge;
}

// It has ended, and used so much.
void Controller::State::settle(const LedgerEntry& entry, Tokens used) {
  ModelRecord& m = model(entry.model);
  ModelRecord::Shares& s = m.shares;
  pay(m, entry.charge, static_cast<double>((used - entry.charge.tokens).count));
  s.tokens += static_cast<double>(used.count);
  if (!s.passing_over) return;
  const auto owe = [&](ModelRecord::Shares::Party& party) {
    if (party.waits) party.owed += party.share * static_cast<double>(used.count);
  };
  for (ModelRecord::Shares::Party& party : s.of_class) owe(party);
  owe(s.passed_over);
}

void Controller::State::pay(ModelRecord& m, const LedgerEntry::Charge& charge, double tokens) {
  ModelRecord::Shares& s = m.shares;
  if (ModelRecord::TenantDemand* const t = demand_of(m, charge.tenant)) t->served += tokens;
  if (!s.passing_over || !charge.of_shares) return;
  const auto by = [&](ModelRecord::Shares::Party& party) {
    if (party.share <= 0) return;
    party.owed -= tokens;
    if (tokens < 0) party.owed = std::min(party.owed, most_owed(s, party));  // of what was paid a part may be forgotten
  };
  if (charge.service_class.index() < s.of_class.size()) by(s.of_class[charge.service_class.index()]);
  if (charge.passed_over) by(s.passed_over);
}

}  // namespace qlm

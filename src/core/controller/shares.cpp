// Parts of a model's service that somebody has whatever the order says: each class its minimum share while it has requests
// waiting, and those that were given up or are late a little, so that each of them is served at some time.
//
// Counted in tokens, as deficits (Shreedhar and Varghese 1996): of every dispatch each party that waits is owed its share, and
// who is dispatched pays; who is owed what its first request costs goes first. Below capacity nobody needs that: it acts only while somebody is
// passed over.
#include <algorithm>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

constexpr Duration minute = 60s;
constexpr double passed_over_share = 0.005;  // of the tokens, under a policy that gives some up

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
    party.owed = std::clamp(party.owed < 0 ? party.owed * fade : party.owed, -most, waiting ? std::max(most, party.cost) : 0.0);
    party.needs = 0;
  };
  for (std::size_t c = 0; c < classes.size(); ++c) look(s.of_class[c], classes[c].min_share, waits[c]);
  look(s.passed_over, traits(configuration->policy).gives_up ? passed_over_share : 0, passing_over);
}

// Who goes before all others for what it is owed, or none. It is looked for by first_to_serve() only.
OrderForest::Index Controller::State::owed(ModelId id) {
  ModelRecord& m = model(id);
  ModelRecord::Shares& s = m.shares;
  if (!s.passing_over) return OrderForest::none;
  for (;;) {
    ModelRecord::Shares::Party* most = nullptr;
    std::optional<ClassId> of_class;
    for (std::size_t c = 0; c < s.of_class.size(); ++c) {
      const ModelRecord::Shares::Party& party = s.of_class[c];
      if (party.owed <= party.needs || (most && party.owed <= most->owed)) continue;
      most = &s.of_class[c];
      of_class = ClassId{static_cast<std::uint32_t>(c)};
    }
    if (!most && s.passed_over.owed > s.passed_over.needs) most = &s.passed_over;
    if (!most) return OrderForest::none;
    const OrderForest::Index node = of_class ? m.queue.first_of(forest, *of_class) : m.queue.first_passed_over(forest);
    if (node == OrderForest::none) {
      most->owed = most->needs = 0;
      continue;
    }
    if (became_late(id, node)) continue;
    const auto cost = static_cast<double>(requests[forest.payload(node)].cost.count);
    if (most->owed >= cost) return node;
    most->needs = most->cost = cost;  // so that nobody is looked for until there is enough for it
  }
}

// A request of it goes out, from that phase.
void Controller::State::pay(ModelRecord& m, const RequestRecord& r, ModelQueue::Phase phase) {
  ModelRecord::Shares& s = m.shares;
  const auto tokens = static_cast<double>(r.cost.count);
  s.tokens += tokens;
  if (ModelRecord::TenantDemand* const t = demand_of(m, r.request.tenant)) t->served += tokens;
  if (!s.passing_over) return;
  for (ModelRecord::Shares::Party& party : s.of_class) {
    if (party.waits) party.owed += party.share * tokens;
  }
  if (r.request.service_class.index() < s.of_class.size()) s.of_class[r.request.service_class.index()].owed -= tokens;
  s.passed_over.owed += s.passed_over.share * tokens;
  if (phase != ModelQueue::Phase::kept) s.passed_over.owed -= tokens;
}

}  // namespace qlm

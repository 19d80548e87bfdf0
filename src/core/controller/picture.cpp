// The queue and the plan in force, as values for people.
#include <algorithm>
#include <tuple>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

// The least prompt of a size bucket (core/plan/order.hpp): half-octaves.
std::int64_t prompts_from(std::uint32_t bucket) {
  if (bucket == 0) return 0;
  const std::int64_t octave = std::int64_t{1} << (bucket / 2);
  return octave + (bucket & 1U ? octave / 2 : 0);
}

bool by_time(Policy policy) { return policy != Policy::fcfs && policy != Policy::priority && policy != Policy::sjf; }

}  // namespace

InstancePicture Controller::State::picture_of(const InstanceRecord& i, Tokens kv, std::optional<ModelId> wanted) const {
  const Ledger::Account& account = ledger.account(i.description.id);
  InstancePicture made{.id = i.description.id,
                       .name = i.description.name,
                       .binding = binding(i, kv),
                       .in_flight = account.slots,
                       .room = capacity(i),
                       .kv = account.kv,
                       .kv_capacity = i.description.kv_capacity,
                       .serves = i.description.models,
                       .next = i.residency.next,
                       .visits = {}};
  const bool takes_work = made.binding != Binding::unavailable && made.binding != Binding::cordoned;
  if (made.next && takes_work) made.binding = Binding::swapping;
  if (wanted && takes_work) {
    if (made.next == wanted) made.binding = Binding::swapping;
    else if (made.next || std::ranges::find(made.serves, *wanted) == made.serves.end()) made.binding = Binding::absent;
  }
  if (!plan_in_force()) return made;
  const auto of = std::ranges::find(planning.in_force.instances, i.description.id, &Plan::Visits::instance);
  if (of != planning.in_force.instances.end()) made.visits = of->visits;
  return made;
}

ModelPicture Controller::State::picture_of(ModelId id) const {
  const ModelRecord& m = models[id.index()];
  ModelPicture made{.model = id, .groups = {}, .priced = m.demand.priced};
  std::vector<std::pair<OrderForest::Index, GroupPicture>> groups;
  for (const ModelQueue::Group& group : m.queue.groups()) {
    const std::int64_t in_order = forest.count(group.tree), late = forest.count(group.late);
    if (in_order + late == 0) continue;
    const std::int64_t given_up = group.given_up.count;
    GroupPicture g{.service_class = group.key.service_class,
                   .prompts_from = prompts_from(group.key.size_bucket),
                   .priced_out = group.key.priced_out,
                   .kept = in_order - given_up,
                   .given_up = given_up,
                   .late = late,
                   .tokens = forest.tokens(group.tree) + forest.tokens(group.late),
                   .due = std::nullopt,
                   .admitted = group.admitted};
    if (group.head != OrderForest::none && by_time(configuration->policy)) g.due = Instant{Duration{forest.key(group.head)}} - now;
    groups.emplace_back(group.head, g);
  }
  // Those with anybody kept first, by their first.
  std::ranges::stable_sort(groups, [&](const auto& a, const auto& b) {
    if (a.first == OrderForest::none || b.first == OrderForest::none) return a.first != OrderForest::none && b.first == OrderForest::none;
    return forest.before(a.first, b.first);
  });
  for (auto& [head, group] : groups) made.groups.push_back(group);
  return made;
}

Picture Controller::picture() const {
  const State& s = *state_;
  Picture made{.at = s.now, .policy = s.configuration->policy, .plan_age = {}, .models = {}, .instances = {}};
  if (s.plan_in_force() && !s.planning.in_force.instances.empty()) made.plan_age = s.now - s.planning.made;
  for (std::uint32_t m = 0; m < s.models.size(); ++m) {
    if (!s.models[m].queue.empty()) made.models.push_back(s.picture_of(ModelId{m}));
  }
  for (const InstanceRecord& i : s.instances) {
    if (!i.present) continue;
    Tokens needs{0};  // of who would be next
    for (const ModelId id : i.description.models) {
      const auto first = s.models[id.index()].queue.first(s.forest);
      if (first != OrderForest::none) needs = std::max(needs, s.memory_at_start(s.requests[s.forest.payload(first)].request));
    }
    made.instances.push_back(s.picture_of(i, needs, std::nullopt));
  }
  return made;
}

std::optional<Standing> Controller::standing(RequestId id) const {
  const State& s = *state_;
  const auto index = s.find(id);
  if (!index || s.requests[*index].node == OrderForest::none) return std::nullopt;
  const RequestRecord& r = s.requests[*index];
  const ModelRecord& m = s.models[r.request.model.index()];
  const ModelQueue::Group& own = m.queue.groups()[r.place.group];
  Standing made;
  made.phase = m.queue.phase(s.forest, r.place, r.node);
  made.priced_out = own.key.priced_out && m.demand.priced;
  for (const ModelQueue::Group& group : m.queue.groups()) {
    const auto parts = m.queue.ahead_in(s.forest, group, made.phase, s.forest.bound(r.node));
    for (std::size_t phase = 0; phase < parts.size(); ++phase) {
      if (parts[phase].count == 0) continue;
      const auto same = std::ranges::find_if(made.ahead, [&](const Standing::Ahead& a) {
        return a.service_class == group.key.service_class && a.phase == static_cast<QueuePhase>(phase);
      });
      Standing::Ahead& ahead = same != made.ahead.end() ? *same : made.ahead.emplace_back(group.key.service_class, static_cast<QueuePhase>(phase));
      ahead.requests += parts[phase].count;
      ahead.tokens += parts[phase].tokens;
    }
  }
  std::ranges::sort(made.ahead, {}, [](const Standing::Ahead& a) { return std::tuple(a.phase, a.service_class); });
  std::vector<InstanceId> places = m.instances;
  for (const InstanceId home : m.homes) {
    if (std::ranges::find(places, home) == places.end()) places.push_back(home);
  }
  std::ranges::sort(places);
  for (const InstanceId at : places) {
    const InstanceRecord& i = s.instances[at.index()];
    if (i.present) made.instances.push_back(s.picture_of(i, s.memory_at_start(r.request), r.request.model));
  }
  return made;
}

}  // namespace qlm

// When a model that takes turns with others will be served, as far as it is known: by the plan in force, where one is
// followed, and by the swaps under way.
#include <algorithm>

#include "core/controller/state.hpp"

namespace qlm {

std::vector<Turns::Visit> Controller::State::visits_ahead(ModelId id) const {
  std::vector<Turns::Visit> visits;
  const bool by_plan = plan_in_force();
  for (const InstanceId home : models[id.index()].homes) {
    const InstanceRecord& i = instances[home.index()];
    if (!available(i)) continue;
    const auto put_away_and_bring_in = [&](std::optional<ModelId> from, ModelId to) {
      Duration described{};
      for (const HeldModel& held : i.description.holds) {
        if (held.model == from) described += held.put_away;
        if (held.model == to) described += held.to_come();
      }
      return duration_from_seconds(i.residency.setup_scale * seconds(described));
    };
    const auto drain = [&](std::optional<ModelId> of) { return of ? models[of->index()].drain : Duration{}; };
    // What it serves, and from when on.
    std::optional<ModelId> current = i.residency.next ? i.residency.next : i.residency.resident;
    Instant from = now;
    if (i.residency.next) {
      const Instant empty = i.residency.asked ? i.residency.asked_at : std::max(now, add(i.residency.decided, drain(i.residency.resident)));
      from = std::max(now, add(empty, put_away_and_bring_in(i.residency.resident, *i.residency.next)));
    }
    const auto of = by_plan ? std::ranges::find(planning.in_force.instances, home, &Plan::Visits::instance) : planning.in_force.instances.end();
    if (of == planning.in_force.instances.end()) {
      // Nobody knows how long it stays there.
      if (current == id && i.residency.next) visits.push_back({from - now, from - now + models[id.index()].turns.visit(), 1});
      continue;
    }
    for (const Plan::Visit& visit : of->visits) {
      if (visit.until <= now) continue;
      if (visit.model != current) from = std::max(from, now) + drain(current) + put_away_and_bring_in(current, visit.model);
      current = visit.model;
      if (visit.model == id && from < visit.until) visits.push_back({from - now, visit.until - now, 1});
      from = std::max(from, visit.until);
    }
  }
  return visits;
}

}  // namespace qlm

#include "core/plan/swap_rule.hpp"

#include <algorithm>

namespace qlm::swap_rule {
namespace {

constexpr double dwell = 3;         // swaps' worth of time, before a model with live requests is left
constexpr double worthwhile = 2;    // swaps' worth of work, before one that others serve already is brought in too
constexpr Duration urgent = 2s;     // before a latest start, at the latest
constexpr Duration window = 120s;   // a visit is thought through for so long
constexpr double preempting = 3.03; // times as many, to leave a batch that runs (scheduling-survey: SHEPHERD's lambda)

const ResidentSummary* held(const Instance& i, std::optional<ModelId> model) {
  const auto at = std::ranges::find_if(i.holds, [&](const ResidentSummary& r) { return r.model == model; });
  return at == i.holds.end() ? nullptr : &*at;
}

Duration ready_in(const Instance& i, const ResidentSummary& next) {
  const ResidentSummary* now = held(i, i.resident);
  return next.bring_in + (now ? now->put_away : Duration{}) + (now && !i.idle ? now->drain : Duration{});
}

// A model that others serve is brought in a second time only for work that outlasts the swap many times.
bool worth_another(const Demand& d, const ResidentSummary& with, Duration ready) {
  if (d.serving == 0) return true;
  return static_cast<double>(d.waiting) > worthwhile * with.per_second * seconds(ready) * (d.serving + 1);
}

// The instance goes where the order says, unless who comes first is served elsewhere.
std::optional<ModelId> where_the_order_says(std::span<const Demand> demand, const Instance& i) {
  const Demand* here = i.resident ? &demand[i.resident->index()] : nullptr;
  const bool nothing_here = !here || here->waiting == 0;
  int soonest = nobody;
  for (const Demand& d : demand) {
    if (d.waiting > 0) soonest = std::min(soonest, d.order);
  }
  std::optional<ModelId> best;
  for (const ResidentSummary& r : i.holds) {
    const Demand& d = demand[r.model.index()];
    if (d.waiting == 0 || r.model == i.resident) continue;
    const bool needed = d.serving == 0 && d.order == soonest;
    const bool wanted = nothing_here && worth_another(d, r, ready_in(i, r));
    if ((needed || wanted) && (!best || d.order < demand[best->index()].order)) best = r.model;
  }
  return best;
}

// Whoever can be on time here is served first; then the longest queue of those who can be on time.
std::optional<ModelId> longest_queue(std::span<const Demand> demand, const Instance& i) {
  if (i.resident && demand[i.resident->index()].live_requests > 0) return std::nullopt;
  std::optional<ModelId> best;
  std::int64_t most = 0;
  for (const ResidentSummary& r : i.holds) {
    if (r.model == i.resident) continue;
    const Demand& d = demand[r.model.index()];
    // Late ones are served where nobody can be on time.
    const std::int64_t length = d.live_requests > 0 ? d.live_requests : !i.resident || demand[i.resident->index()].waiting == 0 ? d.waiting : 0;
    const bool live = d.live_requests > 0, best_live = best && demand[best->index()].live_requests > 0;
    if (length == 0 || !worth_another(d, r, ready_in(i, r))) continue;
    if (!best || live > best_live || (live == best_live && length > most)) {
      best = r.model;
      most = length;
    }
  }
  return best;
}

// SHEPHERD's online rule (Zhang et al., NSDI 2023), as we read it for engines that batch continuously: a model's batch is
// what can start together on time; while something runs the model is left for a batch so many times as large only, then for
// any larger one. (To leave it for any larger one once what it began with has been replaced does worse.) It knows of no
// swaps; that they take time counts here for its good.
std::optional<ModelId> largest_batch(std::span<const Demand> demand, const Instance& i) {
  const auto batch = [&](const ResidentSummary& r, Duration ready) {
    double count = 0;
    for (const GroupSummary& g : demand[r.model.index()].live) count += g.due < ready ? 0 : static_cast<double>(g.requests);
    return std::min(count, r.per_second * seconds(r.residence));
  };
  const ResidentSummary* here = held(i, i.resident);
  double most = here ? batch(*here, Duration{}) * (i.idle ? 1 : preempting) : 0;
  std::optional<ModelId> best;
  for (const ResidentSummary& r : i.holds) {
    const Duration ready = ready_in(i, r);
    if (r.model == i.resident || !worth_another(demand[r.model.index()], r, ready)) continue;
    if (const double count = batch(r, ready); count > most) {
      most = count;
      best = r.model;
    }
  }
  return best ? best : longest_queue(demand, i);
}

// Stay while there is somebody to serve on time; leave for another model's last chance, if that is worth more than what
// is lost here by leaving.
std::optional<ModelId> most_on_time(std::span<const Demand> demand, const Instance& i) {
  const ResidentSummary* here = held(i, i.resident);
  const bool busy_here = here && demand[here->model.index()].live_requests > 0;
  std::optional<ModelId> best;
  double most = 0;
  for (const ResidentSummary& r : i.holds) {
    if (r.model == i.resident) continue;
    const Demand& d = demand[r.model.index()];
    if (d.live_requests == 0) continue;
    const Duration ready = ready_in(i, r);
    if (!worth_another(d, r, ready)) continue;
    const Starts gained = starts(d.live, r, ready, window);
    if (gained.value <= 0) continue;
    if (busy_here) {
      if (d.live.front().due > ready + urgent || seconds(i.here) < dwell * seconds(ready)) continue;
      // Those here that come back too late for: away for the visit, its drain and the way back.
      const Duration away = std::max(gained.until, ready) + r.drain + r.put_away + here->bring_in;
      const Starts kept = starts(demand[here->model.index()].live, *here, Duration{}, away);
      if (gained.value <= kept.value) continue;
    }
    const double density = gained.value / std::max(1e-3, seconds(gained.until));
    if (density > most) {
      most = density;
      best = r.model;
    }
  }
  if (best || busy_here) return best;
  return here && demand[here->model.index()].waiting > 0 ? std::nullopt : longest_queue(demand, i);
}

}  // namespace

Starts starts(std::span<const GroupSummary> live, const ResidentSummary& with, Duration ready, Duration most) {
  Starts best, so_far{0, ready};
  double free_slots = with.per_second * seconds(with.residence);
  double density = 0;
  for (const GroupSummary& group : live) {
    if (group.due < ready) continue;
    const Duration end = std::min(group.due, most);
    auto wanted = static_cast<double>(group.requests);
    const double at_once = std::min(wanted, free_slots);
    free_slots -= at_once;
    wanted -= at_once;
    const double later = std::min(wanted, std::max(0.0, seconds(end - so_far.until)) * with.per_second);
    so_far.until += duration_from_seconds(with.per_second > 0 ? later / with.per_second : 0);
    so_far.value += group.value * (at_once + later);
    const double a_second = so_far.value / std::max(1e-3, seconds(so_far.until));
    if (a_second > density) {
      density = a_second;
      best = so_far;
    }
  }
  return best;
}

std::optional<ModelId> next_model(Policy policy, std::span<const Demand> demand, const Instance& instance) {
  switch (policy) {
    case Policy::fcfs:
    case Policy::priority:
    case Policy::edf:
    case Policy::edf_expire:
    case Policy::sjf:
    case Policy::qlm_lp:
    case Policy::qlm_lp_expire:
    case Policy::qlm_sp: return where_the_order_says(demand, instance);
    case Policy::greedy: return longest_queue(demand, instance);
    case Policy::shepherd: return largest_batch(demand, instance);
    case Policy::qlm: return most_on_time(demand, instance);
  }
  return std::nullopt;
}

}  // namespace qlm::swap_rule

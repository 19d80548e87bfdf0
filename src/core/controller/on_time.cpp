// Whom to give up: which requests of a model's queue cannot all be on time, decided afresh every two seconds from its
// groups, never from its single requests.
#include <algorithm>
#include <limits>

#include "core/controller/state.hpp"
#include "core/plan/on_time_set.hpp"

namespace qlm {
namespace {

constexpr Duration select_interval = 2s;
constexpr int cells_a_group = 40;
// The price (reference: a price from measured load): arrivals are remembered for about so long; the kept backlog is steered
// to this part of what requests can wait on average, within about that many seconds.
constexpr Duration forgotten = 300s;
constexpr double negligible = 0.01;  // arrivals: nothing is remembered of them
// What was measured leaves room for all, and yet so many seconds of every engine are given up: the load is another one now, and
// what is known of it counts as if it had been measured for so long only.
constexpr double refuting = 1;
constexpr Duration refuted = 10s;
constexpr double backlog_share = 0.9;
constexpr double steering_seconds = 300;
constexpr double measured_enough = 30;  // seconds of full engines, before what they do counts for more than their profile
constexpr int share_rounds = 4;         // of finding what the floors are
constexpr double planned_share = 0.85;  // of what the engines can do: short windows hold less than long ones
constexpr double lost_tolerated = 0.003, caution_gain = 0.3, caution_max = 0.15;

}  // namespace

// What work really takes of the engines that are there, against what is computed for it.
double Controller::State::work_scale(const ModelRecord& m) const {
  const double rate = m.pace.rate();
  if (!(rate > 0) || m.pace.measured_seconds() < measured_enough) return 1;
  return std::clamp(m.engines / rate, 0.25, 4.0);
}

void Controller::State::select_on_time() {
  const PolicyTraits policy = traits(configuration->policy);
  const bool passes_over = policy.late_last || configuration->policy == Policy::priority;
  if (!passes_over || now < select_at) return;
  const Duration elapsed = std::min(select_at == Instant::min() ? select_interval : now - select_at + select_interval, forgotten);
  select_at = add(now, select_interval);
  for (std::size_t m = 0; m < models.size(); ++m) {
    const ModelId id{static_cast<std::uint32_t>(m)};
    if (policy.late_last) refresh_estimates(id);
    if (policy.gives_up) age_demand(models[m], elapsed);
    if (policy.gives_up && !planned(id)) {  // of those that take turns, whom to give up is decided between models
      if (models[m].engine && models[m].engines > 0) {
        if (configuration->has(Component::price)) set_prices(id, elapsed);
        if (!models[m].queue.empty() && configuration->has(Component::on_time_set)) select_on_time(id);
      }
    }
    keep_shares(id, elapsed);
  }
}

// Of what has been arriving only that part counts from now on. What is negligible is nothing: a rate that has faded for days
// is too small a number to divide by.
void Controller::State::fade_demand(ModelRecord& m, double part) const {
  const auto fade = [part](double& arrivals, auto&... with_them) {
    arrivals *= part;
    ((with_them *= part), ...);
    if (arrivals >= negligible) return;
    arrivals = 0;
    ((with_them = 0), ...);
  };
  m.demand.window *= part;
  fade(m.demand.slack_weight, m.demand.slack);
  for (ModelQueue::Group& group : m.queue.groups()) fade(group.arrivals, group.arrived_prompts);
  for (ModelRecord::TenantDemand& t : m.demand.tenants) {
    t.arrivals = 0;
    for (ModelRecord::TenantDemand::Cell& cell : t.cells) {
      fade(cell.arrivals);
      t.arrivals += cell.arrivals;
    }
  }
}

// Time passes for what has been arriving whether or not there is an engine. While there is none nobody is priced out, and
// who becomes late says nothing about engines.
void Controller::State::age_demand(ModelRecord& m, Duration elapsed) const {
  fade_demand(m, 1 - seconds(elapsed) / seconds(forgotten));
  m.demand.window += seconds(elapsed);
  if (m.engine && m.engines > 0) return;
  for (ModelQueue::Group& group : m.queue.groups()) group.admitted = 1;
  m.demand.priced = m.demand.shared = false;
  m.demand.kept_late = 0;
}

// Which groups the load leaves room for, by value a second of work. Only what arrives from now on is judged by it.
void Controller::State::set_prices(ModelId id, Duration elapsed) {
  ModelRecord& m = model(id);
  const double scale = work_scale(m);
  std::vector<Offer> offers;
  double backlog = 0;
  std::vector<ModelQueue::Group>& groups = m.queue.groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    ModelQueue::Group& group = groups[g];
    if (group.key.priced_out) continue;
    group.admitted = 1;
    if (group.arrivals <= 0) continue;
    const Tokens prompt{static_cast<std::int64_t>(group.arrived_prompts / group.arrivals)};
    const double output = delivered.mean({id, prompt, std::nullopt});
    const double work = scale * seconds(request_work(*m.engine, prompt, output));
    const std::size_t of_class = group.key.service_class.index();
    const double value = configuration->classes[of_class].value;
    const std::int64_t kept = forest.count(group.tree) - group.given_up.count;
    backlog += work * static_cast<double>(kept);
    offers.push_back({.density = value / work,
                      .work = work,
                      .tokens = static_cast<double>(prompt.count) + output,
                      .work_a_second = work * group.arrivals / m.demand.window,
                      .group = g,
                      .of_class = of_class});
  }
  const double capacity = m.engines;
  const double slack = m.demand.slack_weight > 0 ? m.demand.slack / m.demand.slack_weight : 0;
  // Kept ones that become late mean that the engines do less than was thought, for memory or prompts in their way.
  const double lost = m.demand.kept_late * scale / (capacity * seconds(elapsed));
  m.demand.kept_late = 0;
  m.demand.caution = std::clamp(m.demand.caution + caution_gain * (lost - lost_tolerated), 0.0, caution_max);
  const double all_room = (1 - m.demand.caution) * capacity * (1 + (backlog_share * slack - backlog / capacity) / steering_seconds);
  std::ranges::stable_sort(offers, std::greater<>{}, &Offer::density);
  // What a share of the tokens takes depends on what else is served, and that on the shares.
  for (int round = 0; round < share_rounds; ++round) {
    set_floors(m, offers);
    std::vector<double> floor = m.demand.floors;
    for (double& each : floor) each *= std::max(0.0, all_room);
    double room = all_room;
    for (Offer& offer : offers) {
      offer.guaranteed = std::min(offer.work_a_second, floor[offer.of_class]);
      floor[offer.of_class] -= offer.guaranteed;
      room -= offer.guaranteed;
    }
    m.demand.priced = false;
    for (Offer& offer : offers) {
      const double rest = offer.work_a_second - offer.guaranteed;
      offer.admitted = groups[offer.group].admitted = (offer.guaranteed + std::clamp(room, 0.0, rest)) / offer.work_a_second;
      m.demand.priced = m.demand.priced || room < rest;
      room -= rest;
    }
  }
  if (!m.demand.tenants.empty()) share_among_tenants(m, offers, slack, elapsed);
}

// Minimum shares are of the tokens that are served; engines' time is what is given out here, and a class's tokens may take more or
// less of it than those served beside them.
void Controller::State::set_floors(ModelRecord& m, const std::vector<Offer>& offers) const {
  struct Sum {
    double work = 0, tokens = 0;
    void add(const Offer& offer, double part) {
      work += part * offer.work_a_second;
      tokens += part * offer.work_a_second / offer.work * offer.tokens;
    }
    double cost() const { return work / tokens; }
  };
  Sum served;
  std::vector<Sum> of_class(configuration->classes.size()), offered(of_class.size());
  for (const Offer& offer : offers) {
    served.add(offer, offer.admitted);
    of_class[offer.of_class].add(offer, offer.admitted);
    offered[offer.of_class].add(offer, 1);
  }
  m.demand.floors.assign(of_class.size(), 0);
  for (std::size_t c = 0; c < of_class.size(); ++c) {
    const Sum& own = of_class[c].tokens > 0 ? of_class[c] : offered[c];
    if (own.tokens > 0) m.demand.floors[c] = configuration->classes[c].min_share * (served.tokens > 0 ? own.cost() / served.cost() : 1);
  }
}

void Controller::State::select_on_time(ModelId id) {
  ModelRecord& m = model(id);
  const double scale = work_scale(m);
  const std::vector<ModelQueue::Group>& groups = m.queue.groups();
  std::vector<OnTimeCell> cells;
  std::vector<std::int64_t> late(groups.size(), 0);
  std::vector<double> seconds_each(groups.size(), 0);
  for (std::uint32_t g = 0; g < groups.size(); ++g) {
    const OrderForest::Tree& tree = groups[g].tree;
    const std::int64_t count = forest.count(tree);
    if (count == 0) continue;
    // The keys of this policy are latest starts.
    if (groups[g].key.priced_out && m.demand.priced) continue;
    late[g] = forest.before(tree, {now.time_since_epoch().count(), 0}).count;
    const OrderForest::Index first = forest.at_rank(tree, late[g]);
    if (first == OrderForest::none) continue;
    const std::int64_t from = forest.key(first), to = forest.key(forest.at_rank(tree, count - 1));
    const std::int64_t step = std::max<std::int64_t>(1'000'000, (to - from) / cells_a_group + 1);
    const Tokens mean_prompt{groups[g].prompts.count / count};
    const Duration work = duration_from_seconds(scale * seconds(request_work(*m.engine, mean_prompt, delivered.mean({id, mean_prompt, std::nullopt}))));
    seconds_each[g] = seconds(work);
    const double value = configuration->classes[groups[g].key.service_class.index()].value;
    std::int64_t before = late[g];
    for (std::int64_t edge = from; edge <= to && before < count; edge += step) {
      const std::int64_t up_to = forest.before(tree, {edge + step, 0}).count;
      if (up_to > before) {
        const Duration due = Instant{Duration{edge + step / 2}} - now + Duration{work.count() / std::max(1, m.engines)};
        cells.push_back({.group = g, .due = due, .work = work, .value = value, .count = up_to - before, .party = groups[g].key.service_class.value});
      }
      before = up_to;
    }
  }
  const double capacity = planned_share * m.engines;
  std::vector<double> floors = m.demand.floors;
  for (double& each : floors) each *= capacity;
  const std::vector<std::int64_t> dropped = give_up(std::move(cells), capacity, floors);
  // Whose tenants have how much of too little must be known soon; without tenants those given up are the same.
  double given_up = 0;
  for (std::uint32_t g = 0; g < dropped.size(); ++g) given_up += seconds_each[g] * static_cast<double>(dropped[g]);
  const bool refutes = !m.demand.tenants.empty() && !m.demand.priced && given_up > refuting * m.engines;
  if (refutes) fade_demand(m, std::min(1.0, seconds(refuted) / m.demand.window));
  for (std::uint32_t g = 0; g < groups.size(); ++g) {
    const std::int64_t rank = late[g] + (g < dropped.size() ? dropped[g] : 0);
    OrderForest::Bound cut;
    if (groups[g].key.priced_out && m.demand.priced) {  // those to come as well
      cut = {std::numeric_limits<std::int64_t>::max(), 0};
    } else if (rank > 0) {  // right behind the last one given up: who arrives later and is due later is kept
      cut = forest.bound(forest.at_rank(groups[g].tree, rank - 1));
      ++cut.sequence;
    }
    m.queue.set_cut(forest, g, cut);
  }
  follow_cuts(m);
}

}  // namespace qlm

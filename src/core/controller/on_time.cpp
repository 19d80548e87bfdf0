// Whom to give up: which requests of a model's queue cannot all be on time, decided afresh every two seconds from its
// groups, never from its single requests.
#include <algorithm>

#include "core/controller/state.hpp"
#include "core/plan/on_time_set.hpp"

namespace qlm {
namespace {

constexpr Duration select_interval = 2s;
constexpr int cells_a_group = 40;

}  // namespace

Duration Controller::State::work_of(const RequestRecord& r) const {
  const ModelRecord& m = models[r.request.model.index()];
  const Tokens output = expected_output(r.request);
  if (m.engine) return request_work(*m.engine, r.request.prompt, static_cast<double>(output.count));
  return 1us * (r.request.prompt.count / 8 + output.count);
}

void Controller::State::refresh_engine(ModelId id) {
  ModelRecord& m = model(id);
  m.engine.reset();
  m.engines = 0;
  for (InstanceId at : m.instances) {
    const InstanceRecord& i = instances[at.index()];
    if (!i.present) continue;
    ++m.engines;
    if (m.engine || !i.description.speed) continue;
    const double kv = i.description.kv_capacity ? static_cast<double>(i.description.kv_capacity->count) : 0;
    m.engine = full_load(*i.description.speed, i.governor.limit(), kv, m.mean_prompt(), m.mean_output());
  }
}

void Controller::State::select_on_time() {
  if (!traits(configuration->policy).gives_up || now < select_at) return;
  select_at = add(now, select_interval);
  for (std::size_t m = 0; m < models.size(); ++m) {
    if (!models[m].queue.empty()) select_on_time(ModelId{static_cast<std::uint32_t>(m)});
  }
}

void Controller::State::select_on_time(ModelId id) {
  ModelRecord& m = model(id);
  refresh_engine(id);
  if (!m.engine) return;
  const std::vector<ModelQueue::Group>& groups = m.queue.groups();
  std::vector<OnTimeCell> cells;
  std::vector<std::int64_t> late(groups.size(), 0);
  for (std::uint32_t g = 0; g < groups.size(); ++g) {
    const OrderForest::Tree& tree = groups[g].tree;
    const std::int64_t count = forest.count(tree);
    if (count == 0) continue;
    // The keys of this policy are latest starts.
    late[g] = forest.before(tree, {now.time_since_epoch().count(), 0}).count;
    const OrderForest::Index first = forest.at_rank(tree, late[g]);
    if (first == OrderForest::none) continue;
    const std::int64_t from = forest.key(first), to = forest.key(forest.at_rank(tree, count - 1));
    const std::int64_t step = std::max<std::int64_t>(1'000'000, (to - from) / cells_a_group + 1);
    const Tokens mean_prompt{groups[g].prompts.count / count};
    const Duration work = request_work(*m.engine, mean_prompt, m.mean_output());
    const double value = configuration->classes[groups[g].key.service_class.index()].value;
    std::int64_t before = late[g];
    for (std::int64_t edge = from; edge <= to && before < count; edge += step) {
      const std::int64_t up_to = forest.before(tree, {edge + step, 0}).count;
      if (up_to > before) {
        const Duration due = Instant{Duration{edge + step / 2}} - now + Duration{work.count() / std::max(1, m.engines)};
        cells.push_back({.group = g, .due = due, .work = work, .value = value, .count = up_to - before});
      }
      before = up_to;
    }
  }
  const std::vector<std::int64_t> dropped = give_up(std::move(cells), m.engines);
  for (std::uint32_t g = 0; g < groups.size(); ++g) {
    const std::int64_t rank = late[g] + (g < dropped.size() ? dropped[g] : 0);
    OrderForest::Bound cut;
    if (rank > 0) {  // right behind the last one given up: who arrives later and is due later is kept
      cut = forest.bound(forest.at_rank(groups[g].tree, rank - 1));
      ++cut.sequence;
    }
    m.queue.set_cut(forest, g, cut);
  }
}

}  // namespace qlm

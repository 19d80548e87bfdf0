#include "core/controller/model_queue.hpp"

#include <algorithm>

namespace qlm {

ModelQueue::GroupIndex ModelQueue::group(GroupKey key) {
  const auto found = std::ranges::find(groups_, key, &Group::key);
  if (found != groups_.end()) return static_cast<GroupIndex>(found - groups_.begin());
  groups_.emplace_back().key = key;
  return static_cast<GroupIndex>(groups_.size() - 1);
}

ModelQueue::Index ModelQueue::insert(OrderForest& forest, Place place, std::int64_t key, std::uint64_t sequence,
                                     OrderForest::Cost cost, Tokens prompt, Index payload) {
  ++count_;
  cost_ += cost;
  Group& group = groups_[place.group];
  if (place.late) return forest.insert(group.late, key, sequence, cost, payload);
  const Index node = forest.insert(group.tree, key, sequence, cost, payload);
  group.prompts += prompt;
  const bool kept = !(forest.bound(node) < group.cut);
  if (!kept) group.given_up += {1, cost};
  if (kept && (group.head == OrderForest::none || forest.before(node, group.head))) group.head = node;
  return node;
}

void ModelQueue::erase(OrderForest& forest, Place place, Index node, Tokens prompt) {
  take_out(forest, place, node, prompt);
}

OrderForest::Cost ModelQueue::take_out(OrderForest& forest, Place place, Index node, Tokens prompt) {
  --count_;
  Group& group = groups_[place.group];
  const bool given_up = !place.late && forest.bound(node) < group.cut;
  if (group.head == node) group.head = forest.next(group.tree, node);
  if (!place.late) group.prompts -= prompt;
  const OrderForest::Cost cost = forest.erase(place.late ? group.late : group.tree, node);
  if (given_up) group.given_up -= {1, cost};
  cost_ -= cost;
  return cost;
}

ModelQueue::Index ModelQueue::make_late(OrderForest& forest, GroupIndex at, Index node, Tokens prompt) {
  const OrderForest::Bound order = forest.bound(node);
  const Index payload = forest.payload(node);
  const OrderForest::Cost cost = take_out(forest, {at, false}, node, prompt);
  return insert(forest, {at, true}, order.key, order.sequence, cost, prompt, payload);
}

void ModelQueue::set_cut(const OrderForest& forest, GroupIndex at, OrderForest::Bound cut) {
  Group& group = groups_[at];
  if (group.cut == cut) return;
  group.cut = cut;
  group.given_up = forest.before(group.tree, cut);
  group.head = forest.at_or_after(group.tree, cut);
}

std::int64_t ModelQueue::given_up() const {
  std::int64_t all = 0;
  for (const Group& group : groups_) all += group.given_up.count + group.late.sum.count;
  return all;
}

ModelQueue::Phase ModelQueue::phase(const OrderForest& forest, Place place, Index node) const {
  if (place.late) return Phase::late;
  return forest.bound(node) < groups_[place.group].cut ? Phase::given_up : Phase::kept;
}

ModelQueue::Index ModelQueue::first_in(const OrderForest& forest, Phase phase, OrderForest::Bound from, std::optional<ClassId> of_class) const {
  Index best = OrderForest::none;
  const bool from_start = from == OrderForest::Bound{};
  for (const Group& group : groups_) {
    if (of_class && group.key.service_class != *of_class) continue;
    Index node = OrderForest::none;
    switch (phase) {
      case Phase::kept:
        node = from_start || from < group.cut ? group.head : forest.at_or_after(group.tree, from);
        break;
      case Phase::given_up:
        node = forest.at_or_after(group.tree, from);
        if (node != OrderForest::none && !(forest.bound(node) < group.cut)) node = OrderForest::none;
        break;
      case Phase::late: node = forest.at_or_after(group.late, from); break;
    }
    if (node != OrderForest::none && (best == OrderForest::none || forest.before(node, best))) best = node;
  }
  return best;
}

ModelQueue::Index ModelQueue::first(const OrderForest& forest) const {
  for (const Phase phase : {Phase::kept, Phase::given_up, Phase::late}) {
    if (const Index node = first_in(forest, phase, {}); node != OrderForest::none) return node;
  }
  return OrderForest::none;
}

ModelQueue::Index ModelQueue::first_of(const OrderForest& forest, ClassId service_class) const {
  for (const Phase phase : {Phase::kept, Phase::given_up, Phase::late}) {
    if (const Index node = first_in(forest, phase, {}, service_class); node != OrderForest::none) return node;
  }
  return OrderForest::none;
}

ModelQueue::Index ModelQueue::first_passed_over(const OrderForest& forest) const {
  const Index given_up = first_in(forest, Phase::given_up, {}), late = first_in(forest, Phase::late, {});
  if (given_up == OrderForest::none || late == OrderForest::none) return late == OrderForest::none ? given_up : late;
  return forest.before(given_up, late) ? given_up : late;
}

ModelQueue::Index ModelQueue::next(const OrderForest& forest, Place place, Index node) const {
  OrderForest::Bound behind = forest.bound(node);
  ++behind.sequence;
  Phase now = phase(forest, place, node);
  for (;;) {
    if (const Index found = first_in(forest, now, behind); found != OrderForest::none) return found;
    if (now == Phase::late) return OrderForest::none;
    now = now == Phase::kept ? Phase::given_up : Phase::late;
    behind = {};
  }
}

OrderForest::Ahead ModelQueue::ahead(const OrderForest& forest, Place place, Index node) const {
  return ahead(forest, phase(forest, place, node), forest.bound(node));
}

bool ModelQueue::near_front(const OrderForest& forest, Place place, Index node, std::int64_t most) const {
  return node == first(forest) || ahead(forest, place, node).count <= most;
}

ModelQueue::Phase ModelQueue::phase_of_new(GroupKey key, OrderForest::Bound order) const {
  const auto group = std::ranges::find(groups_, key, &Group::key);
  return group != groups_.end() && order < group->cut ? Phase::given_up : Phase::kept;
}

OrderForest::Ahead ModelQueue::ahead(const OrderForest& forest, Phase phase, OrderForest::Bound order) const {
  OrderForest::Ahead result;
  for (const Group& group : groups_) {
    if (forest.count(group.tree) == 0 && forest.count(group.late) == 0) continue;
    for (const OrderForest::Ahead& part : ahead_in(forest, group, phase, order)) result += part;
  }
  return result;
}

std::array<OrderForest::Ahead, 3> ModelQueue::ahead_in(const OrderForest& forest, const Group& group, Phase phase,
                                                       OrderForest::Bound order) const {
  std::array<OrderForest::Ahead, 3> parts;
  auto& [kept, given_up, late] = parts;
  if (phase == Phase::kept) {
    if (group.cut < order) (kept = forest.before(group.tree, order)) -= group.given_up;
    return parts;
  }
  (kept = group.tree.sum) -= group.given_up;
  given_up = phase == Phase::given_up && order < group.cut ? forest.before(group.tree, order) : group.given_up;
  if (phase == Phase::late) late = forest.before(group.late, order);
  return parts;
}

}  // namespace qlm

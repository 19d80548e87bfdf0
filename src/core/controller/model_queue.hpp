// The queue of one model: request groups, each in the order its policy says, merged as they are served. A group may have a
// cut: what stands before it was given up for now and is served after everything that was not. Cuts move in O(log n),
// whatever they jump over, so whom to give up can be decided afresh every second over a million requests.
//
// Three phases, in the order of service: kept (at or after their group's cut), given up (before it), late (moved there for
// good by whoever found them late). Within a phase: by (key, sequence), over all groups.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/controller/order_tree.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/picture.hpp"

namespace qlm {

struct GroupKey {
  ClassId service_class;
  std::uint32_t size_bucket = 0;  // of the prompt; see size_bucket()
  bool priced_out = false;        // too dear for the load when it came: given up while that lasts
  auto operator<=>(const GroupKey&) const = default;
};

class ModelQueue {
 public:
  using Index = OrderForest::Index;
  using GroupIndex = std::uint32_t;
  struct Place {
    GroupIndex group = 0;
    bool late = false;
  };

  struct Group {
    GroupKey key;
    OrderForest::Tree tree, late;
    OrderForest::Bound cut;             // nodes of `tree` before it are given up
    OrderForest::Ahead given_up;        // those
    Index head = OrderForest::none;     // the first of `tree` at or after the cut
    Tokens prompts{0};                  // of what `tree` holds
    double arrivals = 0, arrived_prompts = 0;  // lately: forgotten slowly, by whoever selects
    double admitted = 1;                // share of those that arrive now that the load leaves room for
    double credit = 0;                  // of admission: whole ones are spent
  };

  GroupIndex group(GroupKey key);  // made when there is none yet
  const std::vector<Group>& groups() const { return groups_; }
  std::vector<Group>& groups() { return groups_; }

  Index insert(OrderForest& forest, Place place, std::int64_t key, std::uint64_t sequence, OrderForest::Cost cost, Tokens prompt,
               Index payload);
  void erase(OrderForest& forest, Place place, Index node, Tokens prompt);
  // The node is a new one, of the same group and late.
  Index make_late(OrderForest& forest, GroupIndex group, Index node, Tokens prompt);
  void set_cut(const OrderForest& forest, GroupIndex group, OrderForest::Bound cut);

  std::int64_t count() const { return count_; }
  Tokens tokens() const { return cost_.tokens; }
  std::int64_t work() const { return cost_.work; }
  bool empty() const { return count_ == 0; }
  std::int64_t given_up() const;  // before their cuts, or late

  using Phase = QueuePhase;
  Phase phase(const OrderForest& forest, Place place, Index node) const;
  Index first(const OrderForest& forest) const;
  Index first_of(const OrderForest& forest, ClassId service_class) const;
  Index first_passed_over(const OrderForest& forest) const;  // given up or late, in one order
  Index next(const OrderForest& forest, Place place, Index node) const;
  OrderForest::Ahead ahead(const OrderForest& forest, Place place, Index node) const;
  // Of one group, what stands before a place of that phase and order: the parts kept, given up, late.
  std::array<OrderForest::Ahead, 3> ahead_in(const OrderForest& forest, const Group& group, Phase phase, OrderForest::Bound order) const;
  bool near_front(const OrderForest& forest, Place place, Index node, std::int64_t most) const;  // at most so many are ahead
  // Of one that would come now, of that group, with that place in the order; and what stands before such a place.
  Phase phase_of_new(GroupKey key, OrderForest::Bound order) const;
  OrderForest::Ahead ahead(const OrderForest& forest, Phase phase, OrderForest::Bound order) const;

 private:
  OrderForest::Cost take_out(OrderForest& forest, Place place, Index node, Tokens prompt);
  // The first node of that phase whose place is not before `from`; of all groups or those of one class.
  Index first_in(const OrderForest& forest, Phase phase, OrderForest::Bound from, std::optional<ClassId> of_class = std::nullopt) const;

  std::vector<Group> groups_;
  std::int64_t count_ = 0;
  OrderForest::Cost cost_;
};

}  // namespace qlm

// Names to dense ids and back, given out in order and never taken back: a reload or a restarted engine that says a
// name again gets the id it had.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qlm::gateway {

template <class Id>
class Names {
 public:
  Id give(std::string_view name) {
    const auto known = find(name);
    return known ? *known : give_own(name);
  }
  Id give_own(std::string_view name) {
    if (const auto own = find_own(name)) return *own;
    const Id id{static_cast<std::uint32_t>(names_.size())};
    names_.emplace_back(name);
    ids_.emplace(name, id);
    return id;
  }
  // Another name for the same thing; a name that means something already keeps its meaning.
  void alias(std::string_view name, Id id) { aliases_.emplace(name, id); }
  void forget_aliases() { aliases_.clear(); }

  std::optional<Id> find(std::string_view name) const {
    if (const auto found = aliases_.find(name); found != aliases_.end()) return found->second;
    const auto found = ids_.find(name);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  std::optional<Id> find_own(std::string_view name) const {  // whatever else goes by it
    const auto found = ids_.find(name);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::string& name(Id id) const { return names_.at(id.index()); }
  const std::vector<std::string>& all() const { return names_; }  // by id

 private:
  std::vector<std::string> names_;
  std::map<std::string, Id, std::less<>> ids_, aliases_;
};

}  // namespace qlm::gateway

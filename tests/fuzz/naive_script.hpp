// The actions that answered one event, taken one after the other; what is only told of breakers is left out.
#pragma once

#include <vector>

#include "naive_controller.hpp"
#include "require.hpp"

namespace qlm::fuzz {

class NaiveController::Script {
 public:
  explicit Script(const std::vector<Action>& actions) : actions_(actions) {
    std::erase_if(actions_, [](const Action& a) { return std::holds_alternative<action::BreakerChanged>(a); });
  }

  bool done() const { return at_ == actions_.size(); }

  // The next action if it is a T; taken, or only looked at.
  template <class T>
  const T* next() {
    const T* found = peek<T>();
    if (found) ++at_;
    return found;
  }
  template <class T>
  const T* peek() const {
    return done() ? nullptr : std::get_if<T>(&actions_[at_]);
  }
  template <class T>
  const T* peek_second() const {
    return at_ + 1 < actions_.size() ? std::get_if<T>(&actions_[at_ + 1]) : nullptr;
  }

  // The next action, which must be a T.
  template <class T>
  const T& take() {
    const T* found = next<T>();
    REQUIRE(found);
    return *found;
  }

 private:
  std::vector<Action> actions_;
  std::size_t at_ = 0;
};

}  // namespace qlm::fuzz

// A scripted shell around the controller: hands in events at chosen times and remembers what it was told to do.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/controller/controller.hpp"

namespace qlm::testing {

std::shared_ptr<ControllerConfiguration> configuration(Policy policy = Policy::fcfs);

struct Ask {  // what a test says of a request; the rest is ordinary
  std::uint32_t model = 0;
  std::uint32_t service_class = 0;
  std::uint32_t tenant = 0;
  std::int64_t prompt = 100;
  bool streaming = true;
  std::optional<Duration> client_timeout;
  std::optional<Tokens> max_output;
  Bytes body{1000};
  std::optional<Slo> slo = {};  // its class's unless stated
  ResumeLevel resume = ResumeLevel::exact;
};

class World {
 public:
  explicit World(std::shared_ptr<ControllerConfiguration> c = configuration());

  void feed(Event event);           // at the present time, invariants checked after it
  void advance(Duration by);        // ticking whenever the controller asks to
  RequestId arrive(const Ask& ask = {});
  InstanceId join(int slots, std::vector<std::uint32_t> models = {0});
  InstanceId join(InstanceDescription description);

  // The newest attempt of a request, from what was dispatched.
  AttemptKey attempt(RequestId id) const;
  InstanceId where(RequestId id) const;
  void first_token(RequestId id) { feed(event::FirstToken{attempt(id)}); }
  void end(RequestId id, event::AttemptEnd how = event::AttemptEnd::complete, std::int64_t generated = 10);
  void release(RequestId id) { feed(event::SlotReleased{attempt(id)}); }
  void complete(RequestId id) { end(id); release(id); }

  template <class T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const Action& a : actions) {
      if (const T* it = std::get_if<T>(&a)) found.push_back(*it);
    }
    return found;
  }
  std::vector<std::uint64_t> dispatched() const;  // request ids in the order of their dispatches
  std::optional<action::Reject> rejection(RequestId id) const;
  std::optional<action::Finish> finished(RequestId id) const;

  std::shared_ptr<ControllerConfiguration> config;
  Controller controller;
  Instant now = Instant{} + 1000s;
  std::vector<Action> actions;

 private:
  std::map<std::uint64_t, Tokens> prompts_;  // of those that arrived, by id
  std::uint64_t next_request_ = 1;
  std::uint32_t next_instance_ = 0;
};

}  // namespace qlm::testing

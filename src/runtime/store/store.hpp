// Where accepted durable requests live. The controller asks by action and is answered by event, so that a store on a
// disk or on another machine takes its time without anybody waiting. This only store is memory.
#pragma once

#include <functional>
#include <memory>

#include "core/domain/actions.hpp"
#include "core/domain/events.hpp"

namespace qlm::store {

class Store {
 public:
  // Where answers go; may be called inside the call that asked.
  using Answer = std::function<void(Event)>;

  virtual ~Store() = default;
  virtual void persist(const action::Persist& ask) = 0;         // Persisted or PersistFailed
  virtual void publish(const action::Publish& ask) = 0;         // Published or PublishFailed
  virtual void release(const action::ReleaseClaim& ask) = 0;    // no answer
};

// Keeps nothing beyond the process: every question is answered yes, at once.
std::unique_ptr<Store> memory_store(Store::Answer answer);

}  // namespace qlm::store

// An engine with no GPU: vLLM's HTTP contract in front of an EngineModel that runs in real time. What it does
// otherwise than vLLM is a table in docs/engines.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/emulator/fault.hpp"
#include "app/emulator/sleep.hpp"
#include "base/result.hpp"
#include "core/enginemodel/engine_model.hpp"
#include "core/enginemodel/profiles.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::emulator {

struct EmulatorOptions {
  net::Address listen{"127.0.0.1", 0};
  EngineProfile profile;
  std::vector<std::string> served_as;  // names it answers to, the first one shown; empty: the profile's model
  std::vector<std::string> api_keys;   // empty: open to all
  double speed = 1;                    // times the profile's
  std::uint64_t seed = 0;              // of its texts
  Tokens mean_output{228};             // of generations not told to ignore their end; geometric
  bool prefix_cache = false;           // keeps blocks by what is in them, and tells of cached tokens
  bool bare = false;                   // tells nothing of itself but its models: no metrics, no health, no version
  std::optional<SleepTimes> sleep;     // in life's time; none: cannot, and has no endpoints for it
  bool by_priority = false;            // requests' priority orders who waits; else ignored
  bool lora = false;                   // adapters are loaded and unloaded at its endpoints for them
  Fault fault;
  std::function<void()> on_die;  // what the fault `die` does
};

class EmulatedEngine {
 public:
  // Listens, and answers from then on whenever the loop runs.
  static Result<std::unique_ptr<EmulatedEngine>> start(net::Loop& loop, EmulatorOptions options);
  ~EmulatedEngine();

  std::uint16_t port() const;
  void set_fault(const Fault& fault);
  void drain();  // takes no more connections; the running requests end as usual
  const EngineModel& engine() const;
  std::size_t requests_in_flight() const;

 private:
  struct Impl;
  explicit EmulatedEngine(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace qlm::emulator

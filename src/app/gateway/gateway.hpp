// The whole front: controller, fleet and both listeners on one loop, as one value that serves until it is drained.
// Threads: everything on the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/observe/log.hpp"

namespace qlm::gateway {

class Gateway {
 public:
  using Say = std::function<void(log::Level level, const std::string& line)>;  // lines for the operator

  // Listens and begins to look for the instances. Fails where a listener cannot be opened.
  static Result<std::unique_ptr<Gateway>> start(net::Loop& loop, const config::Configuration& configuration, Say say);
  ~Gateway();

  // Takes over a new configuration without touching what runs; refuses it whole where a part needs a restart.
  Result<void> reload(const config::Configuration& next);
  void on_reload(std::function<Result<void>()> reload);  // what an operator's word for it does: reads the file, and calls the above
  void reload_failed();  // the file was no good: the metrics say so

  // Takes no new requests, and calls back once when those it has are answered, or the time is over.
  void drain(Duration at_most, net::Loop::Task done);
  void hurry();  // drains no longer: what is unanswered is refused now
  // Of those that QLM started. They go on when it ends, for the next QLM to find, unless they are stopped.
  std::size_t engines_running() const;
  void stop_engines(net::Loop::Task done);
  void kill_engines();
  std::string waiting_for() const;  // for people, while it drains
  bool idle() const;                // no request is in the system

  std::uint16_t port() const;
  std::uint16_t admin_port() const;
  bool ready() const;  // an instance is up, and it is not draining

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace qlm::gateway

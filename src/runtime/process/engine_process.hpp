// One engine process, from its start to its end. It outlives QLM: a new QLM finds its record in the state folder and
// adopts it. None is orphaned, none started twice, whatever moment QLM is killed at: the engine's first instruction
// comes after its record is on the disk, and not at all where QLM died before.
//
// An engine is a session of its own, of which its process is the leader. Nothing of that session is left when it is
// over; only what made a session of its own (setsid) escapes, and of an adopted engine, what no longer has
// the engine's output file as its standard output or error.
//
// Threads: the loop's. The loop and the state folder outlive the engine's object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/process/launch.hpp"
#include "runtime/process/output_tail.hpp"
#include "runtime/process/state_folder.hpp"

namespace qlm::process {

struct Exit {
  bool signalled = false;
  int number = 0;  // the signal, else the status

  bool operator==(const Exit&) const = default;
};

class EngineProcess {
 public:
  // Neither is called inside of a call to the object, nor after its destruction.
  struct Hears {
    // A line of its output: without its end, at most 4 KiB, no control characters but tabs. Must not destroy the object.
    std::function<void(std::string_view)> line;
    // It is over: the process and all of its session have ended, its record is gone. Nothing where the status cannot
    // be had: that of an adopted engine. Called once, last; may destroy the object.
    std::function<void(const std::optional<Exit>&)> exited;
  };

  // Blocks for as long as a fork, an exec and the disk take. `what` is filled in with who it is. An error, with no
  // process and no record left, where the program cannot be run or an engine of this (slot, what) has not ended.
  static Result<std::unique_ptr<EngineProcess>> start(net::Loop& loop, const StateFolder& folder, Record what,
                                                      const Command& command, Hears hears);
  // One of StateFolder::running(). What it writes from now on is heard. An error where it no longer runs.
  static Result<std::unique_ptr<EngineProcess>> adopt(net::Loop& loop, const StateFolder& folder, const Record& record,
                                                      Hears hears);
  ~EngineProcess();  // does not end the engine: it goes on, and its record says where
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // SIGTERM to its process group, SIGKILL after `grace`. A second call can only bring the SIGKILL forward.
  void stop(Duration grace);

  const Record& record() const { return record_; }

 private:
  EngineProcess(net::Loop& loop, const StateFolder& folder, Record record, Descriptor process, net::Readable end,
                Descriptor output, Hears hears);
  static Result<std::unique_ptr<EngineProcess>> watch(net::Loop& loop, const StateFolder& folder, Record record,
                                                      Descriptor process, Descriptor output, Hears hears);
  void tail();
  void signal_group(int signal) const;
  void leader_ended();
  void end_rest();
  void finish();

  net::Loop& loop_;
  const StateFolder& folder_;
  Record record_;
  Descriptor process_;  // a pidfd
  net::Readable end_;
  OutputTail output_;
  Hears hears_;
  net::Timer tail_timer_;
  net::Timer kill_timer_;
  net::Timer rest_timer_;
  Instant kill_at_ = never;
  Duration rest_pause_{};
  bool own_ = false;  // a child of ours, a zombie until finish(); known when it has ended
  std::optional<Exit> exit_;
};

// A port of 127.0.0.1 that nobody listens on at the moment.
std::optional<std::uint16_t> free_port();

}  // namespace qlm::process

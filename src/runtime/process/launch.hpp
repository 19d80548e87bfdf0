// A program about to run: forked, in a session of its own, waiting for leave. Whatever must be known of it to find it
// again can be written down before its first instruction; if whoever forked it dies before, it ends without one.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/process/descriptor.hpp"

namespace qlm::process {

struct Command {
  std::vector<std::string> words;  // the program first, looked for in PATH where it has no slash; no shell
  std::map<std::string, std::string> environment;  // over QLM's own
};

// Blocks where it says so, for as long as a fork and an exec take. The process must not ignore SIGCHLD.
class Launch {
 public:
  // `output`, opened for appending, becomes its standard output and error; its input is empty, no other descriptor
  // and no signal's disposition or mask is inherited.
  static Result<Launch> fork(const Command& command, const Descriptor& output);
  ~Launch();  // without go(): blocks until it has ended, without exec
  Launch(Launch&&) noexcept;
  Launch& operator=(Launch&&) = delete;

  pid_t pid() const { return pid_; }
  // Blocks until its program runs, or cannot; then it is gone, and the error says why.
  Result<void> go();

 private:
  Launch(std::string program, pid_t pid) : program_(std::move(program)), pid_(pid) {}
  void reap() const;

  std::string program_;
  pid_t pid_;
  bool gone_ = false;
  Descriptor leave_;  // one byte written here is the leave, its closing the end
  Descriptor leave_end_;  // the other end, kept so that writing to one that was killed is no SIGPIPE
  Descriptor error_;  // tells the errno of a failed exec, or nothing
};

}  // namespace qlm::process

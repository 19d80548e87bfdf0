// A program run to its end or to the end of its time, whichever comes first. No shell; a process group of its own, so
// that what it started ends with it; its input is empty, its words are kept for the error message.
#pragma once

#include <string>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"

namespace qlm::solver {

struct ChildLimits {
  Duration time{};  // by the clock; then it is killed
  Bytes memory{};   // address space; zero: no limit
  Bytes file{};     // the largest file it may write; zero: no limit
};

enum class ChildEnd { exited, signalled, out_of_time, not_found, not_started };

struct Child {
  ChildEnd end = ChildEnd::not_started;
  int number = 0;    // exit status, signal, or errno
  std::string said;  // the end of what it wrote to standard output and error
};

// Blocks. `words` has the program first, looked for in PATH where it has no slash. Safe to call from several threads;
// the process must not ignore SIGCHLD.
Child run_child(const std::vector<std::string>& words, const ChildLimits& limits);

}  // namespace qlm::solver

// Linear and mixed-integer programs, solved by a program of its own: COIN-OR's Cbc or Clp, or any command that reads an
// LP file and writes a solution file. A child process, because Cbc does not keep its own time limits and a solver's
// crash or memory is not ours; it is killed by the clock.
//
// Where results must repeat (simulation), limit nodes or iterations by the command's own options and let the clock be
// so far away that reaching it is a failure, which the error says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "core/plan/linear_program.hpp"

namespace qlm::solver {

struct Command {
  // The program, looked for in PATH where it has no slash, and its arguments. {lp} and {solution} stand for the two
  // files wherever they occur; the form of both is in lp_text.hpp.
  std::vector<std::string> words;
  Duration time = 10s;
  Bytes memory{std::int64_t{4} << 30};
};

// Cbc, for programs with integers (and without). It stops after so many nodes.
Command cbc(std::int64_t nodes, Duration time = 10s);
// Clp, for programs without integers. It stops after so many iterations.
Command clp(std::int64_t iterations, Duration time = 10s);
// The user's own, words parted by blanks, '...' and "..." keep blanks. An error where {lp} or {solution} is missing.
Result<Command> command_from(std::string_view line, Duration time = 10s);

enum class Trouble {
  program,  // what was to be solved makes no sense
  not_found,  // no such solver on this machine
  machine,  // no file, no process
  out_of_time,  // killed by the clock
  crashed,  // ended by a signal, or with an exit status other than 0
  solution,  // there is none, it cannot be read, or it breaks the program
};
struct SolverError {
  Trouble trouble;
  std::string message;  // with the solver's name and its last words
};

// Blocks, at most for the command's time and a little. Any thread. Files lie in a directory of their own under TMPDIR
// or /tmp and are gone afterwards.
Result<lp::Solution, SolverError> solve(const lp::Program& program, const Command& command);

// For core/plan: the same as a function, the trouble as a message.
lp::Solve solver(Command command);

}  // namespace qlm::solver

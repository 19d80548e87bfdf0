// Anybody's own trace and fleet as a case: models, classes and instances of a configuration file, whose models name the
// profile that an emulated engine follows.
#pragma once

#include <string>

#include "base/result.hpp"
#include "simulate/suite/cell.hpp"
#include "simulate/workload/trace.hpp"

namespace qlm::sim {

struct OwnCase {
  suite::Case of;
  workload::Trace trace;
  Policy policy = Policy::edf;  // the configuration's, as is what follows
  std::string solver;           // a command; empty: none
  Duration solver_timeout{};
  std::vector<std::optional<Tokens>> longest_outputs;  // by model: who states more is turned away
  std::vector<std::string> not_simulated;  // of the configuration, in words
};
// The error names the file and what is missing in it.
Result<OwnCase> own_case(const std::string& trace_file, const std::string& configuration_file);

}  // namespace qlm::sim

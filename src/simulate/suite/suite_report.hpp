// The figures of a suite as JSON, as a table that a person reads, and drawn.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "simulate/suite/cell.hpp"

namespace qlm::suite {

struct CellResult {
  std::string name;  // of the case
  std::string undisturbed;  // the case that it is with something in its way; empty: none is
  std::optional<double> load;  // none: of requests that all come at once
  std::uint64_t seed = 0;
  double capacity = 0;  // requests a second at load 1
  std::vector<std::pair<std::string, double>> values;  // of the classes
  Limits limits;
  std::vector<std::pair<Policy, Figures>> policies;  // in the order asked for
};

// {"suite": ..., "definitions": {...}, "cells": [{"name", "load", "seed", "policies": {NAME: {...}}, "digest"}, ...]}
std::string to_json(const std::string& suite_name, const std::vector<CellResult>& cells);

// A line for each case, load and policy: means over the seeds with half the width of their 95 % confidence interval
// (Student's t over seeds), the worst class beside it; losing cells of `qlm` named below.
std::string to_table(const std::vector<CellResult>& cells);

// What each thing in the way costs: a line for each disturbed case and load with what each policy loses against the same
// without it, and the cells named in which qlm loses too much or is behind edf-expire. Empty where nothing is in the way.
std::string losses_table(const std::vector<CellResult>& cells);

// A line for each case, load and policy, its seeds together: what was told of waits at admission against what they were.
std::string waits_table(const std::vector<CellResult>& cells);

// One self-contained page: for each case what is on time over load under each policy beside bound and ceiling, by number, by value
// where classes differ in it and in the worst class; waits as they were told against waits; then the tables.
std::string to_html(const std::string& suite_name, const std::vector<CellResult>& cells);

// Every request as a line, so that anybody can compute the figures again: its times in seconds since the run began, what it
// was told of its wait at admission, whether it counts as on time. Without the header, for one policy on one cell.
std::string requests_header();
std::string requests_csv(const CellResult& cell, Policy policy, const Case& of, const fleet::FleetResult& result);
// A line for each cell and policy whose programs a solver was asked for: how many it solved, and what the local search leaves
// of those. Empty where there was none.
std::string exact_table(const std::vector<CellResult>& cells);
std::string exact_json(const paper::ExactCounts& of);
// A line for each cell and policy that a solver's failure, or the clock, brought to nothing.
std::string failures(const std::vector<CellResult>& cells);

}  // namespace qlm::suite

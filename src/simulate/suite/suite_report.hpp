// The figures of a suite as JSON, and as a table that a person reads.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "simulate/suite/cell.hpp"

namespace qlm::suite {

struct CellResult {
  std::string name;  // of the case
  double load = 0;
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

// A line for each case, load and policy, its seeds together: what was told of waits at admission against what they were.
std::string waits_table(const std::vector<CellResult>& cells);

}  // namespace qlm::suite

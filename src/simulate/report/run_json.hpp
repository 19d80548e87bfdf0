// A run as JSON: its summary for programs, its requests as columns so that reports can be made from it later. The
// schema is described in docs/bench.md. Shares are fractions from 0 to 1.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "simulate/report/run_record.hpp"

namespace qlm::report {

std::string to_json(const Run& run);

// Reads what to_json wrote; the summary is computed again, never trusted.
Result<Run> parse_run(std::string_view json);
Result<Run> read_run_file(const std::string& path);

// One line for each request, for spreadsheets and notebooks.
std::string requests_csv(const Run& run);

}  // namespace qlm::report

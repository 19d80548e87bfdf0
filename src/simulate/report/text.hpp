// Figures as people read them, and the table on standard output.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "simulate/report/run_record.hpp"

namespace qlm::report {

std::string readable(std::optional<Duration> duration);  // "850 us", "41 ms", "2.35 s", "4 m 05 s"; "-" for nothing
std::string percent(std::optional<double> share);        // "97.3 %"; never rounded up to 100 or down to 0
std::string thousands(double number);                    // "12,431"
std::string readable(const Slo& slo);                    // "TTFT 2 s, TPOT 60 ms"

// One line for each class and run, then the figures of each whole run.
std::string to_table(const std::vector<Run>& runs);

}  // namespace qlm::report

// The report: one HTML file that needs nothing else, light and dark, readable on a phone.
#pragma once

#include <string>
#include <vector>

#include "simulate/report/run_record.hpp"

namespace qlm::report {

// The runs should be of the same trace; where they are not, the report says so.
std::string to_html(const std::vector<Run>& runs, const std::string& title);

}  // namespace qlm::report

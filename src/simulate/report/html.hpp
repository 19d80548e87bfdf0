// The report: one HTML file that needs nothing else, light and dark, readable on a phone.
#pragma once

#include <string>
#include <vector>

#include "simulate/report/run_record.hpp"

namespace qlm::report {

// The runs should be of the same trace; where they are not, the report says so.
std::string to_html(const std::vector<Run>& runs, const std::string& title);

// Any other page in the same style (its classes: grid, card, wide, key, soft): `introduction` and `body` are HTML.
std::string html_page(const std::string& title, const std::string& introduction, const std::string& body);

// What the plots' colours mean: kind 'k' classes, 'r' runs; names are HTML.
std::string colour_key(char kind, const std::vector<std::string>& names);

}  // namespace qlm::report

// What the admin listener answers, for people: a table, or one thing's members by lines.
#pragma once

#include <string>

#include "base/result.hpp"

namespace qlm::operators {

// `what`: instances, queue, requests or tenants. `wide`: every column.
Result<std::string> table(const std::string& what, const std::string& json, bool wide);
Result<std::string> lines(const std::string& json);

}  // namespace qlm::operators

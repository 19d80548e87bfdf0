// Text from outside (labels, model and class names) made safe for HTML and JSON.
#pragma once

#include <string>
#include <string_view>

namespace qlm::report {

std::string html_escaped(std::string_view text);  // for text and quoted attribute values
std::string json_quoted(std::string_view text);   // with its quotes

}  // namespace qlm::report

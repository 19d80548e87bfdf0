#include "simulate/report/escape.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace qlm::report {
namespace {

// Length of the well-formed UTF-8 sequence at the front, 0 where there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b < 0xE0) return follows(1) ? 2 : 0;
  if (b >= 0xE0 && b < 0xF0) {
    const bool overlong = b == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = b == 0xED && byte(1) >= 0xA0;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (b >= 0xF0 && b < 0xF5) {
    const bool out_of_range = (b == 0xF0 && byte(1) < 0x90) || (b == 0xF4 && byte(1) >= 0x90);
    return follows(1) && follows(2) && follows(3) && !out_of_range ? 4 : 0;
  }
  return 0;
}

template <class Ascii>
std::string escaped(std::string_view text, Ascii&& ascii) {
  std::string out;
  while (!text.empty()) {
    const auto length = utf8_length(text);
    if (length == 0) out += "\xEF\xBF\xBD";
    else if (length == 1) ascii(out, text[0]);
    else out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace

std::string html_escaped(std::string_view text) {
  return escaped(text, [](std::string& out, char c) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? ' ' : c;
    }
  });
}

std::string json_quoted(std::string_view text) {
  return '"' + escaped(text, [](std::string& out, char c) {
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else out += c;
  }) + '"';
}

}  // namespace qlm::report

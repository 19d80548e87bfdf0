#include <algorithm>

#include "protocol/http/message.hpp"

namespace qlm::http {
namespace {

// ASCII only, and never by locale: two servers that fold case differently disagree about which field is
// which.
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

void Fields::set(std::string_view name, std::string_view value) {
  const auto has_name = [&](const Field& field) { return equals_ignoring_case(field.name, name); };
  const auto first = std::ranges::find_if(all_, has_name);
  if (first == all_.end()) return add(name, value);
  first->value = value;
  all_.erase(std::remove_if(first + 1, all_.end(), has_name), all_.end());
}

std::size_t Fields::remove(std::string_view name) {
  return std::erase_if(all_, [&](const Field& field) { return equals_ignoring_case(field.name, name); });
}

std::optional<std::string_view> Fields::find(std::string_view name) const {
  for (const Field& field : all_) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::size_t Fields::count(std::string_view name) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      all_, [&](const Field& field) { return equals_ignoring_case(field.name, name); }));
}

bool Fields::has_token(std::string_view name, std::string_view token) const {
  for (const Field& field : all_) {
    if (!equals_ignoring_case(field.name, name)) continue;
    for (std::string_view rest = field.value;;) {
      const auto comma = rest.find(',');
      if (equals_ignoring_case(trim(rest.substr(0, comma)), token)) return true;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return false;
}

void Fields::append_to(std::string& out) const {
  for (const Field& field : all_) {
    out += field.name;
    out += ": ";
    // Parsed values hold no control bytes; values made here may carry text from anywhere (a model's name, an
    // engine's message). No value may end its own line, so a control byte goes out as a blank.
    const auto start = static_cast<std::ptrdiff_t>(out.size());
    out += field.value;
    std::replace_if(
        out.begin() + start, out.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
    out += "\r\n";
  }
}

std::string_view RequestHead::path() const {
  std::string_view rest = std::string_view(target).substr(0, target.find('?'));
  if (rest.starts_with('/') || rest == "*") return rest;
  // Absolute form: http://host/path.
  const auto scheme_end = rest.find("://");
  if (scheme_end == std::string_view::npos) return rest;
  const auto slash = rest.find('/', scheme_end + 3);
  return slash == std::string_view::npos ? "/" : rest.substr(slash);
}

std::string_view RequestHead::query() const {
  const auto mark = target.find('?');
  return mark == std::string::npos ? std::string_view{} : std::string_view(target).substr(mark + 1);
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 425:
      return "Too Early";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 400 ? "" : status < 500 ? "Client Error" : "Server Error";
  }
}

}  // namespace qlm::http

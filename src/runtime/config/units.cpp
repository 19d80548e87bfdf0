#include "runtime/config/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

namespace qlm::config {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array duration_units{
    Unit{"ns", 1},           Unit{"us", 1'000},          Unit{"ms", 1'000'000},
    Unit{"s", 1'000'000'000}, Unit{"min", 60'000'000'000}, Unit{"m", 60'000'000'000},
    Unit{"h", 3'600'000'000'000}, Unit{"d", 86'400'000'000'000}};
constexpr std::array size_units{
    Unit{"B", 1},     Unit{"KiB", 1LL << 10}, Unit{"MiB", 1LL << 20}, Unit{"GiB", 1LL << 30}, Unit{"TiB", 1LL << 40},
    Unit{"kB", 1'000}, Unit{"MB", 1'000'000},  Unit{"GB", 1'000'000'000}, Unit{"TB", 1'000'000'000'000}};
constexpr std::array count_units{Unit{"", 1}, Unit{"k", 1'000}, Unit{"M", 1'000'000}, Unit{"G", 1'000'000'000}};

struct Written {
  double number = 0;
  std::string_view unit;
};

// A plain decimal, no exponent, no sign, no "inf": exactly what the published patterns allow.
std::optional<Written> split(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t end = 0;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end == 0 || end > 15) return {};
  if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
    ++end;
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end > 24) return {};
  }
  Written written;
  std::from_chars(text.data(), text.data() + end, written.number);
  written.unit = text.substr(end);
  return written;
}

// The value in the smallest unit; nothing when the unit is unknown or the value does not fit.
std::optional<std::int64_t> scaled(std::string_view text, std::span<const Unit> units) {
  const auto written = split(text);
  if (!written) return {};
  for (const Unit& unit : units) {
    if (unit.name != written->unit) continue;
    const double value = std::round(written->number * static_cast<double>(unit.factor));
    if (value > 9e18) return {};
    return static_cast<std::int64_t>(value);
  }
  return {};
}

// A number and one of these units, and yet more than can be counted.
bool is_too_much(std::string_view text, std::span<const Unit> units) {
  const auto end = std::min(text.find_first_not_of("0123456789."), text.size());
  return end > 0 && !scaled(text, units) && (split(text) || end > 15) &&
         std::ranges::find(units, text.substr(end), &Unit::name) != units.end();
}

bool is_bare_number(std::string_view text) {
  const auto written = split(text);
  return written && written->unit.empty();
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}
bool is_v6(std::string_view host) {
  return host.size() >= 2 && host.size() <= 45 && host.find(':') != host.npos && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' || c == '.';
  });
}

// Splits "host:port", "[v6]:port" or a lone host. False when it is none of them.
bool split_authority(std::string_view text, std::string& host, std::string_view& port) {
  std::size_t colon = std::string_view::npos;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == text.npos || !is_v6(text.substr(1, close - 1))) return false;
    host = text.substr(1, close - 1);
    const auto rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return false;
    if (!rest.empty()) colon = close + 1;
  } else {
    colon = text.find(':');
    const auto name = text.substr(0, colon);
    if (!name.empty() && !is_host(name)) return false;
    host = name;
  }
  port = colon == text.npos ? std::string_view{} : text.substr(colon + 1);
  return colon == text.npos || !port.empty();
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return port;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  constexpr std::string_view expected = "expected a duration such as 250ms, 2s, 5min or 1h";
  if (const auto value = scaled(text, duration_units)) {
    if (*value == 0) return fail("expected a duration above zero");
    return Duration{*value};
  }
  if (is_too_much(text, duration_units)) return fail("expected a duration of at most 104166d");
  if (is_bare_number(text)) return fail(fmt::format("{}; did you mean '{}s'?", expected, text));
  return fail(std::string(expected));
}

Result<Bytes> parse_size(std::string_view text) {
  constexpr std::string_view expected = "expected a size such as 64KiB, 32MiB or 4GiB";
  if (const auto value = scaled(text, size_units)) return Bytes{*value};
  if (is_too_much(text, size_units)) return fail("expected a size of at most 8185452TiB");
  if (is_bare_number(text)) return fail(fmt::format("{}; did you mean '{}B'?", expected, text));
  return fail(std::string(expected));
}

Result<std::int64_t> parse_count(std::string_view text) {
  constexpr std::string_view expected = "expected a whole number such as 200, 100k or 2M";
  const auto value = scaled(text, count_units);
  // 2.5 is no count, 2.5k is.
  if (!value || (is_bare_number(text) && text.find('.') != text.npos)) return fail(std::string(expected));
  return *value;
}

Result<double> parse_share(std::string_view text) {
  constexpr std::string_view expected = "expected a share such as 20%, from 0% to 100%";
  const auto written = split(text);
  if (written && written->unit == "%" && written->number <= 100) return written->number / 100;
  if (written && written->unit.empty() && written->number <= 1) {
    return fail(fmt::format("{}; did you mean '{}%'?", expected, written->number * 100));
  }
  return fail(std::string(expected));
}

Result<double> parse_number(std::string_view text) {
  const auto written = split(text);
  if (!written || !written->unit.empty()) return fail("expected a number such as 1, 10 or 0.5");
  return written->number;
}

Result<bool> parse_flag(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return fail("expected true or false");
}

Result<PlainRate> parse_rate(std::string_view text) {
  constexpr std::string_view expected = "expected a rate such as 2900/s, 2M/min or 10k/h";
  const auto slash = text.find('/');
  if (slash == text.npos) {
    if (parse_count(text)) return fail(fmt::format("{}; did you mean '{}/s'?", expected, text));
    return fail(std::string(expected));
  }
  const auto amount = scaled(text.substr(0, slash), count_units);
  const auto per = text.substr(slash + 1);
  PlainRate rate;
  if (per == "s") rate.per = 1s;
  else if (per == "min") rate.per = 1min;
  else if (per == "h") rate.per = 1h;
  else return fail(std::string(expected));
  if (!amount) return fail(std::string(expected));
  if (*amount == 0) return fail("expected a rate above zero");
  rate.amount = *amount;
  return rate;
}

Result<ListenAddress> parse_listen(std::string_view text) {
  constexpr std::string_view expected = "expected an address such as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080";
  ListenAddress address;
  std::string_view port_text;
  if (!split_authority(text, address.host, port_text)) return fail(std::string(expected));
  const auto port = parse_port(port_text);
  if (!port) return fail(fmt::format("{}; the port is missing or not 0 to 65535", expected));
  if (address.host.empty()) address.host = "0.0.0.0";
  address.port = *port;
  return address;
}

Result<Url> parse_url(std::string_view text) {
  constexpr std::string_view expected = "expected an engine's address such as http://gpu1:8000";
  if (text.starts_with("https://")) return fail("expected http://: https to engines is not in this version");
  if (!text.starts_with("http://")) {
    std::string host;
    std::string_view port;
    if (split_authority(text, host, port) && !host.empty() && !port.empty() && parse_port(port)) {
      return fail(fmt::format("{}; did you mean 'http://{}'?", expected, text));
    }
    return fail(std::string(expected));
  }
  auto rest = text.substr(7);
  if (rest.find_first_of("?#") != rest.npos) return fail(fmt::format("{}, with no '?' or '#'", expected));
  const auto slash = rest.find('/');
  Url url;
  if (slash != rest.npos) {
    url.prefix = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  while (url.prefix.ends_with('/')) url.prefix.pop_back();
  // People paste the base URL their client uses. QLM adds "/v1/..." itself.
  if (url.prefix.ends_with("/v1")) url.prefix.resize(url.prefix.size() - 3);
  if (std::ranges::any_of(url.prefix, [](char c) { return c <= ' ' || c > '~'; })) return fail(std::string(expected));
  std::string_view port_text;
  if (!split_authority(rest, url.host, port_text) || url.host.empty()) return fail(std::string(expected));
  if (!port_text.empty()) {
    const auto port = parse_port(port_text);
    if (!port || *port == 0) return fail(fmt::format("{}; the port is not 1 to 65535", expected));
    url.port = *port;
  }
  return url;
}

std::string_view nearest(std::string_view written, std::span<const std::string_view> candidates) {
  if (written.empty() || written.size() > 64) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, written.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    // Optimal string alignment: insert, delete, replace, swap two neighbours.
    std::vector<std::size_t> before(candidate.size() + 1), above(candidate.size() + 1), row(candidate.size() + 1);
    std::iota(above.begin(), above.end(), std::size_t{0});
    for (std::size_t i = 1; i <= written.size(); ++i) {
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const auto a = written[i - 1] == '-' ? '_' : written[i - 1];
        row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a == candidate[j - 1] ? 0U : 1U)});
        if (i > 1 && j > 1 && written[i - 1] == candidate[j - 2] && written[i - 2] == candidate[j - 1]) {
          row[j] = std::min(row[j], before[j - 2] + 1);
        }
      }
      before.swap(above);
      above.swap(row);
    }
    if (above.back() < best_distance) {
      best_distance = above.back();
      best = candidate;
    }
  }
  return best;
}

std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c;
  // A cut may fall inside a character.
  if (text.size() > 60) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0U) == 0x80U) out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xC0U) out.pop_back();
    out += "...";
  }
  return out + "'";
}

}  // namespace qlm::config

#include "protocol/openai/slo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace qlm::openai {
namespace {

RequestError invalid(std::string_view param, std::string message) {
  return {400, "invalid_slo", std::move(message), std::string(param)};
}

template <class T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc{} || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

// Reads headers for one answer; the first fault sticks and ends the reading.
class Reader {
 public:
  explicit Reader(const http::Fields& headers) : headers_(headers) {}

  std::optional<RequestError> error;

  std::optional<std::string_view> text(std::string_view name) {
    if (error) return {};
    const auto value = headers_.find(name);
    if (value && headers_.count(name) > 1) {
      error = invalid(name, fmt::format("'{}' is given more than once.", name));
      return {};
    }
    return value;
  }

  std::optional<Duration> time(std::string_view name, double unit_seconds, std::string_view unit) {
    const auto written = text(name);
    if (!written) return {};
    const auto number = parse<double>(*written);
    // Not above zero is written so that NaN fails it too.
    if (!number || !(*number > 0) || !(*number * unit_seconds <= seconds(longest_slo)) || *number * unit_seconds < 1e-9) {
      error = invalid(name, fmt::format("'{}' must be a number of {} above 0 and of at most 30 days, not '{}'.", name, unit,
                                        written->substr(0, 64)));
      return {};
    }
    return duration_from_seconds(*number * unit_seconds);
  }
  std::optional<Duration> milliseconds_of(std::string_view name) { return time(name, 1e-3, "milliseconds"); }

  std::optional<std::int64_t> integer(std::string_view name) {
    const auto written = text(name);
    if (!written) return {};
    const auto number = parse<std::int64_t>(*written);
    if (!number) error = invalid(name, fmt::format("'{}' must be an integer, not '{}'.", name, written->substr(0, 64)));
    return number;
  }

 private:
  const http::Fields& headers_;
};

// 90s, 30m, 1h, 7d, or Go's way of putting them one after the other (1h30m); ms too.
std::optional<Duration> parse_period(std::string_view text) {
  Duration total{0};
  if (text.empty()) return {};
  while (!text.empty()) {
    double number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (fault != std::errc{} || !(number >= 0) || !(number < 1e9)) return {};
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto letters = std::min(text.find_first_of("0123456789.+-"), text.size());
    const std::string_view unit = text.substr(0, letters);
    double unit_seconds = 0;
    if (unit == "ms") unit_seconds = 1e-3;
    else if (unit == "s") unit_seconds = 1;
    else if (unit == "m") unit_seconds = 60;
    else if (unit == "h") unit_seconds = 3600;
    else if (unit == "d") unit_seconds = 86400;
    else return {};
    if (number * unit_seconds > seconds(longest_slo)) return {};
    total += duration_from_seconds(number * unit_seconds);
    if (total > longest_slo) return {};
    text.remove_prefix(letters);
  }
  return total;
}

void own_headers(Reader& read, StatedSlo& slo, UnixTime now) {
  const auto note = [&](bool present, std::string_view name) {
    if (present && slo.source.empty()) slo.source = name;
  };
  note((slo.ttft = read.milliseconds_of("x-slo-ttft-ms")).has_value(), "x-slo-ttft-ms");
  note((slo.tpot = read.milliseconds_of("x-slo-tpot-ms")).has_value(), "x-slo-tpot-ms");
  note((slo.e2e = read.milliseconds_of("x-slo-e2e-ms")).has_value(), "x-slo-e2e-ms");
  if (const auto name = read.text("x-slo-class")) {
    if (name->empty() || name->size() > 64) read.error = invalid("x-slo-class", "'x-slo-class' must be the name of a class.");
    slo.class_name = *name;
    note(true, "x-slo-class");
  }
  if (const auto written = read.text("x-slo-deadline")) {
    slo.deadline = parse_rfc3339(*written);
    if (!slo.deadline || *slo.deadline - now > longest_slo) {
      read.error = invalid("x-slo-deadline", fmt::format("'x-slo-deadline' must be a time within 30 days as RFC 3339 writes it, "
                                                         "like 2026-11-21T14:30:00Z, not '{}'.", written->substr(0, 64)));
    }
    note(true, "x-slo-deadline");
  }
  if (const auto wait = read.text("x-qlm-wait")) {
    slo.waits_gladly = http::equals_ignoring_case(*wait, "allow");
    if (!slo.waits_gladly) {
      read.error = invalid("x-qlm-wait", fmt::format("'x-qlm-wait' must be 'allow', or be left out, not '{}'.", wait->substr(0, 64)));
    }
  }
}

void service_tier(Reader& read, StatedSlo& slo, const RequestFacts& facts) {
  const std::string& tier = facts.service_tier;
  if (tier == "default" || tier == "standard") slo.tier = Tier::standard;
  else if (tier == "priority") slo.tier = Tier::priority;
  else if (tier == "flex") slo.tier = Tier::flex;
  else if (tier == "background") slo.tier = Tier::background;
  // Where the path is not one of OpenAI's, the field may have other values that are the engine's business.
  else if (!tier.empty() && tier != "auto" && tier != "scale" && facts.endpoint != Endpoint::opaque) {
    read.error = invalid("service_tier", fmt::format("'service_tier' must be one of auto, default, standard, priority, flex, "
                                                     "background, not '{}'.", tier.substr(0, 64)));
  }
  if (slo.tier != Tier::none) slo.source = "service_tier";
}

void completion_window(Reader& read, StatedSlo& slo, const RequestFacts& facts) {
  const std::string& window = facts.completion_window;
  if (window.empty()) return;
  if (window == "background") {
    slo.tier = Tier::background;
  } else {
    slo.e2e = parse_period(window);
    if (!slo.e2e || *slo.e2e <= 0s) {
      read.error = invalid("completion_window", fmt::format("'completion_window' must be a time like 24h or 30m of at most 30 days, "
                                                            "or background, not '{}'.", window.substr(0, 64)));
    }
  }
  slo.source = "completion_window";
}

// Saturates: the least integer has no opposite.
std::int64_t opposite(std::int64_t value) { return value == INT64_MIN ? INT64_MAX : -value; }

void peers(Reader& read, StatedSlo& slo, const RequestFacts& facts) {
  const auto note = [&](bool present, std::string_view name) {
    if (present && slo.source.empty()) slo.source = name;
  };
  note((slo.ttft = read.milliseconds_of("x-llm-d-slo-ttft-ms")).has_value(), "x-llm-d-slo-ttft-ms");
  note((slo.tpot = read.milliseconds_of("x-llm-d-slo-tpot-ms")).has_value(), "x-llm-d-slo-tpot-ms");
  if (const auto ttl = read.text("x-llm-d-inference-ttl")) {
    const auto bare = parse<double>(*ttl);
    slo.max_wait = bare ? parse_period(std::string(*ttl) + "s") : parse_period(*ttl);
    if (!slo.max_wait) read.error = invalid("x-llm-d-inference-ttl", "'x-llm-d-inference-ttl' must be a time like 30s of at most 30 days.");
    else if (*slo.max_wait == 0s) slo.max_wait.reset();  // llm-d: as long as the client stays
    else note(true, "x-llm-d-inference-ttl");
  }
  if (const auto objective = read.text("x-llm-d-inference-objective"); objective && !objective->empty() && objective->size() <= 64) {
    slo.class_name = *objective;
    note(true, "x-llm-d-inference-objective");
  }
  if (const auto level = read.text("x-smg-priority")) {
    if (*level == "system" || *level == "interactive") slo.tier = Tier::priority;
    else if (*level == "bulk") slo.tier = Tier::flex;
    else slo.tier = Tier::standard;  // SMG takes an unknown level for its default
    note(true, "x-smg-priority");
  }

  const auto priority = [&](std::optional<std::int64_t> value, std::string_view name) {
    if (!value || slo.priority) return;
    slo.priority = value;
    note(true, name);
  };
  const auto lower_is_sooner = [](std::optional<std::int64_t> value) { return value ? std::optional(opposite(*value)) : value; };
  priority(read.integer("x-dynamo-request-strict-priority"), "x-dynamo-request-strict-priority");
  priority(read.integer("x-dynamo-request-priority"), "x-dynamo-request-priority");
  priority(facts.priority.dynamo_strict, "nvext.agent_hints.strict_priority");
  priority(facts.priority.dynamo, "nvext.agent_hints.priority");
  priority(lower_is_sooner(read.integer("x-vllm-priority")), "x-vllm-priority");
  priority(lower_is_sooner(facts.priority.vllm), "priority");
}

}  // namespace

std::expected<StatedSlo, RequestError> stated_slo(const http::Fields& headers, const RequestFacts& facts, UnixTime now) {
  Reader read(headers);
  StatedSlo slo;
  own_headers(read, slo, now);
  if (!read.error && !slo.stated()) service_tier(read, slo, facts);
  if (!read.error && !slo.stated()) completion_window(read, slo, facts);
  if (!read.error && !slo.stated()) peers(read, slo, facts);
  if (read.error) return std::unexpected(std::move(*read.error));
  return slo;
}

ClientHints client_hints(const http::Fields& headers) {
  ClientHints hints;
  for (const std::string_view name : {"x-stainless-read-timeout", "x-stainless-timeout"}) {
    const auto number = parse<double>(headers.find(name).value_or(""));
    if (!number || !(*number > 0) || !(*number <= seconds(longest_slo))) continue;
    const Duration timeout = duration_from_seconds(*number);
    if (timeout <= Duration{}) continue;  // less than a nanosecond
    hints.read_timeout = std::min(hints.read_timeout.value_or(timeout), timeout);
  }
  hints.retry_count = std::clamp(parse<int>(headers.find("x-stainless-retry-count").value_or("")).value_or(0), 0, 1000);
  return hints;
}

std::optional<UnixTime> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const auto digits = [&](std::size_t at, std::size_t count) {
    int value = 0;
    for (std::size_t i = at; i < at + count; ++i) {
      if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
      value = value * 10 + (text[i] - '0');
    }
    return value;
  };
  const auto is = [&](std::size_t at, std::string_view any) {
    return at < text.size() && any.find(text[at]) != std::string_view::npos;
  };
  const int y = digits(0, 4), mo = digits(5, 2), d = digits(8, 2), h = digits(11, 2), mi = digits(14, 2), s = digits(17, 2);
  if (!is(4, "-") || !is(7, "-") || !is(10, "Tt ") || !is(13, ":") || !is(16, ":")) return {};
  // Nanoseconds in 64 bits end in the year 2262.
  if (y < 1970 || y > 2261 || mo < 1 || d < 1 || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 60) return {};
  const year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (!date.ok()) return {};

  Duration fraction{0};
  std::size_t at = 19;
  if (is(at, ".")) {
    const std::size_t first = ++at;
    std::int64_t unit = 100'000'000;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) fraction += Duration{unit * (text[at] - '0')};
    if (at == first) return {};
  }
  minutes offset{0};
  if (is(at, "+-")) {
    const int oh = digits(at + 1, 2), om = digits(at + 4, 2);
    if (!is(at + 3, ":") || oh < 0 || oh > 23 || om < 0 || om > 59) return {};
    offset = minutes{oh * 60 + om} * (text[at] == '-' ? -1 : 1);
    at += 6;
  } else if (is(at, "Zz")) {
    at += 1;
  } else {
    return {};
  }
  if (at != text.size()) return {};
  const Duration since_1970 = sys_days{date}.time_since_epoch() + hours{h} + minutes{mi} - offset + std::chrono::seconds{std::min(s, 59)};
  return UnixTime{since_1970 + fraction};
}

}  // namespace qlm::openai

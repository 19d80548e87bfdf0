#include "protocol/openai/errors.hpp"

#include <algorithm>
#include <array>

#include "protocol/openai/json_write.hpp"

namespace qlm::openai {
namespace {

using enum RefusalReason;

// In the order of the enum, so that the reason is the index. Codes that OpenAI's clients look for are OpenAI's own.
constexpr std::array rules = std::to_array<RefusalRule>({
    {bad_request, 400, "invalid_request_error", "bad_request", false},
    {unauthorized, 401, "authentication_error", "invalid_api_key", false},
    {class_unknown, 400, "invalid_request_error", "class_not_found", false},
    {class_not_allowed, 403, "permission_error", "class_not_allowed", false},
    {model_unknown, 404, "invalid_request_error", "model_not_found", false},
    {path_unknown, 404, "invalid_request_error", "path_unknown", false},
    {request_unknown, 404, "invalid_request_error", "request_not_found", false},
    {request_ended, 410, "invalid_request_error", "request_ended", false},
    {method_not_allowed, 405, "invalid_request_error", "method_not_allowed", false},
    {request_timeout, 408, "invalid_request_error", "request_timeout", false},
    {body_too_large, 413, "invalid_request_error", "body_too_large", false},
    {queue_full, 429, "overloaded", "queue_full", true},
    {tenant_limit, 429, "rate_limit_error", "tenant_limit", true},
    {tenant_rate, 429, "rate_limit_error", "rate_limit_exceeded", true},
    {slo_unreachable, 429, "overloaded", "slo_unreachable", true},
    {wait_too_long, 429, "overloaded", "wait_too_long", true},
    {client_gone, 499, "client_gone", "client_gone", false},
    {internal, 500, "server_error", "internal", true},
    {engine_failed, 502, "server_error", "engine_failed", true},
    {engine_error, 502, "server_error", "engine_error", true},
    {no_instance, 503, "overloaded", "no_instance", true},
    {draining, 503, "overloaded", "draining", true},
    {cancelled, 409, "invalid_request_error", "cancelled", false},
    {deadline_passed, 504, "timeout_error", "deadline_passed", false},
});
static_assert(std::ranges::is_sorted(rules, {}, &RefusalRule::reason));
static_assert(rules.size() == static_cast<std::size_t>(deadline_passed) + 1);

ErrorReply reply(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

std::string refusal_body(const Refusal& refusal) {
  const RefusalRule& rule = rule_of(refusal.reason);
  return error_body(rule.type, rule.code, refusal.message, refusal.param);
}

// Edits between two names where a swap of neighbours is one edit: what typing gets wrong.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

const RefusalRule& rule_of(RefusalReason reason) { return rules[static_cast<std::size_t>(reason)]; }
std::span<const RefusalRule> refusal_rules() { return rules; }

std::string error_body(std::string_view type, std::string_view code, std::string_view message, std::string_view param) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("error").begin_object().member("message", message).member("type", type);
  const auto or_null = [&](std::string_view name, std::string_view text) {
    json.key(name);
    text.empty() ? json.null() : json.value(text);
  };
  or_null("param", param);
  or_null("code", code);
  json.end_object().end_object();
  return out;
}

ErrorReply error_reply(const Refusal& refusal) {
  const RefusalRule& rule = rule_of(refusal.reason);
  ErrorReply out = reply(rule.status, refusal_body(refusal));
  if (refusal.retry_after) out.headers.emplace_back("Retry-After", retry_after_value(*refusal.retry_after));
  if (!refusal.allow.empty()) out.headers.emplace_back("Allow", refusal.allow);
  if (!rule.retry_helps || refusal.retry_after.value_or(0s) > longest_obeyed_retry_after) {
    out.headers.emplace_back("x-should-retry", "false");
  }
  out.headers.insert(out.headers.end(), refusal.headers.begin(), refusal.headers.end());
  return out;
}

ErrorReply error_reply(const RequestError& error) {
  ErrorReply out = reply(error.status, error_body("invalid_request_error", error.code, error.message, error.param));
  out.headers.emplace_back("x-should-retry", "false");
  return out;
}

std::string sse_error_event(const Refusal& refusal) { return "data: " + refusal_body(refusal) + "\n\n"; }

std::string retry_after_value(Duration wait) {
  const auto whole = std::chrono::ceil<std::chrono::seconds>(std::max(wait, Duration{1}));
  return std::to_string(whole.count());
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t most = 100;
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not through a character
  return std::string(text.substr(0, end)) + "...";
}

std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates) {
  // A name of hundreds of letters is no misspelling, and comparing it would be the caller's way to spend our time.
  constexpr std::size_t longest = 128;
  if (name.size() > longest) return {};
  const std::string wanted = lower(name);
  std::size_t nearest = std::max<std::size_t>(1, name.size() / 3) + 1;
  const std::string* found = nullptr;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > longest) continue;
    const std::size_t distance = edit_distance(wanted, lower(candidate));
    if (distance >= nearest) continue;
    nearest = distance;
    found = &candidate;
  }
  return found ? std::optional(*found) : std::nullopt;
}

}  // namespace qlm::openai

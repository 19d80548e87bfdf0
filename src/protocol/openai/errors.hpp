// How QLM says no: one table from reason to status, and the OpenAI error object.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "protocol/openai/request.hpp"

namespace qlm::openai {

enum class RefusalReason {
  bad_request,
  unauthorized,
  class_unknown,
  class_not_allowed,
  model_unknown,
  path_unknown,
  request_unknown,  // none of this tenant's has that id
  request_ended,
  method_not_allowed,
  request_timeout,  // the client was too slow sending its request
  body_too_large,
  queue_full,
  tenant_limit,   // too many requests queued or running
  tenant_rate,    // too many requests or tokens a minute
  slo_unreachable,
  wait_too_long,  // a non-streaming client would outwait common proxies
  client_gone,    // for the log; nobody reads the answer
  internal,
  engine_failed,  // every attempt failed without an answer of the engine's own
  engine_error,   // the engine's stream broke off or carried an error
  no_instance,    // nothing can serve this model now
  draining,
  cancelled,      // by an operator, or by the queue's API
  deadline_passed,  // while queued
};

struct RefusalRule {
  RefusalReason reason;
  int status;
  std::string_view type;
  std::string_view code;  // also the label in logs and metrics
  bool retry_helps;       // false: `x-should-retry: false`, which the official SDKs obey
};
const RefusalRule& rule_of(RefusalReason reason);
std::span<const RefusalRule> refusal_rules();

struct Refusal {
  RefusalReason reason = RefusalReason::internal;
  std::string message;  // which limit, whose, what the estimate was, and what the caller can do
  std::string param;
  std::optional<Duration> retry_after;
  std::string_view allow{};  // method_not_allowed: the methods that the path does take
  std::vector<std::pair<std::string, std::string>> headers = {};  // beside those that follow from the rest
};

struct ErrorReply {
  int status = 500;
  std::vector<std::pair<std::string, std::string>> headers;  // Content-Type, Retry-After, x-should-retry
  std::string body;
};
ErrorReply error_reply(const Refusal& refusal);
ErrorReply error_reply(const RequestError& error);

// {"error":{"message","type","param","code"}}; an empty param or code is null.
std::string error_body(std::string_view type, std::string_view code, std::string_view message, std::string_view param);

// A failure after the stream began: one event, to be followed by the end of the stream without [DONE].
std::string sse_error_event(const Refusal& refusal);

// Whole seconds, rounded up, at least 1.
std::string retry_after_value(Duration wait);
// The SDKs fall back to their own short back-off above this, so they are told not to retry at all.
inline constexpr Duration longest_obeyed_retry_after = 60s;

// A client's word as a message may repeat it: never longer than a line.
std::string excerpt(std::string_view text);

// The candidate a misspelling most likely meant; the first of equals; nothing when none is near.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace qlm::openai

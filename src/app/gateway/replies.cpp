#include "app/gateway/replies.hpp"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace qlm::gateway {
namespace {

std::string in_words(Duration time) {
  if (time < 1s) return fmt::format("{:.0f} ms", milliseconds(time));
  return fmt::format("{:.0f} s", seconds(time));
}

std::string expected(const std::optional<WaitEstimate>& wait) {
  if (!wait) return {};
  return fmt::format(": the estimate is {} (bound {})", in_words(wait->expected), in_words(wait->bound));
}

struct Asked {
  std::string_view name;   // in words
  std::string_view param;  // the header that states it
};
Asked asked_for(action::CounterOffer::Objective objective) {
  using enum action::CounterOffer::Objective;
  switch (objective) {
    case ttft: return {"a time to the first token", "x-slo-ttft-ms"};
    case e2e: return {"a time for the whole answer", "x-slo-e2e-ms"};
    case deadline: return {"a deadline", "x-slo-deadline"};
  }
  std::unreachable();
}

std::string offered(const std::optional<action::CounterOffer>& offer) {
  if (!offer) return "Retry later.";
  return fmt::format("Retry later, or ask for {} of {:.1f} s or more ({}): that would be accepted now.", asked_for(offer->objective).name,
                     seconds(offer->least), asked_for(offer->objective).param);
}

// Refused together, they shall not come back together: up to a quarter later, by id.
Duration spread(Duration wait, RequestId id) {
  return wait + wait / 4 / 16 * static_cast<std::int64_t>((id.value * 0x9e3779b97f4a7c15ULL) >> 60);
}

struct Words {
  openai::RefusalReason reason;
  std::string text;
};

Words words_of(const action::Reject& reject, const RefusalContext& c) {
  using openai::RefusalReason;
  switch (reject.reason) {
    case Reason::draining:
      return {RefusalReason::draining, "This QLM is stopping and takes no new requests. Send it again: another one should answer."};
    case Reason::queue_full:
      return {RefusalReason::queue_full, "The queue holds as many requests as it may (limits.queued). Retry later."};
    case Reason::queue_bytes_full:
      return {RefusalReason::queue_full, "The queue holds as many bytes as it may (limits.queued_bytes). Retry later."};
    case Reason::tenant_queue_share:
      return {RefusalReason::tenant_limit, fmt::format("Tenant '{}' holds its whole share of the queue (limits.tenant_share). Retry when some of its requests are done.", c.tenant)};
    case Reason::tenant_in_flight:
      return {RefusalReason::tenant_limit, fmt::format("Tenant '{}' has as many requests in the system as it may (its limits.in_flight). Retry when one is done.", c.tenant)};
    case Reason::tenant_queued:
      return {RefusalReason::tenant_limit, fmt::format("Tenant '{}' has as many requests waiting as it may (its limits.queued). Retry when one is served.", c.tenant)};
    case Reason::tenant_tokens:
      return {RefusalReason::tenant_rate, fmt::format("Tenant '{}' used up its tokens for now (its limits.tokens). Retry later.", c.tenant)};
    case Reason::tenant_requests:
      return {RefusalReason::tenant_rate, fmt::format("Tenant '{}' sent as many requests as it may for now (its limits.requests). Retry later.", c.tenant)};
    case Reason::slo_unreachable:
      return {RefusalReason::slo_unreachable, fmt::format("No instance can serve '{}' within the SLO asked for{}. {}", c.model, expected(reject.wait), offered(reject.offer))};
    case Reason::wait_too_long:
      return {RefusalReason::wait_too_long, fmt::format("The wait for '{}' would be longer than this request can bear{}. Retry later, stream, or send 'x-qlm-wait: allow'.", c.model, expected(reject.wait))};
    case Reason::no_instance:
      return {RefusalReason::no_instance, fmt::format("No instance that serves '{}' is up now. Retry later.", c.model)};
    case Reason::deadline_passed:
      return {RefusalReason::deadline_passed, "Its deadline passed while it was queued."};
    case Reason::max_wait_passed:
      return {RefusalReason::deadline_passed, fmt::format("It was queued for as long as class '{}' allows (max_wait).", c.service_class)};
    case Reason::client_timed_out:
      return {RefusalReason::deadline_passed, "The time-out that the client announced passed while it was queued."};
    case Reason::engine_failed:
      return {RefusalReason::engine_failed, fmt::format("Every attempt failed before an answer began{}{}.", c.engine_error.empty() ? "" : "; the last one: ", c.engine_error)};
    case Reason::engine_cut:
      return {RefusalReason::engine_error, fmt::format("The engine failed in the middle of its answer{}{}.", c.engine_error.empty() ? "" : ": ", c.engine_error)};
    case Reason::client_gone:
      return {RefusalReason::client_gone, "The client left."};
    case Reason::store_failed:
      return {RefusalReason::internal, "The request could not be stored, so it was not accepted. Retry later."};
    case Reason::cancelled: return {RefusalReason::cancelled, "An operator of this QLM ended the request."};
    case Reason::none: break;
  }
  return {RefusalReason::internal, "QLM gave the request up and does not know why. Please report this."};
}

void send(net::Exchange& exchange, std::string_view id, openai::ErrorReply reply) {
  http::Fields fields;
  for (const auto& [name, value] : reply.headers) fields.add(name, value);
  if (!id.empty()) fields.add("x-qlm-request-id", id);
  exchange.respond(reply.status, fields, std::move(reply.body));
}

}  // namespace

openai::Refusal refusal_of(const action::Reject& reject, const RefusalContext& context) {
  openai::Refusal refusal;
  auto [reason, text] = words_of(reject, context);
  refusal.reason = reason;
  refusal.message = std::move(text);
  if (reject.wait) {
    refusal.headers.emplace_back("x-qlm-estimated-wait-ms", fmt::format("{:.0f}", milliseconds(reject.wait->expected)));
    refusal.headers.emplace_back("x-qlm-wait-bound-ms", fmt::format("{:.0f}", milliseconds(reject.wait->bound)));
  }
  if (reject.offer) {
    refusal.param = asked_for(reject.offer->objective).param;
    refusal.headers.emplace_back("x-qlm-acceptable-ms", fmt::format("{:.0f}", milliseconds(reject.offer->least)));
  }
  if (reject.retry_after) refusal.retry_after = spread(*reject.retry_after, reject.request);
  return refusal;
}

int respond_refusal(net::Exchange& exchange, std::string_view id, const openai::Refusal& refusal) {
  openai::ErrorReply reply = openai::error_reply(refusal);
  const int status = reply.status;
  send(exchange, id, std::move(reply));
  return status;
}

int respond_refusal(net::Exchange& exchange, std::string_view id, const openai::RequestError& error) {
  openai::ErrorReply reply = openai::error_reply(error);
  const int status = reply.status;
  send(exchange, id, std::move(reply));
  return status;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

void respond_json(net::Exchange& exchange, int status, std::string body) {
  http::Fields fields;
  fields.add("Content-Type", "application/json");
  exchange.respond(status, fields, std::move(body));
}

}  // namespace qlm::gateway

#include "app/gateway/request_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "protocol/openai/deny_list.hpp"

namespace qlm::gateway {
namespace {

constexpr int status_client_gone = 499;

http::Fields event_stream_fields() {
  http::Fields fields;
  fields.add("Content-Type", "text/event-stream; charset=utf-8");
  fields.add("Cache-Control", "no-cache");
  return fields;
}

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

}  // namespace

RequestSession::RequestSession(SessionServices& services, Request request)
    : services_(services),
      exchange_(std::move(request.exchange)),
      facts_(std::move(request.facts)),
      description_(request.description),
      trusted_(request.trusted),
      record_(std::move(request.record)),
      arrived_(exchange_->received_at()),
      admitted_(arrived_),
      stall_(services.loop) {}

void RequestSession::start() {
  exchange_->on_gone([self = weak_from_this()] {
    if (const auto session = self.lock()) {
      session->answered_ = true;
      session->services_.host.feed(event::Cancelled{session->id()});
    }
  });
  services_.host.feed(event::Arrived{description_});
}

// -- what the controller wants

void RequestSession::admitted(const action::Admitted& action) {
  record_.estimate = action.wait;
  admitted_ = services_.loop.now();
}

void RequestSession::dispatch(const action::Dispatch& action) {
  const auto upstream = services_.fleet.upstream(action.instance);
  if (!first_byte_) dispatched_ = services_.loop.now();
  record_.attempts = action.key.attempt.value;
  record_.cached_expected = action.cached;
  if (!upstream) {  // it left between the decision and now
    count_lost({Loss::instance_down});
    services_.host.feed(event::Ended{action.key, event::AttemptEnd::failed_before_byte, {}, {}, {}});
    services_.host.feed(event::SlotReleased{action.key});
    return;
  }
  record_.instance = upstream->name;
  relay_.reset();
  resumable_.reset();
  if (action.resume == ResumeLevel::exact) {
    resumable_ = kept_.value_or(Resumable(facts_->endpoint));  // one that fails leaves nothing
    resumable_->stream.attempt_begins();
  }
  UpstreamRequest request = make_upstream_request(*upstream, facts_, exchange_->head(), description_.model, trusted_,
                                                  resumable_ ? &resumable_->stream : nullptr);
  removed_ = joined(request.removed);
  relay_ = std::make_unique<Relay>(services_.host, services_.client, action.key, upstream, facts_->endpoint,
                                   std::move(request), resumable_ ? &*resumable_ : nullptr, static_cast<ReplySink&>(*this));
  if (paused_) relay_->pause_reading();
}

void RequestSession::abort(const action::Abort& action) {
  if (relay_ && relay_->key() == action.key) relay_->abort(action.why);
}

void RequestSession::reject(const action::Reject& action) {
  if (!answered_) {
    answered_ = true;
    const openai::Refusal refusal = refusal_of(action, refusal_context());
    record_.error = openai::rule_of(refusal.reason).code;
    if (begun_) close_stream_with(refusal);
    else record_.status = respond_refusal(*exchange_, record_.id, refusal);
  }
  close_record(action.outcome, action.reason);
}

void RequestSession::finish(const action::Finish& action) {
  if (!answered_) {  // cancelled from elsewhere, or ended in a way that left the client without an end
    return reject({id(), action.outcome, action.reason, std::nullopt, std::nullopt});
  }
  close_record(action.outcome, action.reason);
}

RefusalContext RequestSession::refusal_context() const {
  return {record_.model, record_.class_name, record_.tenant, engine_error_};
}

void RequestSession::close_record(Outcome outcome, Reason reason) {
  const Instant now = services_.loop.now();
  record_.wait = dispatched_.value_or(now) - arrived_;
  record_.e2e = now - arrived_;
  if (first_byte_) record_.ttft = *first_byte_ - arrived_;
  if (first_byte_ && record_.streamed && record_.output_tokens.count > 1) {
    record_.tpot = (now - *first_byte_) / (record_.output_tokens.count - 1);
  }
  record_.outcome = outcome;
  record_.reason = reason;
  record_.client_gone = outcome == Outcome::cancelled && reason != Reason::cancelled;
  if (record_.client_gone) record_.status = status_client_gone;
  stall_.cancel();
  relay_.reset();
  exchange_.reset();
}

bool RequestSession::keep_alive() {
  if (answered_) return false;
  if (relaying_) return true;  // it may have to wait again
  if (!begun_) {
    begun_ = true;
    http::Fields fields = event_stream_fields();
    fields.add("x-qlm-request-id", record_.id);
    add_estimate(fields);
    record_.status = 200;
    exchange_->begin(200, fields);
  }
  const auto view = services_.host.controller().request(id(), services_.loop.now());
  std::string line = ": queued";
  if (view && view->position) line += fmt::format(" position={}", *view->position);
  else if (view) line = ": running";
  if (view && view->wait) line += fmt::format(" estimated_wait_ms={:.0f}", milliseconds(view->wait->expected));
  write(line + "\n\n");
  return true;
}

// -- what the relay brings

// What was foretold at its admission.
void RequestSession::add_estimate(http::Fields& fields) const {
  if (record_.estimate) fields.add("x-qlm-estimated-wait-ms", fmt::format("{:.0f}", milliseconds(record_.estimate->expected)));
}

http::Fields RequestSession::own_fields() const {
  http::Fields fields;
  fields.add("x-qlm-request-id", record_.id);
  if (dispatched_) fields.add("x-qlm-wait-ms", fmt::format("{:.0f}", milliseconds(*dispatched_ - arrived_)));
  add_estimate(fields);
  if (!record_.instance.empty()) fields.add("x-qlm-instance", record_.instance);
  if (!removed_.empty()) fields.add("x-qlm-removed", removed_);
  return fields;
}

void RequestSession::request_sent(Instant first_byte_written) {
  if (!services_.on_residence || !dispatched_) return;
  services_.on_residence((admitted_ - arrived_) + (first_byte_written - *dispatched_));
}

void RequestSession::engine_spoke(Instant at) {
  if (!answered_) exchange_->made_of_bytes_read(at);
}

void RequestSession::reply_begin(int status, const http::Fields& fields) {
  relaying_ = true;
  if (first_byte_) return;  // it gave way, and goes on
  first_byte_ = services_.loop.now();
  if (answered_) return;
  if (begun_) {  // the headers are long gone; what they would have said comes as a comment
    std::string line = ":";
    const http::Fields own = own_fields();
    for (const auto& [name, value] : own.all()) line += fmt::format(" {}={};", name, value);
    return write(line + "\n\n");
  }
  begun_ = true;
  record_.status = status;
  http::Fields out = openai::returned_headers(fields);
  const http::Fields own = own_fields();
  for (const auto& [name, value] : own.all()) out.set(name, value);
  exchange_->begin(status, out);
}

void RequestSession::reply_bytes(std::string_view bytes) {
  if (!answered_) write(bytes);
}

void RequestSession::reply_whole(int status, const http::Fields& fields, std::string body) {
  if (answered_) return;
  answered_ = true;
  first_byte_ = services_.loop.now();
  if (begun_) {  // a stream was begun to keep the client; the engine answered in one piece, an error as a rule
    if (const auto error = engines::find_error(body, status)) {
      write("data: " + openai::error_body(error->type, error->code, error->message, error->param) + "\n\n");
    } else {
      write(openai::sse_error_event({openai::RefusalReason::engine_error, "The engine did not stream its answer.", {}, {}}));
    }
    return exchange_->finish();
  }
  record_.status = status;
  http::Fields out = openai::returned_headers(fields);
  const http::Fields own = own_fields();
  for (const auto& [name, value] : own.all()) out.set(name, value);
  exchange_->respond(status, out, std::move(body));
}

void RequestSession::reply_ended(const RelayEnd& end) {
  record_.output_tokens = end.usage ? end.usage->completion : Tokens{end.content_events};
  if (end.usage) {
    record_.prompt_tokens = end.usage->prompt;
    record_.cached = end.usage->cached;
  }
  if (end.error) engine_error_ = end.error->message;
  count_lost(end.lost);
  if (answered_ || !relaying_) return;
  // The client's stream ends here, well or not; whether the request may be tried again is the controller's business.
  answered_ = true;
  if (end.end == event::AttemptEnd::complete) return exchange_->finish();
  action::Reject cut;
  cut.request = id();
  cut.reason = Reason::engine_cut;
  const openai::Refusal refusal = refusal_of(cut, refusal_context());
  record_.error = openai::rule_of(refusal.reason).code;
  close_stream_with(refusal);
}

void RequestSession::reply_evicted(bool goes_on) {
  ++record_.evictions;
  relaying_ = false;
  kept_ = goes_on ? resumable_ : std::nullopt;
}

void RequestSession::count_lost(Lost lost) {
  if (lost.why == Loss::none) return;
  for (auto& [to, times] : record_.lost) {
    if (to == lost) {
      ++times;
      return;
    }
  }
  record_.lost.emplace_back(lost, 1);
}

void RequestSession::close_stream_with(const openai::Refusal& refusal) {
  const auto type = facts_->stream && facts_->endpoint != openai::Endpoint::opaque;
  if (!type) return exchange_->abort();  // no place for words in it: the cut itself must tell
  write(openai::sse_error_event(refusal));
  exchange_->finish();
}

// -- the client's pace

void RequestSession::write(std::string_view bytes) {
  if (!exchange_) return;
  exchange_->write(bytes);
  if (!paused_ && exchange_->unsent().count > static_cast<std::int64_t>(services_.stream_buffer)) hold_back_engine();
}

void RequestSession::hold_back_engine() {
  paused_ = true;
  if (relay_) relay_->pause_reading();
  exchange_->on_drained([self = weak_from_this()] {
    const auto session = self.lock();
    if (!session) return;
    session->paused_ = false;
    session->stall_.cancel();
    if (session->relay_) session->relay_->resume_reading();
  });
  unsent_before_ = exchange_->unsent().count;
  watch_client();
}

void RequestSession::watch_client() {
  stall_.after(services_.client_stall, [this] {
    if (!exchange_ || !paused_) return;
    const std::int64_t unsent = exchange_->unsent().count;
    if (unsent < unsent_before_) {
      unsent_before_ = unsent;
      return watch_client();
    }
    answered_ = true;
    exchange_->abort();
    services_.host.feed(event::Cancelled{id()});
  });
}

}  // namespace qlm::gateway

#include "app/gateway/relay.hpp"

#include <fmt/format.h>

#include <utility>

#include "protocol/openai/errors.hpp"

namespace qlm::gateway {
namespace {

constexpr std::int64_t progress_tokens = 16;
constexpr Duration progress_interval = 100ms;
constexpr std::size_t whole_limit = 1 << 20;   // a longer unstreamed answer is relayed as it comes
constexpr std::size_t unframed_limit = 64 << 20;  // but where only its own text tells whether it is whole, it is held
constexpr std::size_t error_limit = 1 << 20;
constexpr std::size_t held_limit = 4 << 20;
// llama.cpp learns that a client left when it next writes; until then the slot is not free.
constexpr Duration llamacpp_notices = 100ms;
// Most engines compute an answer in one piece before they send its head; what then falls silent is no engine thinking.
// One that is not known may be, until the first byte.
constexpr Duration whole_silence = 5s;
constexpr Duration thinking_silence = 60s;

bool is_event_stream(const http::Fields& fields) {
  const auto type = fields.find("Content-Type");
  constexpr std::string_view wanted = "text/event-stream";
  return type && type->size() >= wanted.size() && http::equals_ignoring_case(type->substr(0, wanted.size()), wanted);
}

bool is_llamacpp(engines::EngineKind kind) {
  return kind == engines::EngineKind::llamacpp || kind == engines::EngineKind::llamacpp_router;
}

std::string_view in_words(net::ClientFailure failure) {
  switch (failure) {
    case net::ClientFailure::connect: return "no connection";
    case net::ClientFailure::no_descriptors: return "QLM may open no more connections";
    case net::ClientFailure::before_head: return "no answer";
    case net::ClientFailure::in_body: return "half an answer";
    case net::ClientFailure::malformed: return "not HTTP";
    case net::ClientFailure::timed_out: return "no answer in time";
  }
  return "unknown";
}

event::AttemptEnd failed(bool relayed) {
  return relayed ? event::AttemptEnd::failed_after_byte : event::AttemptEnd::failed_before_byte;
}

}  // namespace

Relay::Relay(ControllerHost& host, net::HttpClient& client, AttemptKey key, std::shared_ptr<const Upstream> upstream,
             openai::Endpoint endpoint, UpstreamRequest request, Resumable* resumable, ReplySink& sink)
    : host_(host),
      key_(key),
      upstream_(std::move(upstream)),
      endpoint_(endpoint),
      streamed_(request.streamed),
      fold_wanted_(request.fold),
      usage_is_ours_(request.usage_is_ours),
      resumable_(resumable),
      sink_(sink),
      judge_(upstream_->capabilities, resumable && resumable->stream.resumed() ? openai::Endpoint::completions : endpoint_),
      own_fold_(endpoint),
      fold_(resumable ? resumable->fold : own_fold_),
      whole_watch_(host.loop()),
      call_(client.send(upstream_->address, std::move(request.request), *this)) {}

Relay::~Relay() = default;

void Relay::on_sent(Instant first_byte_written) {
  host_.feed(event::Sent{key_, streamed_});
  sink_.request_sent(first_byte_written);
}

void Relay::on_head(const http::ResponseHead& head) {
  status_ = head.status;
  fields_ = head.fields;
  if (status_ < 200 || status_ >= 300) reading_ = Reading::error;
  else if (!is_event_stream(fields_)) reading_ = Reading::whole;
  else reading_ = fold_wanted_ ? Reading::fold : Reading::stream;
  framed_ = head.framing.kind != http::Framing::Kind::until_close;
  watch_whole();
}

void Relay::on_body(std::string_view bytes) {
  if (over_) return;
  sink_.engine_spoke(host_.loop().now());
  switch (reading_) {
    case Reading::stream:
    case Reading::fold: return read_events(bytes);
    case Reading::whole: return read_whole(bytes);
    case Reading::error:
      if (held_.size() < error_limit) held_.append(bytes.substr(0, error_limit - held_.size()));
  }
}

// -- streams

void Relay::read_events(std::string_view bytes) {
  scanner_.feed(bytes);
  http::SseEvent event;
  while (!over_) {
    switch (scanner_.next(event)) {
      case http::SseScanner::Status::need_more: return report_progress();
      case http::SseScanner::Status::too_large: return answered(false, "an event longer than 4 MiB");
      case http::SseScanner::Status::event: break;
    }
    if (judge_.finished()) continue;  // what follows the end is nobody's
    engines::EventIs is = engines::EventIs::empty;
    if (!event.data.empty()) is = judge_.event(event.data);
    if (is == engines::EventIs::content) token_seen();
    std::string_view raw = event.raw, data = event.data;
    std::string written, framed;
    if (resumable_ && !data.empty() && is != engines::EventIs::error && is != engines::EventIs::garbage) {
      written = resumable_->stream.event(data);
      heed_continuation();
      if (written != data) {
        framed = "data: " + written + "\n\n";
        raw = framed;
        data = written;
      }
    }
    if (reading_ == Reading::fold) {
      if (!data.empty() && fold_error_.empty() && is != engines::EventIs::error) {
        if (const auto added = fold_.add(data); !added) fold_error_ = added.error().message;
      }
    } else {
      relay_bytes(raw, is);
    }
    if (is == engines::EventIs::error) return answered(true, {});
  }
}

// What came without its ids, or is more than text, cannot be gone on with; nor is what is whole but for its last words.
void Relay::heed_continuation() {
  const openai::Continuation& stream = resumable_->stream;
  const ResumeLevel now = stream.finished() ? ResumeLevel::none : stream.intact() ? ResumeLevel::exact : ResumeLevel::restart;
  if (now >= resume_) return;
  resume_ = now;
  host_.feed(event::ResumeFell{key_, now});
}

void Relay::relay_bytes(std::string_view bytes, engines::EventIs is) {
  using engines::EventIs;
  if (is == EventIs::error || is == EventIs::garbage) return;  // QLM says it in its own words
  if (is == EventIs::usage && usage_is_ours_) return;
  // Clients take [DONE] for the end of a good answer, so a broken one must be told before it.
  if (is == EventIs::done && judge_.end(true, {}).kind != engines::Outcome::Kind::complete) return answered(true, {});
  if (!begun_ && (is == EventIs::content || is == EventIs::done)) begin();
  if (begun_) return sink_.reply_bytes(bytes);
  held_ += bytes;
  if (held_.size() > held_limit) answered(false, "4 MiB of events without any content");
}

void Relay::begin() {
  begun_ = true;
  sink_.reply_begin(status_, fields_);
  if (!held_.empty()) sink_.reply_bytes(held_);
  held_.clear();
}

void Relay::token_seen() {
  if (token_) return;
  token_ = true;
  reported_at_ = host_.loop().now();
  host_.feed(event::FirstToken{key_});
}

// The controller wants to know that the engine is alive and about how fast, not of every token.
void Relay::report_progress() {
  const std::int64_t tokens = judge_.content_events();
  if (over_ || tokens == reported_) return;
  const Instant now = host_.loop().now();
  if (tokens - reported_ < progress_tokens && now - reported_at_ < progress_interval) return;
  reported_ = tokens;
  reported_at_ = now;
  host_.feed(event::Progress{key_, Tokens{tokens}});
}

// -- answers in one piece

void Relay::read_whole(std::string_view bytes) {
  if (bytes.empty()) return;
  if (!begun_) held_ += bytes;
  watch_whole();
  if (begun_) return sink_.reply_bytes(bytes);
  if (held_.size() <= (framed_ ? whole_limit : unframed_limit)) return;
  if (!framed_) return give_up_unframed();
  host_.feed(event::ResumeFell{key_, ResumeLevel::none});
  token_seen();
  begin();
}

void Relay::give_up_unframed() {
  call_.reset();
  RelayEnd end;
  end.end = event::AttemptEnd::failed_before_byte;
  end.error = engines::connection_error(fmt::format(
      "the engine's answer is longer than {} MiB and has neither a length nor chunks to tell its end", unframed_limit >> 20));
  over(std::move(end));
}

// Streams are the controller's to watch: it knows how fast the instance is. Of an answer in one piece it knows nothing.
void Relay::watch_whole() {
  if (over_ || reading_ == Reading::stream || reading_ == Reading::fold) return;
  const bool may_think = reading_ == Reading::whole && !upstream_->capabilities.head_with_answer && !begun_ && held_.empty();
  const Duration silence = may_think ? thinking_silence : whole_silence;
  whole_watch_.after(silence, [this, silence] {
    call_.reset();
    answered(false, fmt::format("nothing more came for {:.0f} s", seconds(silence)));
  });
}

// -- the end

void Relay::on_complete() { answered(true, {}); }

void Relay::on_failed(net::ClientFailure failure, const std::string& detail) {
  if (failure == net::ClientFailure::no_descriptors) {  // it may be tried again once some are free, and the engine is none the worse
    RelayEnd end;
    end.end = event::AttemptEnd::refused;
    end.error = engines::connection_error(std::string(in_words(failure)));
    return over(std::move(end));
  }
  answered(false, fmt::format("{}{}{}", in_words(failure), detail.empty() ? "" : ": ", detail));
}

void Relay::answered(bool clean, const std::string& why) {
  if (over_) return;
  if (status_ == 0) {
    RelayEnd end;
    end.end = event::AttemptEnd::failed_before_byte;
    end.error = engines::connection_error(why);
    return over(std::move(end));
  }
  switch (reading_) {
    case Reading::stream:
    case Reading::fold: return ended_stream(clean, why);
    case Reading::whole: return ended_whole(clean, why);
    case Reading::error: return ended_error();
  }
}

void Relay::ended_stream(bool clean, const std::string& why) {
  const bool finished = judge_.finished();
  engines::Outcome outcome = judge_.end(clean || finished, finished ? std::string_view{} : scanner_.rest());
  RelayEnd end;
  end.usage = outcome.usage;
  end.content_events = judge_.content_events();
  if (outcome.kind == engines::Outcome::Kind::complete && reading_ == Reading::fold) {
    auto folded = fold_error_.empty() ? fold_.finish() : Result<std::string>(fail(fold_error_));
    if (folded) {
      fields_.set("Content-Type", "application/json");
      sink_.reply_whole(status_, fields_, std::move(*folded));
      return over(std::move(end));
    }
    outcome.kind = engines::Outcome::Kind::failed_before_content;
    outcome.error = engines::connection_error("the stream does not fold: " + folded.error().message);
  }
  if (outcome.kind == engines::Outcome::Kind::complete) {
    if (!begun_) begin();  // whole, and without any content
    return over(std::move(end));
  }
  end.error = outcome.error ? std::move(outcome.error) : engines::connection_error(why);
  if (clients_fault(end.error)) return over(std::move(end));
  end.end = failed(begun_);
  if (!clean && !why.empty()) end.error->message += fmt::format(" ({})", why);
  over(std::move(end));
}

// An engine that has said 200 already can only tell a wrong request in the body. Trying that elsewhere would fail alike,
// and count against every engine it reaches.
bool Relay::clients_fault(const std::optional<engines::EngineError>& error) {
  if (begun_ || !error || error->retryable_elsewhere || error->status < 400 || error->status >= 500) return false;
  fields_.set("Content-Type", "application/json");
  sink_.reply_whole(error->status, fields_, openai::error_body(error->type, error->code, error->message, error->param));
  return true;
}

void Relay::ended_whole(bool clean, const std::string& why) {
  RelayEnd end;
  if (begun_) {  // too long to be judged: what came is what went out
    if (!clean) {
      end.end = event::AttemptEnd::failed_after_byte;
      end.error = engines::connection_error(why);
    }
    return over(std::move(end));
  }
  const engines::BodyEnd body_end = !clean ? engines::BodyEnd::cut : framed_ ? engines::BodyEnd::framed : engines::BodyEnd::by_close;
  engines::Outcome outcome = engines::judge_body(endpoint_, status_, fields_, held_, body_end);
  end.usage = outcome.usage;
  if (outcome.kind == engines::Outcome::Kind::complete) {
    sink_.reply_whole(status_, fields_, std::move(held_));
    return over(std::move(end));
  }
  end.error = outcome.error ? std::move(outcome.error) : engines::connection_error(why);
  if (!clients_fault(end.error)) {
    end.end = event::AttemptEnd::failed_before_byte;
    if (!clean && !why.empty()) end.error->message += fmt::format(" ({})", why);
  }
  over(std::move(end));
}

void Relay::ended_error() {
  engines::EngineError error = engines::read_error(status_, fields_, held_);
  RelayEnd end;
  std::optional<Duration> retry_after;
  if (status_ == 429 || status_ == 503) {
    end.end = event::AttemptEnd::refused;
    retry_after = error.retry_after;
  } else if (error.retryable_elsewhere || status_ < 400) {
    end.end = event::AttemptEnd::failed_before_byte;
  } else {
    // The request itself is at fault, and the engine's own words say best how; only their shape may be a stranger's.
    if (!error.openai_shaped) {
      fields_.set("Content-Type", "application/json");
      held_ = openai::error_body(error.type, error.code, error.message, error.param);
      status_ = error.status;
    }
    sink_.reply_whole(status_, fields_, std::move(held_));
  }
  end.error = std::move(error);
  over(std::move(end), retry_after);
}

void Relay::over(RelayEnd end, std::optional<Duration> retry_after) {
  over_ = true;
  whole_watch_.cancel();
  event::Ended ended;
  ended.key = key_;
  ended.end = end.end;
  ended.retry_after = retry_after;
  ended.prompt = end.usage ? end.usage->prompt : Tokens{0};
  if (end.usage) ended.cached = end.usage->cached;
  ended.generated = end.usage ? end.usage->completion : Tokens{end.content_events};
  if (reading_ == Reading::error) ended.status = status_;
  end.lost = lost_to(ended, aborted_);
  host_.feed(ended);
  release_slot();
  if (resumable_ && resumable_->stream.resumed()) {  // the client's answer is that of all attempts
    if (end.usage) end.usage = resumable_->stream.of_all(*end.usage);
    end.content_events += resumable_->stream.before().count;
  }
  sink_.reply_ended(end);
}

void Relay::release_slot() {
  const bool cut_by_us = call_ == nullptr;
  if (cut_by_us && is_llamacpp(upstream_->kind)) host_.feed_after(llamacpp_notices, event::SlotReleased{key_});
  else host_.feed(event::SlotReleased{key_});
}

void Relay::abort(action::AbortWhy why) {
  if (over_) return;
  const bool evicted = why == action::AbortWhy::evicted;
  const bool goes_on = resumable_ && resume_ == ResumeLevel::exact;
  if (evicted && ((begun_ && !goes_on) || resume_ == ResumeLevel::none)) return;  // too late
  call_.reset();
  aborted_ = why;
  if (why != action::AbortWhy::cancelled && !evicted) return answered(false, why == action::AbortWhy::stalled ? "stalled" : "the instance is down");
  over_ = true;
  whole_watch_.cancel();
  event::Ended ended;
  ended.key = key_;
  ended.end = event::AttemptEnd::aborted;
  ended.generated = evicted && goes_on ? resumable_->stream.fresh() : Tokens{judge_.content_events()};
  host_.feed(ended);
  release_slot();
  if (evicted) sink_.reply_evicted(goes_on);
}

void Relay::pause_reading() {
  if (!call_ || over_) return;
  call_->pause_reading();
  whole_watch_.cancel();
}

void Relay::resume_reading() {
  if (!call_ || over_) return;
  call_->resume_reading();
  watch_whole();
}

}  // namespace qlm::gateway

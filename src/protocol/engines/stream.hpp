// The truth about an answer: was it whole? A status of 200 and a clean end of the body do not say so: engines
// put errors into the stream, die in the middle of it, or (llama.cpp's router) write `proxy error: ...` where
// an event should be and end cleanly.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/engines/driver.hpp"
#include "protocol/engines/error.hpp"
#include "protocol/openai/fold.hpp"
#include "protocol/openai/request.hpp"

namespace simdjson::dom {
class element;
}

namespace qlm::engines {

struct Outcome {
  enum class Kind : std::uint8_t { complete, failed_before_content, failed_after_content };
  Kind kind = Kind::failed_before_content;
  std::optional<EngineError> error;  // unless complete
  std::string finish_reason;         // of the first choice that told one
  std::optional<openai::Usage> usage;
};

// What one event is to the relay. Until the first `content` (or `done`) everything is held back, so that a
// failure can still be retried on another instance.
enum class EventIs : std::uint8_t {
  empty,    // a role-only or empty delta: nothing a reader would see
  content,  // a non-empty delta: text, reasoning, a tool call, a refusal, audio
  finish,   // carries a finish_reason and no content
  usage,    // choices is empty and usage is there
  done,     // [DONE]
  error,    // the engine says that it failed; see outcome's error
  garbage,  // not what this API sends
};

// Feed every event's data in order (a comment has none and need not be fed), then end() exactly once. What
// follows the end (done or error) is not looked at.
class StreamJudge {
 public:
  StreamJudge(const Capabilities& capabilities, openai::Endpoint endpoint)
      : done_marker_(capabilities.done_marker), endpoint_(endpoint) {}

  EventIs event(std::string_view data);
  // `clean`: the body ended as HTTP says it should (last chunk, Content-Length). `rest`: bytes after the last
  // whole event, SseScanner::rest().
  Outcome end(bool clean, std::string_view rest);

  bool content_seen() const { return content_; }
  // Nothing that matters can follow: stop reading and take end(true, {}) for granted.
  bool finished() const { return done_ || error_.has_value(); }
  // Events that carried content: tokens, roughly, until usage tells.
  std::int64_t content_events() const { return content_events_; }
  const std::optional<openai::Usage>& usage() const { return usage_; }

 private:
  EventIs choices_event(simdjson::dom::element document);
  EventIs responses_event(simdjson::dom::element document);
  EventIs note_content();
  std::optional<EngineError> missing(bool clean, std::string_view rest) const;
  bool all_choices_finished() const { return finished_ != 0 && finished_ == choices_; }

  bool done_marker_;
  openai::Endpoint endpoint_;
  bool content_ = false;
  bool done_ = false;
  std::uint64_t choices_ = 0;   // bit i: choice i was seen; those beyond 63 share the last bit
  std::uint64_t finished_ = 0;  // bit i: choice i told its finish_reason
  std::int64_t content_events_ = 0;
  std::string finish_reason_;
  std::optional<EngineError> error_;
  std::optional<openai::Usage> usage_;
};

// How the body of an answer in one piece ended. By closing, HTTP cannot tell a whole body from one that was cut.
enum class BodyEnd : std::uint8_t { framed, by_close, cut };

// The same for an answer in one piece.
Outcome judge_body(openai::Endpoint endpoint, int status, const http::Fields& fields, std::string_view body,
                   BodyEnd end);

}  // namespace qlm::engines

// Reads one streamed answer: when its first and last text came, how many tokens, and whether it ended as it should.
// No sockets and no clock, so that tests can feed it any bytes at any time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "protocol/http/message.hpp"
#include "protocol/http/sse.hpp"
#include "simulate/report/run_record.hpp"

namespace qlm::bench {

// What one event of a stream says, as far as it is measured here.
struct Chunk {
  bool has_text = false;  // a non-empty delta: content, text, reasoning or a tool call
  std::optional<Tokens> completion_tokens;
  std::optional<std::string> error;
};
std::optional<Chunk> parse_chunk(std::string_view data);  // nothing: not JSON

class Answer {
 public:
  void on_head(const http::ResponseHead& head);
  void on_body(std::string_view bytes, Instant now);
  // The transport's end: whole, or broken with a reason. Exactly once.
  void on_complete();
  void on_failed(std::string_view reason);

  report::Outcome outcome() const { return outcome_; }
  const std::string& detail() const { return detail_; }  // why it is not completed: short, fit to be counted by
  int status() const { return status_; }
  std::optional<Instant> first_text() const { return first_text_; }
  std::optional<Instant> last_text() const { return last_text_; }
  Tokens tokens() const { return usage_.value_or(Tokens{deltas_}); }
  std::int64_t deltas() const { return deltas_; }
  bool has_usage() const { return usage_.has_value(); }
  int duplicates() const { return duplicates_; }  // text or end marks behind the end mark

 private:
  bool good_status() const { return status_ >= 200 && status_ < 300; }

  http::SseScanner events_;
  std::string error_body_;
  int status_ = 0;
  bool done_ = false;
  std::string stream_error_;
  int duplicates_ = 0;
  std::int64_t deltas_ = 0;
  std::optional<Tokens> usage_;
  std::optional<Instant> first_text_, last_text_;
  report::Outcome outcome_ = report::Outcome::timed_out;
  std::string detail_;
};

}  // namespace qlm::bench

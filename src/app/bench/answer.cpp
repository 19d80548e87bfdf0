#include "app/bench/answer.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>

namespace qlm::bench {
namespace {

using report::Outcome;
using simdjson::SUCCESS;
namespace dom = simdjson::dom;

constexpr std::size_t error_body_limit = 4096;

// The parser keeps its buffers; a load generator reads thousands of chunks a second. One for each thread.
dom::parser& parser() {
  thread_local dom::parser instance;
  return instance;
}

bool non_empty(dom::element parent, const char* key) {
  dom::element value;
  if (parent[key].get(value) != SUCCESS) return false;
  std::string_view text;
  if (value.get(text) == SUCCESS) return !text.empty();
  dom::array items;
  return value.get(items) == SUCCESS && items.size() > 0;
}

std::optional<std::string> error_of(dom::element root) {
  dom::element error;
  if (root["error"].get(error) != SUCCESS || error.is_null()) return std::nullopt;
  for (const char* key : {"code", "type", "message"}) {
    std::string_view text;
    if (error[key].get(text) == SUCCESS && !text.empty()) return std::string(text);
  }
  return "error";
}

}  // namespace

std::optional<Chunk> parse_chunk(std::string_view data) {
  dom::element root;
  if (parser().parse(data.data(), data.size()).get(root) != SUCCESS) return std::nullopt;
  Chunk chunk;
  chunk.error = error_of(root);
  std::int64_t tokens = 0;
  if (root["usage"]["completion_tokens"].get(tokens) == SUCCESS) chunk.completion_tokens = Tokens{tokens};
  dom::array choices;
  if (root["choices"].get(choices) != SUCCESS) return chunk;
  for (const dom::element choice : choices) {
    chunk.has_text = chunk.has_text || non_empty(choice, "text");
    dom::element delta;
    if (choice["delta"].get(delta) != SUCCESS) continue;
    for (const char* key : {"content", "reasoning_content", "reasoning", "tool_calls"}) {
      chunk.has_text = chunk.has_text || non_empty(delta, key);
    }
  }
  return chunk;
}

void Answer::on_head(const http::ResponseHead& head) { status_ = head.status; }

void Answer::on_body(std::string_view bytes, Instant now) {
  if (!good_status()) {
    error_body_ += bytes.substr(0, error_body_limit - std::min(error_body_limit, error_body_.size()));
    return;
  }
  events_.feed(bytes);
  http::SseEvent event;
  while (true) {
    const auto status = events_.next(event);
    if (status == http::SseScanner::Status::too_large) stream_error_ = "an event too large";
    if (status != http::SseScanner::Status::event) return;
    if (event.data.empty()) continue;
    if (event.data == "[DONE]") {
      duplicates_ += done_;
      done_ = true;
      continue;
    }
    const auto chunk = parse_chunk(event.data);
    if (!chunk) {
      stream_error_ = "an event that is not JSON";
      continue;
    }
    if (chunk->error) stream_error_ = *chunk->error;
    if (chunk->completion_tokens) usage_ = chunk->completion_tokens;
    if (!chunk->has_text) continue;
    duplicates_ += done_;
    ++deltas_;
    last_text_ = now;
    if (!first_text_) first_text_ = now;
  }
}

void Answer::on_complete() {
  if (!good_status()) {
    outcome_ = Outcome::refused;
    dom::element root;
    detail_ = fmt::format("{}", status_);
    if (parser().parse(error_body_).get(root) == SUCCESS) {
      if (const auto error = error_of(root)) detail_ += " " + *error;
    }
  } else if (!stream_error_.empty()) {
    outcome_ = Outcome::cut;
    detail_ = "error in the stream: " + stream_error_;
  } else if (!done_) {
    outcome_ = Outcome::cut;
    detail_ = "ended without [DONE]";
  } else {
    outcome_ = Outcome::completed;
  }
}

void Answer::on_failed(std::string_view reason) {
  outcome_ = status_ == 0 ? Outcome::failed : good_status() ? Outcome::cut : Outcome::refused;
  detail_ = reason;
}

}  // namespace qlm::bench

#include "protocol/engines/stream.hpp"

#include <fmt/format.h>

#include <utility>

#include "protocol/engines/json.hpp"
#include "protocol/engines/json_error.hpp"

namespace qlm::engines {
namespace {

using openai::Endpoint;

constexpr std::size_t large_body = 1 << 20;

// One per thread, because a parser's buffers cost more than a chunk's parse and a thousand streams need them
// in turn.
json::Document& scratch() {
  thread_local json::Document document;
  return document;
}

// Did this delta bring something a reader would see? Whatever it is called: content, reasoning, tool_calls,
// refusal, audio; engines keep inventing names.
bool brings_content(json::Value delta) {
  const auto members = json::as<json::Object>(delta);
  if (!members) return false;
  for (const auto member : *members) {
    if (member.key == "role") continue;
    if (const auto text = json::as<std::string_view>(member.value)) {
      if (!text->empty()) return true;
    } else if (const auto list = json::as<json::Array>(member.value)) {
      if (list->begin() != list->end()) return true;
    } else if (const auto object = json::as<json::Object>(member.value)) {
      if (object->begin() != object->end()) return true;
    }
  }
  return false;
}

// Chat's and completions' names first, then responses'.
constexpr std::int64_t most_tokens = 1'000'000'000;

std::optional<openai::Usage> read_usage(json::Value holder) {
  const auto usage = json::find(holder, "usage");
  if (!usage || !usage->is_object()) return {};
  const auto number = [&](std::string_view name, std::string_view other) -> std::optional<std::int64_t> {
    auto n = json::get<std::int64_t>(*usage, name);
    if (!n) n = json::get<std::int64_t>(*usage, other);
    // What no engine can have computed is believed of none: sums and rates are made of these.
    return n && *n >= 0 && *n <= most_tokens ? n : std::nullopt;
  };
  const auto prompt = number("prompt_tokens", "input_tokens");
  if (!prompt) return {};
  openai::Usage out;
  out.prompt = Tokens{*prompt};
  out.completion = Tokens{number("completion_tokens", "output_tokens").value_or(0)};
  auto details = json::find(*usage, "prompt_tokens_details");
  if (!details) details = json::find(*usage, "input_tokens_details");
  if (details) {
    if (const auto cached = json::get<std::int64_t>(*details, "cached_tokens")) out.cached = Tokens{*cached};
  }
  return out;
}

// vLLM ends choices with "abort" when it is put to sleep under them, and with "error" when it fails: no
// client asked for either.
std::optional<EngineError> failure_in(std::string_view finish_reason) {
  if (finish_reason != "abort" && finish_reason != "error") return {};
  auto error =
      connection_error(fmt::format("the engine gave the request up (finish_reason \"{}\")", finish_reason));
  error.status = 503;
  error.code = "engine_aborted";
  return error;
}

std::uint64_t choice_bit(json::Value choice) {
  const auto index = json::get<std::int64_t>(choice, "index").value_or(0);
  return std::uint64_t{1} << (index < 0 || index > 63 ? 63 : index);
}

bool blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

bool is_done(std::string_view data) {
  while (!data.empty() && data.back() == ' ') data.remove_suffix(1);
  return data == "[DONE]";
}

bool says_json(const http::Fields& fields) {
  const std::string_view type = fields.find("Content-Type").value_or(std::string_view{});
  const std::string_view media = type.substr(0, type.find_first_of("; "));
  constexpr std::string_view json = "application/json", of_json = "+json";
  return http::equals_ignoring_case(media, json) ||
         (media.size() > of_json.size() && http::equals_ignoring_case(media.substr(media.size() - of_json.size()), of_json));
}

EngineError not_understood(std::string_view data) {
  auto error = connection_error(
      blank(data) ? "the engine answered with an empty body"
                  : fmt::format("the engine sent something that is not JSON: {}", data.substr(0, 200)));
  error.code = "engine_garbage";
  return error;
}

}  // namespace

EventIs StreamJudge::event(std::string_view data) {
  if (finished()) return done_ ? EventIs::done : EventIs::error;
  if (blank(data)) return EventIs::empty;
  if (is_done(data)) {
    done_ = endpoint_ != Endpoint::responses;  // whose closing event says it, with or without this after it
    return EventIs::done;
  }
  const auto document = scratch().parse(data);
  if (!document || !document->is_object()) {
    if (endpoint_ == Endpoint::opaque) return note_content();  // not ours to understand
    error_ = not_understood(data);
    return EventIs::garbage;
  }
  if (auto error = find_error(*document, 502)) {
    error_ = std::move(error);
    return EventIs::error;
  }
  switch (endpoint_) {
    case Endpoint::chat:
    case Endpoint::completions:
      return choices_event(*document);
    case Endpoint::responses:
      return responses_event(*document);
    case Endpoint::embeddings:
    case Endpoint::opaque:
      break;
  }
  return note_content();
}

EventIs StreamJudge::note_content() {
  content_ = true;
  ++content_events_;
  return EventIs::content;
}

EventIs StreamJudge::choices_event(json::Value document) {
  if (auto usage = read_usage(document)) usage_ = usage;
  const auto choices = json::get<json::Array>(document, "choices");
  if (!choices || choices->begin() == choices->end()) {
    return json::find(document, "usage") ? EventIs::usage : EventIs::empty;
  }
  bool content = false;
  bool finish = false;
  for (const auto choice : *choices) {
    const auto bit = choice_bit(choice);
    choices_ |= bit;
    if (const auto delta = json::find(choice, "delta")) {
      content = content || brings_content(*delta);
    } else {
      content = content || !json::text(choice, "text").empty();
    }
    const auto reason = json::text(choice, "finish_reason");
    if (reason.empty()) continue;
    finish = true;
    finished_ |= bit;
    if (finish_reason_.empty()) finish_reason_ = reason;
    if (auto failure = failure_in(reason)) error_ = std::move(failure);
  }
  if (error_) return EventIs::error;
  if (content) return note_content();
  return finish ? EventIs::finish : EventIs::empty;
}

EventIs StreamJudge::responses_event(json::Value document) {
  const auto type = json::text(document, "type");
  if (type == "error") {
    error_ = connection_error(json::text(document, "message"));
    return EventIs::error;
  }
  const auto response = json::find(document, "response");
  if (type == "response.completed" || type == "response.incomplete") {
    if (response) usage_ = read_usage(*response);
    finish_reason_ = type.substr(type.find('.') + 1);
    done_ = true;
    return EventIs::done;
  }
  if (type == "response.failed" || type == "response.cancelled") {
    error_ = response ? find_error(*response, 502) : std::nullopt;
    if (!error_) error_ = connection_error(fmt::format("the engine ended the stream with {}", type));
    return EventIs::error;
  }
  return type.ends_with(".delta") && !json::text(document, "delta").empty() ? note_content() : EventIs::empty;
}

Outcome StreamJudge::end(bool clean, std::string_view rest) {
  Outcome outcome;
  outcome.finish_reason = finish_reason_;
  outcome.usage = usage_;
  if (!error_) error_ = missing(clean, rest);
  if (!error_) {
    outcome.kind = Outcome::Kind::complete;
    return outcome;
  }
  outcome.kind = content_ ? Outcome::Kind::failed_after_content : Outcome::Kind::failed_before_content;
  outcome.error = error_;
  return outcome;
}

// What the stream lacks to be whole, when it held no error.
std::optional<EngineError> StreamJudge::missing(bool clean, std::string_view rest) const {
  const bool choices = endpoint_ == Endpoint::chat || endpoint_ == Endpoint::completions;
  if (done_) {
    if (!choices || all_choices_finished()) return {};
    return connection_error(
        "the engine's stream ended with [DONE] but without a finish_reason for every choice");
  }
  if (!blank(rest)) {
    // Text that is no event: an error object where a stream was due, or the llama.cpp router's "proxy error:
    // ...", which is followed by a clean end.
    if (auto error = find_error(rest, 502)) return error;
    return connection_error(fmt::format("the engine's stream broke off with: {}", rest.substr(0, 200)));
  }
  if (!clean) return connection_error("the engine's stream was cut off");
  if (choices) {
    if (!all_choices_finished()) return connection_error("the engine's stream ended without a finish_reason");
    return done_marker_ ? std::optional(connection_error("the engine's stream ended without [DONE]"))
                        : std::nullopt;
  }
  if (endpoint_ == Endpoint::responses)
    return connection_error("the engine's stream ended before its response was complete");
  return {};
}

Outcome judge_body(Endpoint endpoint, int status, const http::Fields& fields, std::string_view body,
                   BodyEnd end) {
  Outcome outcome;
  const auto failed = [&](EngineError error) {
    outcome.error = std::move(error);
    return outcome;
  };
  if (status < 200 || status >= 300) return failed(read_error(status, fields, body));
  if (end == BodyEnd::cut) return failed(connection_error("the engine's answer was cut off"));

  json::Document own;  // what a huge body takes is given back
  const auto document = (body.size() > large_body ? own : scratch()).parse(body);
  if (document) {
    if (auto error = find_error(*document, 502)) return failed(std::move(*error));
    outcome.usage = read_usage(*document);
  }
  if (endpoint != Endpoint::opaque && (!document || !document->is_object()))
    return failed(not_understood(body));
  if (end == BodyEnd::by_close && !document && says_json(fields)) return failed(not_understood(body));

  if (endpoint == Endpoint::chat || endpoint == Endpoint::completions) {
    const auto choices = json::get<json::Array>(*document, "choices");
    if (!choices || choices->begin() == choices->end())
      return failed(connection_error("the engine's answer has no choices"));
    for (const auto choice : *choices) {
      const auto reason = json::text(choice, "finish_reason");
      if (auto failure = failure_in(reason)) return failed(std::move(*failure));
      if (outcome.finish_reason.empty()) outcome.finish_reason = reason;
    }
  }
  outcome.kind = Outcome::Kind::complete;
  return outcome;
}

}  // namespace qlm::engines

#include "app/emulator/response.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/openai/json_write.hpp"

namespace qlm::emulator {
namespace {

using openai::json_string;

http::Fields content_type(std::string_view type) {
  http::Fields fields;
  fields.add("Content-Type", type);
  return fields;
}

constexpr std::string_view place = R"("output_index":0,"content_index":0,"item_id":"msg_0")";

}  // namespace

ResponseWork::ResponseWork(Generation request, std::shared_ptr<net::Exchange> exchange, CompletionContext context)
    : request_(std::move(request)),
      exchange_(std::move(exchange)),
      context_(std::move(context)),
      created_(
          std::chrono::duration_cast<std::chrono::seconds>(context_.loop.wall().time_since_epoch()).count()) {
  const auto& ids = request_.prompts[0];
  const auto room = context_.max_model_len - static_cast<std::int64_t>(ids.size());
  const auto most = std::clamp<std::int64_t>(request_.max_tokens.value_or(room), 1, room);
  Generator generator(ids, context_.seed ^ context_.adapter, context_.mean_output);
  while (!generator.at_end() && static_cast<std::int64_t>(tokens_.size()) < most) tokens_.push_back(generator.next());
  cut_ = !generator.at_end();
}

void ResponseWork::start() {
  exchange_->on_gone([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    ++self->context_.metrics.finished[static_cast<std::size_t>(Metrics::Reason::abort)];
    self->context_.steps.abort(self->ticket_);
    self->end();
  });
  const auto ticket = context_.steps.submit(*this, 0, Tokens{static_cast<std::int64_t>(request_.prompts[0].size())},
                                            Tokens{static_cast<std::int64_t>(tokens_.size())}, {}, request_.priority);
  if (!ticket) {
    const Refusal refusal{.message = ticket.error().message};
    exchange_->respond(refusal.status, content_type("application/json"), refusal.body());
    return end();
  }
  ticket_ = *ticket;
  if (request_.stream) open_stream();
}

void ResponseWork::on_tokens(std::uint32_t, std::int64_t generated, bool finished) {
  const auto self = shared_from_this();
  if (ended_) return;
  if (sent_ == 0) context_.metrics.prompt_tokens += static_cast<std::int64_t>(request_.prompts[0].size());
  context_.metrics.generation_tokens += generated - sent_;
  if (request_.stream && generated > sent_) {
    const auto fresh = std::span(tokens_).subspan(static_cast<std::size_t>(sent_), static_cast<std::size_t>(generated - sent_));
    event("response.output_text.delta",
          fmt::format(R"({},"delta":{},"logprobs":[])", place, json_string(detokenize(fresh))));
  }
  sent_ = generated;
  if (!finished) return;
  ++context_.metrics.finished[static_cast<std::size_t>(cut_ ? Metrics::Reason::length : Metrics::Reason::stop)];
  if (request_.stream) {
    close_stream();
  } else {
    exchange_->respond(200, content_type("application/json"), response(cut_ ? "incomplete" : "completed", true));
  }
  end();
}

void ResponseWork::on_stopped(Stop why) {
  const auto self = shared_from_this();
  if (ended_) return;
  ++context_.metrics.finished[static_cast<std::size_t>(Metrics::Reason::abort)];
  context_.steps.abort(ticket_);
  tokens_.resize(static_cast<std::size_t>(sent_));
  cut_ = true;
  const std::string error = engine_failure().body();
  if (request_.stream && why == Stop::failed) {
    exchange_->write("data: " + error + "\n\n");
    exchange_->finish();
  } else if (request_.stream) {
    close_stream();
  } else if (why == Stop::failed) {
    exchange_->respond(500, content_type("application/json"), error);
  } else {
    exchange_->respond(200, content_type("application/json"), response("incomplete", true));
  }
  end();
}

void ResponseWork::event(std::string_view type, const std::string& members) {
  exchange_->write(fmt::format("event: {0}\ndata: {{{1},\"sequence_number\":{2},\"type\":\"{0}\"}}\n\n", type, members,
                               sequence_++));
}

std::string ResponseWork::part() const {
  return fmt::format(R"({{"annotations":[],"text":{},"type":"output_text","logprobs":null}})",
                     json_string(detokenize(tokens_)));
}

std::string ResponseWork::item(std::string_view status, const std::string& content) const {
  return fmt::format(R"({{"id":"msg_0","content":[{}],"role":"assistant","status":"{}","type":"message","phase":null}})",
                     content, status);
}

std::string ResponseWork::response(std::string_view status, bool done) const {
  const auto prompt = request_.prompts[0].size();
  const std::string usage =
      done ? fmt::format(
                 R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":0}},"output_tokens":{},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}})",
                 prompt, tokens_.size(), prompt + tokens_.size())
           : "null";
  return fmt::format(
      R"({{"id":{},"created_at":{},"incomplete_details":{},"instructions":null,"metadata":null,"model":{},"object":"response","output":[{}],"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"none","tools":[],"top_p":1.0,"status":"{}","usage":{}}})",
      json_string(context_.id), created_, done && cut_ ? R"({"reason":"max_output_tokens"})" : "null",
      json_string(context_.model), done ? item("completed", part()) : "", status, usage);
}

void ResponseWork::open_stream() {
  exchange_->begin(200, content_type("text/event-stream; charset=utf-8"));
  const std::string begun = "\"response\":" + response("in_progress", false);
  event("response.created", begun);
  event("response.in_progress", begun);
  event("response.output_item.added", "\"item\":" + item("in_progress", "") + ",\"output_index\":0");
  event("response.content_part.added",
        fmt::format(R"({},"part":{{"annotations":[],"text":"","type":"output_text","logprobs":[]}})", place));
}

void ResponseWork::close_stream() {
  event("response.output_text.done",
        fmt::format(R"({},"logprobs":[],"text":{})", place, json_string(detokenize(tokens_))));
  event("response.content_part.done", fmt::format(R"({},"part":{})", place, part()));
  event("response.output_item.done", "\"item\":" + item("completed", part()) + ",\"output_index\":0");
  // vLLM says so of an answer that was cut too, and its status tells them apart.
  event("response.completed", "\"response\":" + response(cut_ ? "incomplete" : "completed", true));
  exchange_->finish();
}

void ResponseWork::end() {
  if (ended_) return;
  ended_ = true;
  if (context_.on_end) context_.on_end();
}

}  // namespace qlm::emulator

#include "app/emulator/completion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "protocol/openai/json_write.hpp"

namespace qlm::emulator {
namespace {

using openai::json_string;

http::Fields content_type(std::string_view type) {
  http::Fields fields;
  fields.add("Content-Type", type);
  return fields;
}

constexpr std::string_view fingerprint = R"("system_fingerprint":"qlm-emulator")";
constexpr std::size_t bytes_a_token = 4;  // of a tool's arguments

double logprob(TokenId token) { return -0.01 * static_cast<double>(1 + token % 97); }

}  // namespace

Completion::Completion(Generation request, std::shared_ptr<net::Exchange> exchange, CompletionContext context)
    : request_(std::move(request)),
      exchange_(std::move(exchange)),
      context_(std::move(context)),
      arrived_(context_.loop.now()),
      created_(
          std::chrono::duration_cast<std::chrono::seconds>(context_.loop.wall().time_since_epoch()).count()) {
  const std::string_view object = request_.chat ? "chat.completion.chunk" : "text_completion";
  envelope_ = fmt::format(R"(data: {{"id":{},"object":"{}","created":{},"model":{},"choices":[)",
                          json_string(context_.id), object, created_, json_string(context_.model));
}

Completion::~Completion() { abandon(); }

void Completion::start() {
  for (std::size_t prompt = 0; prompt < request_.prompts.size(); ++prompt) {
    for (std::int64_t i = 0; i < request_.n; ++i) choices_.push_back(draw(prompt, i));
  }
  exchange_->on_gone([self = weak_from_this()] {
    if (const auto alive = self.lock()) {
      ++alive->context_.metrics.finished[static_cast<std::size_t>(Metrics::Reason::abort)];
      alive->abandon();
      alive->end();
    }
  });
  for (std::uint32_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    const Tokens prompt{static_cast<std::int64_t>(request_.prompts[choice.prompt].size())};
    std::vector<std::uint64_t> keys;
    if (context_.prefix_cache) keys = block_keys(request_.prompts[choice.prompt], EngineModel::block_size.count);
    for (auto& key : keys) key ^= context_.adapter;
    const auto ticket = context_.steps.submit(
        *this, i, prompt, Tokens{static_cast<std::int64_t>(choice.tokens.size())}, std::move(keys), request_.priority);
    if (!ticket) {
      abandon();
      const Refusal refusal{.message = ticket.error().message};
      exchange_->respond(refusal.status, content_type("application/json"), refusal.body());
      return end();
    }
    choice.ticket = *ticket;
    ++running_;
  }
  if (request_.stream) exchange_->begin(200, content_type("text/event-stream; charset=utf-8"));
  fault_strikes();
}

// The whole output is drawn here, because the engine model is told its length; the client sees it token by
// token.
Completion::Choice Completion::draw(std::size_t prompt, std::int64_t index) const {
  const auto& ids = request_.prompts[prompt];
  const auto room = context_.max_model_len - static_cast<std::int64_t>(ids.size());
  const std::int64_t most = std::max<std::int64_t>(std::min(request_.max_tokens.value_or(room), room), 1);
  if (request_.tool) return call_tool(most);
  Generator generator(ids, request_.seed ^ context_.seed ^ context_.adapter ^ static_cast<std::uint64_t>(index),
                      context_.mean_output);
  Choice choice{.prompt = prompt,
                .tokens = {},
                .finish_reason = "length",
                .stop_reason = {},
                .text_size = std::string::npos};
  std::string so_far;  // kept only where there is a stop string to look for
  while (static_cast<std::int64_t>(choice.tokens.size()) < most) {
    choice.tokens.push_back(generator.next());
    const auto count = static_cast<std::int64_t>(choice.tokens.size());
    if (!request_.stop.empty() && count >= request_.min_tokens) {
      so_far += token_text(choice.tokens.back());
      for (const auto& stop : request_.stop) {
        const std::size_t at = so_far.find(stop);
        if (at < choice.text_size) {
          choice.text_size = at;
          choice.stop_reason = stop;
        }
      }
      if (!choice.stop_reason.empty()) {
        choice.text_size += static_cast<std::size_t>(count) * token_text(0).size() - so_far.size();
        choice.finish_reason = "stop";
        return choice;
      }
    }
    const bool at_end = request_.ends_after ? count == *request_.ends_after : generator.at_end() && !request_.ignore_eos;
    if (at_end && count >= request_.min_tokens) {
      choice.finish_reason = "stop";
      return choice;
    }
  }
  return choice;
}

Completion::Choice Completion::call_tool(std::int64_t most) const {
  Choice choice{.prompt = 0,
                .tokens = tokenize(request_.tool->arguments),
                // As vLLM has it: a call that was named is what the answer is, one that was chosen is why it ended.
                .finish_reason = request_.tool->named ? "stop" : "tool_calls",
                .stop_reason = {},
                .text_size = std::string::npos};
  if (static_cast<std::int64_t>(choice.tokens.size()) > most) {
    choice.tokens.resize(static_cast<std::size_t>(most));
    choice.finish_reason = "length";
  }
  return choice;
}

std::string Completion::arguments(std::int64_t from, std::int64_t to) const {
  const std::string& all = request_.tool->arguments;
  const std::size_t start = std::min(all.size(), static_cast<std::size_t>(from) * bytes_a_token);
  return all.substr(start, static_cast<std::size_t>(to - from) * bytes_a_token);
}

void Completion::on_tokens(std::uint32_t index, std::int64_t generated, bool finished) {
  const auto self = shared_from_this();
  if (ended_) return;
  Choice& choice = choices_[index];
  observe(choice, generated, finished);
  if (request_.stream && !silent_) stream_tokens(index, generated, finished);
  choice.sent = generated;
  if (finished) {
    choice.done = true;
    --running_;
  }
  if (fault_strikes() || silent_ || running_ > 0) return;
  if (request_.stream) {
    finish_stream();
  } else {
    respond_whole();
  }
  end();
}

void Completion::on_stopped(Stop why) {
  const auto self = shared_from_this();
  if (ended_) return;
  ++context_.metrics.finished[static_cast<std::size_t>(Metrics::Reason::abort)];
  abandon();
  if (silent_) return;  // stalled, and stays so
  if (why == Stop::failed) {
    const std::string error = engine_failure().body();
    if (request_.stream) {
      exchange_->write("data: " + error + "\n\ndata: [DONE]\n\n");
      exchange_->finish();
    } else {
      exchange_->respond(500, content_type("application/json"), error);
    }
    return end();
  }
  for (std::uint32_t index = 0; index < choices_.size(); ++index) {
    Choice& choice = choices_[index];
    if (choice.done) continue;
    choice.tokens.resize(static_cast<std::size_t>(choice.sent));
    choice.finish_reason = "abort";
    choice.stop_reason.clear();
    if (request_.stream) stream_tokens(index, choice.sent, true);
  }
  if (request_.stream) {
    finish_stream();
  } else {
    respond_whole();
  }
  end();
}

void Completion::observe(Choice& choice, std::int64_t generated, bool finished) {
  if (generated == choice.sent) return;
  Metrics& metrics = context_.metrics;
  const Instant now = context_.loop.now();
  if (choice.sent == 0) {
    metrics.time_to_first_token.observe(seconds(now - arrived_));
    metrics.prompt_tokens += static_cast<std::int64_t>(request_.prompts[choice.prompt].size());
  } else {
    metrics.inter_token.observe(seconds(now - choice.last_token));
  }
  choice.last_token = now;
  metrics.generation_tokens += generated - choice.sent;
  if (!finished) return;
  metrics.end_to_end.observe(seconds(now - arrived_));
  ++metrics.finished[static_cast<std::size_t>(choice.finish_reason == "length" ? Metrics::Reason::length
                                                                               : Metrics::Reason::stop)];
}

bool Completion::fault_strikes() {
  if (context_.fault.kind == Fault::Kind::none || generated_tokens() < context_.fault.after_tokens)
    return false;
  switch (context_.fault.kind) {
    case Fault::Kind::stall:
      silent_ = true;
      return false;
    case Fault::Kind::cut:
      exchange_->abort();
      break;
    case Fault::Kind::garbage:
      if (request_.stream) {
        exchange_->write("proxy error: \x01\x02 <html> this is no event");
        exchange_->finish();
      } else {
        exchange_->respond(200, content_type("application/json"),
                           "{\"id\": \"chatcmpl-1\", \"choices\": [{\"ind");
      }
      break;
    case Fault::Kind::die:
      if (context_.on_die) context_.on_die();
      exchange_->abort();
      break;
    default:
      return false;
  }
  abandon();
  end();
  return true;
}

std::string Completion::text(const Choice& choice, std::int64_t from, std::int64_t to) const {
  const std::size_t width = token_text(0).size();
  const std::size_t start = std::min(static_cast<std::size_t>(from) * width, choice.text_size);
  const std::size_t stop = std::min(static_cast<std::size_t>(to) * width, choice.text_size);
  std::string said;
  for (std::int64_t i = from; i < to; ++i) said += token_text(choice.tokens[static_cast<std::size_t>(i)]);
  return said.substr(0, stop - start);
}

// Every choice's role goes out with the first token of any.
void Completion::begin_chat_stream() {
  roles_sent_ = true;
  std::string out;
  for (std::size_t index = 0; index < choices_.size(); ++index) {
    out += envelope_;
    fmt::format_to(std::back_inserter(out),
                   R"({{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}])",
                   index);
    const auto prompt = prompt_tokens();
    if (request_.continuous_usage) {
      fmt::format_to(std::back_inserter(out),
                     R"(,"usage":{{"prompt_tokens":{0},"total_tokens":{0},"completion_tokens":0,"completion_tokens_details":null}})",
                     prompt);
    }
    const auto& ids = request_.prompts[choices_[index].prompt];
    out += request_.return_token_ids ? fmt::format(R"(,"prompt_token_ids":[{}])", fmt::join(ids, ","))
                                     : R"(,"prompt_token_ids":null)";
    out += ",\"prompt_text\":null}\n\n";
  }
  exchange_->write(out);
}

// What a chat chunk brings: text, or a piece of a call, or, at an end that brings none, nothing.
std::string Completion::delta(const Choice& choice, std::int64_t upto) const {
  if (!request_.tool) {
    const std::string said = text(choice, choice.sent, upto);
    return said.empty() ? "{}" : fmt::format(R"({{"content":"{}"}})", said);
  }
  const std::string piece = json_string(arguments(choice.sent, upto));
  if (choice.sent > 0) {
    return fmt::format(R"({{"content":null,"tool_calls":[{{"index":0,"function":{{"arguments":{}}}}}]}})", piece);
  }
  return fmt::format(
      R"({{"content":null,"tool_calls":[{{"id":"chatcmpl-tool-{}","type":"function","index":0,"function":{{"name":{},"arguments":{}}}}}]}})",
      context_.id.substr(context_.id.find('-') + 1), json_string(request_.tool->name), piece);
}

void Completion::stream_tokens(std::uint32_t index, std::int64_t upto, bool finished) {
  const Choice& choice = choices_[index];
  if (choice.sent == upto && !finished) return;
  if (request_.chat && !roles_sent_) begin_chat_stream();
  std::string out = envelope_;
  if (request_.chat) {
    fmt::format_to(std::back_inserter(out), R"({{"index":{},"delta":{})", index, delta(choice, upto));
  } else {
    const bool echo = choice.sent == 0 && !request_.echo.empty();
    const std::string said = (echo ? request_.echo[choice.prompt] : "") + text(choice, choice.sent, upto);
    fmt::format_to(std::back_inserter(out), R"({{"index":{},"text":{})", index, json_string(said));
  }
  append_logprobs(out, choice, choice.sent, upto);
  if (finished) {
    fmt::format_to(std::back_inserter(out), R"(,"finish_reason":"{}","stop_reason":{})", choice.finish_reason,
                   choice.stop_reason.empty() ? "null" : json_string(choice.stop_reason));
  } else {
    out += request_.chat ? R"(,"finish_reason":null)" : R"(,"finish_reason":null,"stop_reason":null)";
  }
  if (!request_.chat) append_prompt_ids(out, choice, choice.sent == 0);
  append_token_ids(out, choice, choice.sent, upto);
  out += "}]";
  if (request_.continuous_usage) {
    const auto prompt = prompt_tokens(), generated = generated_tokens() + upto - choice.sent;
    fmt::format_to(
        std::back_inserter(out),
        R"(,"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{},"completion_tokens_details":null}})",
        prompt, prompt + generated, generated);
  }
  // The last chunk of a choice carries it, unless a usage chunk is still to come, which then does.
  if (finished && !request_.include_usage) out.append(",").append(fingerprint);
  out += "}\n\n";
  exchange_->write(out);
}

void Completion::append_logprobs(std::string& out, const Choice& choice, std::int64_t from,
                                 std::int64_t to) const {
  if (!request_.logprobs) {
    out += R"(,"logprobs":null)";
    return;
  }
  const auto tokens =
      std::span(choice.tokens).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
  // The alternatives to a token are its successors in the vocabulary, each a bit less likely.
  const auto alternative = [](TokenId token, std::int64_t rank) {
    return static_cast<TokenId>((token + rank) % vocabulary_size);
  };
  if (request_.chat) {
    const auto entry = [](TokenId token, double value) {
      std::vector<int> bytes;
      for (const char c : token_text(token)) bytes.push_back(static_cast<unsigned char>(c));
      return fmt::format(R"("token":"{}","logprob":{:.4f},"bytes":[{}])", token_text(token), value,
                         fmt::join(bytes, ","));
    };
    std::vector<std::string> items;
    for (const TokenId token : tokens) {
      std::vector<std::string> top;
      for (std::int64_t rank = 0; rank < *request_.logprobs; ++rank) {
        top.push_back("{" + entry(alternative(token, rank), logprob(token) - static_cast<double>(rank)) +
                      "}");
      }
      items.push_back(
          fmt::format(R"({{{},"top_logprobs":[{}]}})", entry(token, logprob(token)), fmt::join(top, ",")));
    }
    fmt::format_to(std::back_inserter(out), R"(,"logprobs":{{"content":[{}]}})", fmt::join(items, ","));
    return;
  }
  std::vector<std::string> words, values, tops, offsets;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const TokenId token = tokens[i];
    words.push_back(fmt::format("\"{}\"", token_text(token)));
    values.push_back(fmt::format("{:.4f}", logprob(token)));
    offsets.push_back(std::to_string((static_cast<std::size_t>(from) + i) * token_text(0).size()));
    std::vector<std::string> top = {fmt::format("\"{}\":{:.4f}", token_text(token), logprob(token))};
    for (std::int64_t rank = 1; rank < *request_.logprobs; ++rank) {
      top.push_back(fmt::format("\"{}\":{:.4f}", token_text(alternative(token, rank)),
                                logprob(token) - static_cast<double>(rank)));
    }
    tops.push_back(fmt::format("{{{}}}", fmt::join(top, ",")));
  }
  fmt::format_to(
      std::back_inserter(out),
      R"(,"logprobs":{{"text_offset":[{}],"token_logprobs":[{}],"tokens":[{}],"top_logprobs":[{}]}})",
      fmt::join(offsets, ","), fmt::join(values, ","), fmt::join(words, ","), fmt::join(tops, ","));
}

void Completion::append_token_ids(std::string& out, const Choice& choice, std::int64_t from,
                                  std::int64_t to) const {
  const auto ids =
      std::span(choice.tokens).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
  out += request_.return_token_ids ? fmt::format(R"(,"token_ids":[{}])", fmt::join(ids, ",")) : R"(,"token_ids":null)";
}

void Completion::append_prompt_ids(std::string& out, const Choice& choice, bool wanted) const {
  const auto& ids = request_.prompts[choice.prompt];
  out += request_.return_token_ids && wanted ? fmt::format(R"(,"prompt_token_ids":[{}])", fmt::join(ids, ","))
                                             : R"(,"prompt_token_ids":null)";
}

void Completion::finish_stream() {
  std::string out;
  if (request_.include_usage) {
    const auto prompt = prompt_tokens(), generated = generated_tokens();
    out = envelope_ + fmt::format(R"(],"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{}{}}},{}}})",
                                  prompt, prompt + generated, generated,
                                  context_.prefix_cache ? R"(,"prompt_tokens_details":)" + prompt_details() : "", fingerprint) + "\n\n";
  }
  out += "data: [DONE]\n\n";
  exchange_->write(out);
  exchange_->finish();
}

void Completion::respond_whole() {
  std::string out = fmt::format(
      R"({{"id":{},"object":"{}","created":{},"model":{},"choices":[)", json_string(context_.id),
      request_.chat ? "chat.completion" : "text_completion", created_, json_string(context_.model));
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    const auto count = static_cast<std::int64_t>(choice.tokens.size());
    if (i > 0) out += ',';
    fmt::format_to(std::back_inserter(out), R"({{"index":{})", i);
    if (request_.chat) {
      const std::string called =
          request_.tool ? fmt::format(
                              R"("tool_calls":[{{"id":"chatcmpl-tool-{}","type":"function","function":{{"name":{},"arguments":{}}}}}],)",
                              context_.id.substr(context_.id.find('-') + 1), json_string(request_.tool->name),
                              json_string(arguments(0, count)))
                        : "";
      fmt::format_to(
          std::back_inserter(out),
          R"(,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":null,"audio":null,"function_call":null,{}"reasoning":null}})",
          request_.tool ? "" : text(choice, 0, count), called);
    } else {
      const std::string said = (request_.echo.empty() ? "" : request_.echo[choice.prompt]) + text(choice, 0, count);
      fmt::format_to(std::back_inserter(out), R"(,"text":{})", json_string(said));
    }
    append_logprobs(out, choice, 0, count);
    fmt::format_to(std::back_inserter(out), R"(,"finish_reason":"{}","stop_reason":{})", choice.finish_reason,
                   choice.stop_reason.empty() ? "null" : json_string(choice.stop_reason));
    append_token_ids(out, choice, 0, count);
    if (!request_.chat) {
      out += R"(,"prompt_logprobs":null)";
      append_prompt_ids(out, choice, true);
    }
    out += R"(,"routed_experts":null})";
  }
  fmt::format_to(
      std::back_inserter(out),
      R"(],"service_tier":null,{},"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{},"prompt_tokens_details":{},"completion_tokens_details":null}})",
      fingerprint, prompt_tokens(), prompt_tokens() + generated_tokens(), generated_tokens(), prompt_details());
  if (request_.chat) {
    out += R"(,"prompt_logprobs":null)";
    append_prompt_ids(out, choices_[0], true);
    out += R"(,"prompt_text":null)";
  }
  out += R"(,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null})";
  exchange_->respond(200, content_type("application/json"), std::move(out));
}

std::int64_t Completion::prompt_tokens() const {
  std::size_t count = 0;
  for (const auto& prompt : request_.prompts) count += prompt.size();
  return static_cast<std::int64_t>(count);
}

// As vLLM tells them with --enable-prompt-tokens-details.
std::string Completion::prompt_details() const {
  if (!context_.prefix_cache) return "null";
  std::int64_t cached = 0;
  for (const Choice& choice : choices_) cached += choice.cached;
  return fmt::format(R"({{"cached_tokens":{}}})", cached);
}

std::int64_t Completion::generated_tokens() const {
  std::int64_t count = 0;
  for (const Choice& choice : choices_) count += choice.sent;
  return count;
}

void Completion::abandon() {
  for (Choice& choice : choices_) {
    if (choice.ticket != 0 && !choice.done) context_.steps.abort(choice.ticket);
    choice.ticket = 0;
  }
}

void Completion::end() {
  if (ended_) return;
  ended_ = true;
  if (context_.on_end) context_.on_end();
}

}  // namespace qlm::emulator

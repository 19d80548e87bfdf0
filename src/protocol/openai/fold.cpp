#include "protocol/openai/fold.hpp"

#include <algorithm>

#include "protocol/openai/json_read.hpp"
#include "protocol/openai/json_write.hpp"

namespace qlm::openai {
namespace {

// The text of the value that comes next, as written.
bool capture(JsonReader& in, std::string_view& out) {
  in.peek();
  const std::size_t begin = in.position();
  if (!in.skip()) return false;
  out = in.text().substr(begin, in.position() - begin);
  return true;
}

bool is_done(std::string_view data) {
  while (data.ends_with(' ') || data.ends_with('\r')) data.remove_suffix(1);
  return data == "[DONE]";
}

bool read_usage(JsonReader& in, std::optional<Usage>& out) {
  if (in.peek() != JsonKind::object) return in.skip();
  std::optional<std::int64_t> prompt, completion, cached;
  const bool sound = in.object([&](const JsonString& key, std::size_t) {
    if (key.is("prompt_tokens") || key.is("input_tokens")) return in.integer_if(prompt);
    if (key.is("completion_tokens") || key.is("output_tokens")) return in.integer_if(completion);
    if ((key.is("prompt_tokens_details") || key.is("input_tokens_details")) && in.peek() == JsonKind::object) {
      return in.object([&](const JsonString& detail, std::size_t) {
        return detail.is("cached_tokens") ? in.integer_if(cached) : in.skip();
      });
    }
    return in.skip();
  });
  if (!sound) return false;
  if (prompt || completion) {
    out = Usage{Tokens{prompt.value_or(0)}, Tokens{completion.value_or(0)}, {}};
    if (cached) out->cached = Tokens{*cached};
  }
  return true;
}

class ChunkReader {
 public:
  ChunkReader(std::string_view data, ChunkFacts& facts) : in_(data), facts_(facts) {}

  void run() {
    std::size_t last_end = 0;
    std::optional<Span> usage;
    bool usage_was_first = false;
    const bool sound = in_.peek() == JsonKind::object && in_.object([&](const JsonString& key, std::size_t begin) {
      if (key.is("usage")) {
        if (in_.peek() == JsonKind::null) return in_.skip();
        if (!read_usage(in_, facts_.usage)) return false;
        usage_was_first = last_end == 0;
        usage = Span{usage_was_first ? begin : last_end, in_.position()};
      } else {
        if (!member(key)) return false;
        // Where usage came first, the comma to cut is the one behind it.
        if (usage && usage_was_first && usage->end == last_end) usage->end = begin;
      }
      last_end = in_.position();
      return true;
    });
    if (!sound || !in_.end()) {
      facts_ = {};
      facts_.garbage = true;
      return;
    }
    if (facts_.usage) facts_.usage_member = usage;
    facts_.usage_only = facts_.usage && choices_seen_ && choices_ == 0;
    classify_response_event();
  }

 private:
  bool member(const JsonString& key) {
    if (key.is("choices") && in_.peek() == JsonKind::array) {
      choices_seen_ = true;
      return in_.array([this] { return ++choices_, choice(); });
    }
    if (key.is("error")) return error();
    if (key.is("message")) return in_.string_if(message_);
    if (key.is("object")) return in_.string_if(object_);
    if (key.is("type")) return in_.string_if(type_);
    if (key.is("delta")) {
      if (in_.peek() != JsonKind::string) return in_.skip();
      JsonString delta;
      if (!in_.string(delta)) return false;
      bare_delta_ = !delta.empty();
      return true;
    }
    if (key.is("response") && in_.peek() == JsonKind::object) return response();
    return in_.skip();
  }

  bool choice() {
    if (in_.peek() != JsonKind::object) return in_.skip();
    return in_.object([this](const JsonString& key, std::size_t) {
      if (key.is("delta") || key.is("message")) return delta();
      if (key.is("text")) return content();
      if (key.is("token_ids")) return token_ids();
      if (key.is("finish_reason")) {
        std::optional<JsonString> reason;
        if (!in_.string_if(reason)) return false;
        if (reason) {
          if (!facts_.finished) facts_.finish_reason = reason->text();
          facts_.finished = true;
        }
        return true;
      }
      return in_.skip();
    });
  }

  // Text of any kind counts as content: `content`, `reasoning`, `reasoning_content`, `refusal`, whatever comes next.
  // The role is not: it arrives before the first token on some engines.
  bool delta() {
    if (in_.peek() != JsonKind::object) return in_.skip();
    return in_.object([this](const JsonString& key, std::size_t) {
      if (key.is("role")) return in_.skip();
      if (key.is("token_ids")) return token_ids();
      return content();
    });
  }

  bool content() {
    switch (in_.peek()) {
      case JsonKind::string: {
        JsonString text;
        if (!in_.string(text)) return false;
        facts_.content |= !text.empty();
        return true;
      }
      case JsonKind::array: return in_.array([this] { return facts_.content = true, in_.skip(); });
      case JsonKind::object: return in_.object([this](const JsonString&, std::size_t) { return facts_.content = true, in_.skip(); });
      default: return in_.skip();
    }
  }

  bool token_ids() {
    if (in_.peek() != JsonKind::array) return in_.skip();
    return in_.array([this] { return ++facts_.token_ids, in_.skip(); });
  }

  bool error() {
    switch (in_.peek()) {
      case JsonKind::string: {
        JsonString words;
        if (!in_.string(words)) return false;
        facts_.error = true;
        facts_.error_message = words.text();
        return true;
      }
      case JsonKind::object:
        facts_.error = true;
        return in_.object([this](const JsonString& key, std::size_t) {
          if (!key.is("message")) return in_.skip();
          std::optional<JsonString> words;
          if (!in_.string_if(words)) return false;
          if (words) facts_.error_message = words->text();
          return true;
        });
      default: return in_.skip();
    }
  }

  // The last event of a responses stream carries the whole response, usage in it.
  bool response() {
    return in_.object([this](const JsonString& key, std::size_t) {
      if (key.is("usage")) return read_usage(in_, facts_.usage);
      if (key.is("error")) return error();
      return in_.skip();
    });
  }

  void classify_response_event() {
    if (object_ && object_->is("error")) {  // SGLang's flat shape
      facts_.error = true;
      if (message_) facts_.error_message = message_->text();
    }
    if (!type_ || choices_seen_) return;
    const std::string type = type_->text();
    if (type.ends_with(".delta")) facts_.content |= bare_delta_;
    if (type == "response.completed" || type == "response.incomplete") {
      facts_.finished = true;
      facts_.finish_reason = type == "response.completed" ? "stop" : "length";
    }
    if (type == "error" || type == "response.failed") {
      facts_.error = true;
      if (message_ && facts_.error_message.empty()) facts_.error_message = message_->text();
    }
  }

  JsonReader in_;
  ChunkFacts& facts_;
  bool choices_seen_ = false;
  std::size_t choices_ = 0;
  bool bare_delta_ = false;
  std::optional<JsonString> type_, object_, message_;
};

}  // namespace

ChunkFacts inspect_chunk(std::string_view data) {
  ChunkFacts facts;
  if (is_done(data)) facts.done = true;
  else ChunkReader(data, facts).run();
  return facts;
}

std::optional<Usage> usage_of(std::string_view body) {
  std::optional<Usage> usage;
  JsonReader in(body);
  if (in.peek() != JsonKind::object) return {};
  const bool sound = in.object([&](const JsonString& key, std::size_t) { return key.is("usage") ? read_usage(in, usage) : in.skip(); });
  return sound ? usage : std::nullopt;
}

std::string without_usage(std::string_view data, const ChunkFacts& facts) {
  if (!facts.usage_member) return std::string(data);
  std::string out(data.substr(0, facts.usage_member->begin));
  return out += data.substr(facts.usage_member->end);
}

bool can_fold(const RequestFacts& facts) {
  const bool generates = facts.endpoint == Endpoint::chat || facts.endpoint == Endpoint::completions;
  return generates && facts.choices == 1 && !facts.logprobs && !facts.echo && !facts.find("functions") &&
         !facts.find("return_token_ids") && !facts.find("modalities") && !facts.find("audio");
}

// ---------------------------------------------------------------------------------------------------------------------

void ReplyFold::keep(std::vector<Extra>& among, std::string_view name, std::string_view json) {
  const auto found = std::ranges::find(among, name, &Extra::name);
  if (found == among.end()) among.push_back({std::string(name), std::string(json)});
  else if (json != "null") found->json = json;
}

Result<void> ReplyFold::add(std::string_view data) {
  if (is_done(data)) return {};
  JsonReader in(data);
  bool understood = true;
  const bool sound = in.peek() == JsonKind::object && in.object([&](const JsonString& key, std::size_t) {
    if (key.is("choices") && in.peek() == JsonKind::array) {
      return in.array([&] { return choice(in, understood); });
    }
    std::string_view json;
    if (!capture(in, json)) return false;
    if (!key.is("object")) keep(top_, key.text(), json);
    return true;
  });
  if (!sound || !in.end()) return fail("a chunk of the engine's stream is not a JSON object");
  if (!understood) return fail("the engine's stream holds a choice that cannot be put together");
  return {};
}

bool ReplyFold::choice(JsonReader& in, bool& understood) {
  if (in.peek() != JsonKind::object) return understood = false, in.skip();
  return in.object([&](const JsonString& key, std::size_t) {
    if (key.is("delta") && in.peek() == JsonKind::object) return delta(in, understood);
    if (key.is("text") && endpoint_ == Endpoint::completions) return grow(in, "text");
    std::string_view json;
    if (!capture(in, json)) return false;
    if (key.is("index") && json != "0") understood = false;
    if (key.is("finish_reason") && json != "null") finished_ = true;
    keep(choice_, key.text(), json);
    return true;
  });
}

bool ReplyFold::delta(JsonReader& in, bool& understood) {
  return in.object([&](const JsonString& key, std::size_t) {
    if (key.is("role")) {
      std::optional<JsonString> role;
      if (!in.string_if(role)) return false;
      if (role && !role->empty()) role_ = role->text();
      return true;
    }
    if (key.is("tool_calls") && in.peek() == JsonKind::array) {
      return in.array([&] { return tool_call(in, understood); });
    }
    const JsonKind kind = in.peek();
    if (kind == JsonKind::string) return grow(in, key.text());
    if (kind != JsonKind::null) understood = false;
    return in.skip();
  });
}

bool ReplyFold::grow(JsonReader& in, std::string_view name) {
  std::optional<JsonString> text;
  if (!in.string_if(text)) return false;
  if (!text) return true;
  auto found = std::ranges::find(texts_, name, &Extra::name);
  if (found == texts_.end()) found = texts_.insert(texts_.end(), {std::string(name), {}});
  found->json += text->text();
  return true;
}

bool ReplyFold::tool_call(JsonReader& in, bool& understood) {
  if (in.peek() != JsonKind::object) return understood = false, in.skip();
  ToolCall part;
  std::optional<std::int64_t> index;
  const auto text_into = [&](std::string& out) {
    std::optional<JsonString> text;
    if (!in.string_if(text)) return false;
    if (text) out = text->text();
    return true;
  };
  const bool sound = in.object([&](const JsonString& key, std::size_t) {
    if (key.is("index")) return in.integer_if(index);
    if (key.is("id")) return text_into(part.id);
    if (key.is("type")) return text_into(part.type);
    if (key.is("function") && in.peek() == JsonKind::object) {
      return in.object([&](const JsonString& inner, std::size_t) {
        if (inner.is("name")) return text_into(part.name);
        if (inner.is("arguments")) return text_into(part.arguments);
        return in.skip();
      });
    }
    return in.skip();
  });
  if (!sound) return false;
  part.index = index.value_or(0);
  auto found = std::ranges::find(tools_, part.index, &ToolCall::index);
  if (found == tools_.end()) {
    tools_.push_back(std::move(part));
    return true;
  }
  if (!part.id.empty()) found->id = part.id;
  if (!part.type.empty()) found->type = part.type;
  if (found->name.empty()) found->name = part.name;
  found->arguments += part.arguments;
  return true;
}

Result<std::string> ReplyFold::finish() const {
  if (!finished_) return fail("the engine's stream ended without a finish_reason");
  std::string out;
  JsonWriter json(out);
  const bool chat = endpoint_ == Endpoint::chat;
  json.begin_object();
  const auto write = [&](const Extra& extra) { json.key(extra.name).raw(extra.json); };
  const auto is_usage = [](const Extra& extra) { return extra.name == "usage"; };
  for (const Extra& extra : top_) {
    if (!is_usage(extra)) write(extra);
  }
  json.member("object", chat ? "chat.completion" : "text_completion");
  json.key("choices").begin_array().begin_object().member("index", 0);
  if (chat) write_message(json);
  else json.member("text", text_of("text").value_or(""));
  for (const Extra& extra : choice_) {
    if (extra.name != "index") write(extra);
  }
  json.end_object().end_array();
  for (const Extra& extra : top_) {
    if (is_usage(extra)) write(extra);
  }
  json.end_object();
  return out;
}

std::optional<std::string_view> ReplyFold::text_of(std::string_view name) const {
  const auto found = std::ranges::find(texts_, name, &Extra::name);
  return found == texts_.end() ? std::nullopt : std::optional<std::string_view>(found->json);
}

void ReplyFold::write_message(JsonWriter& json) const {
  json.key("message").begin_object().member("role", role_).key("content");
  const auto content = text_of("content");
  // A call of tools alone has no content: null, as an unstreamed answer has it.
  if (content && (!content->empty() || tools_.empty())) json.value(*content);
  else json.null();
  for (const Extra& text : texts_) {
    if (text.name != "content") json.member(text.name, text.json);
  }
  if (!tools_.empty()) {
    json.key("tool_calls").begin_array();
    for (const ToolCall& call : tools_) {
      json.begin_object().member("id", call.id).member("type", call.type.empty() ? "function" : call.type);
      json.key("function").begin_object().member("name", call.name).member("arguments", call.arguments).end_object();
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
}

}  // namespace qlm::openai

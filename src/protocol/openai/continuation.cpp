#include "protocol/openai/continuation.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/openai/json_read.hpp"
#include "protocol/openai/json_write.hpp"

namespace qlm::openai {
namespace {

struct Ids {
  std::string_view members;  // between the brackets
  std::int64_t count = 0;
};

void append(std::string& to, std::string_view members) {
  if (members.empty()) return;
  if (!to.empty()) to += ',';
  to += members;
}

}  // namespace

// Views into the chunk's text.
struct ChunkParts {
  std::vector<Span> id_fields;  // values of token_ids and prompt_token_ids that are lists, in order
  std::string_view id, created, model;
  bool has_choice = false;
  std::string_view finish_reason = "null", stop_reason, text;  // JSON; no text: empty
  bool other = false;  // something a reader would see that is not text, or of another choice
  std::optional<Ids> prompt, output;
  std::optional<Usage> usage;
};

namespace {

class ChunkScan {
 public:
  ChunkScan(std::string_view data, Endpoint endpoint, ChunkParts& parts) : data_(data), in_(data), endpoint_(endpoint), parts_(parts) {}

  bool run() {
    bool has_usage = false;
    const bool sound = in_.peek() == JsonKind::object && in_.object([&](const JsonString& key, std::size_t) {
      if (key.is("choices") && in_.peek() == JsonKind::array) return in_.array([this] { return choice(); });
      if (key.is("prompt_token_ids")) return ids(parts_.prompt);
      if (key.is("id")) return value(parts_.id);
      if (key.is("created")) return value(parts_.created);
      if (key.is("model")) return value(parts_.model);
      has_usage = has_usage || (key.is("usage") && in_.peek() == JsonKind::object);
      return in_.skip();
    });
    if (has_usage) parts_.usage = usage_of(data_);
    return sound && in_.end();
  }

 private:
  bool choice() {
    if (in_.peek() != JsonKind::object) return in_.skip();
    parts_.other = parts_.other || parts_.has_choice;
    parts_.has_choice = true;
    return in_.object([this](const JsonString& key, std::size_t) {
      if (key.is("delta") && in_.peek() == JsonKind::object) return delta();
      if (key.is("text") && endpoint_ == Endpoint::completions) return text();
      if (key.is("token_ids")) return ids(parts_.output);
      if (key.is("prompt_token_ids")) return ids(parts_.prompt);
      if (key.is("finish_reason")) return value(parts_.finish_reason);
      if (key.is("stop_reason")) return value(parts_.stop_reason);
      std::string_view said;
      if (!value(said)) return false;
      parts_.other = parts_.other || (key.is("index") && said != "0") || (key.is("logprobs") && said != "null");
      return true;
    });
  }

  bool delta() {
    return in_.object([this](const JsonString& key, std::size_t) {
      if (key.is("content") && in_.peek() == JsonKind::string) return text();
      std::string_view said;
      if (!value(said)) return false;
      const bool empty = said == "null" || said == "\"\"" || said == "[]" || said == "{}";
      parts_.other = parts_.other || (!key.is("role") && !empty);
      return true;
    });
  }

  bool value(std::string_view& out) {
    in_.peek();
    const std::size_t begin = in_.position();
    if (!in_.skip()) return false;
    out = data_.substr(begin, in_.position() - begin);
    return true;
  }

  bool text() {
    std::string_view said;
    if (!value(said)) return false;
    if (said != "null" && said != "\"\"") parts_.text = said;
    return true;
  }

  bool ids(std::optional<Ids>& out) {
    if (in_.peek() != JsonKind::array) return in_.skip();
    const std::size_t begin = in_.position();
    Ids found;
    if (!in_.array([&] { return ++found.count, in_.skip(); })) return false;
    found.members = data_.substr(begin + 1, in_.position() - begin - 2);
    out = found;
    parts_.id_fields.push_back({begin, in_.position()});
    return true;
  }

  std::string_view data_;
  JsonReader in_;
  Endpoint endpoint_;
  ChunkParts& parts_;
};

}  // namespace

void Continuation::attempt_begins() {
  before_ = output_tokens_;
  held_back_.clear();
  held_back_tokens_ = Tokens{0};
  finished_ = false;
  if (resumed()) return;
  id_.clear();
  prompt_.clear();
  intact_ = true;
}

std::string Continuation::prompt() const {
  std::string all = "[" + prompt_;
  if (!output_.empty()) all += "," + output_;
  return all + "]";
}

Usage Continuation::of_all(const Usage& of_attempt) const {
  if (!resumed()) return of_attempt;
  Usage all{prompt_tokens_, before_ + of_attempt.completion, of_attempt.cached};
  if (all.cached) all.cached = std::min(*all.cached, all.prompt);  // of the prompt that the client knows
  return all;
}

// What is needed to go on from here.
void Continuation::remember(const ChunkParts& chunk) {
  if (!resumed() && chunk.prompt && prompt_.empty()) {
    prompt_ = chunk.prompt->members;
    prompt_tokens_ = Tokens{chunk.prompt->count};
  }
  if (!resumed() && id_.empty()) {
    id_ = chunk.id;
    created_ = chunk.created;
    model_ = chunk.model;
  }
  if (chunk.output) {
    append(held_back_, chunk.output->members);
    held_back_tokens_ += Tokens{chunk.output->count};
  }
  if (!chunk.text.empty()) {
    intact_ = intact_ && held_back_tokens_.count > 0 && !prompt_.empty() && !id_.empty();
    append(output_, std::exchange(held_back_, {}));
    output_tokens_ += std::exchange(held_back_tokens_, Tokens{0});
  }
  intact_ = intact_ && !chunk.other;
  finished_ = finished_ || chunk.finish_reason != "null";
}

std::string Continuation::event(std::string_view data) {
  ChunkParts chunk;
  if (!ChunkScan(data, resumed() ? Endpoint::completions : endpoint_, chunk).run()) {
    intact_ = intact_ && data.starts_with("[DONE]");
    return std::string(data);
  }
  remember(chunk);
  if (resumed()) return as_begun(chunk);
  std::string out;
  std::size_t from = 0;
  for (const Span& ids : chunk.id_fields) {
    out.append(data.substr(from, ids.begin - from)).append("null");
    from = ids.end;
  }
  return out.append(data.substr(from));
}

std::string Continuation::usage_of_all(const Usage& of_attempt) const {
  const Usage all = of_all(of_attempt);
  std::string out = R"("usage":)";
  JsonWriter json(out);
  json.begin_object()
      .member("prompt_tokens", all.prompt.count)
      .member("total_tokens", (all.prompt + all.completion).count)
      .member("completion_tokens", all.completion.count);
  if (all.cached) json.key("prompt_tokens_details").begin_object().member("cached_tokens", all.cached->count).end_object();
  json.end_object();
  return out;
}

// A chunk of completions as a further one of the stream that the client has.
std::string Continuation::as_begun(const ChunkParts& chunk) const {
  const bool chat = endpoint_ == Endpoint::chat;
  std::string out = R"({"id":)" + id_ + R"(,"object":)" + (chat ? R"("chat.completion.chunk")" : R"("text_completion")") +
                    R"(,"created":)" + created_ + R"(,"model":)" + model_ + R"(,"choices":[)";
  if (chunk.has_choice) {
    const std::string text = chunk.text.empty() ? std::string(R"("")") : std::string(chunk.text);
    out += R"({"index":0,)";
    out += chat ? (chunk.text.empty() ? std::string(R"("delta":{})") : R"("delta":{"content":)" + text + "}") : R"("text":)" + text;
    out.append(R"(,"logprobs":null,"finish_reason":)").append(chunk.finish_reason);
    if (!chunk.stop_reason.empty()) out.append(R"(,"stop_reason":)").append(chunk.stop_reason);
    out += R"(,"token_ids":null})";
  }
  out += ']';
  if (chunk.usage) out += "," + usage_of_all(*chunk.usage);
  return out + "}";
}

}  // namespace qlm::openai

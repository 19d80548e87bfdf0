#include "protocol/openai/request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <charconv>

#include "protocol/openai/errors.hpp"
#include "protocol/openai/json_read.hpp"
#include "protocol/openai/known_fields.hpp"

namespace qlm::openai {
namespace {

constexpr std::size_t max_members = 1024;

RequestError invalid(std::string code, std::string message, std::string param = {}) {
  return {400, std::move(code), std::move(message), std::move(param)};
}

std::string folded(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name.substr(i, 2) == "\u017F") {
      out += 's', i += 1;
    } else if (name.substr(i, 3) == "\u212A") {
      out += 'k', i += 2;
    } else {
      out += name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
    }
  }
  return out;
}

bool is_media(const JsonString& key) {
  for (const std::string_view name : {"image_url", "input_audio", "audio_url", "video_url", "file", "file_data", "image", "audio"}) {
    if (key.is(name)) return true;
  }
  return false;
}

class Extraction {
 public:
  explicit Extraction(RequestFacts& facts) : facts_(facts), in_(*facts.body, max_json_depth) {}

  std::optional<RequestError> run() {
    if (facts_.body->empty()) return invalid("invalid_json", "The request body is empty; it must be a JSON object.");
    if (facts_.body->starts_with("\xEF\xBB\xBF")) {
      return invalid("invalid_json", "The request body begins with a byte order mark; JSON begins without one.");
    }
    if (in_.peek() != JsonKind::object) {
      // A broken text is told as such; a whole one of another kind is told what it should be.
      if (in_.skip() && in_.end()) return invalid("invalid_type", "The request body must be a JSON object.");
      return syntax_error();
    }
    const bool sound = in_.object([this](const JsonString& key, std::size_t begin) { return member(key, begin); });
    if (error_) return error_;
    if (!sound || !in_.end()) return syntax_error();
    facts_.choices = std::max(choices_, best_of_) * prompts_;
    // Prompts that are served together begin in their own ways.
    if (prompts_ == 1) facts_.prefix = prefix_.marks(prefix_salt(facts_.model, salt_));
    return error_;
  }

 private:
  RequestError syntax_error() const {
    if (in_.too_deep()) {
      return invalid("json_too_deep", fmt::format("The request body is nested more than {} levels deep at byte {}.",
                                                  max_json_depth, in_.position()));
    }
    return invalid("invalid_json", fmt::format("The request body is not valid JSON at byte {}: {}.", in_.position(),
                                               in_.fault() ? in_.fault() : "unknown fault"));
  }

  bool reject(RequestError error) {
    error_ = std::move(error);
    return false;
  }
  bool wrong_type(std::string_view field, std::string_view expected) {
    return reject(invalid("invalid_type", fmt::format("'{}' must be {}.", field, expected), std::string(field)));
  }

  bool member(const JsonString& key, std::size_t begin) {
    if (facts_.members.size() == max_members) {
      return reject(invalid("too_many_fields", fmt::format("The request body has more than {} fields.", max_members)));
    }
    std::string name = key.text();
    if (const auto known = known_field(name)) {
      const std::string_view plain = known_field_name(*known);
      if (key.raw != plain) {
        return reject(invalid("misspelled_field", fmt::format("The field at byte {} is an unusual spelling of '{}'; write it plainly.",
                                                              begin, plain), std::string(plain)));
      }
      if (seen_.test(*known)) {
        return reject(invalid("duplicate_field", fmt::format("'{}' is given twice, again at byte {}.", plain, begin), std::string(plain)));
      }
      seen_.set(*known);
    }
    const std::size_t value_begin = in_.position();
    if (!value(name)) return false;
    facts_.members.push_back({std::move(name), {begin, in_.position()}, {value_begin, in_.position()}});
    return true;
  }

  bool value(std::string_view name) {
    if (name == "model") return model();
    if (name == "stream") return boolean(name, facts_.stream);
    if (name == "background") return boolean(name, facts_.background);
    if (name == "stream_options") return stream_options();
    if (name == "max_tokens" || name == "max_completion_tokens" || name == "max_output_tokens") return max_tokens(name);
    if (name == "n") return count(name, choices_);
    if (name == "best_of") return count(name, best_of_);
    if (name == "service_tier") return short_string(name, facts_.service_tier);
    if (name == "completion_window") return short_string(name, facts_.completion_window);
    if (name == "priority") return in_.integer_if(facts_.priority.vllm);
    if (name == "nvext") return nvext();
    if (name == "messages" || name == "instructions" || name == "system" || name == "query" || name == "documents") return text();
    if (name == "prompt" || name == "input") return prompt();
    if (name == "tools" || name == "functions") return tools();
    if (name == "cache_salt") return salted();
    if (name == "response_format") return response_format();
    if (name == "logprobs" || name == "top_logprobs" || name == "prompt_logprobs") return flag(facts_.logprobs, "");
    if (name == "structured_outputs" || name.starts_with("guided_") || name == "json_schema" || name == "grammar" ||
        name == "regex" || name == "ebnf") {
      return flag(facts_.structured_output, "");
    }
    if (name == "stop" || name == "stop_token_ids") return flag(facts_.stop, "");
    if (name == "presence_penalty" || name == "frequency_penalty") return flag(facts_.penalties, "0");
    if (name == "repetition_penalty") return flag(facts_.penalties, "1");
    if (name == "echo") return flag(facts_.echo, "");
    return in_.skip();
  }

  bool model() {
    if (in_.peek() != JsonKind::string) return in_.skip() && wrong_type("model", "a string");
    JsonString name;
    if (!in_.string(name)) return false;
    if (name.empty()) return reject(invalid("invalid_value", "'model' must not be empty.", "model"));
    facts_.model = name.text();
    return true;
  }

  bool boolean(std::string_view name, bool& out) {
    if (in_.peek() == JsonKind::null) return in_.null();
    if (in_.peek() != JsonKind::boolean) return in_.skip() && wrong_type(name, "true or false");
    return in_.boolean(out);
  }

  bool integer(std::string_view name, std::optional<std::int64_t>& out) {
    if (in_.peek() == JsonKind::null) return in_.null();
    return in_.integer_if(out) && (out || wrong_type(name, "an integer of 64 bits"));
  }

  bool max_tokens(std::string_view name) {
    std::optional<std::int64_t> limit;
    if (!integer(name, limit)) return false;
    if (!limit || *limit == -1) return true;  // llama.cpp's way to say: no limit
    if (*limit < 0) return reject(invalid("invalid_value", fmt::format("'{}' must not be negative.", name), std::string(name)));
    if (!facts_.max_tokens || *limit < facts_.max_tokens->count) facts_.max_tokens = Tokens{*limit};
    return true;
  }

  bool count(std::string_view name, std::int64_t& out) {
    std::optional<std::int64_t> given;
    if (!integer(name, given)) return false;
    if (!given) return true;
    if (*given < 1 || *given > 128) {
      return reject(invalid("invalid_value", fmt::format("'{}' must be between 1 and 128.", name), std::string(name)));
    }
    out = *given;
    return true;
  }

  bool short_string(std::string_view name, std::string& out) {
    if (in_.peek() == JsonKind::null) return in_.null();
    std::optional<JsonString> given;
    if (!in_.string_if(given)) return false;
    if (!given) return wrong_type(name, "a string");
    out = given->text();
    return true;
  }

  bool stream_options() {
    const std::size_t begin = in_.position();
    StreamOptions& options = facts_.stream_options.emplace();
    if (in_.peek() == JsonKind::object) {
      const bool sound = in_.object([&](const JsonString& key, std::size_t) {
        options.empty = false;
        if (folded(key.text()) != "include_usage") {
          options.only_usage = false;
          return in_.skip();
        }
        if (options.include_usage || key.raw != "include_usage") {
          return reject(invalid("duplicate_field", "'stream_options.include_usage' must be given once and written plainly.",
                                "stream_options.include_usage"));
        }
        const std::size_t value_begin = in_.position();
        if (!boolean("stream_options.include_usage", facts_.wants_usage)) return false;
        options.include_usage = Span{value_begin, in_.position()};
        return true;
      });
      if (!sound) return false;
    } else if (in_.peek() != JsonKind::null) {
      return in_.skip() && wrong_type("stream_options", "an object");
    } else if (!in_.null()) {
      return false;
    }
    options.value = {begin, in_.position()};
    return true;
  }

  bool nvext() {
    if (in_.peek() != JsonKind::object) return in_.skip();
    return in_.object([this](const JsonString& key, std::size_t) {
      if (!key.is("agent_hints") || in_.peek() != JsonKind::object) return in_.skip();
      return in_.object([this](const JsonString& hint, std::size_t) {
        if (hint.is("priority")) return in_.integer_if(facts_.priority.dynamo);
        if (hint.is("strict_priority")) return in_.integer_if(facts_.priority.dynamo_strict);
        return in_.skip();
      });
    });
  }

  // Every string of the value is text, but for the kinds of content parts and what lies inside media.
  bool text() {
    switch (in_.peek()) {
      case JsonKind::string: {
        JsonString s;
        if (!in_.string(s)) return false;
        facts_.prompt_text += Bytes{static_cast<std::int64_t>(s.decoded)};
        prefix_.add(s.raw);
        prefix_.add("\n");
        return true;
      }
      case JsonKind::array: return in_.array([this] { return text(); });
      case JsonKind::object:
        return in_.object([this](const JsonString& key, std::size_t) {
          if (key.is("type") || key.is("role")) return in_.skip();
          if (!is_media(key)) return text();
          ++facts_.media_parts;
          prefix_.stop();
          return in_.skip();
        });
      default: return in_.skip();
    }
  }

  // A string, token ids, or an array of either, each of them a prompt of its own; or messages (responses).
  bool prompt() {
    if (in_.peek() != JsonKind::array) return text();
    std::int64_t listed = 0;
    const bool sound = in_.array([&] {
      switch (in_.peek()) {
        case JsonKind::number: return token_id();
        case JsonKind::string: ++listed; return text();
        case JsonKind::array:
          ++listed;
          return in_.array([this] { return in_.peek() == JsonKind::number ? token_id() : text(); });
        default: return text();
      }
    });
    if (facts_.endpoint == Endpoint::completions && listed > 1) prompts_ = listed;
    return sound;
  }

  bool token_id() {
    facts_.prompt_ids += Tokens{1};
    const std::size_t begin = in_.position();
    if (!in_.skip()) return false;
    prefix_.add(in_.text().substr(begin, in_.position() - begin));
    prefix_.add(",");
    return true;
  }

  // Chat templates write the tools into the prompt, keys and all.
  bool tools() {
    const std::size_t begin = in_.position();
    if (!in_.skip()) return false;
    const auto bytes = in_.position() - begin;
    if (bytes <= 4) return true;  // null, [], [ ]
    salt_ = prefix_salt(in_.text().substr(begin, bytes), salt_);  // before all messages, wherever they stand in the body
    facts_.tools = true;
    facts_.prompt_text += Bytes{static_cast<std::int64_t>(bytes)};
    return true;
  }

  // vLLM: only who names the same may use what was cached.
  bool salted() {
    const std::size_t begin = in_.position();
    if (!in_.skip()) return false;
    salt_ ^= prefix_salt(in_.text().substr(begin, in_.position() - begin), 1);
    return true;
  }

  bool response_format() {
    if (in_.peek() != JsonKind::object) return in_.skip();
    facts_.structured_output = true;
    return in_.object([this](const JsonString& key, std::size_t) {
      if (!key.is("type")) return in_.skip();
      std::optional<JsonString> type;
      if (!in_.string_if(type)) return false;
      if (type && type->is("text")) facts_.structured_output = false;
      return true;
    });
  }

  // Set unless the value is null, false, empty, or the number that changes nothing.
  bool flag(bool& out, std::string_view neutral) {
    const std::size_t begin = in_.position();
    const JsonKind kind = in_.peek();
    if (!in_.skip()) return false;
    const std::string_view written = in_.text().substr(begin, in_.position() - begin);
    if (kind == JsonKind::null || written == "false" || written == "[]" || written == "\"\"") return true;
    if (kind == JsonKind::number && !neutral.empty()) {
      double number = 0;
      std::from_chars(written.data(), written.data() + written.size(), number);
      if (number == (neutral == "1" ? 1.0 : 0.0)) return true;
    }
    out = true;
    return true;
  }

  RequestFacts& facts_;
  JsonReader in_;
  std::optional<RequestError> error_;
  std::bitset<known_field_count> seen_;
  PrefixMarker prefix_;
  std::uint64_t salt_ = 0;
  std::int64_t choices_ = 1;
  std::int64_t best_of_ = 1;
  std::int64_t prompts_ = 1;
};

// The first byte that cannot be UTF-8: valid prefixes are monotone, so it is found by halving.
std::size_t first_invalid_byte(std::string_view text) {
  std::size_t good = 0, bad = text.size();
  while (bad - good > 1) {
    // A cut inside a character is moved back to its start.
    std::size_t middle = good + (bad - good) / 2, cut = middle;
    while (cut > good && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
    if (cut > good && valid_utf8(text.substr(good, cut - good))) {
      good = cut;
    } else if (cut > good) {
      bad = cut;
    } else {
      break;
    }
  }
  return good;
}

}  // namespace

std::optional<std::size_t> known_field(std::string_view name) {
  const std::string plain = folded(name);
  for (std::size_t i = 0; i < known_field_count; ++i) {
    if (known_field_name(i) == plain) return i;
  }
  return {};
}

std::string_view known_field_name(std::size_t index) {
  return index < read_fields.size() ? read_fields[index] : denied_fields[index - read_fields.size()];
}

Endpoint endpoint_of(std::string_view path) {
  if (path == "/v1/chat/completions") return Endpoint::chat;
  if (path == "/v1/completions") return Endpoint::completions;
  if (path == "/v1/embeddings") return Endpoint::embeddings;
  if (path == "/v1/responses") return Endpoint::responses;
  return Endpoint::opaque;
}

const Member* RequestFacts::find(std::string_view name) const {
  const auto found = std::ranges::find(members, name, &Member::name);
  return found == members.end() ? nullptr : &*found;
}

std::optional<RequestError> check_media(const http::Fields& headers) {
  const auto unsupported = [](std::string_view header, std::string_view value, std::string_view wanted) {
    return RequestError{415, "unsupported_media_type", fmt::format("'{}' is '{}'; {}.", header, excerpt(value), wanted), std::string(header)};
  };
  const std::string_view coding = headers.find("Content-Encoding").value_or("identity");
  if (!http::equals_ignoring_case(coding, "identity")) {
    return unsupported("content-encoding", coding, "send the body as it is");
  }
  const auto type = headers.find("Content-Type");
  if (!type) return {};
  std::string_view bare = type->substr(0, type->find(';'));
  bare = bare.substr(0, bare.find_last_not_of(" \t") + 1);
  constexpr std::string_view json = "application/json", suffix = "+json";
  const bool suffixed = bare.size() > suffix.size() && http::equals_ignoring_case(bare.substr(bare.size() - suffix.size()), suffix);
  if (suffixed || http::equals_ignoring_case(bare, json)) return {};
  return unsupported("content-type", *type, "only application/json is read here");
}

std::expected<RequestFacts, RequestError> extract(std::string_view path, std::shared_ptr<const std::string> body) {
  RequestFacts facts;
  facts.body = std::move(body);
  facts.endpoint = endpoint_of(path);
  if (!valid_utf8(*facts.body)) {
    return std::unexpected(invalid("invalid_utf8", fmt::format("The request body is not valid UTF-8 near byte {}.",
                                                               first_invalid_byte(*facts.body))));
  }
  if (auto error = Extraction(facts).run()) return std::unexpected(std::move(*error));
  if (facts.model.empty()) return std::unexpected(invalid("missing_field", "'model' is missing. GET /v1/models lists those there are.", "model"));
  return facts;
}

}  // namespace qlm::openai

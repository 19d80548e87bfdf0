#include "app/emulator/request.hpp"

#include <fmt/format.h>

#include <boost/json/src.hpp>  // the library's body: this file is the only one to use it
#include <limits>

#include "protocol/openai/json_write.hpp"

namespace qlm::emulator {
namespace {

namespace json = boost::json;
using openai::json_string;

std::unexpected<Refusal> refuse(std::string message, std::string param = {}) {
  return std::unexpected(Refusal{.message = std::move(message), .param = std::move(param)});
}

// What pydantic says before any handler runs.
std::unexpected<Refusal> malformed(std::string message) {
  return std::unexpected(Refusal{.message = std::move(message), .type = "Bad Request"});
}

Parsed<json::object> parse_object(const std::string& body) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  auto value = json::parse(body, error, {}, options);
  if (error) return malformed("JSON decode error: " + error.message());
  if (!value.is_object()) return malformed("Input should be a valid dictionary");
  return std::move(value.as_object());
}

// Reads fields one after the other and keeps the first complaint; a null is as good as absent.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  const json::value* find(std::string_view name) const {
    const auto* value = object_.if_contains(name);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  bool flag(std::string_view name) {
    const auto* value = find(name);
    if (value == nullptr) return false;
    if (!value->is_bool()) complain(name, "Input should be a valid boolean");
    return value->is_bool() && value->get_bool();
  }

  std::optional<std::int64_t> integer(std::string_view name, std::int64_t least) {
    const auto* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_int64()) {
      complain(name, "Input should be a valid integer");
      return std::nullopt;
    }
    if (value->get_int64() < least) {
      complain(name, fmt::format("{} must be at least {}, got {}.", name, least, value->get_int64()));
      return std::nullopt;
    }
    return value->get_int64();
  }

  std::optional<double> number(std::string_view name) {
    const auto* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) {
      complain(name, "Input should be a valid number");
      return std::nullopt;
    }
    return value->to_number<double>();
  }

  std::string text(std::string_view name) {
    const auto* value = find(name);
    if (value == nullptr) return {};
    if (!value->is_string()) {
      complain(name, "Input should be a valid string");
      return {};
    }
    return std::string(value->get_string());
  }

  void complain(std::string_view name, std::string message) {
    if (!refusal_) refusal_ = Refusal{.message = std::move(message), .param = std::string(name)};
  }
  const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  const json::object& object_;
  std::optional<Refusal> refusal_;
};

Parsed<std::vector<TokenId>> token_ids(const json::array& array, std::string_view name) {
  std::vector<TokenId> ids;
  ids.reserve(array.size());
  for (const auto& value : array) {
    if (!value.is_int64() || value.get_int64() < 0 ||
        value.get_int64() > std::numeric_limits<TokenId>::max()) {
      return refuse("Token ids must be non-negative integers.", std::string(name));
    }
    ids.push_back(static_cast<TokenId>(value.get_int64()));
  }
  return ids;
}

// A prompt or an embedding's input: a string, token ids, or a list of either.
Parsed<std::vector<std::vector<TokenId>>> prompts(const json::value* value, std::string_view name) {
  std::vector<std::vector<TokenId>> list;
  if (value == nullptr) return malformed(fmt::format("Field required: {}", name));
  if (value->is_string()) {
    list.push_back(tokenize(std::string_view(value->get_string())));
  } else if (value->is_array() && !value->get_array().empty() && value->get_array()[0].is_number()) {
    auto ids = token_ids(value->get_array(), name);
    if (!ids) return std::unexpected(ids.error());
    list.push_back(std::move(*ids));
  } else if (value->is_array()) {
    for (const auto& each : value->get_array()) {
      if (each.is_string()) {
        list.push_back(tokenize(std::string_view(each.get_string())));
      } else if (each.is_array()) {
        auto ids = token_ids(each.get_array(), name);
        if (!ids) return std::unexpected(ids.error());
        list.push_back(std::move(*ids));
      } else {
        return malformed(fmt::format("{}: Input should be a string, token ids, or a list of either", name));
      }
    }
  } else {
    return malformed(fmt::format("{}: Input should be a string, token ids, or a list of either", name));
  }
  if (list.empty()) return refuse("Please provide at least one prompt", std::string(name));
  for (const auto& ids : list) {
    if (ids.empty()) return refuse("The decoder prompt cannot be empty", std::string(name));
  }
  return list;
}

// All text content of the messages, one after the other. Roles, images and tool calls cost nothing here.
Parsed<std::vector<TokenId>> chat_prompt(const json::value* messages) {
  if (messages == nullptr) return malformed("Field required: messages");
  if (!messages->is_array()) return malformed("messages: Input should be a valid list");
  std::string text;
  for (const auto& message : messages->get_array()) {
    const auto* object = message.if_object();
    const auto* role = object == nullptr ? nullptr : object->if_contains("role");
    if (role == nullptr || !role->is_string()) return malformed("messages: Field required: role");
    const auto* content = object->if_contains("content");
    if (content == nullptr || content->is_null()) continue;
    if (content->is_string()) {
      text += std::string_view(content->get_string());
    } else if (content->is_array()) {
      for (const auto& part : content->get_array()) {
        const auto* part_object = part.if_object();
        if (part_object == nullptr) return malformed("messages: content parts should be objects");
        if (const auto* said = part_object->if_contains("text"); said != nullptr && said->is_string()) {
          text += std::string_view(said->get_string());
        }
      }
    } else {
      return malformed("messages: content should be a string or a list of parts");
    }
  }
  auto ids = tokenize(text);
  if (ids.empty()) ids.push_back(0);  // a template around nothing is still a prompt
  return ids;
}

void read_stop(Reader& reader, Generation& request) {
  const auto* stop = reader.find("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) {
    request.stop.emplace_back(stop->get_string());
  } else if (stop->is_array()) {
    for (const auto& each : stop->get_array()) {
      if (each.is_string()) request.stop.emplace_back(each.get_string());
    }
  } else {
    reader.complain("stop", "stop: Input should be a string or a list of strings");
  }
  std::erase(request.stop, "");
}

void read_common(Reader& reader, Generation& request) {
  request.model = reader.text("model");
  request.n = reader.integer("n", 1).value_or(1);
  if (request.n > 128) reader.complain("n", fmt::format("n must be at most 128, got {}.", request.n));
  request.max_tokens = reader.integer("max_tokens", 1);
  if (const auto limit = reader.integer("max_completion_tokens", 1)) request.max_tokens = limit;
  request.min_tokens = reader.integer("min_tokens", 0).value_or(0);
  if (request.max_tokens && request.min_tokens > *request.max_tokens) {
    reader.complain("min_tokens",
                    fmt::format("min_tokens must be less than or equal to max_tokens={}, got {}.",
                                *request.max_tokens, request.min_tokens));
  }
  request.ignore_eos = reader.flag("ignore_eos");
  request.seed = static_cast<std::uint64_t>(
      reader.integer("seed", std::numeric_limits<std::int64_t>::min()).value_or(0));
  request.stream = reader.flag("stream");
  request.return_token_ids = reader.flag("return_token_ids");
  read_stop(reader, request);
  if (const auto heat = reader.number("temperature"); heat && *heat < 0) {
    reader.complain("temperature", fmt::format("temperature must be non-negative, got {}.", *heat));
  }
  if (const auto* options = reader.find("stream_options")) {
    if (!options->is_object()) {
      reader.complain("stream_options", "Input should be a valid dictionary");
    } else if (!request.stream) {
      reader.complain("stream_options", "Stream options can only be defined when `stream=True`.");
    } else {
      Reader inner(options->get_object());
      request.include_usage = inner.flag("include_usage");
      request.continuous_usage = request.include_usage && inner.flag("continuous_usage_stats");
      if (inner.refusal()) reader.complain("stream_options", inner.refusal()->message);
    }
  }
}

Parsed<Generation> parse_generation(const std::string& body, bool chat) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  Generation request{.chat = chat};
  if (chat) {
    auto prompt = chat_prompt(reader.find("messages"));
    if (!prompt) return std::unexpected(prompt.error());
    request.prompts.push_back(std::move(*prompt));
    if (reader.flag("logprobs")) request.logprobs = reader.integer("top_logprobs", 0).value_or(0);
  } else {
    auto list = prompts(reader.find("prompt"), "prompt");
    if (!list) return std::unexpected(list.error());
    request.prompts = std::move(*list);
    request.logprobs = reader.integer("logprobs", 0);
  }
  read_common(reader, request);
  if (request.logprobs > 20)
    reader.complain("logprobs", "Requested more than 20 logprobs, which is greater than max allowed: 20");
  if (!chat && !request.max_tokens) request.max_tokens = std::max<std::int64_t>(16, request.min_tokens);
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

}  // namespace

std::string Refusal::body() const {
  using openai::json_string;
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})", json_string(message),
                     json_string(type), param.empty() ? "null" : json_string(param), status);
}

Parsed<Generation> parse_chat(const std::string& body) { return parse_generation(body, true); }
Parsed<Generation> parse_completion(const std::string& body) { return parse_generation(body, false); }

Parsed<Embedding> parse_embedding(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  Embedding request;
  auto inputs = prompts(reader.find("input"), "input");
  if (!inputs) return std::unexpected(inputs.error());
  request.inputs = std::move(*inputs);
  request.model = reader.text("model");
  request.dimensions = reader.integer("dimensions", 1).value_or(request.dimensions);
  if (request.dimensions > 4096) reader.complain("dimensions", "dimensions must be at most 4096.");
  const std::string format = reader.text("encoding_format");
  request.base64 = format == "base64";
  if (!format.empty() && format != "base64" && format != "float") {
    reader.complain("encoding_format", "Input should be 'float' or 'base64'");
  }
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

Parsed<TokenizeRequest> parse_tokenize(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  TokenizeRequest request{.model = reader.text("model"), .tokens = {}};
  if (const auto* messages = reader.find("messages")) {
    auto tokens = chat_prompt(messages);
    if (!tokens) return std::unexpected(tokens.error());
    request.tokens = std::move(*tokens);
  } else if (reader.find("prompt") == nullptr) {
    return malformed("Field required: prompt");
  } else {
    request.tokens = tokenize(reader.text("prompt"));
  }
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

Parsed<TokenizeRequest> parse_detokenize(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  const auto* tokens = reader.find("tokens");
  if (tokens == nullptr || !tokens->is_array()) return malformed("Field required: tokens");
  auto ids = token_ids(tokens->get_array(), "tokens");
  if (!ids) return std::unexpected(ids.error());
  TokenizeRequest request{.model = reader.text("model"), .tokens = std::move(*ids)};
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

Parsed<Fault> parse_fault(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  Fault fault;
  const std::string kind = reader.text("kind");
  if (const auto known = fault_kind(kind)) {
    fault.kind = *known;
  } else {
    reader.complain(
        "kind",
        fmt::format("no fault {}; there are none, refuse, http_500, http_503, stall, cut, garbage, slow, die",
                    json_string(kind)));
  }
  fault.after_tokens = reader.integer("after_tokens", 0).value_or(0);
  fault.count = reader.integer("count", 1).value_or(fault.count);
  fault.factor = reader.number("factor").value_or(fault.factor);
  if (!(fault.factor > 0 && fault.factor <= 1e6))
    reader.complain("factor", "factor must be above 0 and at most 1e6.");
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return fault;
}

}  // namespace qlm::emulator

#include "app/emulator/request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/src.hpp>  // the library's body: this file is the only one to use it
#include <functional>
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
Refusal invalid(std::string_view type, const std::string& where, std::string_view message) {
  return {.message = fmt::format("1 validation error:\n  {{'type': '{}', 'loc': '{}', 'msg': '{}'}}", type, where, message),
          .type = "Bad Request",
          .param = where};
}
std::unexpected<Refusal> malformed(std::string_view type, const std::string& where, std::string_view message) {
  return std::unexpected(invalid(type, where, message));
}

Parsed<json::object> parse_object(const std::string& body) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  auto value = json::parse(body, error, {}, options);
  if (error) return malformed("json_invalid", "body", "JSON decode error");
  if (!value.is_object())
    return malformed("model_attributes_type", "body",
                     "Input should be a valid dictionary or object to extract fields from");
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
    if (!value->is_bool()) mistyped("bool_parsing", name, "Input should be a valid boolean");
    return value->is_bool() && value->get_bool();
  }

  std::optional<std::int64_t> integer(std::string_view name,
                                      std::int64_t least = std::numeric_limits<std::int64_t>::min()) {
    const auto* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_int64()) {
      mistyped("int_parsing", name, "Input should be a valid integer");
      return std::nullopt;
    }
    if (value->get_int64() < least) {
      complain(name, fmt::format("{0} must be at least {1}, got {2}. (parameter={0}, value={2})", name, least,
                                 value->get_int64()));
      return std::nullopt;
    }
    return value->get_int64();
  }

  std::optional<double> number(std::string_view name) {
    const auto* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) {
      mistyped("float_parsing", name, "Input should be a valid number");
      return std::nullopt;
    }
    return value->to_number<double>();
  }

  std::string text(std::string_view name) {
    const auto* value = find(name);
    if (value == nullptr) return {};
    if (!value->is_string()) {
      mistyped("string_type", name, "Input should be a valid string");
      return {};
    }
    return std::string(value->get_string());
  }

  void complain(std::string_view name, std::string message) {
    if (!refusal_) refusal_ = Refusal{.message = std::move(message), .param = std::string(name)};
  }
  void mistyped(std::string_view type, std::string_view name, std::string_view message) {
    if (!refusal_) refusal_ = invalid(type, fmt::format("body.{}", name), message);
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

constexpr const char* no_prompt = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)";

// A prompt or an embedding's input: a string, token ids, or a list of either.
Parsed<std::vector<std::vector<TokenId>>> prompts(const json::value* value, std::string_view name) {
  std::vector<std::vector<TokenId>> list;
  if (value == nullptr && name == "prompt") return refuse(no_prompt, "prompt");
  if (value == nullptr) return malformed("missing", fmt::format("body.{}", name), "Field required");
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
        return malformed("string_type", fmt::format("body.{}", name), "Input should be a valid string");
      }
    }
  } else {
    return malformed("string_type", fmt::format("body.{}", name), "Input should be a valid string");
  }
  const bool nothing = std::ranges::any_of(list, [](const auto& ids) { return ids.empty(); });
  if (list.empty() || nothing) return refuse(no_prompt, std::string(name));
  return list;
}

// All text content of the messages, one after the other. Roles, images and tool calls cost nothing here.
Parsed<std::vector<TokenId>> chat_prompt(const json::value* messages) {
  if (messages == nullptr) return malformed("missing", "body.messages", "Field required");
  if (!messages->is_array()) return malformed("list_type", "body.messages", "Input should be a valid list");
  if (messages->get_array().empty())
    return refuse("Cannot apply chat template to an empty conversation. Provide at least one message.");
  std::string text;
  for (const auto& message : messages->get_array()) {
    const auto* object = message.if_object();
    const auto* role = object == nullptr ? nullptr : object->if_contains("role");
    if (role == nullptr || !role->is_string()) return malformed("missing", "body.messages.role", "Field required");
    const auto* content = object->if_contains("content");
    if (content == nullptr || content->is_null()) continue;
    if (content->is_string()) {
      text += std::string_view(content->get_string());
    } else if (content->is_array()) {
      for (const auto& part : content->get_array()) {
        const auto* part_object = part.if_object();
        if (part_object == nullptr)
          return malformed("dict_type", "body.messages.content", "Input should be a valid dictionary");
        if (const auto* said = part_object->if_contains("text"); said != nullptr && said->is_string()) {
          text += std::string_view(said->get_string());
        }
      }
    } else {
      return malformed("string_type", "body.messages.content", "Input should be a valid string");
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
    reader.mistyped("string_type", "stop", "Input should be a valid string");
  }
  std::erase(request.stop, "");
}

void read_common(Reader& reader, Generation& request) {
  request.model = reader.text("model");
  request.n = reader.integer("n").value_or(1);
  if (request.n < 1) reader.complain("", fmt::format("n must be at least 1, got {}.", request.n));
  if (request.n > 16'384) reader.complain("", fmt::format("n must be at most 16384, got {}.", request.n));
  request.max_tokens = reader.integer("max_tokens", 1);
  if (const auto limit = reader.integer("max_completion_tokens", 1)) request.max_tokens = limit;
  request.min_tokens = reader.integer("min_tokens", 0).value_or(0);
  if (request.max_tokens && request.min_tokens > *request.max_tokens) {
    reader.complain("min_tokens",
                    fmt::format("min_tokens must be less than or equal to max_tokens={}, got {}.",
                                *request.max_tokens, request.min_tokens));
  }
  request.ignore_eos = reader.flag("ignore_eos");
  request.ends_after = reader.integer("emulated_output_tokens", 1);
  request.seed = static_cast<std::uint64_t>(
      reader.integer("seed").value_or(0));
  request.priority = reader.integer("priority").value_or(0);
  request.stream = reader.flag("stream");
  request.return_token_ids = reader.flag("return_token_ids");
  read_stop(reader, request);
  if (const auto heat = reader.number("temperature"); heat && *heat < 0) {
    reader.complain("temperature", fmt::format("temperature must be non-negative, got {0:.1f}. (parameter=temperature, "
                                               "value={0:.1f})", *heat));
  } else if (heat && *heat == 0 && request.n > 1) {
    reader.complain("", fmt::format("n must be 1 when using greedy sampling, got {}.", request.n));
  }
  if (const auto* options = reader.find("stream_options")) {
    if (!options->is_object()) {
      reader.mistyped("model_attributes_type", "stream_options", "Input should be a valid dictionary");
    } else if (!request.stream) {
      reader.complain("stream_options",
                      "Stream options can only be defined when `stream=True`. (parameter=stream_options)");
    } else {
      Reader inner(options->get_object());
      request.include_usage = inner.flag("include_usage");
      request.continuous_usage = request.include_usage && inner.flag("continuous_usage_stats");
      if (inner.refusal()) reader.complain("stream_options", inner.refusal()->message);
    }
  }
}

// The least value that a JSON schema allows, as far as a tool's arguments need it.
json::value least_value(const json::value& schema, int depth = 0) {
  const auto* object = schema.if_object();
  if (object == nullptr || depth > 16) return nullptr;
  if (const auto* list = object->if_contains("enum"); list && list->is_array() && !list->get_array().empty()) {
    return list->get_array()[0];
  }
  const auto* type = object->if_contains("type");
  const std::string_view name = type && type->is_string() ? std::string_view(type->get_string()) : "";
  if (name == "string") return "";
  if (name == "integer" || name == "number") return 0;
  if (name == "boolean") return false;
  if (name == "array") return json::array();
  if (name != "object") return nullptr;
  json::object made;
  const auto* properties = object->if_contains("properties");
  const auto* required = object->if_contains("required");
  if (!properties || !properties->is_object() || !required || !required->is_array()) return made;
  for (const auto& key : required->get_array()) {
    if (!key.is_string()) continue;
    const auto* property = properties->get_object().if_contains(key.get_string());
    made[key.get_string()] = property ? least_value(*property, depth + 1) : nullptr;
  }
  return made;
}

// Emulated text calls no tool of itself; only where the client forces a call there is one.
void read_tools(Reader& reader, Generation& request) {
  const auto* tools = reader.find("tools");
  if (tools == nullptr) return;
  if (!tools->is_array()) return reader.mistyped("list_type", "tools", "Input should be a valid list");
  const auto* choice = reader.find("tool_choice");
  const auto text = [](const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  std::string wanted;
  if (choice && choice->is_object()) {
    if (const auto* function = choice->get_object().if_contains("function"); function && function->is_object()) {
      wanted = text(function->get_object(), "name");
    }
  }
  const bool required = choice && choice->is_string() && choice->get_string() == "required";
  if (wanted.empty() && !required) return;
  for (const auto& tool : tools->get_array()) {
    const auto* object = tool.if_object();
    const auto* function = object ? object->if_contains("function") : nullptr;
    if (!function || !function->is_object()) continue;
    const std::string name = text(function->get_object(), "name");
    if (!required && name != wanted) continue;
    const auto* parameters = function->get_object().if_contains("parameters");
    request.tool = ToolCall{name, parameters ? json::serialize(least_value(*parameters)) : "{}", !required};
    return;
  }
  reader.complain("tool_choice", "The tool specified in `tool_choice` does not match any of the specified `tools`");
}

std::vector<std::string> echoes(const json::value& prompt, const std::vector<std::vector<TokenId>>& ids) {
  std::vector<std::string> list;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const json::value& one = prompt.is_array() && ids.size() == prompt.get_array().size() && prompt.get_array()[i].is_string()
                                 ? prompt.get_array()[i]
                                 : prompt;
    list.push_back(one.is_string() ? std::string(one.get_string()) : detokenize(ids[i]));
  }
  return list;
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
    read_tools(reader, request);
  } else {
    auto list = prompts(reader.find("prompt"), "prompt");
    if (!list) return std::unexpected(list.error());
    request.prompts = std::move(*list);
    request.logprobs = reader.integer("logprobs", 0);
    if (reader.flag("echo")) request.echo = echoes(*reader.find("prompt"), request.prompts);
  }
  read_common(reader, request);
  if (request.logprobs > 20)
    reader.complain("logprobs", fmt::format("Requested sample logprobs of {0}, which is greater than max allowed: 20 "
                                            "(parameter=logprobs, value={0})", *request.logprobs));
  if (!chat && !request.max_tokens && !request.ends_after) request.max_tokens = std::max<std::int64_t>(16, request.min_tokens);
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

}  // namespace

std::string Refusal::body() const {
  using openai::json_string;
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})", json_string(message),
                     json_string(type), param.empty() ? "null" : json_string(param), status);
}

Refusal engine_failure() {
  return {.status = 500,
          .message = "EngineCore encountered an issue. See stack trace (above) for the root cause.",
          .type = "InternalServerError"};
}

Parsed<Generation> parse_chat(const std::string& body) { return parse_generation(body, true); }
Parsed<Generation> parse_completion(const std::string& body) { return parse_generation(body, false); }

Parsed<Generation> parse_response(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  Generation request;
  const auto* input = reader.find("input");
  if (input == nullptr) return malformed("missing", "body.input", "Field required");
  if (input->is_string()) {
    request.prompts.push_back(tokenize(std::string_view(input->get_string())));
  } else {
    auto prompt = chat_prompt(input);
    if (!prompt) return std::unexpected(prompt.error());
    request.prompts.push_back(std::move(*prompt));
  }
  if (request.prompts[0].empty()) request.prompts[0].push_back(0);
  request.model = reader.text("model");
  request.stream = reader.flag("stream");
  request.max_tokens = reader.integer("max_output_tokens", 1);
  request.priority = reader.integer("priority").value_or(0);
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

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
    return malformed("missing", "body.prompt", "Field required");
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
  if (tokens == nullptr || !tokens->is_array()) return malformed("missing", "body.tokens", "Field required");
  auto ids = token_ids(tokens->get_array(), "tokens");
  if (!ids) return std::unexpected(ids.error());
  TokenizeRequest request{.model = reader.text("model"), .tokens = std::move(*ids)};
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return request;
}

namespace {
// Calls back for each key=value; the values meant here need no decoding.
void each_of(std::string_view query, const std::function<void(std::string_view, std::string_view)>& tell) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t sign = std::min(pair.find('='), pair.size());
    tell(pair.substr(0, sign), pair.substr(std::min(pair.size(), sign + 1)));
  }
}
}  // namespace

Parsed<SleepRequest> parse_sleep(std::string_view query) {
  SleepRequest request;
  std::optional<Refusal> refusal;
  each_of(query, [&](std::string_view key, std::string_view value) {
    if (key == "level") {
      if (value != "0" && value != "1" && value != "2") {
        refusal = Refusal{.message = fmt::format("level must be 0, 1 or 2, got {}.", value), .param = "level"};
      } else {
        request.level = value[0] - '0';
      }
    } else if (key == "mode") {
      if (value == "abort") {
        request.mode = Sleeper::Mode::abort;
      } else if (value == "wait") {
        request.mode = Sleeper::Mode::wait;
      } else if (value == "keep") {
        request.mode = Sleeper::Mode::keep;
      } else {
        refusal = Refusal{.message = fmt::format("mode must be abort, wait or keep, got {}.", value), .param = "mode"};
      }
    }
  });
  if (refusal) return std::unexpected(*refusal);
  return request;
}

Parsed<WakeRequest> parse_wake_up(std::string_view query) {
  std::optional<WakeRequest> tagged;
  std::optional<Refusal> refusal;
  each_of(query, [&](std::string_view key, std::string_view value) {
    if (key != "tags") return;
    if (!tagged) tagged = WakeRequest{.weights = false, .kv_cache = false};
    if (value == "weights") {
      tagged->weights = true;
    } else if (value == "kv_cache") {
      tagged->kv_cache = true;
    } else if (value != "scheduling") {
      refusal = Refusal{.message = fmt::format("no tag {}; there are weights, kv_cache, scheduling", value), .param = "tags"};
    }
  });
  if (refusal) return std::unexpected(*refusal);
  return tagged.value_or(WakeRequest{});
}

Parsed<std::string> parse_collective_rpc(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  std::string method = reader.text("method");
  if (method != "reload_weights") reader.complain("method", "only reload_weights is emulated");
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  return method;
}

Parsed<LoraAdapter> parse_load_lora(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  LoraAdapter adapter{.name = reader.text("lora_name"), .path = reader.text("lora_path")};
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  if (adapter.name.empty() || adapter.path.empty()) {
    return std::unexpected(
        Refusal{.message = "Both 'lora_name' and 'lora_path' must be provided.", .type = "InvalidUserInput"});
  }
  return adapter;
}

Parsed<std::string> parse_unload_lora(const std::string& body) {
  const auto object = parse_object(body);
  if (!object) return std::unexpected(object.error());
  Reader reader(*object);
  std::string name = reader.text("lora_name");
  if (reader.refusal()) return std::unexpected(*reader.refusal());
  if (name.empty()) {
    return std::unexpected(Refusal{.message = "'lora_name' needs to be provided to unload a LoRA adapter.",
                                   .type = "InvalidUserInput"});
  }
  return name;
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

#include "protocol/engines/error.hpp"

#include <fmt/format.h>

#include <charconv>

#include "protocol/engines/json.hpp"
#include "protocol/engines/json_error.hpp"

namespace qlm::engines {
namespace {

constexpr std::size_t max_message =
    1000;  // bytes; an engine's text ends up in a client's error and in a log line

// Fit for one line: no control bytes, valid UTF-8, bounded.
std::string tidy(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  const bool cut = text.size() > max_message;
  if (cut) {
    text = text.substr(0, max_message);
    // Not through the middle of a character: drop its continuation bytes, then its first.
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xc0) text.remove_suffix(1);
  }
  const bool valid = simdjson::validate_utf8(text.data(), text.size());
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? ' ' : byte >= 0x80 && !valid ? '?' : c;
  }
  if (cut) out += "...";
  return out;
}

std::string_view type_of(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return "invalid_request_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

// For an error in a stream that names its type and no number.
int status_of(std::string_view type, int otherwise) {
  if (type == "invalid_request_error" || type == "exceed_context_size_error" || type == "BadRequestError")
    return 400;
  if (type == "not_found_error" || type == "NotFoundError") return 404;
  if (type == "rate_limit_error") return 429;
  if (type == "unavailable_error" || type == "overloaded_error" || type == "SERVICE_UNAVAILABLE") return 503;
  if (type == "server_error" || type == "InternalServerError") return 500;
  return otherwise;
}

bool retryable(int status) { return status == 408 || status == 429 || (status >= 500 && status != 501); }

std::optional<Tokens> number_after(std::string_view text, std::string_view marker) {
  const auto at = text.find(marker);
  if (at == std::string_view::npos) return {};
  const auto digits = text.substr(at + marker.size());
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (error != std::errc{} || end == digits.data() || n < 0) return {};
  return Tokens{n};
}

std::optional<Tokens> first_number_after(std::string_view text,
                                         std::initializer_list<std::string_view> markers) {
  for (const auto marker : markers) {
    if (const auto n = number_after(text, marker)) return n;
  }
  return {};
}

void recognise_context(EngineError& error) {
  const std::string_view text = error.message;
  const auto says = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
  if (error.type != "exceed_context_size_error" && error.code != "context_length_exceeded" &&
      !says("maximum context length") && !says("longer than the model's context length") &&
      !says("exceeds the available context size")) {
    return;
  }
  error.context_exceeded = true;
  error.status = 400;
  error.type = "invalid_request_error";
  error.code = "context_length_exceeded";
  if (!error.context) {
    error.context = first_number_after(text, {"maximum context length is ", "maximum context length of ",
                                              "model's context length (", "available context size ("});
  }
  if (!error.prompt) {
    error.prompt = first_number_after(
        text, {"requested a total of ", "you requested ", "your request has ", "prompt contains at least ",
               "prompt contains ", "The input (", "request ("});
  }
}

void recognise_missing_model(EngineError& error) {
  const std::string_view text = error.message;
  const auto says = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
  // The llama.cpp router says 400 to a model it does not have.
  const bool router = error.status == 400 && text.starts_with("model '") && says("not found");
  if (!router && !(error.status == 404 && says("odel"))) return;
  error.status = 404;
  error.type = "not_found_error";
  error.code = "model_not_found";
}

// llama.cpp answers 500 to tools and messages it cannot read. Were that taken for its own failure, one client's
// nonsense would be sent again and again, and cost the instance its place.
void recognise_bad_request(EngineError& error) {
  const std::string_view text = error.message;
  if (error.status != 500) return;
  if (!text.starts_with("Failed to parse tools") && !text.starts_with("Failed to parse messages")) return;
  error.status = 400;
  error.type = "invalid_request_error";
}

// FastAPI: {"detail": "text"} or {"detail": [{"loc": ["body", "n"], "msg": "..."}]}.
std::string detail_text(json::Value detail) {
  if (const auto text = json::as<std::string_view>(detail)) return tidy(*text);
  const auto list = json::as<json::Array>(detail);
  if (!list) return {};
  for (const auto entry : *list) {
    std::string where;
    if (const auto loc = json::get<json::Array>(entry, "loc")) {
      for (const auto part : *loc) {
        if (!where.empty()) where += '.';
        where += json::as<std::string_view>(part).value_or("#");
      }
    }
    const auto what = json::text(entry, "msg");
    return tidy(where.empty() ? std::string(what) : fmt::format("{}: {}", where, what));
  }
  return {};
}

// The fields of an error object, wherever it stood.
EngineError from_object(json::Value object, int status) {
  EngineError error;
  error.type = tidy(json::text(object, "type"));
  error.param = tidy(json::text(object, "param"));
  error.message = tidy(json::text(object, "message"));
  error.status = status;
  if (const auto code = json::get<std::int64_t>(object, "code")) {
    if (*code >= 400 && *code <= 599) error.status = static_cast<int>(*code);
  } else if (const auto name = json::text(object, "code"); !name.empty()) {
    error.code = tidy(name);
    error.status = status_of(error.type, status);
  } else {
    error.status = status_of(error.type, status);
  }
  if (const auto n = json::get<std::int64_t>(object, "n_prompt_tokens")) error.prompt = Tokens{*n};
  if (const auto n = json::get<std::int64_t>(object, "n_ctx")) error.context = Tokens{*n};
  return error;
}

void finish(EngineError& error) {
  if (error.message.empty())
    error.message = fmt::format("the engine failed with status {} and no message", error.status);
  recognise_context(error);
  recognise_missing_model(error);
  recognise_bad_request(error);
  error.retryable_elsewhere = retryable(error.status);
  if (error.status == 401 || error.status == 403 || error.status == 407) {
    // It is QLM's key that was refused, not the client's: the client must not take it for its own.
    error.message = fmt::format("the engine refused QLM's credentials ({}): {}", error.status, error.message);
    error.status = 502;
    error.type = "server_error";
    error.code = "engine_credentials";
    error.retryable_elsewhere = true;
  }
  if (error.status < 400 || error.status > 599) {
    error.status = 502;
    error.retryable_elsewhere = true;
  }
  if (error.type.empty()) error.type = type_of(error.status);
}

std::optional<Duration> retry_after(const http::Fields& fields) {
  for (const auto& field : fields.all()) {
    if (!http::equals_ignoring_case(field.name, "retry-after")) continue;
    int n = 0;
    const auto [end, failure] =
        std::from_chars(field.value.data(), field.value.data() + field.value.size(), n);
    if (failure == std::errc{} && end == field.value.data() + field.value.size() && n >= 0) return n * 1s;
  }
  return {};
}

}  // namespace

std::optional<EngineError> find_error(json::Value document, int status) {
  EngineError error;
  if (const auto inner = json::find(document, "error")) {
    if (const auto text = json::as<std::string_view>(*inner)) {
      if (text->empty()) return {};
      error.status = status;
      error.message = tidy(*text);
    } else if (inner->is_object()) {
      error = from_object(*inner, status);
    } else {
      return {};
    }
  } else if (json::text(document, "object") == "error") {
    error = from_object(document, status);
  } else {
    return {};
  }
  finish(error);
  return error;
}

std::optional<EngineError> find_error(std::string_view text, int status) {
  json::Document document;
  const auto value = document.parse(text);
  return value ? find_error(*value, status) : std::nullopt;
}

EngineError read_error(int status, const http::Fields& fields, std::string_view body) {
  EngineError error;
  error.status = status;
  bool openai_shaped = false;
  json::Document document;
  if (const auto value = document.parse(body)) {
    auto inner = json::find(*value, "error");
    if (inner && inner->is_object()) {
      error = from_object(*inner, status);
      openai_shaped = !error.message.empty();
    } else if (inner) {
      error.message = tidy(json::as<std::string_view>(*inner).value_or(""));
    } else if (const auto detail = json::find(*value, "detail")) {
      error.message = detail_text(*detail);
    } else if (value->is_object()) {
      error = from_object(*value, status);
    }
  } else if (body.find('<') < 64) {
    error.message = fmt::format("the engine, or a proxy before it, answered {} with an HTML page", status);
  } else {
    error.message = tidy(body);
  }
  error.status = status;  // the status line is what the engine's own HTTP layer meant
  finish(error);
  error.openai_shaped = openai_shaped && error.status == status;
  error.retry_after = retry_after(fields);
  return error;
}

EngineError connection_error(std::string_view why) {
  EngineError error;
  error.status = 502;
  error.type = "server_error";
  error.code = "engine_connection";
  error.message = tidy(why);
  if (error.message.empty()) error.message = "the engine's connection failed";
  error.retryable_elsewhere = true;
  return error;
}

}  // namespace qlm::engines

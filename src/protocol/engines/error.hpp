// One shape for the many errors engines give: {"error":{...}}, {"error":"text"}, SGLang's flat object,
// FastAPI's
// {"detail":...}, plain text, HTML.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "protocol/http/message.hpp"

namespace qlm::engines {

struct EngineError {
  int status = 502;     // what a client should be told; the engine's own where that is honest
  std::string type;     // OpenAI's: invalid_request_error, not_found_error, ...; never empty
  std::string code;     // may be empty
  std::string param;    // may be empty
  std::string message;  // never empty
  // Another instance of the same model may do better, as long as no content went out. The engine saying that
  // the request is wrong (400, 404, 413, 422) is not retried: it is wrong everywhere.
  bool retryable_elsewhere = false;
  bool context_exceeded = false;
  bool openai_shaped = false;  // read_error: the body may go to a client as it came
  std::optional<Tokens> prompt;   // what the request needed, where the engine said it
  std::optional<Tokens> context;  // what there is
  std::optional<Duration> retry_after;
};

// An answer with status 400 or above.
EngineError read_error(int status, const http::Fields& fields, std::string_view body);
// The payload of an event that carries `error`, or a whole body that does; nothing where it does not.
// `status` is what to assume when the object names none.
std::optional<EngineError> find_error(std::string_view json, int status = 502);
// No whole answer: refused, reset, timed out, cut.
EngineError connection_error(std::string_view why);

}  // namespace qlm::engines

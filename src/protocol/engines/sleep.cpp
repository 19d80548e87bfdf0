// Putting vLLM to sleep and waking it (level 1: weights in the host's memory, KV cache dropped).
#include "protocol/engines/driver.hpp"
#include "protocol/engines/json.hpp"

namespace qlm::engines {

// mode=wait: what somebody else sent it meanwhile is ended well, and not cut.
EngineRequest sleep_request() { return {.method = "POST", .target = "/sleep?level=1&mode=wait"}; }

EngineRequest wake_request() { return {.method = "POST", .target = "/wake_up"}; }

EngineRequest is_sleeping_request() { return {.target = "/is_sleeping"}; }

std::optional<bool> parse_is_sleeping(int status, std::string_view body) {
  if (status != 200) return std::nullopt;
  json::Document document;
  const auto value = document.parse(body);
  return value ? json::get<bool>(*value, "is_sleeping") : std::nullopt;
}

}  // namespace qlm::engines

// find_error() for a document that is parsed already. Private to this room.
#pragma once

#include <optional>

#include "protocol/engines/error.hpp"
#include "protocol/engines/json.hpp"

namespace qlm::engines {

std::optional<EngineError> find_error(json::Value document, int status);

}  // namespace qlm::engines

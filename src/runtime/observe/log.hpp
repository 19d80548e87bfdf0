// The text log, on standard error: one line a message, for the operator. spdlog stays behind this header.
#pragma once

#include <cstdint>
#include <string_view>

namespace qlm::log {

enum class Level : std::uint8_t { debug, info, warn, error };

void set_level(Level level);
bool enabled(Level level);

// Messages come formatted. Line breaks and control characters in them are made visible: whatever a client or an
// engine said cannot forge a line. From any thread.
void debug(std::string_view message);
void info(std::string_view message);
void warn(std::string_view message);
void error(std::string_view message);
void write(Level level, std::string_view message);

}  // namespace qlm::log

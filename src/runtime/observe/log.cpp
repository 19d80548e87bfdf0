#include "runtime/observe/log.hpp"

#include <cstdlib>
#include <memory>
#include <string>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

namespace qlm::log {
namespace {

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::logger& logger() {
  // Never destroyed: threads may still speak while the program ends.
  static spdlog::logger& instance = *[] {
    // Colour only on a terminal, and not where NO_COLOR says so.
    const char* no_color = std::getenv("NO_COLOR");
    const auto mode = no_color != nullptr && *no_color != '\0' ? spdlog::color_mode::never : spdlog::color_mode::automatic;
    auto* made = new spdlog::logger("qlm", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(mode));
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %v", spdlog::pattern_time_type::utc);
    made->set_error_handler([](const std::string&) {});  // a log that cannot be written hurts nobody
    return made;
  }();
  return instance;
}

}  // namespace

void write(Level level, std::string_view message) {
  if (!enabled(level)) return;
  std::string line;
  line.reserve(message.size());
  for (const char c : message) {
    if (c == '\n') line += "\\n";
    else line += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
  }
  logger().log(spdlog_level(level), std::string_view(line));
}

void set_level(Level level) { logger().set_level(spdlog_level(level)); }
bool enabled(Level level) { return logger().should_log(spdlog_level(level)); }

void debug(std::string_view message) { write(Level::debug, message); }
void info(std::string_view message) { write(Level::info, message); }
void warn(std::string_view message) { write(Level::warn, message); }
void error(std::string_view message) { write(Level::error, message); }

}  // namespace qlm::log

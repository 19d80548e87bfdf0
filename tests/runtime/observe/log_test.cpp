#include "runtime/observe/log.hpp"

#include <gtest/gtest.h>

namespace qlm {
namespace {

TEST(Log, WritesOneLineAMessageToStandardError) {
  testing::internal::CaptureStderr();
  log::info("listening on 127.0.0.1:8080");
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.substr(line.find('Z')), "Z info    listening on 127.0.0.1:8080\n");
  EXPECT_EQ(line[10], 'T');
}

TEST(Log, AMessageCannotForgeALine) {
  testing::internal::CaptureStderr();
  log::warn("model 'x\n2026-01-01 error all is lost\x1b[2J' is unknown {}");
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_NE(line.find(R"(warning model 'x\n2026-01-01 error all is lost?[2J' is unknown {})"), std::string::npos) << line;
}

TEST(Log, SaysNothingBelowItsLevel) {
  log::set_level(log::Level::error);
  testing::internal::CaptureStderr();
  log::warn("quiet");
  log::error("loud");
  const std::string lines = testing::internal::GetCapturedStderr();
  log::set_level(log::Level::info);
  EXPECT_EQ(lines.find("quiet"), std::string::npos);
  EXPECT_NE(lines.find("error   loud"), std::string::npos) << lines;
  EXPECT_FALSE(log::enabled(log::Level::debug));
}

}  // namespace
}  // namespace qlm

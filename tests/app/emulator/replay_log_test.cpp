#include "app/emulator/replay_log.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace qlm::emulator {
namespace {

const std::string real_log = QLM_SHARED_DIR "/data/traces/validation_vllm019_rtxpro6000_llama31_8b.csv.gz";

// A recording of vLLM 0.19 serving 300 requests at 10 a second, max_num_seqs 128 and 2,048 batched tokens.
TEST(ReplayLog, TheModelKeepsARealEnginesTime) {
  if (!std::filesystem::exists(real_log)) GTEST_SKIP() << "no recorded engine log at " << real_log;
  const auto log = read_request_log(real_log);
  ASSERT_TRUE(log) << log.error().message;
  ASSERT_EQ(log->size(), 300U);
  for (const auto* name : {"rtxpro6000-96/llama-3.1-8b", "rtxpro6000-96/llama-3.1-8b-linear"}) {
    auto profile = find_profile(name).value();
    profile.max_num_seqs = 128;
    const auto report = replay(*log, profile.step, limits_of(profile));
    ASSERT_TRUE(report) << report.error().message;
    std::printf("%s\n%s", name, report->text().c_str());
    EXPECT_LE(report->e2e_error, 0.08) << name;
  }
}

std::string write_file(const std::string& text) {
  const std::string path = testing::TempDir() + "replay_log_test.csv";
  std::ofstream(path) << text;
  return path;
}

constexpr const char* header =
    "arrival_s,prompt_tokens,output_tokens,model,class,scheduled_s,first_token_s,last_token_s\n";

TEST(ReplayLog, ReadsAPlainFileByItsColumnNames) {
  const auto log = read_request_log(write_file(std::string(header) + "0.5,10,2,m,,0.5,0.75,1.5\n"));
  ASSERT_TRUE(log) << log.error().message;
  ASSERT_EQ(log->size(), 1U);
  EXPECT_EQ(log->front().arrival, 500ms);
  EXPECT_EQ(log->front().prompt, Tokens{10});
  EXPECT_EQ(log->front().last_token, 1500ms);
}

TEST(ReplayLog, SaysWhatIsWrongWithAFile) {
  const auto message = [](const std::string& text) {
    const auto log = read_request_log(write_file(text));
    return log ? std::string("accepted") : log.error().message;
  };
  EXPECT_NE(message("arrival_s,prompt_tokens\n").find("no column output_tokens"), std::string::npos);
  EXPECT_NE(message(std::string(header) + "x,1,1,m,,0,0,0\n").find(":2: arrival_s is no number"),
            std::string::npos);
  EXPECT_NE(
      message(std::string(header) + "2,1,1,m,,0,2,3\n1,1,1,m,,0,2,3\n").find(":3: arrivals are not in order"),
      std::string::npos);
  EXPECT_NE(message("").find("holds no request"), std::string::npos);
  EXPECT_FALSE(read_request_log("/nonexistent"));
}

TEST(ReplayLog, AModelThatWasRightHasNoError) {
  const StepTimeModel step{StepTimeModel::Kind::linear, 10, 0, 0, 0, 0, 0, 0};
  const std::vector<LoggedRequest> log = {
      {.arrival = 1s, .prompt = Tokens{5}, .output = Tokens{3}, .first_token = 1010ms, .last_token = 1030ms}};
  const auto report = replay(log, step, {.kv_tokens = Tokens{1600}});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->e2e_error, 0);
  EXPECT_EQ(report->ttft_model, 10ms);
}

}  // namespace
}  // namespace qlm::emulator

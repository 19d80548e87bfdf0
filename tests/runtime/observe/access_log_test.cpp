#include "runtime/observe/access_log.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/json.hpp"

namespace qlm::observe {
namespace {

RequestRecord completed() {
  RequestRecord record;
  record.id = "req_1";
  record.path = "/v1/chat/completions";
  record.model = "mistral-7b";
  record.class_name = "interactive";
  record.tenant = "search-team";
  record.instance = "chat-a";
  record.attempts = 1;
  record.streamed = true;
  record.arrived = UnixTime{1'700'000'000'123ms};
  record.wait = 1500us;
  record.ttft = 20ms;
  record.tpot = 30ms;
  record.e2e = 320ms;
  record.prompt_tokens = Tokens{12};
  record.output_tokens = Tokens{11};
  record.slo.ttft = 2s;
  record.status = 200;
  return record;
}

class File {
 public:
  File() : folder_(std::filesystem::temp_directory_path() / ("qlm-access-" + std::to_string(::getpid()) + "-" +
                                                             testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
  }
  ~File() { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name = "access.log") const { return (folder_ / name).string(); }
  std::vector<std::string> lines(const std::string& name = "access.log") const {
    std::vector<std::string> all;
    std::ifstream in(path(name));
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }

 private:
  std::filesystem::path folder_;
};

TEST(AccessLine, TellsTheWholeLifeOfARequest) {
  EXPECT_EQ(access_line(completed()),
            R"({"time_ms":1700000000123,"id":"req_1","path":"/v1/chat/completions","status":200,"outcome":"completed",)"
            R"("model":"mistral-7b","class":"interactive","tenant":"search-team","instance":"chat-a","attempts":1,)"
            R"("stream":true,"wait_ms":1.500,"ttft_ms":20.000,"tpot_ms":30.000,"e2e_ms":320.000,"prompt_tokens":12,)"
            R"("output_tokens":11,"slo_ttft_ms":2000.000})");
}

TEST(AccessLine, OfARefusedRequestSaysWhyAndLeavesOutWhatNeverWas) {
  RequestRecord record;
  record.id = "req_2";
  record.model = "nobody\"s\n model \xff";
  record.status = 429;
  record.outcome = Outcome::rejected;
  record.reason = Reason::queue_full;
  record.client_retries = 2;
  record.client_gone = true;
  record.estimate = WaitEstimate{2s, 4s, true};
  record.traceparent = "00-a-b-01";
  EXPECT_EQ(access_line(record),
            "{\"time_ms\":0,\"id\":\"req_2\",\"status\":429,\"outcome\":\"rejected\",\"reason\":\"queue_full\","
            "\"model\":\"nobody\\\"s\\u000a model \xEF\xBF\xBD\",\"attempts\":0,\"client_retries\":2,\"stream\":false,"
            "\"client_gone\":true,\"e2e_ms\":0.000,\"prompt_tokens\":0,\"output_tokens\":0,"
            "\"estimated_wait_ms\":2000.000,\"wait_bound_ms\":4000.000,\"traceparent\":\"00-a-b-01\"}");
}

TEST(AccessLine, CountsTheAttemptsThatWereLostAndToWhat) {
  RequestRecord record = completed();
  record.attempts = 5;
  record.evictions = 1;
  record.lost = {{{Loss::refused, 503}, 2}, {{Loss::stalled, 0}, 1}};
  EXPECT_NE(access_line(record).find(R"("attempts":5,"attempts_lost":{"refused_503":2,"stalled":1},"evictions":1,"stream")"), std::string::npos);
}

TEST(AccessLog, AppendsALineARequest) {
  File file;
  for (int run = 0; run < 2; ++run) {
    auto log = AccessLog::open(file.path());
    ASSERT_TRUE(log);
    (*log)->write(completed());
    (*log)->write(completed());
  }
  const auto lines = file.lines();
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[3], access_line(completed()));
}

TEST(AccessLog, KeepsEveryLineOfManyThreads) {
  File file;
  auto log = AccessLog::open(file.path());
  ASSERT_TRUE(log);
  {
    std::vector<std::jthread> writers;
    for (int t = 0; t < 4; ++t) {
      writers.emplace_back([&] {
        for (int i = 0; i < 500; ++i) (*log)->write(completed());
      });
    }
  }
  (*log)->flush();
  const auto lines = file.lines();
  EXPECT_EQ(lines.size() + (*log)->lost(), 2000U);
  for (const auto& line : lines) ASSERT_EQ(line, access_line(completed()));
}

TEST(AccessLog, FollowsARotationWithoutLosingALine) {
  File file;
  auto log = AccessLog::open(file.path());
  ASSERT_TRUE(log);
  (*log)->write(completed());
  (*log)->flush();
  std::filesystem::rename(file.path(), file.path("access.log.1"));
  (*log)->write(completed());
  ASSERT_TRUE((*log)->reopen(file.path()));
  (*log)->flush();
  (*log)->write(completed());
  (*log)->flush();
  EXPECT_EQ(file.lines("access.log.1").size(), 2U);
  EXPECT_EQ(file.lines().size(), 1U);
}

TEST(AccessLog, GoesOnInAnotherFileAndStaysWhereItCannot) {
  const File file;
  auto log = AccessLog::open(file.path());
  ASSERT_TRUE(log);
  (*log)->write(completed());
  ASSERT_TRUE((*log)->reopen(file.path("other.log")));
  (*log)->flush();
  (*log)->write(completed());
  (*log)->flush();
  const auto refused = (*log)->reopen("/nonexistent/folder/access.log");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "access log /nonexistent/folder/access.log: No such file or directory");
  (*log)->write(completed());
  (*log)->flush();
  EXPECT_EQ(file.lines().size(), 1U);
  EXPECT_EQ(file.lines("other.log").size(), 2U);
}

TEST(AccessLog, TellsWithoutCreatingAnythingWhetherAPathWillDo) {
  const File file;
  EXPECT_TRUE(AccessLog::try_open(file.path("not_yet.log")));
  EXPECT_FALSE(std::filesystem::exists(file.path("not_yet.log")));
  EXPECT_TRUE(AccessLog::try_open("-"));
  EXPECT_FALSE(AccessLog::try_open(file.path("")));  // a folder
  const auto refused = AccessLog::try_open("/nonexistent/folder/access.log");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "access log /nonexistent/folder/access.log: No such file or directory");
}

TEST(AccessLog, SaysWhatIsWrongWithAPath) {
  const auto log = AccessLog::open("/nonexistent/folder/access.log");
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().message, "access log /nonexistent/folder/access.log: No such file or directory");
}

TEST(AccessLog, AFullDiskCostsLinesAndNothingElse) {
  auto log = AccessLog::open("/dev/full");
  ASSERT_TRUE(log);
  for (int i = 0; i < 10; ++i) (*log)->write(completed());
  (*log)->flush();
  EXPECT_EQ((*log)->lost(), 10U);
}

// A pipe opened by its path is the log's file; nobody reads it, or the reader leaves.
TEST(AccessLog, APipeNobodyReadsFillsTheBufferAndThenDropsLines) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto log = AccessLog::open("/proc/self/fd/" + std::to_string(ends[1]), Bytes{64 * 1024});
  ASSERT_TRUE(log);
  for (int i = 0; i < 2000; ++i) (*log)->write(completed());  // returns: it never waits for the pipe
  EXPECT_GT((*log)->lost(), 0U);
  ::close(ends[0]);
  (*log)->flush();  // the reader left: EPIPE, and no signal ends the program
  ::close(ends[1]);
  EXPECT_GT((*log)->lost(), 1000U);
}

TEST(Json, AStringIsAlwaysValid) {
  std::string out;
  append_json_string(out, std::string_view("a\"\\\x01\x1f\xc3\xa4\xed\xa0\x80\xc0\xaf\xf0\x9f", 14));
  EXPECT_EQ(out, "\"a\\\"\\\\\\u0001\\u001f\xc3\xa4"
                 "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace qlm::observe

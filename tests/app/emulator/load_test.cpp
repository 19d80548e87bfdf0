// `qlm emulate` until it listens.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/emulator/run.hpp"

namespace qlm::emulator {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

int emulate(std::vector<std::string> words) {
  std::vector<char*> argv;
  words.insert(words.begin(), "emulate");
  for (auto& word : words) argv.push_back(word.data());
  return run(static_cast<int>(argv.size()), argv.data());
}

// Bound and never listening: so long as this lives nobody else is given the port by chance, and connections are refused.
class Port {
 public:
  Port() : descriptor_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    number_ = ntohs(address.sin_port);
  }
  void release() { close(std::exchange(descriptor_, -1)); }
  std::string address() const { return "127.0.0.1:" + std::to_string(number_); }
  bool answers() const {
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(number_);
    const bool connected = connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(client);
    return connected;
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  int descriptor_;
  std::uint16_t number_ = 0;
};

TEST(Load, NobodyListensUntilItIsOver) {
  Port port;
  port.release();
  const auto begun = Clock::now();
  // Where nobody ever listens the test hangs until its time-out, which says the same.
  auto listens = std::async(std::launch::async, [&] {
    while (!port.answers()) std::this_thread::sleep_for(1ms);
    const auto after = Clock::now() - begun;
    kill(getpid(), SIGTERM);  // who listens handles it already
    return after;
  });
  EXPECT_EQ(emulate({"--listen", port.address(), "--load-time", "3s", "--speed", "10"}), 0);
  EXPECT_GE(listens.get(), 300ms);  // machines can be late, never early
}

TEST(Load, ALoadThatFailsSaysSoAndEnds) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(emulate({"--listen", "127.0.0.1:0", "--load-time", "20ms", "--fault", "load_fail"}), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("CUDA out of memory"), std::string::npos);
}

TEST(Load, OnlyTheStartThatFindsTheFileFails) {
  const auto file = std::filesystem::path(testing::TempDir()) / ("load-fault-" + std::to_string(getpid()));
  std::ofstream(file) << "";
  setenv("EMULATE_LOAD_FAULT_FILE", file.c_str(), 1);
  testing::internal::CaptureStderr();
  EXPECT_EQ(emulate({"--listen", "127.0.0.1:0"}), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("CUDA out of memory"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(file));
  Port port;
  port.release();
  auto listens = std::async(std::launch::async, [&] {
    while (!port.answers()) std::this_thread::sleep_for(1ms);
    kill(getpid(), SIGTERM);
  });
  EXPECT_EQ(emulate({"--listen", port.address()}), 0);
  unsetenv("EMULATE_LOAD_FAULT_FILE");
}

TEST(Load, ALoadThatHangsNeverListens) {
  Port port;
  port.release();
  // In a process of its own, which its alarm ends: a run that came back would end it otherwise.
  EXPECT_EXIT(
      {
        alarm(1);
        std::thread([&] {
          for (;;) {
            if (port.answers()) std::_Exit(3);
            std::this_thread::sleep_for(10ms);
          }
        }).detach();
        std::_Exit(emulate({"--listen", port.address(), "--load-time", "1ms", "--fault", "load_hang"}));
      },
      testing::KilledBySignal(SIGALRM), "");
}

TEST(Load, ATimeThatCannotBeReadIsWrongUsage) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(emulate({"--load-time", "soon"}), 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("--load-time"), std::string::npos);
}

}  // namespace
}  // namespace qlm::emulator

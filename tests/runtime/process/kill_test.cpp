// QLM killed at whatever moment: what runs is what the records say.
#include <array>
#include <set>

#include "fixture.hpp"

namespace qlm::process {
namespace {

using KillTest = WithProcesses;

struct Pipe {
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  std::array<int, 2> ends{};
};

TEST_F(KillTest, AChildWhoseParentIsKilledBeforeItsLeaveRunsNothing) {
  const Pipe pipe;
  const std::string mark = here / "mark";
  const pid_t parent = ::fork();
  if (parent == 0) {
    const Descriptor output(::open((here / "output").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const auto launch = Launch::fork({{"touch", mark}, {}}, output);
    const pid_t child = launch ? launch->pid() : 0;
    if (::write(pipe.ends[1], &child, sizeof child) != sizeof child) ::_exit(1);
    for (;;) ::pause();
  }
  pid_t child = 0;
  ASSERT_EQ(::read(pipe.ends[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  ASSERT_GT(child, 0);
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), -1);
  EXPECT_TRUE(exists(child));
  ::kill(parent, SIGKILL);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);  // ours now
  EXPECT_EQ(WEXITSTATUS(status), 127);
  EXPECT_FALSE(std::filesystem::exists(mark));
}

TEST_F(KillTest, WhenQlmIsKilledWhateverItDoesEveryEngineThatRunsIsFoundAgain) {
  for (int round = 0; round < 12; ++round) {
    const Pipe pipe;
    const pid_t qlm = elsewhere([&] {
      const StateFolder folder = open();
      for (int i = 0;; ++i) {
        Engine engine;
        start(engine, folder, {{"sleep", "1000"}, {}}, fmt::format("{}", i));
        if (::write(pipe.ends[1], "x", 1) != 1) ::_exit(1);
      }
    });
    const std::size_t known = 1 + static_cast<std::size_t>(round) % 4;
    for (std::size_t i = 0; i < known; ++i) {
      char byte = 0;
      ASSERT_EQ(::read(pipe.ends[0], &byte, 1), 1);
    }
    for (int spin = 0; spin < round * 3; ++spin) ::sched_yield();  // it is somewhere in the next start
    ::kill(qlm, SIGKILL);
    ASSERT_EQ(::waitpid(qlm, nullptr, 0), qlm);

    const StateFolder folder = open();
    std::vector<Engine> engines;
    engines.reserve(1000);
    std::set<pid_t> found;
    for (const Record& record : folder.running()) {
      Engine& engine = engines.emplace_back();
      auto adopted = EngineProcess::adopt(*loop, folder, record, engine.hears());
      if (!adopted) continue;  // was about to end without having run
      engine.process = std::move(*adopted);
      engine.process->stop(1h);
      found.insert(record.pid);
    }
    EXPECT_GE(found.size(), known);
    until([&] {
      return std::ranges::all_of(engines, [](const Engine& engine) { return !engine.process || engine.exits > 0; });
    });
    // Who is left, orphaned by it and in no record, has run nothing and ends.
    until([&] {
      int status = 0;
      const pid_t ended = ::waitpid(-1, &status, WNOHANG);
      EXPECT_TRUE(ended <= 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) << status;
      return ended < 0;
    });
    EXPECT_EQ(folder.running(), std::vector<Record>{});
  }
}

}  // namespace
}  // namespace qlm::process

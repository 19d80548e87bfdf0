#include "runtime/process/launch.hpp"

#include "fixture.hpp"

namespace qlm::process {
namespace {

class LaunchTest : public WithProcesses {
 protected:
  Descriptor output() const {
    return Descriptor(::open((here / "output").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  }
  // What it wrote, when it has ended.
  std::string said_by(const Command& command) {
    auto launch = Launch::fork(command, output());
    if (!launch) return launch.error().message;
    if (const auto gone = launch->go(); !gone) return gone.error().message;
    EXPECT_EQ(::waitpid(launch->pid(), nullptr, 0), launch->pid());
    return content_of(here / "output");
  }
};

TEST_F(LaunchTest, WithoutLeaveItRunsNothingAndLeavesNothing) {
  const std::string mark = here / "mark";
  pid_t pid = 0;
  {
    const auto launch = Launch::fork({{"touch", mark}, {}}, output());
    ASSERT_TRUE(launch) << launch.error().message;
    pid = launch->pid();
    EXPECT_TRUE(exists(pid));
  }
  EXPECT_FALSE(exists(pid));
  EXPECT_FALSE(std::filesystem::exists(mark));
}

TEST_F(LaunchTest, ItLeadsASessionOfItsOwn) {
  EXPECT_EQ(said_by(shell("read pid name state parent group session rest < /proc/$$/stat;"
                          "test $group = $$ && test $session = $$ && echo leads")),
            "leads\n");
}

TEST_F(LaunchTest, ItInheritsNoDescriptorAndAnEmptyInput) {
  const int open_here = ::open("/dev/zero", O_RDONLY);  // not closed by an exec
  const int high = ::fcntl(open_here, F_DUPFD, 200);
  EXPECT_EQ(said_by(shell("for f in /proc/$$/fd/*; do readlink $f; done; cat")),
            fmt::format("/dev/null\n{0}\n{0}\n", (here / "output").string()));
  ::close(open_here);
  ::close(high);
}

TEST_F(LaunchTest, ItInheritsNoSignalsMaskOrDisposition) {
  sigset_t usual;
  sigset_t some;
  ::sigemptyset(&some);
  ::sigaddset(&some, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &some, &usual);
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  const std::string said = said_by({{"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}, {}});
  ::signal(SIGPIPE, before);
  ::pthread_sigmask(SIG_SETMASK, &usual, nullptr);
  EXPECT_EQ(said, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(LaunchTest, ItsEnvironmentIsOursAndOverItItsOwn) {
  ::setenv("QLM_TEST_KEPT", "kept", 1);
  ::setenv("QLM_TEST_CHANGED", "before", 1);
  Command command = shell("echo $QLM_TEST_KEPT $QLM_TEST_CHANGED $QLM_TEST_NEW; env | grep -c QLM_TEST_CHANGED");
  command.environment = {{"QLM_TEST_CHANGED", "after"}, {"QLM_TEST_NEW", "a b=c"}};
  EXPECT_EQ(said_by(command), "kept after a b=c\n1\n");
  ::unsetenv("QLM_TEST_KEPT");
  ::unsetenv("QLM_TEST_CHANGED");
}

TEST_F(LaunchTest, ItsProgramIsLookedForInItsOwnPath) {
  std::ofstream(here / "mine") << "#!/bin/sh\necho mine\n";
  EXPECT_EQ(said_by({{"mine"}, {{"PATH", here}}}), "there is no program 'mine' in PATH");  // no program yet
  std::filesystem::permissions(here / "mine", std::filesystem::perms::owner_all);
  EXPECT_EQ(said_by({{"mine"}, {}}), "there is no program 'mine' in PATH");
  EXPECT_EQ(said_by({{"mine"}, {{"PATH", "/nowhere:" + here.string()}}}), "mine\n");
}

TEST_F(LaunchTest, WhatCannotBeSaidToAProgramIsRefused) {
  EXPECT_FALSE(Launch::fork({{}, {}}, output()));
  EXPECT_FALSE(Launch::fork({{"echo", std::string("a\0b", 3)}, {}}, output()));
  EXPECT_FALSE(Launch::fork({{"echo"}, {{"A=B", "c"}}}, output()));
}

}  // namespace
}  // namespace qlm::process

#include "runtime/process/state_folder.hpp"

#include "fixture.hpp"

namespace qlm::process {
namespace {

namespace fs = std::filesystem;
using StateFolderTest = WithProcesses;

// This very process, as if it were an engine.
Record this_one() {
  const auto stat = stat_of(::getpid());
  return {.slot = "here/0",
          .what = "meta-llama/Llama 3@70%\n",
          .port = 65535,
          .fingerprint = "",
          .pid = ::getpid(),
          .started = stat->started,
          .boot = boot_id()};
}

TEST_F(StateFolderTest, ItIsMadeForItsOwnerAlone) {
  const auto folder = StateFolder::open(here / "a/b/");
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ(fs::status(here / "a/b").permissions(), fs::perms::owner_all);
}

TEST_F(StateFolderTest, ARecordIsFoundAsItWasWrittenByWhoeverOpensItNext) {
  const Record record = this_one();
  {
    const StateFolder folder = open();
    ASSERT_TRUE(folder.write(record));
  }
  EXPECT_EQ(open().running(), std::vector<Record>{record});
}

TEST_F(StateFolderTest, OneOfAnotherStartOrBootOrOfNobodyIsNotRunningAndRemoved) {
  const StateFolder folder = open();
  Record started = this_one();
  started.slot = "started";
  ++started.started;
  Record boot = this_one();
  boot.slot = "boot";
  boot.boot = "another";
  Record nobody = this_one();
  nobody.slot = "nobody";
  nobody.pid = 1 << 22;  // the largest number is one less
  for (const Record& record : {started, boot, nobody}) ASSERT_TRUE(folder.write(record));
  ASSERT_TRUE(folder.write(this_one()));
  EXPECT_EQ(folder.running(), std::vector<Record>{this_one()});
  for (const Record& record : {started, boot, nobody}) EXPECT_FALSE(fs::exists(folder.record_path(record)));
}

TEST_F(StateFolderTest, NoTwoNamesShareAFile) {
  const StateFolder folder = open();
  EXPECT_NE(folder.record_path({.slot = "a@b", .what = "c"}), folder.record_path({.slot = "a", .what = "b@c"}));
  EXPECT_NE(folder.record_path({.slot = "a/b", .what = "c"}), folder.record_path({.slot = "a%2Fb", .what = "c"}));
}

TEST_F(StateFolderTest, ASecondOneIsRefusedWithTheHoldersNumberUntilTheFirstIsGone) {
  {
    const StateFolder folder = open();
    const auto second = StateFolder::open(here / "state");
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find(fmt::format("process {};", ::getpid())), std::string::npos)
        << second.error().message;
  }
  EXPECT_TRUE(StateFolder::open(here / "state"));
}

TEST_F(StateFolderTest, AnEngineThatRunsDoesNotHoldTheLock) {
  auto folder = std::make_unique<StateFolder>(open());
  Engine engine;
  start(engine, *folder, {{"sleep", "1000"}, {}});
  engine.process.reset();
  folder.reset();
  const StateFolder next = open();
  adopt(engine, next, next.running().at(0));
  engine.process->stop(1h);
  until([&] { return engine.exits > 0; });
}

TEST_F(StateFolderTest, AFolderThatOthersMayWriteInIsRefused) {
  fs::create_directory(here / "state");
  fs::permissions(here / "state", fs::perms::all);
  EXPECT_FALSE(StateFolder::open(here / "state"));
  fs::permissions(here / "state", fs::perms::owner_all | fs::perms::group_read);
  EXPECT_TRUE(StateFolder::open(here / "state"));
  std::ofstream(here / "file") << "";
  EXPECT_FALSE(StateFolder::open(here / "file"));
  EXPECT_FALSE(StateFolder::open(here / "file/below"));
}

TEST_F(StateFolderTest, ARecordThatCannotBeReadIsAnErrorAndOneThatWasNotFinishedIsNothing) {
  Record record = this_one();
  const std::string path = open().record_path(record);
  std::ofstream(path + ".unfinished") << "qlm-engine 1\nslot";
  EXPECT_EQ(open().running(), std::vector<Record>{});
  EXPECT_FALSE(fs::exists(path + ".unfinished"));

  ASSERT_TRUE(open().write(record));
  const std::string good = content_of(path);
  for (const std::string& bad : {std::string(), good.substr(0, good.size() - 1), good + "more\n",
                                 "qlm-engine 2" + good.substr(12), std::string("qlm-engine 1\nslot %2\n")}) {
    std::ofstream(path) << bad;
    const auto folder = StateFolder::open(here / "state");
    ASSERT_FALSE(folder) << bad;
    EXPECT_NE(folder.error().message.find(path), std::string::npos) << folder.error().message;
    EXPECT_TRUE(fs::exists(path));
  }
  std::ofstream(path) << good;
  EXPECT_EQ(open().running(), std::vector<Record>{record});
}

}  // namespace
}  // namespace qlm::process

#include "runtime/process/engine_process.hpp"

#include <set>

#include "fixture.hpp"

namespace qlm::process {
namespace {

using Lines = std::vector<std::string>;
using EngineProcessTest = WithProcesses;

TEST_F(EngineProcessTest, ItsLinesAndItsStatusAreHeardAndNothingOfItIsLeft) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, shell("echo one; echo two >&2; printf three; exit 7"));
  const Record record = engine.process->record();
  EXPECT_EQ(engine.exits, 0);  // never inside the call
  until([&] { return engine.exits > 0; });
  EXPECT_EQ(engine.lines, (Lines{"one", "two", "three"}));
  EXPECT_EQ(engine.exit, (Exit{false, 7}));
  EXPECT_FALSE(exists(record.pid));  // no zombie either
  EXPECT_FALSE(std::filesystem::exists(folder.record_path(record)));
  EXPECT_EQ(folder.running(), std::vector<Record>{});
  engine.process->stop(0s);  // of what is over: nothing
  EXPECT_EQ(engine.exits, 1);
}

TEST_F(EngineProcessTest, ItsLinesAreHeardWhileItRuns) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, shell("echo ready; exec sleep 1000"));
  wait_for_line(engine, "ready");
  EXPECT_EQ(engine.exits, 0);
  engine.process->stop(1h);
  until([&] { return engine.exits > 0; });
  EXPECT_EQ(engine.exit, (Exit{true, SIGTERM}));
}

TEST_F(EngineProcessTest, OneThatIgnoresTheRequestToEndIsKilledAfterItsGrace) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, shell("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done"));
  wait_for_line(engine, "ready");
  engine.process->stop(1h);
  wait_for_line(engine, "asked");
  EXPECT_EQ(engine.exits, 0);
  engine.process->stop(1ms);
  engine.process->stop(2h);  // no later
  until([&] { return engine.exits > 0; });
  EXPECT_EQ(engine.exit, (Exit{true, SIGKILL}));
}

TEST_F(EngineProcessTest, OneThatIsStoppedIsKilledAfterItsGrace) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, {{"sleep", "1000"}, {}});
  const pid_t pid = engine.process->record().pid;
  ::kill(pid, SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, WUNTRACED), pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  engine.process->stop(1ms);
  until([&] { return engine.exits > 0; });
  EXPECT_EQ(engine.exit, (Exit{true, SIGKILL}));
}

TEST_F(EngineProcessTest, NothingThatItStartedIsLeftWhenItIsSaidToHaveEnded) {
  const StateFolder folder = open();
  Engine engine;
  auto hears = engine.hears();
  std::optional<int> left;
  pid_t leader = 0;
  hears.exited = [&](const std::optional<Exit>& exit) {
    engine.exit = exit;
    left = kill_session(leader, std::nullopt);
  };
  // Many workers, so that some of them take a moment to end; each in a process group of its own in every second engine.
  for (const std::string how : {"set +m", "set -m"}) {
    const Command command{
        {"bash", "-c", how + "; for i in $(seq 40); do sleep 1000 & done; echo started; exec sleep 1000"}, {}};
    auto started = EngineProcess::start(*loop, folder, {.slot = "a", .what = how}, command, hears);
    ASSERT_TRUE(started) << started.error().message;
    engine.process = std::move(*started);
    leader = engine.process->record().pid;
    wait_for_line(engine, "started");
    engine.lines.clear();
    ::kill(leader, SIGKILL);
    left.reset();
    until([&] { return left.has_value(); });
    EXPECT_EQ(left, 0) << how;
    EXPECT_EQ(engine.exit, (Exit{true, SIGKILL}));
    EXPECT_FALSE(exists(leader));
  }
}

TEST_F(EngineProcessTest, AProgramThatCannotBeRunIsAnErrorWithItsNameAndLeavesNothing) {
  const StateFolder folder = open();
  std::ofstream(here / "text") << "no program";
  std::ofstream(here / "garbage") << "no program either";
  std::filesystem::permissions(here / "garbage", std::filesystem::perms::owner_all);
  for (const std::string& program :
       Lines{"qlm-no-such-program", here / "missing", here / "text", here / "garbage", here, ""}) {
    Engine engine;
    const auto started = EngineProcess::start(*loop, folder, {.slot = "a", .what = "b"},
                                              {{program}, {{"SECRET", "hush"}}}, engine.hears());
    ASSERT_FALSE(started) << program;
    EXPECT_NE(started.error().message.find(program), std::string::npos) << started.error().message;
    EXPECT_EQ(started.error().message.find("hush"), std::string::npos) << started.error().message;
    EXPECT_FALSE(std::filesystem::exists(folder.record_path({.slot = "a", .what = "b"})));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << program;
  }
}

TEST_F(EngineProcessTest, ASecondEngineOfTheSameSlotAndModelIsRefusedWhileTheFirstRuns) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, {{"sleep", "1000"}, {}});
  const auto second = EngineProcess::start(*loop, folder, engine.process->record(), {{"sleep", "1000"}, {}}, {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(std::to_string(engine.process->record().pid)), std::string::npos);
  Engine other;
  start(other, folder, {{"sleep", "1000"}, {}}, "another model");
  EXPECT_EQ(folder.running().size(), 2U);
  engine.process->stop(1h);
  other.process->stop(1h);
  until([&] { return engine.exits + other.exits == 2; });
}

TEST_F(EngineProcessTest, WhoeverHearsOfTheEndMayStartTheNextAndForgetTheFormer) {
  const StateFolder folder = open();
  std::unique_ptr<EngineProcess> engine;
  int starts = 0;
  std::function<void(const std::optional<Exit>&)> again = [&](const std::optional<Exit>&) {
    engine.reset();
    if (++starts > 3) return;
    auto next =
        EngineProcess::start(*loop, folder, {.slot = "a", .what = "b"}, shell("exit 1"), {.line = {}, .exited = again});
    ASSERT_TRUE(next) << next.error().message;
    engine = std::move(*next);
  };
  again({});
  until([&] { return starts == 4; });
}

TEST_F(EngineProcessTest, ItOutlivesItsObjectAndIsFoundAndAdopted) {
  Record record;
  {
    const StateFolder folder = open();
    Engine engine;
    start(engine, folder,
          shell("echo before; while ! test -e " + (here / "go").string() +
                "; do sleep 0.01; done; echo after; exec sleep 1000"));
    wait_for_line(engine, "before");
    record = engine.process->record();
    EXPECT_EQ(record.port, 8001);
  }
  EXPECT_TRUE(exists(record.pid));
  const StateFolder folder = open();
  EXPECT_EQ(folder.running(), std::vector<Record>{record});
  Engine adopted;
  adopt(adopted, folder, record);
  std::ofstream(here / "go") << "";
  wait_for_line(adopted, "after");
  EXPECT_EQ(adopted.lines, Lines{"after"});  // what was said before has been heard
  adopted.process->stop(1h);
  until([&] { return adopted.exits > 0; });
  EXPECT_FALSE(exists(record.pid));
  EXPECT_EQ(folder.running(), std::vector<Record>{});
}

TEST_F(EngineProcessTest, OfAnAdoptedEngineTheEndIsHeardButNotTheStatusAndItsWorkersEndWithIt) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);  // nobody's child of ours
  const pid_t first = elsewhere([this] {
    const StateFolder folder = open();
    Engine engine;
    start(engine, folder, shell("sh -c 'trap \"\" TERM; echo worker; while :; do sleep 0.01; done' & exec sleep 1000"));
    wait_for_line(engine, "worker");
  });
  int status = 0;
  ASSERT_EQ(::waitpid(first, &status, 0), first);
  ASSERT_EQ(status, 0);
  const StateFolder folder = open();
  const auto running = folder.running();
  ASSERT_EQ(running.size(), 1U);
  Engine engine;
  adopt(engine, folder, running[0]);
  engine.process->stop(1h);  // the worker does not care, the leader does
  until([&] { return engine.exits > 0; });
  EXPECT_EQ(engine.exit, std::nullopt);
  EXPECT_EQ(kill_session(running[0].pid, std::nullopt), 0);
  EXPECT_EQ(folder.running(), std::vector<Record>{});
}

TEST_F(EngineProcessTest, WhatADeadEngineLeftBehindIsKilledBeforeTheNextOneStarts) {
  Record record;
  {
    const StateFolder folder = open();
    Engine engine;
    start(engine, folder, shell("sh -c 'echo worker; while :; do sleep 0.01; done' & exec sleep 1000"));
    wait_for_line(engine, "worker");
    record = engine.process->record();
  }
  ::kill(record.pid, SIGKILL);
  ASSERT_EQ(::waitpid(record.pid, nullptr, 0), record.pid);
  const StateFolder folder = open();
  EXPECT_EQ(folder.running(), std::vector<Record>{});
  Engine next;
  until([&] {
    auto started = EngineProcess::start(*loop, folder, record, shell("exit 0"), next.hears());
    if (!started) return false;  // the worker has not ended yet
    next.process = std::move(*started);
    return true;
  });
  EXPECT_EQ(kill_session(record.pid, std::nullopt), 0);
  until([&] { return next.exits > 0; });
}

TEST_F(EngineProcessTest, OfASessionThatMayBeAnothersOnlyWhoWritesToTheEnginesOutputIsKilled) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, shell("sleep 1000 >/dev/null 2>&1 & echo $!; exec sleep 1000"));
  until([&] { return engine.lines.size() == 1; });
  const Record record = engine.process->record();
  EXPECT_EQ(kill_session(record.pid, folder.output_path(record)), 0);
  const auto other = open_pidfd(std::stoi(engine.lines[0]));
  ASSERT_TRUE(other);
  EXPECT_FALSE(ended(other->get()));
  engine.process->stop(1h);
  until([&] { return engine.exits > 0; });
}

TEST_F(EngineProcessTest, WhoeverHasTheNumberOfADeadEngineIsNeitherAdoptedNorSignalled) {
  const StateFolder folder = open();
  Engine engine;
  start(engine, folder, {{"sleep", "1000"}, {}});
  Record other = engine.process->record();
  other.slot = "other";
  ++other.started;
  ASSERT_TRUE(folder.write(other));
  EXPECT_FALSE(EngineProcess::adopt(*loop, folder, other, {}));
  EXPECT_EQ(folder.running(), std::vector<Record>{engine.process->record()});
  EXPECT_FALSE(std::filesystem::exists(folder.record_path(other)));
  EXPECT_TRUE(exists(other.pid));
  EXPECT_EQ(engine.exits, 0);
  engine.process->stop(1h);
  until([&] { return engine.exits > 0; });
}

TEST_F(EngineProcessTest, AFreePortCanBeListenedOn) {
  const auto port = free_port();
  ASSERT_TRUE(port);
  EXPECT_GT(*port, 0);
}

}  // namespace
}  // namespace qlm::process

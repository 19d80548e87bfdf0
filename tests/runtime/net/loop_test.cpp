#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "fixture.hpp"

namespace qlm::net {
namespace {

using LoopTest = OnLoop;

TEST_F(LoopTest, PostedTasksRunInOrderAndNeverInsideTheCall) {
  std::vector<int> seen;
  loop.post([&] {
    loop.post([&] { seen.push_back(2); });
    seen.push_back(1);
  });
  EXPECT_TRUE(seen.empty());
  until([&] { return seen.size() == 2; });
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST_F(LoopTest, DeferredTasksRunWhenTheCallbackReturnedBeforeAnythingElseThatIsReady) {
  std::string seen;
  loop.defer([&] { seen += "outside "; });
  EXPECT_EQ(seen, "");
  loop.post([&] {
    loop.post([&] { seen += "posted"; });
    loop.defer([&] {
      loop.defer([&] { seen += "inner "; });
      seen += "deferred ";
    });
    seen += "callback ";
  });
  until([&] { return seen.ends_with("posted"); });
  EXPECT_EQ(seen, "outside callback deferred inner posted");
}

TEST_F(LoopTest, PostAndStopMayComeFromOtherThreads) {
  constexpr int each = 1000;
  int count = 0;  // only the loop's thread touches it
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        loop.post([&] {
          if (++count == 4 * each) loop.stop();
        });
      }
    });
  }
  loop.run();
  EXPECT_EQ(count, 4 * each);

  threads.clear();
  threads.emplace_back([&] { loop.stop(); });
  loop.run();  // returns, whether stop() came before it or during it
}

TEST_F(LoopTest, TimersFireInOrderOfTimeAndNotEarly) {
  std::vector<int> seen;
  Timer first(loop);
  Timer second(loop);
  const Instant start = loop.now();
  Instant fired{};
  second.after(20ms, [&] {
    seen.push_back(2);
    fired = loop.now();
  });
  first.after(5ms, [&] { seen.push_back(1); });
  until([&] { return seen.size() == 2; });
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
  EXPECT_GE(fired - start, 20ms);
}

TEST_F(LoopTest, SettingATimerAgainReplacesWhatItWouldHaveDone) {
  std::string seen;
  Timer timer(loop);
  Timer end(loop);
  timer.after(1ms, [&] { seen += "former "; });
  timer.after(10ms, [&] { seen += "later "; });
  end.after(20ms, [&] { seen += "end"; });
  until([&] { return seen.ends_with("end"); });
  EXPECT_EQ(seen, "later end");

  seen.clear();
  timer.after(30ms, [&] { seen += "former "; });
  timer.after(1ms, [&] { seen += "sooner "; });
  end.after(40ms, [&] { seen += "end"; });
  until([&] { return seen.ends_with("end"); });
  EXPECT_EQ(seen, "sooner end");
}

TEST_F(LoopTest, CancelledDestroyedAndNeverTimersStaySilent) {
  std::string seen;
  Timer cancelled(loop);
  Timer at_never(loop);
  Timer end(loop);
  auto destroyed = std::make_unique<Timer>(loop);
  cancelled.after(1ms, [&] { seen += "cancelled"; });
  cancelled.cancel();
  at_never.at(never, [&] { seen += "never"; });
  at_never.after(Duration::max(), [&] { seen += "never"; });
  destroyed->after(1ms, [&] { seen += "destroyed"; });
  destroyed.reset();
  end.after(10ms, [&] { seen += "end"; });
  until([&] { return !seen.empty(); });
  EXPECT_EQ(seen, "end");
}

TEST_F(LoopTest, ATimerMayDestroyItselfAndCanBeSetFromItsOwnTask) {
  auto timer = std::make_unique<Timer>(loop);
  int rounds = 0;
  std::function<void()> again = [&] {
    if (++rounds == 3) return timer.reset();
    timer->after(1us, [&] { again(); });
  };
  timer->after(1us, [&] { again(); });
  until([&] { return !timer; });
  EXPECT_EQ(rounds, 3);
}

TEST_F(LoopTest, SignalsArriveOnTheLoopEachTime) {
  std::vector<int> seen;
  loop.on_signals({SIGUSR1, SIGUSR2}, [&](int signal) { seen.push_back(signal); });
  std::raise(SIGUSR1);
  until([&] { return seen.size() == 1; });
  std::raise(SIGUSR2);
  until([&] { return seen.size() == 2; });
  EXPECT_EQ(seen, (std::vector<int>{SIGUSR1, SIGUSR2}));
}

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(ends.data()), 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  void write() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
  void read() const {
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
  }
  std::array<int, 2> ends{};
};

TEST_F(LoopTest, AReadableDescriptorIsToldOnceForEachWait) {
  const Pipe pipe;
  auto readable = Readable::open(loop, pipe.ends[0]);
  ASSERT_TRUE(readable) << readable.error().message;
  int seen = 0;
  readable->wait([&] { ++seen; });
  settle();
  EXPECT_EQ(seen, 0);  // nothing to read
  pipe.write();
  until([&] { return seen > 0; });
  settle();
  EXPECT_EQ(seen, 1);  // nobody asked again
  readable->wait([&] { ++seen; });  // what was not read is still there
  EXPECT_EQ(seen, 1);  // not inside the call
  until([&] { return seen == 2; });
  pipe.read();
  readable->wait([&] { ++seen; });
  settle();
  EXPECT_EQ(seen, 2);
}

TEST_F(LoopTest, WaitingAgainReplacesAndDestroyingCancelsAndLeavesTheDescriptorOpen) {
  const Pipe pipe;
  std::string seen;
  auto first = std::make_unique<Readable>(Readable::open(loop, pipe.ends[0]).value());
  first->wait([&] { seen += "former "; });
  first->wait([&] { seen += "later "; });
  pipe.write();
  until([&] { return !seen.empty(); });
  EXPECT_EQ(seen, "later ");
  first->wait([&] { seen += "destroyed "; });
  first.reset();
  auto second = Readable::open(loop, pipe.ends[0]);  // the same descriptor can be watched anew
  ASSERT_TRUE(second) << second.error().message;
  second->wait([&] { seen += "second"; });
  until([&] { return seen.ends_with("second"); });
  EXPECT_EQ(seen, "later second");
  pipe.read();
}

TEST_F(LoopTest, AReadableMayDestroyItselfAndAHungUpDescriptorIsReadable) {
  Pipe pipe;
  auto readable = std::make_unique<Readable>(Readable::open(loop, pipe.ends[0]).value());
  readable->wait([&] { readable.reset(); });
  ::close(std::exchange(pipe.ends[1], -1));
  until([&] { return !readable; });
}

TEST_F(LoopTest, WhatCannotBePolledIsAnError) { EXPECT_FALSE(Readable::open(loop, -1)); }

}  // namespace
}  // namespace qlm::net

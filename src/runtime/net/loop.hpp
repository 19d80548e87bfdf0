// One thread's event loop, its clock and its timers. Asio stays behind this header: including it costs nothing.
//
// Threads: everything of a loop happens on the thread inside run(), except post() and stop(), which may be called
// from any thread. Callbacks never run inside the call that registered them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace qlm::net {

class Loop {
 public:
  using Task = std::move_only_function<void()>;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();   // until stop()
  void stop();  // from any thread
  void post(Task task);  // from any thread; runs later on the loop's thread, behind what is ready already
  // From the loop's thread: runs when the present callback returned, before anything else that is ready. For work that
  // belongs to it but must not run under it. Outside of any callback it is a post().
  void defer(Task task);

  Instant now() const;  // the machine's monotonic clock
  UnixTime wall() const;

  // Calls `handler` on the loop's thread for each delivery of these signals, for as long as the loop lives.
  void on_signals(std::vector<int> signals, std::move_only_function<void(int)> handler);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// One pending call-back at a time; setting it again replaces the former, destroying it cancels.
class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();
  Timer(Timer&&) noexcept;
  Timer& operator=(Timer&&) noexcept;

  void at(Instant when, Loop::Task task);
  void after(Duration delay, Loop::Task task);
  void cancel();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Watches one descriptor that can be polled: a pipe, a pidfd, no plain file. It does not own it: the descriptor stays
// open for as long as this watches it, and is watched once in a loop. Hung up counts as readable.
class Readable {
 public:
  static Result<Readable> open(Loop& loop, int descriptor);
  ~Readable();
  Readable(Readable&&) noexcept;
  Readable& operator=(Readable&&) noexcept;

  // Calls back once, when there is something to read, also where that has been there before. One pending call-back at
  // a time; asking again replaces the former, destroying it cancels. A rare call comes for nothing: look before reading.
  void wait(Loop::Task task);

 private:
  struct Impl;
  explicit Readable(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace qlm::net

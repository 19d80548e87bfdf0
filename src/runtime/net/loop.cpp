#include "runtime/net/loop.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "runtime/net/asio_loop.hpp"

namespace qlm::net {

namespace {

Instant monotonic_now() {
  return Instant{std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

void watch(Loop::Impl& impl, Loop::Impl::SignalWatch& signals) {
  signals.set.async_wait([&impl, &signals](const ErrorCode& error, int signal) {
    if (error) return;
    const Turn turn(impl);
    signals.handler(signal);
    watch(impl, signals);
  });
}

}  // namespace

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
  impl_->io.run();
  impl_->io.restart();  // after, not before: a stop() that came first must not be lost
}

void Loop::stop() { impl_->io.stop(); }

void Loop::post(Task task) {
  asio::post(impl_->io, [this, task = std::move(task)]() mutable {
    const Turn turn(*this);
    task();
  });
}

void Loop::defer(Task task) {
  if (!impl_->in_turn) return post(std::move(task));
  impl_->deferred.push_back(std::move(task));
}

Turn::~Turn() {
  std::vector<Loop::Task> running;
  while (!impl_.deferred.empty()) {
    running.swap(impl_.deferred);
    for (Loop::Task& task : running) task();
    running.clear();
  }
  impl_.in_turn = false;
}

Instant Loop::now() const { return monotonic_now(); }

UnixTime Loop::wall() const {
  return UnixTime{std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())};
}

void Loop::on_signals(std::vector<int> signals, std::move_only_function<void(int)> handler) {
  auto added = std::make_unique<Impl::SignalWatch>(impl_->io, std::move(handler));
  for (const int signal : signals) added->set.add(signal);
  watch(*impl_, *added);
  impl_->signals.push_back(std::move(added));
}

// Most timers are moved or cancelled long before they are due (a time limit pushed back by every read). So moving to
// a later time and cancelling only change `due` and `task`; the kernel-side wait stays as it is, and when it ends too
// early it is armed again.
struct Timer::Impl : std::enable_shared_from_this<Timer::Impl> {
  explicit Impl(Loop::Impl& l) : loop(l), wait(l.io) {}

  void arm(Instant when) {
    armed = when;
    ++round;
    wait.expires_at(std::chrono::steady_clock::time_point(when.time_since_epoch()));
    wait.async_wait([self = shared_from_this(), mine = round](const ErrorCode& error) {
      if (!error && mine == self->round) self->woke();
    });
  }

  void woke() {
    armed = never;
    if (!task) return;
    if (monotonic_now() < due) return arm(due);
    const Turn turn(loop);
    auto run = std::exchange(task, nullptr);
    run();
  }

  Loop::Impl& loop;
  asio::steady_timer wait;
  Instant armed = never;    // when the wait ends; never: none is under way
  std::uint64_t round = 0;  // tells a wait that ended just before it was replaced
  Instant due = never;
  Loop::Task task;
};

Timer::Timer(Loop& loop) : impl_(std::make_shared<Impl>(loop.impl())) {}

Timer::~Timer() {
  if (!impl_) return;
  cancel();
  impl_->wait.cancel();
}

Timer::Timer(Timer&&) noexcept = default;

Timer& Timer::operator=(Timer&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

void Timer::at(Instant when, Loop::Task task) {
  if (when == never) return cancel();
  impl_->due = when;
  const auto former = std::exchange(impl_->task, std::move(task));
  if (when < impl_->armed) impl_->arm(when);
}

void Timer::after(Duration delay, Loop::Task task) { at(add(monotonic_now(), delay), std::move(task)); }

void Timer::cancel() { const auto former = std::exchange(impl_->task, nullptr); }

struct Readable::Impl : std::enable_shared_from_this<Readable::Impl> {
  explicit Impl(Loop::Impl& l) : loop(l), watched(l.io) {}

  // What was asked for while one wait is under way joins it.
  void arm() {
    if (std::exchange(armed, true)) return;
    watched.async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](const ErrorCode& error) {
      self->armed = false;
      if (error || !self->task) return;
      const Turn turn(self->loop);
      auto run = std::exchange(self->task, nullptr);
      run();
    });
  }

  void let_go() {
    task = nullptr;
    if (watched.is_open()) watched.release();  // its own destructor would close what is not ours
  }

  Loop::Impl& loop;
  asio::posix::stream_descriptor watched;
  bool armed = false;
  Loop::Task task;
};

Result<Readable> Readable::open(Loop& loop, int descriptor) {
  auto impl = std::make_shared<Impl>(loop.impl());
  ErrorCode error;
  impl->watched.assign(descriptor, error);
  if (error) return fail("cannot watch a descriptor: " + error.message());
  return Readable(std::move(impl));
}

Readable::Readable(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Readable::~Readable() {
  if (impl_) impl_->let_go();
}

Readable::Readable(Readable&&) noexcept = default;

Readable& Readable::operator=(Readable&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

void Readable::wait(Loop::Task task) {
  const auto former = std::exchange(impl_->task, std::move(task));
  impl_->arm();
}

}  // namespace qlm::net

#include "runtime/observe/access_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/json.hpp"
#include "core/domain/names.hpp"

namespace qlm::observe {
namespace {

class Line {
 public:
  void text(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    begin(key);
    append_json_string(out_, value);
  }
  void number(std::string_view key, std::int64_t value) {
    begin(key);
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void flag(std::string_view key, bool value) {
    begin(key);
    out_ += value ? "true" : "false";
  }
  void duration(std::string_view key, std::optional<Duration> value) {
    if (!value) return;
    begin(key);
    fmt::format_to(std::back_inserter(out_), "{:.3f}", milliseconds(*value));
  }
  // {"refused_503":2,"stalled":1}
  void lost(const std::vector<std::pair<Lost, int>>& all) {
    if (all.empty()) return;
    begin("attempts_lost");
    for (const auto& [to, times] : all) {
      fmt::format_to(std::back_inserter(out_), "{}\"{}{}\":{}", &to == &all.front().first ? "{" : ",", name(to.why),
                     to.status == 0 ? std::string() : fmt::format("_{}", to.status), times);
    }
    out_ += '}';
  }
  std::string take() && { return std::move(out_) + "}"; }

 private:
  void begin(std::string_view key) {
    fmt::format_to(std::back_inserter(out_), "{}\"{}\":", out_.empty() ? "{" : ",", key);
  }
  std::string out_;
};

constexpr Duration patience_at_end = 2s;
constexpr int poll_ms = 100;

}  // namespace

std::string access_line(const RequestRecord& r) {
  Line line;
  line.number("time_ms", std::chrono::duration_cast<std::chrono::milliseconds>(r.arrived.time_since_epoch()).count());
  line.text("id", r.id);
  line.text("path", r.path);
  line.number("status", r.status);
  line.text("outcome", name(r.outcome));
  if (r.reason != Reason::none) line.text("reason", name(r.reason));
  line.text("error", r.error);
  line.text("model", r.model);
  line.text("class", r.class_name);
  line.text("tenant", r.tenant);
  line.text("instance", r.instance);
  line.number("attempts", r.attempts);
  line.lost(r.lost);
  if (r.evictions > 0) line.number("evictions", r.evictions);
  if (r.client_retries > 0) line.number("client_retries", r.client_retries);
  line.flag("stream", r.streamed);
  if (r.client_gone) line.flag("client_gone", true);
  line.duration("wait_ms", r.wait);
  line.duration("ttft_ms", r.ttft);
  line.duration("tpot_ms", r.tpot);
  line.duration("e2e_ms", r.e2e);
  line.number("prompt_tokens", r.prompt_tokens.count);
  if (r.cached) line.number("cached_tokens", r.cached->count);
  line.number("output_tokens", r.output_tokens.count);
  line.duration("slo_ttft_ms", r.slo.ttft);
  line.duration("slo_tpot_ms", r.slo.tpot);
  line.duration("slo_e2e_ms", r.slo.e2e);
  if (r.estimate) {
    line.duration("estimated_wait_ms", r.estimate->expected);
    line.duration("wait_bound_ms", r.estimate->bound);
  }
  line.text("traceparent", r.traceparent);
  return std::move(line).take();
}

struct AccessLog::Impl {
  Impl(int file, std::size_t bytes) : fd(file), bytes_max(bytes) {}

  int fd;  // the writer's alone, once it runs
  const std::size_t bytes_max;

  mutable std::mutex mutex;
  std::condition_variable wake, idle;
  std::string waiting;
  std::uint64_t lost = 0;
  bool writing = false;
  int next = -1;  // where to go on
  bool stop = false;
  bool torn = false;  // the writer's: the file may end inside a line
  std::jthread writer;

  // `wait`: for a reader of a named pipe.
  static Result<int> open_target(const std::string& target, bool wait) {
    const int fd = target == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                                 : ::open(target.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (wait ? 0 : O_NONBLOCK), 0640);
    if (fd < 0) return failure(target);
    if (!wait && target != "-") ::fcntl(fd, F_SETFL, O_APPEND);
    return fd;
  }
  static std::unexpected<Error> failure(const std::string& target) {
    return fail(fmt::format("access log {}: {}", target, std::strerror(errno)));
  }

  // False once nobody will wait any longer for a pipe that takes nothing.
  bool writable(std::chrono::steady_clock::time_point& deadline, bool& stopping) {
    pollfd entry{fd, POLLOUT, 0};
    while (::poll(&entry, 1, poll_ms) == 0) {
      if (!stopping) {
        const std::scoped_lock lock(mutex);
        stopping = stop;
        deadline = std::chrono::steady_clock::now() + patience_at_end;
      } else if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
    }
    return true;
  }

  // Bytes taken. A pipe that polls writable takes PIPE_BUF without blocking, so no write is larger.
  std::size_t write_out(std::string_view bytes) {
    std::chrono::steady_clock::time_point deadline{};
    bool stopping = false;
    std::size_t done = 0;
    while (done < bytes.size()) {
      if (!writable(deadline, stopping)) break;
      const ssize_t n = ::write(fd, bytes.data() + done, std::min<std::size_t>(bytes.size() - done, 4096));
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  void write_lines(std::string batch) {
    if (torn) batch.insert(batch.begin(), '\n');
    const std::size_t done = write_out(batch);
    torn = done > 0 ? batch[done - 1] != '\n' : torn;
    const auto left = static_cast<std::uint64_t>(std::ranges::count(std::string_view(batch).substr(done), '\n'));
    if (left == 0) return;
    const std::scoped_lock lock(mutex);
    lost += left;
  }

  void run() {
    // A reader that closed our pipe is an error of one write, not the end of the program.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return !waiting.empty() || next >= 0 || stop; });
      if (waiting.empty() && next < 0) return;  // stop
      std::string batch = std::exchange(waiting, {});
      const int go_on = std::exchange(next, -1);
      writing = true;
      lock.unlock();
      if (!batch.empty()) write_lines(std::move(batch));
      if (go_on >= 0) {
        ::close(std::exchange(fd, go_on));
        torn = false;
      }
      lock.lock();
      writing = false;
      idle.notify_all();
    }
  }
};

AccessLog::AccessLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->writer = std::jthread([state = impl_.get()] { state->run(); });
}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& target, Bytes buffer) {
  const auto fd = Impl::open_target(target, true);
  if (!fd) return std::unexpected(fd.error());
  return std::unique_ptr<AccessLog>(new AccessLog(std::make_unique<Impl>(*fd, static_cast<std::size_t>(buffer.count))));
}

Result<void> AccessLog::try_open(const std::string& target) {
  if (target == "-") return {};
  const int fd = ::open(target.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0) return ::close(fd), Result<void>{};
  if (errno == ENXIO) return {};  // a named pipe whose reader is still to come
  const std::string folder = std::filesystem::path(target).parent_path().string();
  if (errno != ENOENT || ::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0) return Impl::failure(target);
  return {};
}

AccessLog::~AccessLog() {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_one();
  impl_->writer.join();
  ::close(impl_->fd);
}

void AccessLog::write(const RequestRecord& record) {
  const std::string line = access_line(record);
  {
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->waiting.size() + line.size() + 1 > impl_->bytes_max) {
      ++impl_->lost;
      return;
    }
    impl_->waiting += line;
    impl_->waiting += '\n';
  }
  impl_->wake.notify_one();
}

Result<void> AccessLog::reopen(const std::string& target) {
  const auto fd = Impl::open_target(target, false);
  if (!fd) return std::unexpected(fd.error());
  int passed_over = -1;
  {
    const std::scoped_lock lock(impl_->mutex);
    passed_over = std::exchange(impl_->next, *fd);
  }
  if (passed_over >= 0) ::close(passed_over);
  impl_->wake.notify_one();
  return {};
}

void AccessLog::flush() {
  std::unique_lock lock(impl_->mutex);
  impl_->idle.wait(lock, [&] { return impl_->waiting.empty() && !impl_->writing && impl_->next < 0; });
}

std::uint64_t AccessLog::lost() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->lost;
}

}  // namespace qlm::observe

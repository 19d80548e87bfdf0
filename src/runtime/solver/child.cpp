#include "runtime/solver/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace qlm::solver {
namespace {

using Clock = std::chrono::steady_clock;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int get() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

// Where the program is, or nothing. Looked for here, because execvp() would hand what is no program to a shell.
std::string found(const std::string& program) {
  if (program.empty()) return "";
  if (program.find('/') != program.npos) return ::access(program.c_str(), F_OK) == 0 ? program : "";
  const char* path = ::getenv("PATH");
  std::string_view left = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!left.empty()) {
    const std::size_t end = std::min(left.find(':'), left.size());
    std::string candidate = std::string(left.substr(0, end)) + "/" + program;
    if (end > 0 && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return "";
}

struct Limit {
  __rlimit_resource what;
  rlimit most;
};

std::vector<Limit> as_limits(const ChildLimits& limits) {
  std::vector<Limit> all;
  const auto set = [&](__rlimit_resource what, std::int64_t most) {
    all.push_back({what, {static_cast<rlim_t>(most), static_cast<rlim_t>(most)}});
  };
  // The clock ends it; this is for when whoever watches the clock is gone. A solver may use every core.
  const auto time = std::chrono::ceil<std::chrono::seconds>(limits.time).count() + 1;
  set(RLIMIT_CPU, time * std::max(1U, std::thread::hardware_concurrency()));
  set(RLIMIT_CORE, 0);
  if (limits.memory.count > 0) set(RLIMIT_AS, limits.memory.count);
  if (limits.file.count > 0) set(RLIMIT_FSIZE, limits.file.count);
  return all;
}

// What posix_spawn() does, and limits before the program's first instruction: set from outside a moment later, they
// miss what it has started by then. The child runs on our memory until exec, so it only makes system calls.
int start(const std::string& program, char* const* arguments, int input, int output, const std::vector<Limit>& limits,
          pid_t& pid) {
  sigset_t every;
  sigset_t none;
  sigset_t before;
  sigfillset(&every);
  sigemptyset(&none);
  struct sigaction by_default{};
  by_default.sa_handler = SIG_DFL;
  volatile int error = 0;
  ::pthread_sigmask(SIG_BLOCK, &every, &before);  // our handlers must not run in the child
  // posix_spawn() cannot set limits, fork() copies the page tables of a queue of gigabytes.
  // NOLINTBEGIN(bugprone-unsafe-functions, clang-analyzer-security.insecureAPI.vfork, clang-analyzer-unix.Vfork)
  const pid_t started = ::vfork();
  if (started == 0) {
    for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &by_default, nullptr);
    ::setpgid(0, 0);
    for (const Limit& limit : limits) ::setrlimit(limit.what, &limit.most);
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::close_range(STDERR_FILENO + 1, ~0U, 0);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(program.c_str(), arguments);
    error = errno;
    ::_exit(127);
  }
  // NOLINTEND(bugprone-unsafe-functions, clang-analyzer-security.insecureAPI.vfork, clang-analyzer-unix.Vfork)
  if (started < 0) error = errno;
  pid = started;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

// Takes some of what is there: one that talks without end must not keep us from the clock. False when there is no more.
bool listen(int from, std::string& said) {
  constexpr std::size_t kept = 2000;
  std::array<char, 65536> buffer{};  // a pipe's
  const ssize_t count = ::read(from, buffer.data(), buffer.size());
  if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
  said.append(buffer.data(), static_cast<std::size_t>(count));
  if (said.size() > kept) said.erase(0, said.size() - kept);
  return true;
}

// Until it has ended. False when its time was over first.
bool wait(int process, Descriptor& output, Clock::time_point end, std::string& said) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return false;
    std::array<pollfd, 2> wanted{{{process, POLLIN, 0}, {output.get(), POLLIN, 0}}};
    const int ready = ::poll(wanted.data(), wanted.size(), static_cast<int>(std::min<std::int64_t>(left, 1 << 30)));
    if (ready < 0) continue;  // a signal
    if (wanted[0].revents != 0) return true;
    if (wanted[1].revents != 0 && !listen(output.get(), said)) output.close();
  }
}

}  // namespace

Child run_child(const std::vector<std::string>& words, const ChildLimits& limits) {
  Child child;
  const std::string program = found(words.empty() ? "" : words[0]);
  if (program.empty()) return {ChildEnd::not_found, ENOENT, ""};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {ChildEnd::not_started, errno, ""};
  Descriptor output(ends[0]);
  Descriptor said_there(ends[1]);
  const Descriptor nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nothing.get() < 0 || ::fcntl(output.get(), F_SETFL, O_NONBLOCK) != 0) return {ChildEnd::not_started, errno, ""};

  const Clock::time_point end = Clock::now() + std::min<Duration>(limits.time, std::chrono::hours(24 * 365));
  pid_t pid = 0;
  const int start_error = start(program, arguments.data(), nothing.get(), said_there.get(), as_limits(limits), pid);
  if (pid < 0) return {ChildEnd::not_started, start_error, ""};
  said_there.close();
  // Debian 12's header declares pidfd_open() for C only.
  const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int watch_error = process.get() < 0 ? errno : start_error;
  const bool in_time = watch_error == 0 && wait(process.get(), output, end, child.said);
  // Before it is reaped, so that the group's number can be nobody else's. Ends what it left behind, too.
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return {ChildEnd::not_started, errno, ""};
  }
  if (watch_error != 0) return {ChildEnd::not_started, watch_error, ""};
  if (output.get() >= 0) listen(output.get(), child.said);
  child.end = !in_time ? ChildEnd::out_of_time : WIFEXITED(status) ? ChildEnd::exited : ChildEnd::signalled;
  child.number = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
  return child;
}

}  // namespace qlm::solver

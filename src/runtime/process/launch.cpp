#include "runtime/process/launch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "runtime/process/system.hpp"

namespace qlm::process {
namespace {

// As `NAME=value`, QLM's own first; those that are set anew left out of it.
std::vector<std::string> environment_of(const Command& command) {
  std::vector<std::string> all;
  for (char** own = environ; *own != nullptr; ++own) {
    const std::string_view entry = *own;
    if (!command.environment.contains(std::string(entry.substr(0, entry.find('='))))) all.emplace_back(entry);
  }
  for (const auto& [name, value] : command.environment) all.push_back(fmt::format("{}={}", name, value));
  return all;
}

// Where the program is, or nothing. Looked for here, because execvp() would hand what is no program to a shell.
std::string found(const std::string& program, const std::vector<std::string>& environment) {
  if (program.find('/') != program.npos) return program;
  std::string_view left = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string_view entry : environment) {
    if (entry.starts_with("PATH=")) left = entry.substr(5);
  }
  while (!left.empty()) {
    const std::size_t end = std::min(left.find(':'), left.size());
    std::string candidate = fmt::format("{}/{}", left.substr(0, end), program);
    struct stat file{};
    if (end > 0 && ::access(candidate.c_str(), X_OK) == 0 && ::stat(candidate.c_str(), &file) == 0 &&
        S_ISREG(file.st_mode)) {
      return candidate;
    }
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return "";
}

Result<void> check(const Command& command) {
  if (command.words.empty() || command.words[0].empty()) return fail("the command names no program");
  const auto has_nul = [](const std::string& text) { return text.find('\0') != text.npos; };
  bool sound = std::ranges::none_of(command.words, has_nul);
  for (const auto& [name, value] : command.environment) {
    sound = sound && !name.empty() && name.find('=') == name.npos && !has_nul(name) && !has_nul(value);
  }
  if (!sound) return fail(fmt::format("'{}': a zero byte, or a variable's name that is none", command.words[0]));
  return {};
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (const std::string& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

// Above standard input, output and error, whose numbers the child gives away.
Descriptor above_standard(Descriptor some) {
  if (!some || some.get() > STDERR_FILENO) return some;
  return Descriptor(::fcntl(some.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

struct Pipe {
  Descriptor from;
  Descriptor to;
};
Pipe open_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  Descriptor from(ends[0]);
  Descriptor to(ends[1]);
  return {above_standard(std::move(from)), above_standard(std::move(to))};
}

struct Prepared {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int input, output;
  int leave;        // the end to read from
  int leave_write;  // the other one: while it is open here, no end would be seen
  int error;
};

[[noreturn]] void give_up(const Prepared& prepared) {
  const int error = errno;
  if (::write(prepared.error, &error, sizeof error) < 0) ::_exit(126);
  ::_exit(127);
}

// In the child of a program with threads: system calls only, nothing that could want a lock or memory.
[[noreturn]] void run(const Prepared& prepared) {
  ::close(prepared.leave_write);
  ::setsid();
  if (::dup2(prepared.input, STDIN_FILENO) < 0 || ::dup2(prepared.output, STDOUT_FILENO) < 0 ||
      ::dup2(prepared.output, STDERR_FILENO) < 0) {
    give_up(prepared);
  }
  const auto low = static_cast<unsigned>(std::min(prepared.leave, prepared.error));
  const auto high = static_cast<unsigned>(std::max(prepared.leave, prepared.error));
  if (low > STDERR_FILENO + 1) ::close_range(STDERR_FILENO + 1, low - 1, 0);
  if (high > low + 1) ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);

  char byte = 0;
  ssize_t count = 0;
  do count = ::read(prepared.leave, &byte, 1);
  while (count < 0 && errno == EINTR);
  if (count != 1) ::_exit(127);

  struct sigaction by_default{};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &by_default, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(prepared.program, prepared.arguments, prepared.environment);
  give_up(prepared);
}

}  // namespace

Result<Launch> Launch::fork(const Command& command, const Descriptor& output) {
  if (const auto sound = check(command); !sound) return std::unexpected(sound.error());
  const std::string& name = command.words[0];
  const std::vector<std::string> environment = environment_of(command);
  const std::string program = found(name, environment);
  if (program.empty()) return fail(fmt::format("there is no program '{}' in PATH", name));
  const auto arguments = pointers(command.words);
  const auto variables = pointers(environment);

  const Descriptor input = above_standard(Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  const Descriptor out(::fcntl(output.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  Pipe leave = open_pipe();
  Pipe error = open_pipe();
  const auto failed = [&](int number) { return fail(fmt::format("cannot run '{}': {}", name, error_text(number))); };
  if (!input || !out || !leave.from || !leave.to || !error.from || !error.to) return failed(errno);

  const Prepared prepared{program.c_str(), arguments.data(), variables.data(), input.get(),
                          out.get(),       leave.from.get(), leave.to.get(),   error.to.get()};
  sigset_t every;
  sigset_t before;
  ::sigfillset(&every);
  ::pthread_sigmask(SIG_BLOCK, &every, &before);  // our handlers must not run in the child
  const pid_t pid = ::fork();
  const int fork_error = errno;
  if (pid == 0) run(prepared);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return failed(fork_error);

  Launch launch(name, pid);
  launch.leave_ = std::move(leave.to);
  launch.leave_end_ = std::move(leave.from);
  launch.error_ = std::move(error.from);
  return launch;
}

Launch::Launch(Launch&& other) noexcept
    : program_(std::move(other.program_)),
      pid_(other.pid_),
      gone_(std::exchange(other.gone_, true)),
      leave_(std::move(other.leave_)),
      leave_end_(std::move(other.leave_end_)),
      error_(std::move(other.error_)) {}

Launch::~Launch() {
  if (gone_) return;
  leave_.close();
  reap();
}

void Launch::reap() const {
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
}

Result<void> Launch::go() {
  const char byte = 1;
  ssize_t count = 0;
  do count = ::write(leave_.get(), &byte, 1);
  while (count < 0 && errno == EINTR);
  gone_ = true;
  leave_.close();
  int error = 0;
  do count = ::read(error_.get(), &error, sizeof error);
  while (count < 0 && errno == EINTR);
  if (count <= 0) return {};  // closed by the exec, or by a death whose news comes the usual way
  reap();
  return fail(fmt::format("cannot run '{}': {}", program_, error_text(error)));
}

}  // namespace qlm::process

#include "runtime/process/system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>
#include <system_error>

namespace qlm::process {
namespace {

// Of a file of /proc, which comes in one read.
Result<std::string, int> read_short(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(errno);
  std::array<char, 4096> text{};
  ssize_t count = 0;
  do count = ::read(file.get(), text.data(), text.size());
  while (count < 0 && errno == EINTR);
  if (count < 0) return std::unexpected(errno);
  return std::string(text.data(), static_cast<std::size_t>(count));
}

template <class T> std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool writes_to(pid_t pid, const struct stat& output) {
  for (const char* const descriptor : {"/fd/1", "/fd/2"}) {
    struct stat file{};
    if (::stat(("/proc/" + std::to_string(pid) + descriptor).c_str(), &file) == 0 && file.st_dev == output.st_dev &&
        file.st_ino == output.st_ino) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string error_text(int number) { return std::generic_category().message(number); }

Result<Stat, int> stat_of(pid_t pid) {
  auto text = read_short("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return std::unexpected(text.error());
  // The second field is the program's name in brackets, in which anything may stand.
  std::string_view left = *text;
  left.remove_prefix(std::min(left.rfind(')') + 1, left.size()));
  Stat stat;
  for (int field = 3; field <= 22; ++field) {
    left.remove_prefix(std::min(left.find_first_not_of(' '), left.size()));
    const std::string_view word = left.substr(0, left.find(' '));
    left.remove_prefix(word.size());
    if (field == 6) {
      const auto session = number<pid_t>(word);
      if (!session) return std::unexpected(EPROTO);
      stat.session = *session;
    } else if (field == 22) {
      const auto started = number<std::uint64_t>(word);
      if (!started) return std::unexpected(EPROTO);
      stat.started = *started;
    }
  }
  return stat;
}

std::string boot_id() {
  std::string text = read_short("/proc/sys/kernel/random/boot_id").value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<Descriptor, int> open_pidfd(pid_t pid) {
  // Debian 12's header declares pidfd_open() for C only.
  Descriptor opened(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!opened) return std::unexpected(errno);
  return opened;
}

bool ended(int pidfd) {
  pollfd wanted{pidfd, POLLIN, 0};
  int ready = 0;
  do ready = ::poll(&wanted, 1, 0);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

bool send_signal(int pidfd, int signal) { return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0; }

bool lives(pid_t pid, std::uint64_t started, const std::string& boot) {
  const std::string now = boot_id();
  if (!now.empty() && now != boot) return false;
  const auto process = open_pidfd(pid);
  if (!process) return process.error() != ESRCH && process.error() != EINVAL;
  const auto stat = stat_of(pid);
  if (!stat) return stat.error() != ENOENT && stat.error() != ESRCH;
  // The number and the start are that of one process as long as the pidfd, opened first, has not ended.
  return stat->started == started && !ended(process->get());
}

int kill_session(pid_t leader, const std::optional<std::string>& output) {
  struct stat file{};
  if (output && ::stat(output->c_str(), &file) != 0) return 0;
  const auto close = [](DIR* folder) { ::closedir(folder); };
  const std::unique_ptr<DIR, decltype(close)> all(::opendir("/proc"), close);
  if (!all) return 1;  // not known to be none
  int left = 0;
  while (const dirent* entry = ::readdir(all.get())) {
    const auto pid = number<pid_t>(entry->d_name);
    if (!pid || *pid == leader) continue;
    const auto seen = stat_of(*pid);
    if (!seen || seen->session != leader) continue;
    const auto process = open_pidfd(*pid);
    if (!process) {
      left += process.error() == ESRCH || process.error() == EINVAL ? 0 : 1;
      continue;
    }
    const auto held = stat_of(*pid);  // of who is held by the pidfd now
    if (!held || held->session != leader || ended(process->get())) continue;
    if (output && !writes_to(*pid, file)) continue;
    if (send_signal(process->get(), SIGKILL))
      ++left;  // else it has gone, or become another user's: not ours to wait for
  }
  return left;
}

}  // namespace qlm::process

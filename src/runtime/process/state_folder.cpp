#include "runtime/process/state_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "runtime/process/system.hpp"

namespace qlm::process {
namespace {

constexpr std::string_view record_ending = ".engine";
constexpr std::string_view unfinished_ending = ".unfinished";

// Names of slots and models as a file name or one word of a record: everything else than these is %XX.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

template <class T> bool read_number(std::string_view text, T& into, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into, base);
  return error == std::errc{} && end == text.data() + text.size();
}

bool unescape(std::string_view text, std::string& into) {
  into.clear();
  while (!text.empty()) {
    if (text[0] != '%') {
      into += text[0];
      text.remove_prefix(1);
      continue;
    }
    unsigned char byte = 0;
    if (text.size() < 3 || !read_number(text.substr(1, 2), byte, 16)) return false;
    into += static_cast<char>(byte);
    text.remove_prefix(3);
  }
  return true;
}

std::string text_of(const Record& record) {
  return fmt::format("qlm-engine 1\nslot {}\nwhat {}\nport {}\nfingerprint {}\npid {}\nstarted {}\nboot {}\n",
                     escaped(record.slot), escaped(record.what), record.port, escaped(record.fingerprint), record.pid,
                     record.started, escaped(record.boot));
}

std::optional<Record> parse(std::string_view text) {
  const auto line = [&](std::string_view key) -> std::optional<std::string_view> {
    const std::size_t end = text.find('\n');
    if (end == text.npos) return std::nullopt;
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (whole.size() <= key.size() || !whole.starts_with(key) || whole[key.size()] != ' ') return std::nullopt;
    return whole.substr(key.size() + 1);
  };
  Record record;
  const auto words = [&](std::string_view key, std::string& into) {
    const auto word = line(key);
    return word && unescape(*word, into);
  };
  const auto number = [&](std::string_view key, auto& into) {
    const auto word = line(key);
    return word && read_number(*word, into);
  };
  const bool whole = line("qlm-engine") == "1" && words("slot", record.slot) && words("what", record.what) &&
                     number("port", record.port) && words("fingerprint", record.fingerprint) &&
                     number("pid", record.pid) && number("started", record.started) && words("boot", record.boot) &&
                     text.empty() && record.pid > 0;
  if (!whole) return std::nullopt;
  return record;
}

Result<std::string, int> content(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(errno);
  std::string text;
  std::array<char, 4096> some{};
  for (;;) {
    const ssize_t count = ::read(file.get(), some.data(), some.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(errno);
    if (count == 0) return text;
    text.append(some.data(), static_cast<std::size_t>(count));
  }
}

// Nothing where there is no such record.
Result<std::optional<Record>> read_record(const std::string& path) {
  const auto text = content(path);
  if (!text && text.error() == ENOENT) return std::nullopt;
  if (!text) return fail(fmt::format("{}: {}", path, error_text(text.error())));
  auto record = parse(*text);
  if (!record) {
    return fail(fmt::format("{} is no record this version can read; remove it when no engine of it runs", path));
  }
  return record;
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  const auto close = [](DIR* folder) { ::closedir(folder); };
  const std::unique_ptr<DIR, decltype(close)> all(::opendir(path.c_str()), close);
  if (!all) return fail(fmt::format("{}: {}", path, error_text(errno)));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(all.get())) names.emplace_back(entry->d_name);
  return names;
}

bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

Result<void> make_folder(const std::string& path) {
  for (std::size_t end = 0; end != path.npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      const int error = errno;  // a folder we may not write in is no error where the next one is there
      struct stat there{};
      if (::stat(part.c_str(), &there) != 0) return fail(fmt::format("cannot make {}: {}", part, error_text(error)));
    }
  }
  struct stat folder{};
  if (::stat(path.c_str(), &folder) != 0) return fail(fmt::format("{}: {}", path, error_text(errno)));
  if (!S_ISDIR(folder.st_mode)) return fail(fmt::format("{} is no folder", path));
  if (folder.st_uid != ::geteuid() || (folder.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(
        fmt::format("{} must belong to QLM's user and be writable by nobody else, since processes are ended by "
                    "what stands there (chmod go-w, or name a folder that is not there yet)",
                    path));
  }
  return {};
}

// Until what forked of a QLM that was killed has let go of its lock: a fork has it too, for some instructions.
bool lock_in_the_end(int file, pid_t holder) {
  for (int tries = 0; tries < 200; ++tries) {
    if (::flock(file, LOCK_EX | LOCK_NB) == 0) return true;
    const auto process = open_pidfd(holder);
    const bool gone = process ? ended(process->get()) : process.error() == ESRCH;
    if (!gone) return false;
    constexpr timespec pause{0, 10'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return false;
}

}  // namespace

Result<StateFolder> StateFolder::open(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (const auto made = make_folder(path); !made) return std::unexpected(made.error());
  const std::string lock_path = path + "/lock";
  Descriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail(fmt::format("{}: {}", lock_path, error_text(errno)));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(fmt::format("cannot lock {}: {}", lock_path, error_text(errno)));
    pid_t holder = 0;
    std::string text = content(lock_path).value_or("");
    if (!text.empty()) text.pop_back();
    const bool known = read_number(text, holder) && holder > 0;
    if (!known || !lock_in_the_end(lock.get(), holder)) {
      return fail(fmt::format("{} is in use by {}; each QLM needs a state folder of its own", path,
                              known ? fmt::format("process {}", holder) : "another process"));
    }
  }
  if (::ftruncate(lock.get(), 0) != 0 || !write_all(lock.get(), fmt::format("{}\n", ::getpid()))) {
    return fail(fmt::format("cannot write {}: {}", lock_path, error_text(errno)));
  }
  const auto names = names_in(path);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const std::string file = fmt::format("{}/{}", path, name);
    if (name.ends_with(unfinished_ending)) ::unlink(file.c_str());
    if (!name.ends_with(record_ending)) continue;
    if (const auto record = read_record(file); !record) return std::unexpected(record.error());
  }
  return StateFolder(std::move(path), std::move(lock));
}

std::vector<Record> StateFolder::running() const {
  std::vector<Record> found;
  for (const std::string& name : names_in(path_).value_or(std::vector<std::string>{})) {
    if (!name.ends_with(record_ending)) continue;
    const auto record = read_record(fmt::format("{}/{}", path_, name));
    if (!record || !*record) continue;  // open() has read it
    if (lives((*record)->pid, (*record)->started, (*record)->boot)) {
      found.push_back(**record);
    } else if (!make_room(**record)) {
      continue;  // something of it is still about to end: the record stays for the next make_room()
    }
  }
  return found;
}

std::string StateFolder::record_path(const Record& record) const {
  return fmt::format("{}/{}@{}{}", path_, escaped(record.slot), escaped(record.what), record_ending);
}

std::string StateFolder::output_path(const Record& record) const {
  return fmt::format("{}/{}@{}.output", path_, escaped(record.slot), escaped(record.what));
}

Result<void> StateFolder::write(const Record& record) const {
  const std::string path = record_path(record);
  const std::string unfinished = path + std::string(unfinished_ending);
  const auto failed = [&] { return fail(fmt::format("cannot write {}: {}", path, error_text(errno))); };
  Descriptor file(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file || !write_all(file.get(), text_of(record)) || ::fsync(file.get()) != 0) return failed();
  file.close();
  if (std::rename(unfinished.c_str(), path.c_str()) != 0) return failed();
  const Descriptor folder(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return failed();
  return {};
}

Result<void> StateFolder::make_room(const Record& record) const {
  const std::string path = record_path(record);
  const auto last = read_record(path);
  if (!last) return std::unexpected(last.error());
  if (!*last) return {};
  const Record& there = **last;
  if (lives(there.pid, there.started, there.boot)) {
    return fail(fmt::format("an engine of {} for {} runs already, as process {}", there.slot, there.what, there.pid));
  }
  if (there.boot == boot_id() && kill_session(there.pid, output_path(there)) > 0) {
    return fail(fmt::format("what is left of the last engine of {} for {}, process {}, has not ended yet", there.slot,
                            there.what, there.pid));
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace qlm::process

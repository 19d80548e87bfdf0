#include "runtime/process/output_tail.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace qlm::process {
namespace {

std::int64_t size_of(int file) {
  struct stat now{};
  return ::fstat(file, &now) == 0 ? now.st_size : 0;
}

}  // namespace

OutputTail::OutputTail(Descriptor file) : file_(std::move(file)), at_(size_of(file_.get())) {}

void OutputTail::read(Instant now, const Line& line) {
  if (now - second_ >= 1s) {
    say_left_out(line);
    second_ = now;
    given_ = 0;
  }
  if (size_of(file_.get()) < at_) at_ = 0;  // somebody else has cut it
  std::array<char, 65536> some{};
  for (std::int64_t taken = 0; taken < largest_file;) {  // one that talks without end must not keep the loop
    const ssize_t count = ::pread(file_.get(), some.data(), some.size(), at_);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    at_ += count;
    taken += count;
    take({some.data(), static_cast<std::size_t>(count)}, now, line);
  }
  if (at_ > largest_file) cut(line);
}

void OutputTail::finish(Instant now, const Line& line) {
  read(now, line);
  if (!begun_.empty()) hand_out(now, line);
  say_left_out(line);
}

void OutputTail::take(std::string_view bytes, Instant now, const Line& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    begun_ += piece.substr(0, longest_line - std::min(begun_.size(), longest_line));
    if (end == bytes.npos) return;
    hand_out(now, line);
    bytes.remove_prefix(end + 1);
  }
}

void OutputTail::hand_out(Instant now, const Line& line) {
  std::string text = std::exchange(begun_, {});
  if (now - second_ < 1s && given_ >= lines_a_second) {
    ++left_out_;
    return;
  }
  ++given_;
  if (text.ends_with('\r')) text.pop_back();
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) c = '?';
  }
  if (line) line(text);
}

void OutputTail::say_left_out(const Line& line) {
  if (left_out_ > 0 && line)
    line(fmt::format("({} lines left out: more than {} in a second)", left_out_, lines_a_second));
  left_out_ = 0;
}

// The engine appends, so what it writes next stands at the beginning again.
void OutputTail::cut(const Line& line) {
  const std::int64_t unread = size_of(file_.get()) - at_;
  if (::ftruncate(file_.get(), 0) != 0) return;
  at_ = 0;
  if (unread > 0 && line) line(fmt::format("({} bytes left out: more than can be read in time)", unread));
}

}  // namespace qlm::process

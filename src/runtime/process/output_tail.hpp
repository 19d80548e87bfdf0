// What an engine writes to its output file, line by line. The file is the engine's, opened for appending there: no pipe
// of ours, so that the death of QLM is nothing to it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "runtime/process/descriptor.hpp"

namespace qlm::process {

class OutputTail {
 public:
  using Line = std::function<void(std::string_view)>;

  static constexpr std::size_t longest_line = 4096;  // bytes; the rest of a longer one is dropped
  static constexpr int lines_a_second = 200;  // of more it is said how many were left out
  static constexpr std::int64_t largest_file = 8 * 1024 * 1024;  // bytes read; then it is cut to nothing

  // From the file's present end on. `file` is open for reading and writing.
  explicit OutputTail(Descriptor file);

  // Hands out the whole lines that came since. Control characters but for tabs are '?'.
  void read(Instant now, const Line& line);
  // For the end: what stands there without a line's end, too.
  void finish(Instant now, const Line& line);

 private:
  void take(std::string_view bytes, Instant now, const Line& line);
  void hand_out(Instant now, const Line& line);
  void say_left_out(const Line& line);
  void cut(const Line& line);

  Descriptor file_;
  std::int64_t at_ = 0;
  std::string begun_;  // of a line without its end yet
  Instant second_{};  // when the present second of counting began
  int given_ = 0;  // lines in it
  std::int64_t left_out_ = 0;
};

}  // namespace qlm::process

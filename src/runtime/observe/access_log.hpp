// One JSON line a request, written by a thread of its own: a full disk, a slow pipe or a closed one never holds up a
// request. What does not fit the buffer is dropped and counted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "runtime/observe/request_record.hpp"

namespace qlm::observe {

// The line, without its line break. Times are Unix milliseconds, durations milliseconds; what is not known is left out.
std::string access_line(const RequestRecord& record);

class AccessLog {
 public:
  // A path, appended to; "-" is standard output. The folder must exist.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& target, Bytes buffer = Bytes{4 << 20});
  static Result<void> try_open(const std::string& target);  // without creating anything
  ~AccessLog();  // writes what is left, for two seconds at most
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void write(const RequestRecord& record);  // from any thread; never blocks on the file
  // Another target, or the same after its file was renamed; lines so far go to the old one. The old one stays where the
  // new one cannot be opened.
  Result<void> reopen(const std::string& target);
  void flush();                             // returns when everything so far was written or given up

  std::uint64_t lost() const;  // lines dropped: buffer full, or the file refused them

 private:
  struct Impl;
  explicit AccessLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qlm::observe

// What QLM keeps on disk of the engines it runs, so that whoever comes after a crash finds them again: a folder with a
// record and an output file an engine, and one lock.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/process/descriptor.hpp"

namespace qlm::process {

struct Record {
  std::string slot;         // the instance's name, "here/0": at most one engine at a time per (slot, what)
  std::string what;         // which of its models
  std::uint16_t port = 0;   // where it was told to listen
  std::string
      fingerprint;  // of its command, the caller's: another command is another engine. Kept as it is: no secrets
  pid_t pid = 0;            // with the next two: who it is, whatever number comes again
  std::uint64_t started = 0;  // clock ticks since boot
  std::string boot;           // the boot's id

  bool operator==(const Record&) const = default;
};

// Threads: one. Functions block for as long as the disk does.
class StateFolder {
 public:
  // Makes the folder, for the owner alone, where it is not there, and locks it for as long as this object lives. An
  // error where another QLM has it (named by its pid), where others could write in it, and where a record cannot be
  // read: it may stand for an engine that runs.
  static Result<StateFolder> open(std::string path);

  // The engines that still run. Of one that ended meanwhile the record is removed, and what its session left behind is
  // killed as far as it still writes to the engine's output. For the start, before engines are started or adopted.
  std::vector<Record> running() const;

  const std::string& path() const { return path_; }

  // For EngineProcess.
  std::string record_path(const Record& record) const;
  std::string output_path(const Record& record) const;
  Result<void> write(const Record& record) const;  // on the disk, whole, when it returns
  // Makes sure that nothing of the last engine of this (slot, what) is left; the error says what is.
  Result<void> make_room(const Record& record) const;

 private:
  StateFolder(std::string path, Descriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  Descriptor lock_;
};

}  // namespace qlm::process

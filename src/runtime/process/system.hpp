// What Linux says of processes. A number is not an identity: it comes again. A process is who it was when its number,
// its start in ticks since boot and the boot are the same; one that is held by a pidfd cannot be mistaken at all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "runtime/process/descriptor.hpp"

namespace qlm::process {

std::string error_text(int number);  // of an errno

struct Stat {
  pid_t session = 0;
  std::uint64_t started = 0;  // clock ticks since boot: field 22 of /proc/PID/stat
};
// Error: the errno; ENOENT and ESRCH mean that there is no such process.
Result<Stat, int> stat_of(pid_t pid);

// Of this boot; empty where it cannot be read.
std::string boot_id();

// Error: the errno; ESRCH means that there is no such process.
Result<Descriptor, int> open_pidfd(pid_t pid);
bool ended(int pidfd);
bool send_signal(int pidfd, int signal);

// Whether that very process runs. Where that cannot be told (no descriptors left) it counts as running: what is taken
// for dead is forgotten.
bool lives(pid_t pid, std::uint64_t started, const std::string& boot);

// Kills what lives of a session besides its leader, and says how many those still are: zero means that nothing is left.
// Without `output` the leader must be alive or a zombie of ours, so that the session's number is nobody else's. With
// it, only a process counts that has that file as its standard output or error.
int kill_session(pid_t leader, const std::optional<std::string>& output);

}  // namespace qlm::process

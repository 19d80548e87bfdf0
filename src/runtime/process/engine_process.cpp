#include "runtime/process/engine_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/net/socket.hpp"
#include "runtime/process/system.hpp"

namespace qlm::process {
namespace {

constexpr Duration tail_pause = 200ms;
constexpr Duration longest_rest_pause = 200ms;

// Of a child of ours that has ended; nothing where it is none.
std::optional<siginfo_t> wait_for(int pidfd, int options) {
  siginfo_t info{};
  int result = 0;
  do result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | options);
  while (result != 0 && errno == EINTR);
  if (result != 0) return std::nullopt;
  return info;
}

Result<Descriptor> open_output(const StateFolder& folder, const Record& record) {
  const std::string path = folder.output_path(record);
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return fail(fmt::format("{}: {}", path, error_text(errno)));
  return file;
}

}  // namespace

Result<std::unique_ptr<EngineProcess>> EngineProcess::start(net::Loop& loop, const StateFolder& folder, Record what,
                                                            const Command& command, Hears hears) {
  if (const auto room = folder.make_room(what); !room) return std::unexpected(room.error());
  auto output = open_output(folder, what);
  if (!output) return std::unexpected(output.error());
  auto launch = Launch::fork(command, *output);
  if (!launch) return std::unexpected(launch.error());
  // From here to go() every way out ends the child, which has not run anything yet.
  const auto failed = [&](int error) { return fail(fmt::format("cannot watch an engine: {}", error_text(error))); };
  auto process = open_pidfd(launch->pid());
  if (!process) return failed(process.error());
  const auto stat = stat_of(launch->pid());
  if (!stat) return failed(stat.error());
  what.pid = launch->pid();
  what.started = stat->started;
  what.boot = boot_id();
  auto watched = watch(loop, folder, std::move(what), std::move(*process), std::move(*output), std::move(hears));
  if (!watched) return std::unexpected(watched.error());
  const Record& record = (*watched)->record_;
  auto going = folder.write(record);
  if (going) going = launch->go();
  if (!going) {
    ::unlink(folder.record_path(record).c_str());
    return std::unexpected(going.error());
  }
  return watched;
}

Result<std::unique_ptr<EngineProcess>> EngineProcess::adopt(net::Loop& loop, const StateFolder& folder,
                                                            const Record& record, Hears hears) {
  const auto failed = [&](std::string_view why) {
    return fail(fmt::format("cannot adopt process {} of {} for {}: {}", record.pid, record.slot, record.what, why));
  };
  auto process = open_pidfd(record.pid);
  if (!process) return failed(error_text(process.error()));
  // Looked at after the pidfd was opened: while that has not ended, the number is still of whom it holds.
  const auto stat = stat_of(record.pid);
  if (!stat) return failed(error_text(stat.error()));
  if (stat->started != record.started || record.boot != boot_id() || ended(process->get()))
    return failed("it has ended");
  auto output = open_output(folder, record);
  if (!output) return std::unexpected(output.error());
  return watch(loop, folder, record, std::move(*process), std::move(*output), std::move(hears));
}

Result<std::unique_ptr<EngineProcess>> EngineProcess::watch(net::Loop& loop, const StateFolder& folder, Record record,
                                                            Descriptor process, Descriptor output, Hears hears) {
  auto end = net::Readable::open(loop, process.get());
  if (!end) return std::unexpected(end.error());
  return std::unique_ptr<EngineProcess>(new EngineProcess(loop, folder, std::move(record), std::move(process),
                                                          std::move(*end), std::move(output), std::move(hears)));
}

EngineProcess::EngineProcess(net::Loop& loop, const StateFolder& folder, Record record, Descriptor process,
                             net::Readable end, Descriptor output, Hears hears)
    : loop_(loop),
      folder_(folder),
      record_(std::move(record)),
      process_(std::move(process)),
      end_(std::move(end)),
      output_(std::move(output)),
      hears_(std::move(hears)),
      tail_timer_(loop),
      kill_timer_(loop),
      rest_timer_(loop) {
  end_.wait([this] { leader_ended(); });
  tail_timer_.after(tail_pause, [this] { tail(); });
}

EngineProcess::~EngineProcess() = default;

void EngineProcess::tail() {
  output_.read(loop_.now(), hears_.line);
  tail_timer_.after(tail_pause, [this] { tail(); });
}

void EngineProcess::stop(Duration grace) {
  const Instant kill_at = add(loop_.now(), grace);
  if (ended(process_.get()) || kill_at >= kill_at_) return;
  kill_at_ = kill_at;
  signal_group(SIGTERM);
  kill_timer_.at(kill_at, [this] { signal_group(SIGKILL); });
}

void EngineProcess::signal_group(int signal) const {
  // While the leader lives its group's number is nobody else's; when it has ended leader_ended() does what is to be done.
  if (!ended(process_.get())) ::kill(-record_.pid, signal);
}

void EngineProcess::leader_ended() {
  // A loop may wake for nothing; to take an engine that runs for a dead one would be to forget it.
  if (!ended(process_.get())) return end_.wait([this] { leader_ended(); });
  kill_timer_.cancel();
  if (const auto info = wait_for(process_.get(), WNOWAIT)) {
    own_ = true;
    exit_ = Exit{info->si_code != CLD_EXITED, info->si_status};
  }
  end_rest();
}

void EngineProcess::end_rest() {
  // A child of ours stays a zombie until nothing is left, so that its number stays its session's.
  if (own_) ::kill(-record_.pid, SIGKILL);
  const int left = kill_session(record_.pid, own_ ? std::nullopt : std::optional(folder_.output_path(record_)));
  if (left == 0) return finish();
  rest_pause_ = std::clamp<Duration>(rest_pause_ * 2, 5ms, longest_rest_pause);
  rest_timer_.after(rest_pause_, [this] { end_rest(); });
}

void EngineProcess::finish() {
  tail_timer_.cancel();
  output_.finish(loop_.now(), hears_.line);
  if (own_) wait_for(process_.get(), 0);
  ::unlink(folder_.record_path(record_).c_str());
  const auto exited = std::move(hears_.exited);
  const auto exit = exit_;
  if (exited) exited(exit);  // which may be the end of this object
}

std::optional<std::uint16_t> free_port() {
  net::Loop loop;
  const auto listener = net::Listener::open(loop, {"127.0.0.1", 0}, [](const std::shared_ptr<net::Socket>&) {});
  if (!listener) return std::nullopt;
  return (*listener)->port();
}

}  // namespace qlm::process

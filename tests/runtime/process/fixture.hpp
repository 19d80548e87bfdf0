// Real processes in a folder of their own. What a test leaves running, or as a zombie, fails it.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "runtime/process/engine_process.hpp"
#include "runtime/process/system.hpp"

namespace qlm::process {

inline Command shell(std::string script) { return {{"/bin/sh", "-c", std::move(script)}, {}}; }

inline std::string content_of(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class WithFolder : public testing::Test {
 protected:
  WithFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "qlm-process-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    here = name;
  }
  ~WithFolder() override { std::filesystem::remove_all(here); }
  std::filesystem::path here;
};

// One engine and what was heard of it.
struct Engine {
  std::unique_ptr<EngineProcess> process;
  std::vector<std::string> lines;
  int exits = 0;
  std::optional<Exit> exit;

  EngineProcess::Hears hears() {
    return {.line = [this](std::string_view line) { lines.emplace_back(line); },
            .exited =
                [this](const std::optional<Exit>& how) {
                  ++exits;
                  exit = how;
                }};
  }
};

class WithProcesses : public WithFolder {
 protected:
  WithProcesses() {
    // What loses its parent becomes our child, so that it can be counted.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~WithProcesses() override {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {  // those it orphaned and killed
    }
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
    EXPECT_EQ(errno, ECHILD);
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  }

  // Runs the loop until the condition holds; a test that would wait for ever fails instead.
  void until(const std::function<bool()>& condition) {
    net::Timer tick(*loop);
    const Instant give_up = add(loop->now(), 60s);
    bool met = false;
    std::function<void()> look = [&] {
      met = condition();
      if (met || loop->now() > give_up) return loop->stop();
      tick.after(1ms, [&] { look(); });
    };
    loop->post([&] { look(); });
    loop->run();
    if (!met) throw std::runtime_error("waited for something that did not happen");
  }

  StateFolder open() const {
    auto folder = StateFolder::open(here / "state");
    if (!folder) throw std::runtime_error(folder.error().message);
    return std::move(*folder);
  }

  // Runs `body` in another process, with a loop of its own: the one here is not to be shared, since its epoll would be.
  pid_t elsewhere(const std::function<void()>& body) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    static_cast<void>(loop.release());
    loop = std::make_unique<net::Loop>();
    try {
      body();
    } catch (const std::exception&) {
      ::_exit(1);  // not into the other tests
    }
    ::_exit(0);
  }

  void start(Engine& engine, const StateFolder& folder, const Command& command, const std::string& what = "tiny") {
    auto started = EngineProcess::start(
        *loop, folder, {.slot = "here/0", .what = what, .port = 8001, .fingerprint = "f"}, command, engine.hears());
    if (!started) throw std::runtime_error(started.error().message);
    engine.process = std::move(*started);
  }
  void adopt(Engine& engine, const StateFolder& folder, const Record& record) {
    auto adopted = EngineProcess::adopt(*loop, folder, record, engine.hears());
    if (!adopted) throw std::runtime_error(adopted.error().message);
    engine.process = std::move(*adopted);
  }

  void wait_for_line(const Engine& engine, const std::string& line) {
    until([&] { return std::ranges::find(engine.lines, line) != engine.lines.end(); });
  }

  static bool exists(pid_t pid) { return ::kill(pid, 0) == 0; }

  std::unique_ptr<net::Loop> loop = std::make_unique<net::Loop>();
};

}  // namespace qlm::process

// How an engine's program is told where to listen, under which name to serve, and on which GPU: the operator writes the
// command as it would be typed, QLM adds what only it knows. Pure: nothing is started here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "protocol/engines/driver.hpp"

namespace qlm::engines {

// As a shell splits it, with ' " and \, and nothing else of a shell: no variables, no globs, no operators.
Result<std::vector<std::string>> split_words(std::string_view command);

struct LaunchPlace {
  std::string host = "127.0.0.1";  // an engine's own endpoints, those for development too, are nobody else's
  std::uint16_t port = 0;
  std::string model;               // the name to serve it under
  std::string gpu;                 // as CUDA_VISIBLE_DEVICES has it
};

struct Launch {
  std::vector<std::string> words;                  // the program first
  std::map<std::string, std::string> environment;  // over QLM's own
  std::optional<EngineKind> kind = {};             // where the program tells
  bool sleeps = false;                             // it was given what it needs to be put to sleep (vLLM's --enable-sleep-mode)
};

// A command that says {port} says all else itself, with {host}, {model} and {gpu}, too. Any other is given the options of its
// program, as far as QLM knows it: vllm, sglang (and `python -m sglang.launch_server`), llama-server, `qlm emulate`. The
// error says what is wrong with the command.
Result<Launch> launch(std::string_view command, const LaunchPlace& place);

}  // namespace qlm::engines

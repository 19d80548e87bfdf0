#include "protocol/engines/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

namespace qlm::engines {
namespace {

struct Program {
  EngineKind kind;
  // Options for host and port, or one for both; and for the name.
  std::string_view host, port, both, served;
  std::vector<std::string_view> own;  // further ones that the command must leave to QLM
};

const Program vllm{EngineKind::vllm, "--host", "--port", "", "--served-model-name", {"--uds"}};
const Program sglang{EngineKind::sglang, "--host", "--port", "", "--served-model-name", {}};
const Program llama_server{EngineKind::llamacpp, "--host", "--port", "", "--alias", {"-a"}};
const Program emulator{EngineKind::vllm, "", "", "--listen", "--served-as", {"--instances"}};

std::string_view basename(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

const Program* program_of(std::span<const std::string> words) {
  const std::string_view name = basename(words.front());
  if (name == "vllm") return &vllm;
  if (name == "sglang") return &sglang;
  if (name == "llama-server") return &llama_server;
  if (name == "qlm" && words.size() > 1 && words[1] == "emulate") return &emulator;
  if (name.starts_with("python")) {
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
      if (words[i] != "-m") continue;
      if (words[i + 1] == "sglang.launch_server") return &sglang;
      if (words[i + 1] == "vllm.entrypoints.openai.api_server") return &vllm;
    }
  }
  return nullptr;
}

// `--port 80` and `--port=80` alike.
bool says(std::span<const std::string> words, std::string_view option) {
  return !option.empty() && std::ranges::any_of(words, [&](const std::string& word) {
    return word == option || (word.starts_with(option) && word.size() > option.size() && word[option.size()] == '=');
  });
}

void replace_all(std::string& in, std::string_view from, std::string_view to) {
  for (auto at = in.find(from); at != in.npos; at = in.find(from, at + to.size())) in.replace(at, from.size(), to);
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view command) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == '\\' && quote != '\'') {
      if (++i == command.size()) return fail("ends in a backslash");
      word = word.value_or("") + command[i];
    } else if (quote != 0) {
      if (c == quote) quote = 0;
      else *word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      word = word.value_or("");
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (word) words.push_back(std::move(*word));
      word.reset();
    } else {
      word = word.value_or("") + c;
    }
  }
  if (quote != 0) return fail(fmt::format("has a {} without its second", quote));
  if (word) words.push_back(std::move(*word));
  if (words.empty()) return fail("is empty");
  return words;
}

Result<Launch> launch(std::string_view command, const LaunchPlace& place) {
  auto split = split_words(command);
  if (!split) return std::unexpected(split.error());
  Launch made{std::move(*split), {{"CUDA_VISIBLE_DEVICES", place.gpu}}, {}, false};
  std::vector<std::string>& words = made.words;
  const std::string port = std::to_string(place.port);
  const Program* program = program_of(words);
  if (program) made.kind = program->kind;
  made.sleeps = made.kind == EngineKind::vllm && says(words, "--enable-sleep-mode");
  // The endpoints for that are for development, and listen where the others do: on this host alone.
  if (made.sleeps) made.environment.emplace("VLLM_SERVER_DEV_MODE", "1");
  if (std::ranges::any_of(words, [](const std::string& word) { return word.contains("{port}"); })) {
    for (std::string& word : words) {
      for (const auto& [name, value] : {std::pair<std::string_view, std::string_view>{"{host}", place.host}, {"{port}", port}, {"{model}", place.model}, {"{gpu}", place.gpu}}) {
        replace_all(word, name, value);
      }
    }
    return made;
  }
  if (!program) {
    return fail(fmt::format("'{}' is no program whose options QLM knows (vllm, sglang, llama-server, qlm emulate): write {{host}}, {{port}} and "
                            "{{model}} where it wants them", words.front()));
  }
  std::vector<std::string_view> ours{program->host, program->port, program->both, program->served};
  ours.insert(ours.end(), program->own.begin(), program->own.end());
  for (const std::string_view option : ours) {
    if (says(words, option)) return fail(fmt::format("says {}, which QLM gives each engine itself: leave it out", option));
  }
  if (!program->both.empty()) {
    words.insert(words.end(), {std::string(program->both), place.host + ":" + port});
  } else {
    words.insert(words.end(), {std::string(program->host), place.host, std::string(program->port), port});
  }
  words.insert(words.end(), {std::string(program->served), place.model});
  return made;
}

}  // namespace qlm::engines

// What a client asks of the emulated engine, read from its JSON as vLLM reads it: unknown fields are ignored,
// wrong ones refused.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/emulator/fault.hpp"
#include "app/emulator/sleep.hpp"
#include "app/emulator/text.hpp"

namespace qlm::emulator {

// A refusal, written as vLLM writes one: {"error": {"message", "type", "param", "code"}}.
struct Refusal {
  int status = 400;
  std::string message;
  std::string type = "BadRequestError";
  std::string param;  // empty: null
  std::string body() const;
};
Refusal engine_failure();  // as vLLM says that its engine broke down
template <class T>
using Parsed = std::expected<T, Refusal>;

// A call that tool_choice forces; the arguments are the least that the tool's schema allows.
struct ToolCall {
  std::string name;
  std::string arguments;
  bool named = false;  // by the client; else it was only said that some tool must be called
};

struct Generation {
  bool chat = false;
  std::string model;  // empty: not named
  std::vector<std::vector<TokenId>> prompts;
  std::int64_t n = 1;
  std::optional<std::int64_t> max_tokens;
  std::int64_t min_tokens = 0;
  bool ignore_eos = false;
  std::optional<std::int64_t> ends_after;  // output tokens, told by qlm bench: they end there by themselves
  std::uint64_t seed = 0;
  std::int64_t priority = 0;  // a lower one sooner
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool return_token_ids = false;
  std::optional<std::int64_t> logprobs;  // how many alternatives beside the chosen token
  std::vector<std::string> echo;         // what each answer begins with; empty: nothing
  std::optional<ToolCall> tool;
};
Parsed<Generation> parse_chat(const std::string& body);
Parsed<Generation> parse_completion(const std::string& body);
Parsed<Generation> parse_response(const std::string& body);  // of /v1/responses: one choice, text only

struct Embedding {
  std::string model;
  std::vector<std::vector<TokenId>> inputs;
  std::int64_t dimensions = 16;
  bool base64 = false;
};
Parsed<Embedding> parse_embedding(const std::string& body);

struct TokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
};
Parsed<TokenizeRequest> parse_tokenize(const std::string& body);    // from "prompt" or "messages"
Parsed<TokenizeRequest> parse_detokenize(const std::string& body);  // from "tokens"

// From query strings. Unknown keys are ignored.
struct SleepRequest {
  int level = 1;
  Sleeper::Mode mode = Sleeper::Mode::abort;
};
Parsed<SleepRequest> parse_sleep(std::string_view query);
struct WakeRequest {
  bool weights = true, kv_cache = true;
};
Parsed<WakeRequest> parse_wake_up(std::string_view query);
Parsed<std::string> parse_collective_rpc(const std::string& body);  // the method, of which reload_weights is known

struct LoraAdapter {
  std::string name, path;
};
Parsed<LoraAdapter> parse_load_lora(const std::string& body);
Parsed<std::string> parse_unload_lora(const std::string& body);  // the name

Parsed<Fault> parse_fault(const std::string& body);

}  // namespace qlm::emulator

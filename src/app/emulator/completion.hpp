// One /v1/chat/completions or /v1/completions request, from submission to its last byte, streamed or whole.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/emulator/fault.hpp"
#include "app/emulator/metrics.hpp"
#include "app/emulator/request.hpp"
#include "app/emulator/step_loop.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::emulator {

struct CompletionContext {
  net::Loop& loop;
  StepLoop& steps;
  Metrics& metrics;
  std::string id;     // "chatcmpl-..."
  std::string model;  // as the answer names it
  std::int64_t max_model_len;
  std::int64_t mean_output;
  bool prefix_cache;
  std::uint64_t seed;  // the emulator's own, mixed into the request's
  std::uint64_t adapter;  // which LoRA adapter: it says other things, of KV blocks of its own; 0: none
  Fault fault;         // kinds that act within an answer; else none
  std::function<void()> on_die;
  std::function<void()> on_end;  // nothing more comes of it; must not destroy it at once
};

class Completion final : public StepLoop::Listener, public std::enable_shared_from_this<Completion> {
 public:
  Completion(Generation request, std::shared_ptr<net::Exchange> exchange, CompletionContext context);
  ~Completion() override;
  void start();
  void on_cached(std::uint32_t choice, Tokens cached) override { choices_[choice].cached = cached.count; }
  void on_tokens(std::uint32_t choice, std::int64_t generated, bool finished) override;
  void on_stopped(Stop why) override;

 private:
  struct Choice {
    std::size_t prompt;  // which of the request's
    std::vector<TokenId> tokens;
    std::string_view finish_reason;  // "stop" or "length"
    std::string stop_reason;         // the stop string met, or empty
    std::size_t text_size;           // of the tokens' text, up to the stop string
    std::int64_t sent = 0;
    std::int64_t cached = 0;  // tokens of the prompt
    Instant last_token{};
    StepLoop::Ticket ticket = 0;
    bool done = false;
  };

  Choice draw(std::size_t prompt, std::int64_t index) const;
  Choice call_tool(std::int64_t room) const;
  std::string text(const Choice& choice, std::int64_t from, std::int64_t to) const;
  std::string arguments(std::int64_t from, std::int64_t to) const;  // of the tool, by tokens
  std::string delta(const Choice& choice, std::int64_t upto) const;
  void begin_chat_stream();
  void observe(Choice& choice, std::int64_t generated, bool finished);
  bool fault_strikes();
  void stream_tokens(std::uint32_t index, std::int64_t upto, bool finished);
  void append_logprobs(std::string& out, const Choice& choice, std::int64_t from, std::int64_t to) const;
  void append_token_ids(std::string& out, const Choice& choice, std::int64_t from, std::int64_t to) const;
  void append_prompt_ids(std::string& out, const Choice& choice, bool wanted) const;
  void finish_stream();
  void respond_whole();
  std::int64_t prompt_tokens() const;
  std::string prompt_details() const;  // of the usage
  std::int64_t generated_tokens() const;
  void abandon();  // the engine forgets whatever still runs
  void end();

  Generation request_;
  std::shared_ptr<net::Exchange> exchange_;
  CompletionContext context_;
  Instant arrived_;
  std::int64_t created_;
  std::string envelope_;  // the start of each chunk, up to its choices
  std::vector<Choice> choices_;
  std::size_t running_ = 0;
  bool roles_sent_ = false;
  bool silent_ = false;  // stalled by a fault
  bool ended_ = false;
};

}  // namespace qlm::emulator

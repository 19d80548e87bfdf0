// One /v1/responses request: text in, text out, streamed as named events or whole. No tools, nothing stored.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/emulator/completion.hpp"

namespace qlm::emulator {

class ResponseWork final : public StepLoop::Listener, public std::enable_shared_from_this<ResponseWork> {
 public:
  ResponseWork(Generation request, std::shared_ptr<net::Exchange> exchange, CompletionContext context);
  void start();
  void on_tokens(std::uint32_t choice, std::int64_t generated, bool finished) override;
  void on_stopped(Stop why) override;

 private:
  void event(std::string_view type, const std::string& members);  // members: without braces, in the API's order
  std::string response(std::string_view status, bool done) const;
  std::string item(std::string_view status, const std::string& content) const;
  std::string part() const;
  void open_stream();
  void close_stream();
  void end();

  Generation request_;
  std::shared_ptr<net::Exchange> exchange_;
  CompletionContext context_;
  std::int64_t created_;
  std::vector<TokenId> tokens_;
  bool cut_ = false;  // by max_output_tokens or the context
  std::int64_t sent_ = 0;
  std::int64_t sequence_ = 0;
  StepLoop::Ticket ticket_ = 0;
  bool ended_ = false;
};

}  // namespace qlm::emulator

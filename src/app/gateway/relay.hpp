// One attempt: a request sent to one engine, and what comes back handed on. What precedes the first content is held
// back, so that until then the attempt can fail without the client knowing, and be made again elsewhere.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "app/gateway/controller_host.hpp"
#include "app/gateway/fleet.hpp"
#include "app/gateway/upstream_request.hpp"
#include "protocol/engines/stream.hpp"
#include "protocol/http/sse.hpp"
#include "protocol/openai/continuation.hpp"
#include "protocol/openai/fold.hpp"
#include "runtime/net/http_client.hpp"

namespace qlm::gateway {

struct RelayEnd {
  event::AttemptEnd end = event::AttemptEnd::complete;
  std::optional<engines::EngineError> error;  // unless complete
  std::optional<openai::Usage> usage;
  std::int64_t content_events = 0;
  Lost lost;  // to what, where the client got nothing of it
};

// Who hears the answer.
struct ReplySink {
  virtual ~ReplySink() = default;
  virtual void request_sent(Instant first_byte_written) = 0;
  // What is handed on from here until the next call was read from the engine now.
  virtual void engine_spoke(Instant at) = 0;
  // A stream: begun at its first content, then bytes as the engine sent them.
  virtual void reply_begin(int status, const http::Fields& fields) = 0;
  virtual void reply_bytes(std::string_view bytes) = 0;
  // Or an answer in one piece.
  virtual void reply_whole(int status, const http::Fields& fields, std::string body) = 0;
  // Last, and one of them: over, or to be gone on with by another attempt. Neither after abort(cancelled).
  virtual void reply_ended(const RelayEnd& end) = 0;
  virtual void reply_evicted(bool goes_on) = 0;  // with what is in its Resumable; or it begins again
};

// What one attempt leaves to the next, of a request at resume level `exact`.
struct Resumable {
  explicit Resumable(openai::Endpoint endpoint) : stream(endpoint), fold(endpoint) {}
  openai::Continuation stream;
  openai::ReplyFold fold;
};

class Relay final : net::ClientHandler {
 public:
  Relay(ControllerHost& host, net::HttpClient& client, AttemptKey key, std::shared_ptr<const Upstream> upstream,
        openai::Endpoint endpoint, UpstreamRequest request, Resumable* resumable, ReplySink& sink);
  ~Relay() override;

  // One that is evicted when it cannot go on elsewhere any more runs on; the controller was told why.
  void abort(action::AbortWhy why);
  void pause_reading();
  void resume_reading();

  AttemptKey key() const { return key_; }
  const Upstream& upstream() const { return *upstream_; }

 private:
  void on_sent(Instant first_byte_written) override;
  void on_head(const http::ResponseHead& head) override;
  void on_body(std::string_view bytes) override;
  void on_complete() override;
  void on_failed(net::ClientFailure failure, const std::string& detail) override;

  // How the body is read; known with the head.
  enum class Reading { stream, fold, whole, error };
  void read_events(std::string_view bytes);
  void read_whole(std::string_view bytes);
  void give_up_unframed();
  void watch_whole();
  void begin();
  void token_seen();
  void report_progress();
  void heed_continuation();
  void relay_bytes(std::string_view bytes, engines::EventIs is);
  void answered(bool clean, const std::string& why);
  void ended_stream(bool clean, const std::string& why);
  void ended_whole(bool clean, const std::string& why);
  void ended_error();
  bool clients_fault(const std::optional<engines::EngineError>& error);
  void over(RelayEnd end, std::optional<Duration> retry_after = std::nullopt);
  void release_slot();

  ControllerHost& host_;
  AttemptKey key_;
  std::shared_ptr<const Upstream> upstream_;
  openai::Endpoint endpoint_;
  bool streamed_;
  bool fold_wanted_;
  bool usage_is_ours_;
  Resumable* resumable_;  // null below resume level `exact`
  ReplySink& sink_;

  Reading reading_ = Reading::whole;
  int status_ = 0;
  bool framed_ = true;  // HTTP tells the body's end
  http::Fields fields_;
  http::SseScanner scanner_;
  engines::StreamJudge judge_;
  openai::ReplyFold own_fold_;
  openai::ReplyFold& fold_;
  ResumeLevel resume_ = ResumeLevel::exact;  // of what came so far, where it is resumable
  std::string fold_error_;
  std::string held_;  // events before the first content, or a whole body
  bool begun_ = false;
  bool over_ = false;
  bool token_ = false;
  std::optional<action::AbortWhy> aborted_;
  std::int64_t reported_ = 0;
  Instant reported_at_{};
  net::Timer whole_watch_;
  std::unique_ptr<net::Call> call_;  // last: gone first
};

}  // namespace qlm::gateway

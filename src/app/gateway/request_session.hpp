// One client request from its last byte read to its answer's last byte written. It stands between the controller, who
// decides, the relay, who talks to an engine, and the client, who may leave at any time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/gateway/fleet.hpp"
#include "app/gateway/relay.hpp"
#include "app/gateway/replies.hpp"
#include "protocol/openai/errors.hpp"
#include "protocol/openai/request.hpp"
#include "runtime/net/http_server.hpp"
#include "runtime/observe/request_record.hpp"

namespace qlm::gateway {

// What sessions share. The settings change with a reload.
struct SessionServices {
  net::Loop& loop;
  net::HttpClient& client;
  ControllerHost& host;
  Fleet& fleet;
  std::function<void(Duration)> on_residence = {};  // of each request, outside the queue, until its first byte went upstream
  std::size_t stream_buffer = 1 << 20;  // unsent bytes of one stream, beyond which its engine is not read
  Duration client_stall = 30s;          // a client that takes nothing for this long is cancelled
};

class RequestSession final : public std::enable_shared_from_this<RequestSession>, private ReplySink {
 public:
  struct Request {
    std::shared_ptr<net::Exchange> exchange;
    std::shared_ptr<const openai::RequestFacts> facts;
    RequestDescription description;
    bool trusted = false;
    observe::RequestRecord record;
  };
  RequestSession(SessionServices& services, Request request);

  void start();  // once it is held by a shared_ptr
  RequestId id() const { return description_.id; }
  TenantId tenant() const { return description_.tenant; }
  const RequestDescription& description() const { return description_; }
  const openai::RequestFacts& facts() const { return *facts_; }

  // -- what the controller wants
  void admitted(const action::Admitted& action);
  void dispatch(const action::Dispatch& action);
  void abort(const action::Abort& action);
  void reject(const action::Reject& action);  // the two ends: nothing comes after
  void finish(const action::Finish& action);

  // A comment line for a streaming client, while it waits; false once it is answered.
  bool keep_alive();

  const observe::RequestRecord& record() const { return record_; }  // complete after reject() or finish()

 private:
  void request_sent(Instant first_byte_written) override;
  void engine_spoke(Instant at) override;
  void reply_begin(int status, const http::Fields& fields) override;
  void reply_bytes(std::string_view bytes) override;
  void reply_whole(int status, const http::Fields& fields, std::string body) override;
  void reply_ended(const RelayEnd& end) override;
  void reply_evicted(bool goes_on) override;

  void add_estimate(http::Fields& fields) const;
  http::Fields own_fields() const;
  void write(std::string_view bytes);
  void hold_back_engine();
  void watch_client();
  void close_stream_with(const openai::Refusal& refusal);
  RefusalContext refusal_context() const;
  void close_record(Outcome outcome, Reason reason);
  void count_lost(Lost lost);

  SessionServices& services_;
  std::shared_ptr<net::Exchange> exchange_;
  std::shared_ptr<const openai::RequestFacts> facts_;
  RequestDescription description_;
  bool trusted_;
  observe::RequestRecord record_;
  Instant arrived_;                    // its last byte was read
  Instant admitted_;                   // the controller had decided about it
  std::optional<Instant> dispatched_;  // the last attempt
  std::optional<Instant> first_byte_;  // of content, towards the client
  std::string engine_error_;           // the last attempt's, in the engine's words
  bool answered_ = false;   // the client has its whole answer, or left
  bool begun_ = false;      // status and headers went out
  bool relaying_ = false;   // content went out
  bool paused_ = false;
  std::int64_t unsent_before_ = 0;
  std::string removed_;
  net::Timer stall_;
  std::optional<Resumable> kept_;      // of attempts that gave way: what a later one goes on with
  std::optional<Resumable> resumable_; // of this one, at resume level `exact`
  std::unique_ptr<Relay> relay_;       // refers to that
};

}  // namespace qlm::gateway

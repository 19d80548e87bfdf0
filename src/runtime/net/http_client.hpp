// An HTTP/1.1 client with a pool of kept connections for each address, on a Loop. One request at a time on a
// connection, no half-close, idle connections dropped before engines drop them (most do after 5 s).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "protocol/http/message.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::net {

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  http::Fields fields;  // Host and Content-Length are added
  // The body as pieces that stay alive as long as `owner`; a retry can use the same pieces again.
  std::vector<std::string_view> body;
  std::shared_ptr<const void> owner;
};

enum class ClientFailure {
  connect,         // nothing was sent
  no_descriptors,  // nothing was sent, because no connection could be opened here: the far end is not to blame
  before_head,     // sent, then the connection ended or failed before a whole response head
  in_body,         // the body was cut: a chunked or counted body did not reach its end
  malformed,       // what came was not HTTP
  timed_out,       // connecting, or waiting for the head, longer than allowed
};
std::string_view name(ClientFailure failure);

struct ClientHandler {
  virtual ~ClientHandler() = default;
  virtual void on_sent(Instant /*first_byte_written*/) {}
  virtual void on_head(const http::ResponseHead& head) = 0;
  virtual void on_body(std::string_view bytes) = 0;  // decoded from its transfer coding
  // Exactly one of these ends it, unless the call was destroyed first.
  virtual void on_complete() = 0;
  virtual void on_failed(ClientFailure failure, const std::string& detail) = 0;
};

// A request under way. Destroying it cancels: the connection is reset, the handler hears no more.
class Call {
 public:
  virtual ~Call() = default;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
};

struct HttpClientLimits {
  http::HeadLimits head;
  Duration connect_timeout = 5s;
  Duration head_timeout = Duration::max();  // engines hold requests as long as they like; callers have their own watch
  Duration idle_timeout = 4s;
  std::size_t idle_per_address = 256;
};

class HttpClient {
 public:
  static std::unique_ptr<HttpClient> create(Loop& loop, HttpClientLimits limits = {});
  virtual ~HttpClient() = default;
  // A kept connection that dies before the first byte of an answer is replaced by a fresh one, once, silently.
  virtual std::unique_ptr<Call> send(const Address& address, ClientRequest request, ClientHandler& handler) = 0;
  // Told at every failure for want of descriptors.
  virtual void on_no_descriptors(std::function<void()> tell) = 0;
};

// The whole answer at once, for probes and tests. `body_limit` bounds it.
struct WholeResponse {
  http::ResponseHead head;
  std::string body;
};
struct FetchError : Error {
  std::optional<ClientFailure> failure;  // nothing: it was too long, or took too long
};
using Fetched = Result<WholeResponse, FetchError>;
using OnResponse = std::move_only_function<void(Fetched)>;
std::unique_ptr<Call> fetch(Loop& loop, HttpClient& client, const Address& address, ClientRequest request,
                            Duration timeout, Bytes body_limit, OnResponse on_response);

}  // namespace qlm::net

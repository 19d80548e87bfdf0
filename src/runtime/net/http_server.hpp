// An HTTP/1.1 server on a Loop: reads heads strictly and bodies whole, hands each request to one handler, writes
// the answer whole or as a stream. Requests on one connection are answered one after the other, in order.
//
// A client that ends its side of the connection before the answer is complete counts as gone, as with nginx and
// uvicorn: whether it only half-closed or left cannot be told apart, and an engine's slot is worth more than the
// rare client that half-closes and still listens. One that sent more than a head may hold behind the request being
// answered is not read meanwhile; its leaving is looked for every second, and found unless more than the kernel takes in
// stands before it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "protocol/http/message.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::net {

struct HttpServerLimits {
  http::HeadLimits head;
  Bytes body{32 * 1024 * 1024};
  Bytes bodies_in_flight{1024LL * 1024 * 1024};  // all bodies being read or held by exchanges, of this server
  std::size_t connections = 20'000;  // one more is told 503
  Duration head_timeout = 30s;   // from the first byte of a head to its end
  Duration body_timeout = 60s;   // for every 64 KiB of a body, so that nobody holds a connection with a byte now and then
  Duration idle_timeout = 75s;   // between requests
};

// One request and the way to answer it. Its owner keeps it until it is answered: dropping it unanswered aborts the
// connection. Once answered, or the client gone, or the server destroyed, every call on it is without effect.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const http::RequestHead& head() const = 0;
  virtual const std::shared_ptr<const std::string>& body() const = 0;
  virtual Instant first_byte_at() const = 0;  // of the request's head
  virtual Instant received_at() const = 0;    // the last byte of the body was read
  virtual std::string peer() const = 0;

  // A whole answer. Content-Length is added; `fields` may hold Content-Type and others.
  virtual void respond(int status, const http::Fields& fields, std::string body) = 0;

  // A streamed answer: begin once, write any number of times, then finish() (a proper end) or abort() (the client
  // must see that it was cut). Chunked under HTTP/1.1, until close under 1.0.
  virtual void begin(int status, const http::Fields& fields) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void finish() = 0;
  virtual void abort() = 0;
  // What is written from now on was made of bytes read at `at`; see HttpServer::on_written.
  virtual void made_of_bytes_read(Instant at) = 0;

  virtual bool begun() const = 0;     // a status line went out
  virtual Bytes unsent() const = 0;   // written here, not yet taken by the kernel
  // Set by the owner, called at most once each on the loop's thread, and forgotten when the answer is complete.
  // on_gone: the client closed or reset before that. on_drained: everything written so far has left; may be set again.
  virtual void on_gone(Loop::Task task) = 0;
  virtual void on_drained(Loop::Task task) = 0;
};

// Turns a refused request (bad head, too large, timed out) into its answer's body and content type.
using RefusalBody = std::function<std::string(int status, const std::string& message)>;

class HttpServer {
 public:
  using Handler = std::move_only_function<void(std::shared_ptr<Exchange>)>;
  static Result<std::unique_ptr<HttpServer>> listen(Loop& loop, const Address& address, HttpServerLimits limits,
                                                    RefusalBody refusal_body, Handler handler);
  virtual ~HttpServer() = default;
  virtual std::uint16_t port() const = 0;
  virtual std::size_t connections() const = 0;
  // Told how long the oldest of the bytes that just left were in the house: from their being read, as the exchange
  // said, to the kernel's taking the last byte queued with them. Not told of the bytes before a connection is closed.
  virtual void on_written(std::function<void(Duration)> tell) = 0;
  virtual void set_limits(HttpServerLimits limits) = 0;  // for what is read from now on
  // New connections are told 503; idle ones close now, busy ones after their answer ("Connection: close").
  virtual void drain() = 0;
};

}  // namespace qlm::net

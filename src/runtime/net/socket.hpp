// TCP streams and listeners on a Loop. Reading is pushed, writing is queued and leaves by writev; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::net {

struct Address {
  std::string host;  // a name, an IPv4 or an IPv6 address without brackets
  std::uint16_t port = 0;

  auto operator<=>(const Address&) const = default;
  std::string text() const;  // host:port, brackets around IPv6
};
// "host:port", "[v6]:port", ":port" (all interfaces), port 0 asks the system for a free one.
Result<Address> parse_address(std::string_view text);

class Socket : public std::enable_shared_from_this<Socket> {
 public:
  struct Handler {
    virtual ~Handler() = default;
    // Bytes that arrived; the view dies with the call.
    virtual void on_data(std::string_view bytes) = 0;
    // Called once, last: end of stream (empty reason) or an error. Not after close() or abort().
    virtual void on_closed(const std::string& reason) = 0;
    // After a silence, the first bytes have been handed to the kernel; then all of those written so far have.
    virtual void on_sending() {}
    virtual void on_drained() {}
  };

  virtual ~Socket() = default;

  // The handler must outlive the socket's activity or be taken away with set_handler(nullptr). Reading starts here.
  virtual void set_handler(Handler* handler) = 0;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  // For who does not read: the far end has closed or reset, as far as the kernel knows. What it sent before may stand
  // between: an end behind more bytes than the kernel takes in is not known yet.
  virtual bool far_end_left() = 0;

  // What is written within one callback of the loop leaves together at its end.
  virtual void write(std::string bytes) = 0;
  // Without a copy: `bytes` points into something `owner` keeps alive.
  virtual void write(std::shared_ptr<const void> owner, std::string_view bytes) = 0;
  virtual Bytes unsent() const = 0;

  // Ends after what is queued has left. Never a half-close: some engines take that for a disconnect. A far end that
  // does not take it for long is dropped. One of the three endings must be called, or on_closed have come, to let
  // go of a socket; they may be called from inside its callbacks, and a second one has no effect, but for abort().
  virtual void close() = 0;
  // For servers: says the end (a half-close), then throws away for a short while what the far end still sends. A
  // plain close() with unread bytes is a reset, and would take the answer away from a client that is still sending.
  virtual void close_after_answer() = 0;
  // Ends now, with a reset: the far end must not take what it got for a whole answer.
  virtual void abort() = 0;
  virtual std::string peer() const = 0;
};

class Listener {
 public:
  using OnAccept = std::move_only_function<void(std::shared_ptr<Socket>)>;
  static Result<std::unique_ptr<Listener>> open(Loop& loop, const Address& address, OnAccept on_accept);
  virtual ~Listener() = default;
  virtual std::uint16_t port() const = 0;
  virtual void stop() = 0;  // accepts no more; what was accepted lives on
};

// Calls back once, later, unless the returned handle is destroyed first.
class Connecting {
 public:
  virtual ~Connecting() = default;
};
struct ConnectError : Error {
  bool no_descriptors = false;  // this process, or its machine, may open no more: that says nothing of the far end
};
using OnConnect = std::move_only_function<void(Result<std::shared_ptr<Socket>, ConnectError>)>;
std::unique_ptr<Connecting> connect(Loop& loop, const Address& address, Duration timeout, OnConnect on_connect);

// Raises the limit of open descriptors as far as the system lets us; the limit now in force.
std::uint64_t raise_descriptor_limit();

}  // namespace qlm::net

// Where Asio meets this room: a loop's context, and how a raw TCP socket becomes a Socket. Included by this room's
// .cpp files only; it costs seconds of compilation.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/net/loop.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

struct Loop::Impl {
  struct SignalWatch {
    SignalWatch(asio::io_context& io, std::move_only_function<void(int)> h) : set(io), handler(std::move(h)) {}
    asio::signal_set set;
    std::move_only_function<void(int)> handler;
  };

  asio::io_context io{1};  // one thread runs it; post() from others stays safe
  // For the loop's life, since giving it back with nothing else under way would stop the next run().
  asio::executor_work_guard<asio::io_context::executor_type> stay{io.get_executor()};
  std::vector<std::unique_ptr<SignalWatch>> signals;
  std::vector<Task> deferred;
  bool in_turn = false;
};

// A callback of Asio's into this room, from its beginning to its end, when what it deferred is done.
class Turn {
 public:
  explicit Turn(Loop& loop) : Turn(loop.impl()) {}
  explicit Turn(Loop::Impl& impl) : impl_(impl) { impl_.in_turn = true; }
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Loop::Impl& impl_;
};

// Takes over a connected socket: no Nagle delay, dead peers noticed.
std::shared_ptr<Socket> adopt(Loop& loop, tcp::socket&& socket);

Address to_address(const tcp::endpoint& endpoint);

}  // namespace qlm::net

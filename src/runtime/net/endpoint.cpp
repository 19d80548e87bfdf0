// How sockets come to be: accepting and connecting.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <optional>
#include <utility>

#include "runtime/net/asio_loop.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::net {

namespace {

constexpr Duration accept_pause = 100ms;  // when descriptors or memory ran out; connections wait in the kernel

bool no_descriptors(const ErrorCode& error) {
  return error == asio::error::no_descriptors || error == boost::system::errc::too_many_files_open_in_system;
}

// A resolver needs descriptors too, and does not say so when it gets none.
bool no_descriptors_now() {
  const int probe = ::dup(STDERR_FILENO);
  if (probe < 0) return errno == EMFILE || errno == ENFILE;
  ::close(probe);
  return false;
}

class TcpListener final : public Listener {
 public:
  TcpListener(Loop& loop, tcp::acceptor acceptor, OnAccept on_accept)
      : state_(std::make_shared<State>(loop, std::move(acceptor), std::move(on_accept))) {
    accept(state_);
  }
  ~TcpListener() override { stop(); }

  std::uint16_t port() const override { return state_->port; }
  void stop() override {
    state_->stopped = true;
    state_->pause.cancel();
    ErrorCode ignored;
    state_->acceptor.close(ignored);
  }

 private:
  // Outlives the listener while a callback runs that destroys it.
  struct State {
    State(Loop& on, tcp::acceptor a, OnAccept callback)
        : loop(on), acceptor(std::move(a)), on_accept(std::move(callback)), pause(on) {
      ErrorCode ignored;
      port = acceptor.local_endpoint(ignored).port();
    }
    Loop& loop;
    tcp::acceptor acceptor;
    OnAccept on_accept;
    Timer pause;
    std::uint16_t port = 0;
    bool stopped = false;
  };

  static void accept(const std::shared_ptr<State>& state) {
    state->acceptor.async_accept([state](const ErrorCode& error, tcp::socket socket) {
      if (state->stopped) return;
      const Turn turn(state->loop);
      if (no_descriptors(error) || error == asio::error::no_buffer_space || error == asio::error::no_memory) {
        state->pause.after(accept_pause, [state] { accept(state); });
        return;
      }
      // Other errors are of the one connection that was about to be accepted.
      if (!error) state->on_accept(adopt(state->loop, std::move(socket)));
      if (!state->stopped) accept(state);
    });
  }

  std::shared_ptr<State> state_;
};

std::optional<asio::ip::address> numeric(const std::string& host) {
  ErrorCode error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return {};
  return address;
}

Result<tcp::acceptor> bind_to(Loop& loop, const tcp::endpoint& endpoint) {
  tcp::acceptor acceptor(loop.impl().io);
  ErrorCode error;
  const auto failed = [&error](std::string_view step) { return fail(fmt::format("{}: {}", step, error.message())); };
  acceptor.open(endpoint.protocol(), error);
  if (error) return failed("cannot open a socket");
  acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (endpoint.address().is_v6() && endpoint.address().is_unspecified()) {
    acceptor.set_option(asio::ip::v6_only(false), error);
  }
  acceptor.bind(endpoint, error);
  if (error) return failed("cannot bind");
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("cannot listen");
  return acceptor;
}

// Where a listening address may be bound, best first.
Result<std::vector<tcp::endpoint>> listening_endpoints(Loop& loop, const Address& address) {
  if (address.host.empty()) {
    return std::vector<tcp::endpoint>{{asio::ip::address_v6::any(), address.port},
                                      {asio::ip::address_v4::any(), address.port}};
  }
  if (const auto ip = numeric(address.host)) return std::vector<tcp::endpoint>{{*ip, address.port}};
  tcp::resolver resolver(loop.impl().io);
  ErrorCode error;
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : resolver.resolve(address.host, std::to_string(address.port), error)) {
    endpoints.push_back(entry.endpoint());
  }
  if (error) return fail(fmt::format("cannot resolve: {}", error.message()));
  // "localhost" is ::1 and 127.0.0.1, and what clients are told is mostly the latter.
  std::ranges::stable_partition(endpoints, [](const tcp::endpoint& e) { return e.address().is_v4(); });
  return endpoints;
}

class Dial : public std::enable_shared_from_this<Dial> {
 public:
  Dial(Loop& loop, Address address, OnConnect on_connect)
      : loop_(loop),
        address_(std::move(address)),
        on_connect_(std::move(on_connect)),
        resolver_(loop.impl().io),
        socket_(loop.impl().io),
        limit_(loop) {}

  void start(Duration timeout) {
    limit_.after(timeout, [this] {
      const auto alive = shared_from_this();
      end("timed out", false);
    });
    if (const auto ip = numeric(address_.host)) return connect_to({tcp::endpoint(*ip, address_.port)});
    resolver_.async_resolve(address_.host, std::to_string(address_.port),
                            [self = shared_from_this()](const ErrorCode& error, const auto& found) {
                              if (!self->on_connect_) return;
                              const Turn turn(self->loop_);
                              if (error) return self->end("cannot resolve: " + error.message(), no_descriptors_now());
                              std::vector<tcp::endpoint> endpoints;
                              for (const auto& entry : found) endpoints.push_back(entry.endpoint());
                              self->connect_to(std::move(endpoints));
                            });
  }

  void cancel() {
    on_connect_ = nullptr;
    limit_.cancel();
    resolver_.cancel();
    ErrorCode ignored;
    socket_.close(ignored);
  }

 private:
  void connect_to(std::vector<tcp::endpoint> endpoints) {
    asio::async_connect(socket_, std::move(endpoints),
                        [self = shared_from_this()](const ErrorCode& error, const tcp::endpoint&) {
                          if (!self->on_connect_) return;
                          const Turn turn(self->loop_);
                          // Nobody cancelled it: then there was no socket to connect.
                          if (error == asio::error::operation_aborted) {
                            return self->end("cannot open a socket", no_descriptors_now());
                          }
                          if (error) return self->end(error.message(), no_descriptors(error));
                          auto socket = adopt(self->loop_, std::move(self->socket_));
                          self->take_callback()(std::move(socket));
                        });
  }

  void end(const std::string& reason, bool no_descriptors) {
    take_callback()(std::unexpected(ConnectError{{fmt::format("connect to {}: {}", address_.text(), reason)}, no_descriptors}));
  }

  OnConnect take_callback() {
    auto callback = std::exchange(on_connect_, nullptr);
    cancel();
    return callback;
  }

  Loop& loop_;
  Address address_;
  OnConnect on_connect_;  // empty once it is over
  tcp::resolver resolver_;
  tcp::socket socket_;
  Timer limit_;
};

struct DialHandle final : Connecting {
  explicit DialHandle(std::shared_ptr<Dial> d) : dial(std::move(d)) {}
  ~DialHandle() override { dial->cancel(); }
  std::shared_ptr<Dial> dial;
};

}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const Address& address, OnAccept on_accept) {
  const auto endpoints = listening_endpoints(loop, address);
  if (!endpoints) return fail(fmt::format("listen on {}: {}", address.text(), endpoints.error().message));
  std::string reason = "no such address";
  for (const tcp::endpoint& endpoint : *endpoints) {
    auto acceptor = bind_to(loop, endpoint);
    if (acceptor) return std::make_unique<TcpListener>(loop, std::move(*acceptor), std::move(on_accept));
    reason = acceptor.error().message;
  }
  return fail(fmt::format("listen on {}: {}", address.text(), reason));
}

std::unique_ptr<Connecting> connect(Loop& loop, const Address& address, Duration timeout, OnConnect on_connect) {
  auto dial = std::make_shared<Dial>(loop, address, std::move(on_connect));
  dial->start(timeout);
  return std::make_unique<DialHandle>(std::move(dial));
}

}  // namespace qlm::net

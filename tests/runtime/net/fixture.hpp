// One loop for both ends of every connection, so that tests run without threads and wait for facts, never for time.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/net/http_client.hpp"
#include "runtime/net/http_server.hpp"
#include "runtime/net/loop.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::net {

class OnLoop : public testing::Test {
 protected:
  // Runs the loop until the condition holds; a test that would wait forever fails instead.
  void until(std::function<bool()> condition) {
    const Instant give_up = add(loop.now(), 20s);
    std::function<void()> look = [&] {
      if (condition() || loop.now() > give_up) return loop.stop();
      tick.after(200us, [&] { look(); });
    };
    loop.post([&] { look(); });
    loop.run();
    if (!condition()) throw std::runtime_error("waited for something that did not happen");
  }

  // Whatever was under way on the loop has happened: both ends are on it, and loopback delivers within a call.
  void settle() {
    int turns = 0;
    until([&] { return ++turns > 20; });
  }

  Loop loop;
  Timer tick{loop};
  const Address any{"127.0.0.1", 0};
};

// A bare TCP client: sends what it is told, remembers what it hears.
struct Wire : Socket::Handler {
  Wire(Loop& loop, std::uint16_t port) {
    connecting = connect(loop, {"127.0.0.1", port}, 10s, [this](Result<std::shared_ptr<Socket>> made) {
      ASSERT_TRUE(made) << made.error().message;
      socket = *made;
      if (!read) socket->pause_reading();
      socket->set_handler(this);
      socket->write(std::exchange(waiting, {}));
    });
  }
  ~Wire() override {
    if (socket) {
      socket->set_handler(nullptr);
      socket->abort();
    }
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(std::string bytes) { socket ? socket->write(std::move(bytes)) : void(waiting += bytes); }
  void on_data(std::string_view bytes) override { heard += bytes; }
  void on_closed(const std::string& why) override {
    closed = true;
    reason = why;
  }
  bool has(std::string_view text) const { return heard.find(text) != std::string::npos; }
  std::size_t count(std::string_view text) const {
    std::size_t n = 0;
    for (auto at = heard.find(text); at != std::string::npos; at = heard.find(text, at + text.size())) ++n;
    return n;
  }

  std::unique_ptr<Connecting> connecting;
  std::shared_ptr<Socket> socket;
  std::string waiting;
  std::string heard;
  std::string reason;
  bool closed = false;
  bool read = true;  // false before connecting: never reads
};

class OnServer : public OnLoop {
 protected:
  HttpServer& serve(HttpServer::Handler handler, HttpServerLimits limits = {}) {
    auto made = HttpServer::listen(
        loop, any, limits, [](int status, const std::string& message) { return fmt::format("[{}] {}", status, message); },
        std::move(handler));
    EXPECT_TRUE(made) << made.error().message;
    server = std::move(*made);
    return *server;
  }
  // Answers "METHOD target body".
  static void echo(std::shared_ptr<Exchange> exchange) {
    exchange->respond(200, {}, exchange->head().method + " " + exchange->head().target + " " + *exchange->body());
  }
  // Keeps every request for the test to answer.
  HttpServer::Handler keep() {
    return [this](std::shared_ptr<Exchange> exchange) { kept.push_back(std::move(exchange)); };
  }
  std::unique_ptr<Wire> wire() { return std::make_unique<Wire>(loop, server->port()); }
  Address address() const { return {"127.0.0.1", server->port()}; }

  std::unique_ptr<HttpServer> server;
  std::vector<std::shared_ptr<Exchange>> kept;
};

}  // namespace qlm::net

// An emulated engine on loopback and a client of it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/emulator/emulated_engine.hpp"
#include "protocol/http/sse.hpp"
#include "runtime/net/http_client.hpp"

namespace qlm::emulator {

class Contract : public testing::Test {
 protected:
  void start(EmulatorOptions options = {}) {
    if (options.profile.kv_tokens == Tokens{0}) options.profile = find_profile("a100-80/mistral-7b").value();
    auto started = EmulatedEngine::start(loop_, std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    engine_ = std::move(*started);
    client_ = net::HttpClient::create(loop_);
  }

  static EmulatorOptions fast() {
    EmulatorOptions options;
    options.speed = 1000;
    return options;
  }

  net::ClientRequest request(std::string method, std::string target, std::string body,
                             std::string_view key = {}) {
    net::ClientRequest made;
    made.method = std::move(method);
    made.target = std::move(target);
    if (made.method == "POST") made.fields.add("Content-Type", "application/json");
    if (!key.empty()) made.fields.add("Authorization", "Bearer " + std::string(key));
    auto owner = std::make_shared<const std::string>(std::move(body));
    if (!owner->empty()) made.body.push_back(*owner);
    made.owner = owner;
    return made;
  }

  Result<net::WholeResponse> send(net::ClientRequest made) {
    Result<net::WholeResponse> got = fail("no answer");
    auto call = net::fetch(loop_, *client_, {"127.0.0.1", engine_->port()}, std::move(made), 30s,
                           Bytes{64 << 20}, [&](Result<net::WholeResponse> response) {
                             got = std::move(response);
                             loop_.stop();
                           });
    loop_.run();
    return got;
  }
  std::string get(std::string target) { return expect(200, request("GET", std::move(target), "")); }
  std::string post(std::string target, std::string body) {
    return expect(200, request("POST", std::move(target), std::move(body)));
  }
  std::string refused(int status, std::string target, std::string body) {
    return expect(status, request("POST", std::move(target), std::move(body)));
  }
  std::string expect(int status, net::ClientRequest made) {
    const auto response = send(std::move(made));
    if (!response) {
      ADD_FAILURE() << response.error().message;
      return {};
    }
    EXPECT_EQ(response->head.status, status) << response->body;
    return response->body;
  }

  // Runs the loop until `condition` holds.
  void until(std::function<bool()> condition) {
    net::Timer timer(loop_);
    std::function<void()> look = [&] {
      if (condition()) return loop_.stop();
      timer.after(1ms, [&] { look(); });
    };
    timer.after(0ms, [&] { look(); });
    loop_.run();
  }

  net::Loop loop_;
  std::unique_ptr<EmulatedEngine> engine_;
  std::unique_ptr<net::HttpClient> client_;
};

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

inline std::vector<std::string> events(const std::string& body) {
  http::SseScanner scanner;
  scanner.feed(body);
  std::vector<std::string> list;
  http::SseEvent event;
  while (scanner.next(event) == http::SseScanner::Status::event) list.emplace_back(event.data);
  EXPECT_TRUE(scanner.rest().empty());
  return list;
}

inline constexpr const char* chat = "/v1/chat/completions";
inline constexpr const char* completions = "/v1/completions";

struct Listener : net::ClientHandler {
  void on_head(const http::ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_complete() override { complete = true; }
  void on_failed(net::ClientFailure, const std::string&) override { failed = true; }
  int status = 0;
  std::string body;
  bool complete = false, failed = false;
};

}  // namespace qlm::emulator

// A gateway, scripted engines behind it and a client before it, all on one loop in one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/gateway/gateway.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/net/http_server.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::gateway::test {

// An OpenAI engine that serves one model, `tiny`, and answers requests as it was told.
class FakeEngine {
 public:
  using Answer = std::function<void(std::shared_ptr<net::Exchange>)>;

  FakeEngine(net::Loop& loop, Answer answer);
  std::string url() const;
  std::vector<std::string> bodies;   // of the requests it got, in order
  std::vector<http::Fields> fields;  // likewise
  int left = 0;                      // requests whose connection ended before their answer did
  std::vector<std::shared_ptr<net::Exchange>> held;

 private:
  Answer answer_;
  std::unique_ptr<net::HttpServer> server_;
};

// Ways to answer.
FakeEngine::Answer streams(std::vector<std::string> events);
FakeEngine::Answer answers(int status, std::string body);
FakeEngine::Answer cuts_after(std::string events);

std::string delta(std::string_view text);  // one chunk of a chat stream, as bytes
extern const std::string finish;           // the chunk with finish_reason
extern const std::string usage;            // the chunk that carries usage alone
extern const std::string done;

class House {
 public:
  // `extra`: further top-level lines of the configuration.
  explicit House(std::vector<FakeEngine*> engines, net::Loop& loop, const std::string& extra = {}, bool wait_ready = true);

  net::WholeResponse post(const std::string& body, const http::Fields& fields = {}, const std::string& path = "/v1/chat/completions");
  net::WholeResponse act(const std::string& path, const std::string& body = {}, const http::Fields& fields = {});  // at the admin listener
  net::WholeResponse get(const std::string& path, bool admin = false);
  std::unique_ptr<net::Call> begin(const std::string& body, net::ClientHandler& handler);
  void run_until(const std::function<bool()>& holds);  // fails the test when it never does
  config::Configuration configuration(const std::string& extra) const;

  net::Loop& loop;
  std::unique_ptr<Gateway> gateway;
  std::vector<std::string> said;

 private:
  net::WholeResponse post_to(std::uint16_t port, const std::string& body, const http::Fields& fields, const std::string& path);
  net::WholeResponse send(net::ClientRequest request, std::uint16_t port);
  std::vector<FakeEngine*> engines_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace qlm::gateway::test

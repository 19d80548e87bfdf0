#include "house.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <utility>

namespace qlm::gateway::test {
namespace {

constexpr Duration patience = 60s;  // ends a test that would hang; nothing waits for it otherwise

http::Fields typed(std::string_view type) {
  http::Fields fields;
  fields.add("Content-Type", type);
  return fields;
}

}  // namespace

const std::string finish = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const std::string usage = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n";
const std::string done = "data: [DONE]\n\n";

std::string delta(std::string_view text) {
  return fmt::format("data: {{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"finish_reason\":null}}]}}\n\n", text);
}

FakeEngine::FakeEngine(net::Loop& loop, Answer answer) : answer_(std::move(answer)) {
  auto server = net::HttpServer::listen(
      loop, {"127.0.0.1", 0}, {}, [](int, const std::string& message) { return message; },
      [this](std::shared_ptr<net::Exchange> exchange) {
        const auto path = exchange->head().path();
        if (path == "/v1/models") {
          return exchange->respond(200, typed("application/json"),
                                   R"({"object":"list","data":[{"id":"tiny","object":"model","max_model_len":4096}]})");
        }
        if (!path.starts_with("/v1/")) return exchange->respond(404, {}, "");
        bodies.push_back(*exchange->body());
        fields.push_back(exchange->head().fields);
        exchange->on_gone([this] { ++left; });
        held.push_back(exchange);
        answer_(exchange);
      });
  server_ = std::move(server.value());
}

std::string FakeEngine::url() const { return fmt::format("http://127.0.0.1:{}", server_->port()); }

FakeEngine::Answer streams(std::vector<std::string> events) {
  return [events = std::move(events)](const std::shared_ptr<net::Exchange>& exchange) {
    exchange->begin(200, typed("text/event-stream; charset=utf-8"));
    for (const std::string& event : events) exchange->write(event);
    exchange->finish();
  };
}

FakeEngine::Answer answers(int status, std::string body) {
  return [=](const std::shared_ptr<net::Exchange>& exchange) { exchange->respond(status, typed("application/json"), body); };
}

FakeEngine::Answer cuts_after(std::string events) {
  return [=](const std::shared_ptr<net::Exchange>& exchange) {
    exchange->begin(200, typed("text/event-stream"));
    exchange->write(events);
    exchange->on_drained([exchange] { exchange->abort(); });
  };
}

House::House(std::vector<FakeEngine*> engines, net::Loop& on, const std::string& extra, bool wait_ready)
    : loop(on), engines_(std::move(engines)), client_(net::HttpClient::create(on)) {
  auto started = Gateway::start(loop, configuration(extra), [this](log::Level level, const std::string& line) {
    said.push_back((level == log::Level::warn ? "warn: " : "info: ") + line);
  });
  gateway = std::move(started.value());
  if (wait_ready) run_until([&] {
    std::size_t up = 0;
    for (const std::string& line : said) up += line.find("serving tiny") != std::string::npos;
    return up == engines_.size() && gateway->ready();
  });
}

config::Configuration House::configuration(const std::string& extra) const {
  std::string yaml = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nlog: {access: off}\n" + extra + "\ninstances:\n";
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    yaml += fmt::format("  - {{name: engine-{}, url: \"{}\", engine: openai, max_in_flight: 1}}\n", i, engines_[i]->url());
  }
  auto parsed = config::parse(yaml, "test.yaml");
  if (!parsed) {
    for (const auto& problem : parsed.error()) ADD_FAILURE() << config::to_string(problem);
  }
  return parsed.value();
}

void House::run_until(const std::function<bool()>& holds) {
  const Instant end = add(loop.now(), patience);
  net::Timer look(loop);
  std::function<void()> again = [&] {
    if (holds()) return loop.stop();
    if (loop.now() > end) {
      ADD_FAILURE() << "what was waited for did not happen";
      return loop.stop();
    }
    look.after(1ms, [&] { again(); });
  };
  look.after(Duration{}, [&] { again(); });
  loop.run();
}

net::WholeResponse House::send(net::ClientRequest request, std::uint16_t port) {
  std::optional<Result<net::WholeResponse>> answer;
  const auto call = net::fetch(loop, *client_, {"127.0.0.1", port}, std::move(request), patience, Bytes{64 << 20},
                               [&](Result<net::WholeResponse> got) { answer = std::move(got); });
  run_until([&] { return answer.has_value(); });
  if (!answer || !*answer) {
    ADD_FAILURE() << (answer ? answer->error().message : "no answer");
    return {};
  }
  return **answer;
}

net::WholeResponse House::post(const std::string& body, const http::Fields& fields, const std::string& path) {
  return post_to(gateway->port(), body, fields, path);
}

net::WholeResponse House::act(const std::string& path, const std::string& body, const http::Fields& fields) {
  return post_to(gateway->admin_port(), body, fields, path);
}

net::WholeResponse House::post_to(std::uint16_t port, const std::string& body, const http::Fields& fields, const std::string& path) {
  const auto owner = std::make_shared<const std::string>(body);
  net::ClientRequest request;
  request.method = "POST";
  request.target = path;
  request.fields = fields;
  request.fields.add("Content-Type", "application/json");
  request.body = {*owner};
  request.owner = owner;
  return send(std::move(request), port);
}

net::WholeResponse House::get(const std::string& path, bool admin) {
  net::ClientRequest request;
  request.target = path;
  return send(std::move(request), admin ? gateway->admin_port() : gateway->port());
}

std::unique_ptr<net::Call> House::begin(const std::string& body, net::ClientHandler& handler) {
  const auto owner = std::make_shared<const std::string>(body);
  net::ClientRequest request;
  request.method = "POST";
  request.target = "/v1/chat/completions";
  request.body = {*owner};
  request.owner = owner;
  return client_->send({"127.0.0.1", gateway->port()}, std::move(request), handler);
}

}  // namespace qlm::gateway::test

// The load generator against a small server of its own process: every request must be accounted for.
#include "app/bench/replay.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/net/http_server.hpp"
#include "simulate/report/summary.hpp"

namespace qlm::bench {
namespace {

using report::Outcome;

const std::string good_stream =
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

// Answers by the model's name.
class Replaying : public testing::Test {
 protected:
  Replaying() {
    auto listening = net::HttpServer::listen(loop, {"127.0.0.1", 0}, {}, [](int, const std::string& m) { return m; },
                                             [this](std::shared_ptr<net::Exchange> exchange) { serve(std::move(exchange)); });
    server = std::move(listening.value());
    options.target = parse_target("http://127.0.0.1:" + std::to_string(server->port())).value();
  }

  void serve(std::shared_ptr<net::Exchange> exchange) {
    const auto asks_for = [&](std::string_view model) {
      return exchange->body()->find("\"model\":\"" + std::string(model) + "\"") != std::string::npos;
    };
    classes.emplace_back(exchange->head().fields.find("x-slo-class").value_or(""));
    ttfts.emplace_back(exchange->head().fields.find("x-slo-ttft-ms").value_or(""));
    http::Fields sse;
    sse.add("Content-Type", "text/event-stream");
    if (asks_for("refuse")) return exchange->respond(429, {}, R"({"error":{"code":"too_many"}})");
    if (asks_for("same-id")) sse.add("x-qlm-request-id", "req_1");
    if (asks_for("silent")) return held.push_back(std::move(exchange));
    exchange->begin(200, sse);
    if (asks_for("cut")) {
      exchange->write(good_stream.substr(0, 60));
      exchange->finish();
    } else {
      exchange->write(good_stream);
      exchange->finish();
    }
  }

  report::Run replay(const std::vector<std::string>& models) {
    trace.clear();
    for (std::size_t i = 0; i < models.size(); ++i) {
      trace.push_back({static_cast<std::int64_t>(i) * 1ms, Tokens{5}, Tokens{2}, models[i], "interactive"});
    }
    const auto client = net::HttpClient::create(loop);
    Replay replay(loop, *client, trace, options);
    replay.start([this] { loop.stop(); });
    loop.run();
    problems = replay.problems();
    return replay.take_run();
  }

  net::Loop loop;
  std::unique_ptr<net::HttpServer> server;
  std::vector<std::shared_ptr<net::Exchange>> held;
  std::vector<std::string> classes, ttfts;
  workload::Trace trace;
  ReplayOptions options;
  std::map<std::string, std::size_t> problems;
};

TEST_F(Replaying, CompletesWhatIsAnsweredWhole) {
  options.slos = {{"interactive", Slo{1h, {}, {}}}};
  const auto run = replay(std::vector<std::string>(50, "good"));
  const auto summary = report::summarize(run);
  EXPECT_EQ(summary.all.offered, 50U);
  EXPECT_EQ(summary.all.count(Outcome::completed), 50U);
  EXPECT_EQ(summary.classes[0].attainment, 1.0);
  EXPECT_EQ(summary.wrong_length, 0U);
  EXPECT_EQ(run.duplicates, 0);
  for (const auto& r : run.requests) {
    EXPECT_TRUE(r.sent && r.first_token && r.last_token && r.ended);
    EXPECT_GE(*r.sent, r.arrival);
    EXPECT_GE(*r.first_token, *r.sent);
  }
}

TEST_F(Replaying, CountsEveryFateAndItsReason) {
  options.timeout = 300ms;
  const auto summary = report::summarize(replay({"good", "refuse", "cut", "silent", "refuse"}));
  EXPECT_EQ(summary.all.offered, 5U);
  EXPECT_EQ(summary.all.count(Outcome::completed), 1U);
  EXPECT_EQ(summary.all.count(Outcome::refused), 2U);
  EXPECT_EQ(summary.all.count(Outcome::cut), 1U);
  EXPECT_EQ(summary.all.count(Outcome::timed_out), 1U);
  EXPECT_EQ(problems.at("refused: 429 too_many"), 2U);
  EXPECT_EQ(problems.at("cut: ended without [DONE]"), 1U);
}

TEST_F(Replaying, AServerThatIsNotThereFailsEveryRequest) {
  server.reset();
  const auto summary = report::summarize(replay({"good", "good"}));
  EXPECT_EQ(summary.all.count(Outcome::failed), 2U);
}

TEST_F(Replaying, TwoAnswersWithOneNameAreADuplicate) { EXPECT_EQ(replay({"same-id", "same-id", "good"}).duplicates, 1); }

TEST_F(Replaying, SendsTheClassAndTheObjectivesOfTheRunsSpeed) {
  options.slos = {{"interactive", Slo{2s, {}, {}}}};
  options.class_map = {{"interactive", "chat"}};
  options.slo_headers = true;
  options.speed = 4;
  replay({"good"});
  EXPECT_EQ(classes, std::vector<std::string>{"chat"});
  EXPECT_EQ(ttfts, std::vector<std::string>{"500"});
}

TEST_F(Replaying, ReportsInLifesTime) {
  options.speed = 1000;
  options.timeout = 300s;
  const auto run = replay({"silent", "good"});
  EXPECT_EQ(run.requests[1].arrival, 1ms);
  // At a thousand times life's speed the few hundred microseconds of a loopback answer are a good part of a second.
  EXPECT_GT(report::e2e(run.requests[1]).value(), 20ms);
  EXPECT_EQ(run.requests[0].outcome, Outcome::timed_out);
}

TEST_F(Replaying, BeyondTheDescriptorsRequestsFailAndAreCounted) {
  options.most_in_flight = 1;
  options.timeout = 200ms;
  const auto summary = report::summarize(replay({"silent", "good", "good"}));
  EXPECT_EQ(summary.all.count(Outcome::failed), 2U);
  EXPECT_EQ(summary.all.count(Outcome::timed_out), 1U);
}

TEST_F(Replaying, StoppedEarlyItReportsWhatWasOffered) {
  trace = {{0s, Tokens{1}, Tokens{1}, "silent", ""}, {1h, Tokens{1}, Tokens{1}, "good", ""}};
  const auto client = net::HttpClient::create(loop);
  Replay replay(loop, *client, trace, options);
  replay.start([this] { loop.stop(); });
  net::Timer poll(loop);
  std::function<void()> wait = [&] {
    if (!held.empty()) return replay.stop();
    poll.after(1ms, [&] { wait(); });
  };
  wait();
  loop.run();
  const auto run = replay.take_run();
  ASSERT_EQ(run.requests.size(), 1U);
  EXPECT_EQ(run.requests[0].outcome, Outcome::timed_out);
}

}  // namespace
}  // namespace qlm::bench

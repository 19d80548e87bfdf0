#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "app/gateway/replies.hpp"
#include "house.hpp"

namespace qlm::gateway::test {
namespace {

const std::string streamed = R"({"model":"tiny","stream":true,"messages":[{"role":"user","content":"hi"}]})";
const std::string unstreamed = R"({"model":"tiny","messages":[{"role":"user","content":"hi"}]})";
const std::string role = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";

// A client that keeps what it hears.
struct Ear final : net::ClientHandler {
  void on_head(const http::ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_complete() override { complete = true; }
  void on_failed(net::ClientFailure, const std::string&) override { failed = true; }
  int status = 0;
  std::string body;
  bool complete = false, failed = false;
};

// While it lives no file, socket or pipe can be opened; those that are open go on.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{3, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoMoreDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

 private:
  rlimit before_{};
};

TEST(Gateway, RelaysAStreamAsTheVeryBytesThatCameButForTheUsageItAskedForItself) {
  net::Loop loop;
  FakeEngine engine(loop, streams({role, delta("a"), ": ping\n\n", delta("b"), finish, usage, done}));
  House house({&engine}, loop);
  const auto answer = house.post(streamed);
  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(answer.body, role + delta("a") + ": ping\n\n" + delta("b") + finish + done);
  EXPECT_EQ(answer.head.fields.find("Content-Type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(answer.head.fields.find("x-qlm-instance"), "engine-0");
  EXPECT_TRUE(answer.head.fields.find("x-qlm-request-id")->starts_with("req_"));
  EXPECT_TRUE(answer.head.fields.contains("x-qlm-wait-ms"));
}

TEST(Gateway, AReloadChangesHowOftenAWaitingStreamIsKeptAlive) {
  net::Loop loop;
  FakeEngine engine(loop, [](const std::shared_ptr<net::Exchange>&) {});  // holds what it gets
  House house({&engine}, loop, "stream_keepalive: 1h");
  Ear holder, first, second;
  const auto held = house.begin(unstreamed, holder);
  house.run_until([&] { return engine.bodies.size() == 1; });
  const auto waiting = house.begin(streamed, first);
  house.run_until([&] { return house.get("/v1/queue").body.find(R"("queued":1)") != std::string::npos; });
  EXPECT_EQ(first.status, 0);
  ASSERT_TRUE(house.gateway->reload(house.configuration("stream_keepalive: 5ms")));
  house.run_until([&] { return first.body.find(": queued") != first.body.rfind(": queued"); });  // one that waited already
  const auto later = house.begin(streamed, second);
  house.run_until([&] { return second.body.find(": queued") != std::string::npos; });
  ASSERT_TRUE(house.gateway->reload(house.configuration("stream_keepalive: 1h")));
  for (int i = 0; i < 2; ++i) {
    house.run_until([&] { return engine.held.size() > static_cast<std::size_t>(i); });
    streams({delta("a"), finish, usage, done})(engine.held.at(static_cast<std::size_t>(i)));
  }
  house.run_until([&] { return first.complete && engine.held.size() == 3; });
  streams({delta("b"), finish, usage, done})(engine.held.at(2));
  house.run_until([&] { return second.complete; });
  EXPECT_TRUE(second.body.ends_with(delta("b") + finish + done)) << second.body;
}

TEST(Gateway, LeavesTheUsageChunkToAClientThatAskedForIt) {
  net::Loop loop;
  FakeEngine engine(loop, streams({delta("a"), finish, usage, done}));
  House house({&engine}, loop);
  const auto answer = house.post(R"({"model":"tiny","stream":true,"stream_options":{"include_usage":true},"messages":[]})");
  EXPECT_EQ(answer.body, delta("a") + finish + usage + done);
}

TEST(Gateway, FoldsAStreamForAClientThatDidNotAskForOne) {
  net::Loop loop;
  FakeEngine engine(loop, streams({role, delta("a"), delta("b"), finish, usage, done}));
  House house({&engine}, loop);
  const auto answer = house.post(unstreamed);
  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(answer.head.fields.find("Content-Type"), "application/json");
  EXPECT_NE(answer.body.find(R"("content":"ab")"), std::string::npos) << answer.body;
  EXPECT_NE(engine.bodies.at(0).find(R"("stream":true)"), std::string::npos) << engine.bodies.at(0);
}

TEST(Gateway, TriesAnotherInstanceWhenTheFirstFailsBeforeItsFirstToken) {
  net::Loop loop;
  FakeEngine broken(loop, cuts_after(role));
  FakeEngine good(loop, streams({role, delta("a"), finish, usage, done}));
  House house({&broken, &good}, loop);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(house.post(streamed).body, role + delta("a") + finish + done);
  EXPECT_GE(broken.bodies.size(), 1u);
  EXPECT_EQ(good.bodies.size(), 2u);
}

TEST(Gateway, SaysWhatLostAttemptsWereLostTo) {
  net::Loop loop;
  int asked = 0;
  FakeEngine engine(loop, [&](const std::shared_ptr<net::Exchange>& exchange) {
    const int k = asked++;
    if (k == 0) return answers(503, R"({"error":{"message":"busy","type":"x","code":503}})")(exchange);
    if (k == 1) return answers(500, R"({"error":{"message":"oops","type":"x","code":500}})")(exchange);
    if (k == 2) return cuts_after(role)(exchange);
    streams({role, delta("a"), finish, usage, done})(exchange);
  });
  House house({&engine}, loop);
  const auto answer = house.post(streamed);
  EXPECT_EQ(answer.head.status, 200);
  const auto explained = house.get("/v1/queue/" + std::string(*answer.head.fields.find("x-qlm-request-id")) + "/explain").body;
  EXPECT_NE(explained.find(R"("attempt":1,"cause":"refused","status":503,)"), std::string::npos) << explained;
  EXPECT_NE(explained.find(R"("attempt":2,"cause":"failed","status":500,)"), std::string::npos) << explained;
  EXPECT_NE(explained.find(R"("attempt":3,"cause":"failed","rest_ms")"), std::string::npos) << explained;
  for (const std::string& line : house.said) EXPECT_EQ(line.find("breaker"), std::string::npos) << line;
}

TEST(Gateway, TellsTheOperatorOfABreakerThatOpensAndCloses) {
  net::Loop loop;
  FakeEngine engine(loop, [&](const std::shared_ptr<net::Exchange>& exchange) {
    if (engine.bodies.size() <= 3) return answers(500, R"({"error":{"message":"oops","type":"x","code":500}})")(exchange);
    streams({role, delta("a"), finish, usage, done})(exchange);
  });
  House house({&engine}, loop);
  Ear ears[3];
  std::vector<std::unique_ptr<net::Call>> calls;
  for (Ear& ear : ears) calls.push_back(house.begin(streamed, ear));
  house.run_until([&] { return std::all_of(std::begin(ears), std::end(ears), [](const Ear& ear) { return ear.complete; }); });
  std::vector<std::string> told;
  for (const std::string& line : house.said) {
    if (line.find("breaker") != std::string::npos) told.push_back(line);
  }
  EXPECT_EQ(told, (std::vector<std::string>{"warn: instance engine-0: breaker opened, it is given no work: requests failed, 3 failures in a row",
                                            "info: instance engine-0: breaker closed, it is given work again"}));
}

TEST(Gateway, SaysInTheStreamThatItWasCutAndDoesNotTryAgain) {
  net::Loop loop;
  FakeEngine broken(loop, cuts_after(delta("a")));
  FakeEngine other(loop, cuts_after(delta("a")));
  House house({&broken, &other}, loop);
  const auto answer = house.post(streamed);
  EXPECT_TRUE(answer.body.starts_with(delta("a") + "data: {\"error\":")) << answer.body;
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(broken.bodies.size() + other.bodies.size(), 1u);
}

TEST(Gateway, LetsGoOfTheEngineWhenTheClientLeaves) {
  net::Loop loop;
  FakeEngine engine(loop, [](const std::shared_ptr<net::Exchange>& exchange) {
    http::Fields fields;
    fields.add("Content-Type", "text/event-stream");
    exchange->begin(200, fields);
    exchange->write(delta("a"));
  });
  House house({&engine}, loop);
  Ear ear;
  auto call = house.begin(streamed, ear);
  house.run_until([&] { return ear.body == delta("a"); });
  call.reset();
  house.run_until([&] { return engine.left == 1; });
  EXPECT_TRUE(house.gateway->idle());
}

TEST(Gateway, KeepsAWaitingStreamAliveWithComments) {
  net::Loop loop;
  FakeEngine engine(loop, [](const std::shared_ptr<net::Exchange>&) {});  // holds what it gets
  House house({&engine}, loop, "stream_keepalive: 5ms");
  Ear first, second;
  const auto call = house.begin(unstreamed, first);
  house.run_until([&] { return engine.bodies.size() == 1; });
  const auto waiting = house.begin(streamed, second);
  house.run_until([&] { return second.body.find(": queued") != std::string::npos; });
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(first.status, 0);  // one that does not stream is never answered early
  streams({role, delta("x"), finish, usage, done})(engine.held.at(0));
  house.run_until([&] { return engine.bodies.size() == 2; });
  streams({role, delta("y"), finish, usage, done})(engine.held.at(1));
  house.run_until([&] { return second.complete && first.complete; });
  EXPECT_TRUE(second.body.ends_with(role + delta("y") + finish + done)) << second.body;
  EXPECT_NE(second.body.find("x-qlm-instance=engine-0"), std::string::npos);
}

TEST(Gateway, WantOfDescriptorsIsNobodysFailureAndSaidOnce) {
  net::Loop loop;
  FakeEngine engine(loop, [](const std::shared_ptr<net::Exchange>& exchange) {
    if (exchange->body()->find("wait") == std::string::npos) streams({delta("a"), finish, usage, done})(exchange);
  });
  House house({&engine}, loop);
  Ear first, second;
  auto holder = house.begin(R"({"model":"tiny","stream":true,"messages":[{"role":"user","content":"wait"}]})", first);
  house.run_until([&] { return engine.bodies.size() == 1; });
  const auto waiting = house.begin(streamed, second);
  house.run_until([&] { return house.get("/v1/queue").body.find(R"("queued":1)") != std::string::npos; });
  const auto words = [&] {
    return std::count_if(house.said.begin(), house.said.end(), [](const std::string& line) { return line.starts_with("warn: no more files may be opened"); });
  };
  {
    const NoMoreDescriptors from_here;
    holder.reset();  // its connection to the engine is cut, so the next needs one of its own
    house.run_until([&] { return words() > 0; });
    net::Timer pause(loop);
    bool tried_again = false;
    pause.after(600ms, [&] { tried_again = true; });  // the rest of a refused request is 500 ms
    house.run_until([&] { return tried_again; });
    EXPECT_FALSE(second.failed);
  }
  house.run_until([&] { return second.complete; });
  EXPECT_EQ(second.body, delta("a") + finish + done);
  EXPECT_EQ(words(), 1);
  EXPECT_NE(house.get("/instances", true).body.find(R"("breaker":"closed")"), std::string::npos);
  for (const std::string& line : house.said) EXPECT_EQ(line.find("is down"), std::string::npos) << line;
}

TEST(Gateway, HandsOnWhatTheEngineSaysOfAWrongRequest) {
  net::Loop loop;
  const std::string words = R"({"error":{"message":"max_tokens is too large","type":"BadRequestError","param":null,"code":400}})";
  FakeEngine engine(loop, answers(400, words));
  House house({&engine}, loop);
  const auto answer = house.post(streamed);
  EXPECT_EQ(answer.head.status, 400);
  EXPECT_EQ(answer.body, words);
  EXPECT_EQ(engine.bodies.size(), 1u);
}

TEST(Gateway, TakesAnErrorInsideAGoodAnswerForTheClientsOwnWhereItIs) {
  const std::string error = R"({"error":{"message":"n must be 1","type":"BadRequestError","param":"n","code":400}})";
  const std::string expected = R"({"error":{"message":"n must be 1","type":"BadRequestError","param":"n","code":null}})";
  for (const bool in_stream : {true, false}) {
    net::Loop loop;
    FakeEngine engine(loop, in_stream ? streams({"data: " + error + "\n\n", done}) : answers(200, error));
    House house({&engine}, loop);
    const auto answer = house.post(streamed);
    EXPECT_EQ(answer.head.status, 400);
    EXPECT_EQ(answer.head.fields.find("Content-Type"), "application/json");
    EXPECT_EQ(answer.body, expected);
    EXPECT_EQ(engine.bodies.size(), 1u);
  }
}

TEST(Gateway, SaysThatAStreamIsBrokenBeforeAClientCouldTakeDoneForItsEnd) {
  net::Loop loop;
  FakeEngine engine(loop, streams({delta("a"), done}));
  House house({&engine}, loop);
  const auto answer = house.post(streamed);
  EXPECT_TRUE(answer.body.starts_with(delta("a") + "data: {\"error\":")) << answer.body;
  EXPECT_EQ(answer.body.find("data: [DONE]"), std::string::npos);
}

TEST(Gateway, TakesOutWhatWouldSteerTheEnginePastTheQueueAndSaysSo) {
  net::Loop loop;
  FakeEngine engine(loop, streams({delta("a"), finish, usage, done}));
  House house({&engine}, loop);
  const auto answer = house.post(R"({"model":"tiny","stream":true,"priority":-5,"messages":[],"custom":1})");
  EXPECT_EQ(answer.head.fields.find("x-qlm-removed"), "priority");
  EXPECT_EQ(engine.bodies.at(0).find("\"priority\""), std::string::npos);
  EXPECT_NE(engine.bodies.at(0).find("\"custom\":1"), std::string::npos);
}

TEST(Gateway, TakesOnlyPlainPathsAndOnlyJsonAndSaysWhichMethodsAPathTakes) {
  net::Loop loop;
  FakeEngine engine(loop, answers(200, "{}"));
  House house({&engine}, loop);
  const std::string body = R"({"model":"tiny"})";
  for (const std::string path : {"/v1/../sleep", "/v1/./x", "/v1//x", "/v1/%2e%2e/sleep", "/v1/a\\b", "/v1/.."}) {
    EXPECT_EQ(house.post(body, {}, path).head.status, 400) << path;
  }
  EXPECT_TRUE(engine.bodies.empty());
  EXPECT_EQ(house.post(body, {}, "/v1/rerank").head.status, 200);
  EXPECT_EQ(house.post(body, {}, "/v1/rerank/").head.status, 200);
  http::Fields text;
  text.add("Content-Type", "text/plain");
  EXPECT_EQ(house.post(body, text, "/v1/rerank").head.status, 415);
  EXPECT_EQ(house.post(body, {}, "/v1/models").head.fields.find("Allow"), "GET, HEAD");
  EXPECT_EQ(house.get("/v1/chat/completions").head.fields.find("Allow"), "POST");
}

TEST(Gateway, ARequestsNameFindsItAndTellsNothingOfOthers) {
  net::Loop loop;
  FakeEngine engine(loop, streams({delta("a"), finish, usage, done}));
  House house({&engine}, loop);
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) names.emplace_back(*house.post(streamed).head.fields.find("x-qlm-request-id"));
  for (const std::string& name : names) {
    EXPECT_NE(house.get("/v1/queue/" + name + "/explain").body.find("\"id\":\"" + name + "\",\"state\":\"finished\""), std::string::npos) << name;
    std::string next = name;
    next.back() = next.back() == '0' ? '1' : '0';
    EXPECT_EQ(house.get("/v1/queue/" + next + "/explain").head.status, 404);
    const auto ended = house.get("/v1/queue/" + name), never_was = house.get("/v1/queue/" + next);
    EXPECT_EQ(ended.head.status, 410);
    EXPECT_NE(ended.body.find("This request ended: completed. GET /v1/queue/" + name + "/explain"), std::string::npos) << ended.body;
    EXPECT_NE(ended.body.find(R"("code":"request_ended")"), std::string::npos) << ended.body;
    EXPECT_EQ(never_was.head.status, 404);
    EXPECT_NE(never_was.body.find(R"("code":"request_not_found")"), std::string::npos) << never_was.body;
  }
  EXPECT_NE(names[0].substr(0, 12), names[1].substr(0, 12)) << "names do not count";
  EXPECT_EQ(house.get("/v1/queue/req_zzzzzzzzzzzzz").head.status, 404);  // 65 bits
}

TEST(Gateway, NamesTheNearestModel) {
  net::Loop loop;
  FakeEngine engine(loop, streams({}));
  House house({&engine}, loop);
  const auto answer = house.post(R"({"model":"tini","messages":[]})");
  EXPECT_EQ(answer.head.status, 404);
  EXPECT_NE(answer.body.find("Did you mean 'tiny'?"), std::string::npos) << answer.body;
  EXPECT_TRUE(engine.bodies.empty());
}

TEST(Gateway, ARefusalForItsSloSaysWhatWasExpectedAndWhatWouldDo) {
  const action::Reject reject{RequestId{1}, Outcome::rejected, Reason::slo_unreachable, 35s, WaitEstimate{.expected = 34s, .bound = 37s},
                              action::CounterOffer{action::CounterOffer::Objective::ttft, 37'100ms}};
  const openai::Refusal refusal = refusal_of(reject, {.model = "tiny", .service_class = "chat", .tenant = "a", .engine_error = {}});
  EXPECT_NE(refusal.message.find("the estimate is 34 s (bound 37 s)"), std::string::npos) << refusal.message;
  EXPECT_NE(refusal.message.find("a time to the first token of 37.1 s or more (x-slo-ttft-ms)"), std::string::npos) << refusal.message;
  EXPECT_EQ(refusal.param, "x-slo-ttft-ms");
  const auto headers = openai::error_reply(refusal).headers;
  EXPECT_NE(std::ranges::find(headers, std::pair<std::string, std::string>("x-qlm-acceptable-ms", "37100")), headers.end());
  EXPECT_NE(std::ranges::find(headers, std::pair<std::string, std::string>("x-qlm-wait-bound-ms", "37000")), headers.end());
}

TEST(Gateway, RefusesWhatItCannotServe) {
  net::Loop loop;
  FakeEngine engine(loop, streams({}));
  House house({&engine}, loop, "limits: {body: 1KiB}");
  EXPECT_EQ(house.post("{").head.status, 400);
  EXPECT_EQ(house.post(R"({"messages":[]})").head.status, 400);
  EXPECT_EQ(house.post(std::string(2000, ' ')).head.status, 413);
  EXPECT_EQ(house.get("/v1/chat/completions").head.status, 405);
  EXPECT_EQ(house.get("/nothing").head.status, 404);
  http::Fields past;
  past.add("x-slo-deadline", "2020-01-01T00:00:00Z");
  EXPECT_EQ(house.post(streamed, past).head.status, 504);
  EXPECT_TRUE(engine.bodies.empty());
}

TEST(Gateway, ShowsModelsQueueHealthAndMetrics) {
  net::Loop loop;
  FakeEngine engine(loop, streams({delta("a"), finish, usage, done}));
  House house({&engine}, loop);
  house.post(streamed);
  EXPECT_NE(house.get("/v1/models").body.find(R"("id":"tiny")"), std::string::npos);
  EXPECT_NE(house.get("/v1/queue").body.find(R"("queued":0)"), std::string::npos);
  EXPECT_EQ(house.get("/health/ready", true).head.status, 200);
  EXPECT_NE(house.get("/metrics", true).body.find("qlm_requests_total"), std::string::npos);
  EXPECT_NE(house.get("/instances", true).body.find("engine-0"), std::string::npos);
}

TEST(Gateway, DrainsWhatItHasAndThenSaysSo) {
  net::Loop loop;
  FakeEngine engine(loop, [](const std::shared_ptr<net::Exchange>&) {});
  House house({&engine}, loop);
  Ear ear;
  const auto call = house.begin(streamed, ear);
  house.run_until([&] { return engine.bodies.size() == 1; });
  bool drained = false;
  house.gateway->drain(60s, [&] { drained = true; });
  EXPECT_FALSE(house.gateway->ready());
  streams({delta("a"), finish, usage, done})(engine.held.at(0));
  house.run_until([&] { return drained; });
  EXPECT_EQ(ear.body, delta("a") + finish + done);
  EXPECT_TRUE(house.gateway->idle());
}

TEST(Gateway, ReloadsWithoutLosingARequest) {
  net::Loop loop;
  FakeEngine engine(loop, [](const std::shared_ptr<net::Exchange>&) {});
  House house({&engine}, loop);
  Ear ear;
  const auto call = house.begin(streamed, ear);
  house.run_until([&] { return engine.bodies.size() == 1; });
  ASSERT_TRUE(house.gateway->reload(house.configuration("classes: {quick: {ttft: 1s}}")));
  streams({delta("a"), finish, usage, done})(engine.held.at(0));
  house.run_until([&] { return ear.complete; });
  EXPECT_EQ(ear.body, delta("a") + finish + done);
}

}  // namespace
}  // namespace qlm::gateway::test

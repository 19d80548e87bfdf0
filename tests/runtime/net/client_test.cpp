#include <sys/resource.h>

#include "fixture.hpp"

namespace qlm::net {
namespace {

// Writes down what it hears, in order.
struct Record : ClientHandler {
  void on_sent(Instant at) override {
    ++sent;
    sent_at = at;
  }
  void on_head(const http::ResponseHead& h) override {
    head = h;
    if (at_head) at_head();
  }
  void on_body(std::string_view bytes) override {
    body += bytes;
    if (at_body) at_body();
  }
  void on_complete() override {
    ++ends;
    if (at_end) at_end();
  }
  void on_failed(ClientFailure f, const std::string& d) override {
    ++ends;
    failure = f;
    detail = d;
    if (at_end) at_end();
  }

  int sent = 0;
  int ends = 0;
  Instant sent_at{};
  http::ResponseHead head;
  std::string body;
  std::optional<ClientFailure> failure;
  std::string detail;
  std::function<void()> at_head;
  std::function<void()> at_body;
  std::function<void()> at_end;
};

// An engine played byte by byte: accepts connections, hears what comes, says what the test tells it to.
struct Engine {
  explicit Engine(Loop& loop) {
    auto made = Listener::open(loop, {"127.0.0.1", 0}, [this](std::shared_ptr<Socket> socket) {
      heard.push_back(std::make_unique<Ear>());
      heard.back()->socket = std::move(socket);
      heard.back()->socket->set_handler(heard.back().get());
    });
    listener = std::move(*made);
  }
  ~Engine() {
    for (const auto& ear : heard) ear->socket->abort();
  }
  struct Ear : Socket::Handler {
    void on_data(std::string_view bytes) override { text += bytes; }
    void on_closed(const std::string& why) override {
      closed = true;
      reason = why;
    }
    void say(std::string bytes) { socket->write(std::move(bytes)); }
    std::shared_ptr<Socket> socket;
    std::string text;
    std::string reason;
    bool closed = false;
  };
  Address address() const { return {"127.0.0.1", listener->port()}; }
  bool asked(std::size_t connection, std::string_view ending = "\r\n\r\n") const {
    return heard.size() > connection && heard[connection]->text.ends_with(ending);
  }

  std::unique_ptr<Listener> listener;
  std::vector<std::unique_ptr<Ear>> heard;
};

class ClientTest : public OnServer {
 protected:
  std::unique_ptr<Call> get(const std::string& target, Record& record) {
    return client->send(engine.address(), {.target = target}, record);
  }
  // One whole request and answer, which leaves a kept connection.
  void warm_up() {
    Record record;
    auto call = get("/warm", record);
    until([&] { return engine.asked(engine.heard.size() - 1, "\r\n\r\n") && record.sent; });
    engine.heard.back()->say(ok);
    until([&] { return record.ends == 1; });
    ASSERT_FALSE(record.failure);
    engine.heard.back()->text.clear();
  }

  const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  Engine engine{loop};
  std::unique_ptr<HttpClient> client = HttpClient::create(loop);
};

TEST_F(ClientTest, SendsAWholeRequestFromPiecesAndTellsWhenItLeft) {
  Record record;
  const auto owner = std::make_shared<const std::string>("{\"model\":\"m\"}");
  const std::string_view all = *owner;
  ClientRequest request{.method = "POST", .target = "/v1", .body = {all.substr(0, 5), all.substr(5)}, .owner = owner};
  request.fields.add("Content-Type", "application/json");
  request.fields.add("Content-Length", "1");
  const Instant before = loop.now();
  auto call = client->send(engine.address(), std::move(request), record);
  EXPECT_EQ(record.sent, 0);
  until([&] { return engine.asked(0, "}"); });
  EXPECT_EQ(engine.heard[0]->text,
            fmt::format("POST /v1 HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{}",
                        engine.address().text(), *owner));
  EXPECT_EQ(record.sent, 1);
  EXPECT_GE(record.sent_at, before);
}

TEST_F(ClientTest, ReadsCountedChunkedAndUnboundedBodies) {
  const std::vector<std::pair<std::string, bool>> answers = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", false},
      {"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", false},
      {"HTTP/1.1 200 OK\r\n\r\nbody", true},
  };
  for (const auto& [answer, then_close] : answers) {
    for (const bool split : {false, true}) {
      Engine fresh(loop);
      Record record;
      auto call = client->send(fresh.address(), {}, record);
      until([&] { return fresh.asked(0); });
      if (split) {
        for (const char c : answer) {
          fresh.heard[0]->say({c});
          settle();
        }
      } else {
        fresh.heard[0]->say(answer);
      }
      if (then_close) fresh.heard[0]->socket->close();
      until([&] { return record.ends == 1; });
      EXPECT_FALSE(record.failure) << answer << record.detail;
      EXPECT_EQ(record.head.status, 200);
      EXPECT_EQ(record.body, "body") << answer;
    }
  }
}

TEST_F(ClientTest, AnswersToHeadHaveNoBody) {
  Record record;
  auto call = client->send(engine.address(), {.method = "HEAD"}, record);
  until([&] { return engine.asked(0); });
  engine.heard[0]->say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  until([&] { return record.ends == 1; });
  EXPECT_FALSE(record.failure);
}

TEST_F(ClientTest, ConnectionsAreKeptAndUsedAgain) {
  warm_up();
  warm_up();
  EXPECT_EQ(engine.heard.size(), 1U);
}

TEST_F(ClientTest, ConnectionsThatMustNotBeKeptAreNot) {
  for (const std::string answer : {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                                   "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 unasked"}) {
    Record record;
    const std::size_t connection = engine.heard.size();
    auto call = get("/", record);
    until([&] { return engine.asked(connection); });
    engine.heard[connection]->say(answer);
    until([&] { return record.ends == 1 && engine.heard[connection]->closed; });
    EXPECT_FALSE(record.failure) << answer;
  }
}

TEST_F(ClientTest, IdleConnectionsAreDroppedInTime) {
  client = HttpClient::create(loop, {.head = {}, .idle_timeout = 10ms});
  warm_up();
  until([&] { return engine.heard[0]->closed; });
}

TEST_F(ClientTest, AKeptConnectionTheEngineClosedWhileIdleIsNotUsed) {
  warm_up();
  engine.heard[0]->socket->close();
  settle();
  warm_up();
  EXPECT_EQ(engine.heard.size(), 2U);
}

TEST_F(ClientTest, AStaleKeptConnectionIsReplacedOnceAndSilently) {
  warm_up();
  Record record;
  auto call = get("/again", record);
  until([&] { return engine.asked(0); });
  engine.heard[0]->socket->abort();
  until([&] { return engine.asked(1); });
  EXPECT_EQ(record.ends, 0);
  EXPECT_TRUE(engine.heard[1]->text.starts_with("GET /again "));
  engine.heard[1]->socket->abort();  // a fresh one that dies is a failure
  until([&] { return record.ends == 1; });
  EXPECT_EQ(record.failure, ClientFailure::before_head);
  EXPECT_EQ(record.sent, 1);
}

TEST_F(ClientTest, AKeptConnectionThatDiesAfterTheFirstByteIsAFailure) {
  warm_up();
  Record record;
  auto call = get("/again", record);
  until([&] { return engine.asked(0); });
  engine.heard[0]->say("HTTP/1.1 2");
  engine.heard[0]->socket->close();
  until([&] { return record.ends == 1; });
  EXPECT_EQ(record.failure, ClientFailure::before_head);
  EXPECT_EQ(engine.heard.size(), 1U);
}

TEST_F(ClientTest, RefusedConnectionsAreTold) {
  const Address address = engine.address();
  engine.listener.reset();
  Record record;
  auto call = client->send(address, {}, record);
  until([&] { return record.ends == 1; });
  EXPECT_EQ(record.failure, ClientFailure::connect);
  EXPECT_TRUE(record.detail.ends_with("Connection refused")) << record.detail;
  EXPECT_EQ(record.sent, 0);
}

TEST_F(ClientTest, WantOfDescriptorsIsNotTheFarEndsFailure) {
  int told = 0;
  client->on_no_descriptors([&] { ++told; });
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{3, before.rlim_max};
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    Record record;
    setrlimit(RLIMIT_NOFILE, &none);
    auto call = client->send({host, engine.address().port}, {}, record);
    until([&] { return record.ends == 1; });
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(record.failure, ClientFailure::no_descriptors) << host << ": " << record.detail;
  }
  EXPECT_EQ(told, 2);
}

TEST_F(ClientTest, CutAndBrokenAnswersAreToldApart) {
  struct Case {
    std::string answer;
    bool reset;
    ClientFailure failure;
  };
  const std::vector<Case> cases = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", false, ClientFailure::in_body},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", false, ClientFailure::in_body},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbodyX", false, ClientFailure::in_body},
      {"HTTP/1.1 200 OK\r\n\r\nbody", true, ClientFailure::in_body},
      {"HTTP/1.1 200 OK\r\nContent-", false, ClientFailure::before_head},
      {"", true, ClientFailure::before_head},
      {"I am no HTTP\r\n\r\n", false, ClientFailure::malformed},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", false, ClientFailure::malformed},
  };
  for (const Case& c : cases) {
    Engine fresh(loop);
    Record record;
    auto call = client->send(fresh.address(), {}, record);
    until([&] { return fresh.asked(0); });
    fresh.heard[0]->say(c.answer);
    settle();
    c.reset ? fresh.heard[0]->socket->abort() : fresh.heard[0]->socket->close();
    until([&] { return record.ends == 1; });
    EXPECT_EQ(record.failure, c.failure) << c.answer << ": " << record.detail;
    settle();
    EXPECT_EQ(record.ends, 1);
  }
}

TEST_F(ClientTest, WaitingForTheHeadHasALimitOnlyWhereOneIsSet) {
  client = HttpClient::create(loop, {.head = {}, .head_timeout = 10ms});
  Record record;
  auto call = get("/", record);
  until([&] { return record.ends == 1; });
  EXPECT_EQ(record.failure, ClientFailure::timed_out);
  until([&] { return engine.heard[0]->closed; });
}

TEST_F(ClientTest, DestroyingTheCallIsSeenByTheServer) {
  serve(keep());
  Record record;
  auto call = client->send(address(), {.target = "/long"}, record);
  until([&] { return kept.size() == 1; });
  bool gone = false;
  kept[0]->on_gone([&] { gone = true; });
  kept[0]->begin(200, {});
  kept[0]->write("first");
  until([&] { return record.body == "first"; });
  call.reset();
  until([&] { return gone; });
  EXPECT_EQ(record.ends, 0);
}

TEST_F(ClientTest, TheCallMayBeDestroyedInsideEachOfItsCallbacks) {
  for (auto Record::*where : {&Record::at_head, &Record::at_body, &Record::at_end}) {
    Engine fresh(loop);
    auto record = std::make_unique<Record>();
    std::unique_ptr<Call> call;
    bool done = false;
    (*record).*where = [&] {
      call.reset();
      done = true;
    };
    call = client->send(fresh.address(), {}, *record);
    until([&] { return fresh.asked(0); });
    fresh.heard[0]->say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    until([&] { return done; });
    record.reset();
    settle();
  }
  Record unstarted;
  get("/", unstarted).reset();
  settle();
  EXPECT_EQ(unstarted.ends, 0);
  EXPECT_TRUE(engine.heard.empty()) << "a call cancelled at once never connects";
}

TEST_F(ClientTest, PausedAnswersHoldTheServerBack) {
  serve(keep());
  Record record;
  auto call = client->send(address(), {}, record);
  until([&] { return kept.size() == 1; });
  kept[0]->begin(200, {});
  kept[0]->write("x");
  until([&] { return record.body == "x"; });
  call->pause_reading();
  std::size_t written = 1;
  while (kept[0]->unsent() < Bytes{2'000'000}) {
    kept[0]->write(std::string(2'000'000, 'y'));
    written += 2'000'000;
    settle();
  }
  EXPECT_LT(record.body.size(), 100'000U);
  kept[0]->finish();
  call->resume_reading();
  until([&] { return record.ends == 1; });
  EXPECT_EQ(record.body.size(), written);
}

TEST_F(ClientTest, AnEarlyAnswerToABodyStillBeingSentIsHeard) {
  serve(keep(), {.head = {}, .body = Bytes{1000}});
  Record record;
  const auto owner = std::make_shared<const std::string>(20'000'000, 'b');
  auto call = client->send(address(), {.method = "POST", .body = {*owner}, .owner = owner}, record);
  until([&] { return record.ends == 1; });
  EXPECT_FALSE(record.failure) << record.detail;
  EXPECT_EQ(record.head.status, 413);
}

TEST_F(ClientTest, FetchGivesTheWholeAnswerOrTheReason) {
  serve([this](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/silent") return kept.push_back(exchange);
    echo(exchange);
  });
  std::vector<Result<WholeResponse>> results;
  const auto note = [&](Result<WholeResponse> result) { results.push_back(std::move(result)); };
  auto whole = fetch(loop, *client, address(), {.target = "/whole"}, 30s, Bytes{100}, note);
  until([&] { return results.size() == 1; });
  ASSERT_TRUE(results[0]) << results[0].error().message;
  EXPECT_EQ(results[0]->body, "GET /whole ");

  auto large = fetch(loop, *client, address(), {.target = "/a_target_longer_than_the_limit"}, 30s, Bytes{10}, note);
  until([&] { return results.size() == 2; });
  EXPECT_FALSE(results[1]);

  auto slow = fetch(loop, *client, address(), {.target = "/silent"}, 10ms, Bytes{10}, note);
  until([&] { return results.size() == 3; });
  EXPECT_FALSE(results[2]);

  auto dropped = fetch(loop, *client, address(), {.target = "/whole"}, 30s, Bytes{100}, note);
  dropped.reset();
  settle();
  EXPECT_EQ(results.size(), 3U);
}

TEST_F(ClientTest, TheClientMayBeDestroyedBeforeItsCalls) {
  warm_up();
  Record record;
  auto call = get("/", record);
  until([&] { return engine.asked(0); });
  client.reset();
  engine.heard[0]->say(ok);
  until([&] { return record.ends == 1; });
  EXPECT_FALSE(record.failure);
  until([&] { return engine.heard[0]->closed; });
}

TEST_F(ClientTest, FiveHundredCallsAtOnce) {
  raise_descriptor_limit();
  serve(keep());
  std::vector<Record> records(500);
  std::vector<std::unique_ptr<Call>> calls;
  for (std::size_t i = 0; i < records.size(); ++i) {
    calls.push_back(client->send(address(), {.target = fmt::format("/{}", i)}, records[i]));
  }
  until([&] { return kept.size() == 500; });
  for (const auto& exchange : kept) exchange->respond(200, {}, exchange->head().target);
  until([&] { return std::ranges::all_of(records, [](const Record& r) { return r.ends == 1; }); });
  for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i].body, fmt::format("/{}", i));
}

}  // namespace
}  // namespace qlm::net

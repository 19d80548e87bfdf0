#include "fixture.hpp"

namespace qlm::net {
namespace {

using ServerTest = OnServer;

std::string post(std::string_view body, std::string_view more = "") {
  return fmt::format("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{}\r\n{}", body.size(), more, body);
}

TEST_F(ServerTest, AnswersOneRequestAfterTheOtherOnAKeptConnection) {
  serve(echo);
  auto client = wire();
  client->send("GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return client->has("GET /one "); });
  EXPECT_EQ(client->heard, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nGET /one ");
  client->send(post("two"));
  until([&] { return client->has("POST /p two"); });
  EXPECT_FALSE(client->closed);
  EXPECT_EQ(server->connections(), 1U);
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  serve(keep());
  auto client = wire();
  client->send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n" + post("3"));
  for (std::size_t i = 0; i < 3; ++i) {
    until([&] { return kept.size() == i + 1; });
    settle();
    EXPECT_EQ(kept.size(), i + 1) << "the next only after the answer to the one before";
    kept[i]->respond(200, {}, fmt::format("<{}>", i + 1));
  }
  until([&] { return client->has("<3>"); });
  EXPECT_LT(client->heard.find("<1>"), client->heard.find("<2>"));
}

TEST_F(ServerTest, ManyPipelinedRequestsAnsweredAtOnceDoNotNest) {
  serve(echo);
  auto client = wire();
  std::string all;
  for (int i = 0; i < 5000; ++i) all += "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
  client->send(all);
  until([&] { return client->count("GET /x ") == 5000; });
}

TEST_F(ServerTest, MorePipelinedThanAHeadMayHoldWaitsAndIsThenServed) {
  HttpServerLimits limits;
  limits.head.head = Bytes{1024};
  serve(keep(), limits);
  auto client = wire();
  client->send(post("first") + post(std::string(500'000, 'x')));
  until([&] { return kept.size() == 1; });
  settle();
  kept[0]->respond(200, {}, "1");
  until([&] { return kept.size() == 2; });
  EXPECT_EQ(kept[1]->body()->size(), 500'000U);
}

TEST_F(ServerTest, AClientThatSentAheadAndLeftIsNoticedAlthoughItIsNotRead) {
  HttpServerLimits limits;
  limits.head.head = Bytes{1024};
  int gone = 0;
  serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->on_gone([&] { ++gone; });
    kept.push_back(std::move(exchange));
  }, limits);
  auto closes = wire(), resets = wire(), stays = wire();
  for (auto* client : {closes.get(), resets.get(), stays.get()}) client->send(post("first") + post(std::string(8000, 'x')));
  until([&] { return kept.size() == 3; });
  settle();
  closes->socket->close();
  resets->socket->abort();
  until([&] { return gone == 2; });
  EXPECT_EQ(server->connections(), 1U);
  for (const auto& exchange : std::vector(kept)) exchange->respond(200, {}, "1");
  until([&] { return kept.size() == 4; });
  EXPECT_EQ(kept[3]->body()->size(), 8000U);
}

TEST_F(ServerTest, HeadsAndBodiesMayArriveByteByByte) {
  serve(echo);
  auto client = wire();
  const std::string request =
      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n" + post("last");
  for (const char c : request) {
    client->send({c});
    settle();
  }
  until([&] { return client->has("POST /c abcde") && client->has("POST /p last"); });
}

TEST_F(ServerTest, TimesAreTakenWhereTheyHappen) {
  serve(keep());
  auto client = wire();
  client->send("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n");
  settle();
  const Instant between = loop.now();
  client->send("\r\n!");
  until([&] { return kept.size() == 1; });
  EXPECT_LT(kept[0]->first_byte_at(), between);
  EXPECT_GT(kept[0]->received_at(), between);
  EXPECT_TRUE(kept[0]->peer().starts_with("127.0.0.1:"));
}

TEST_F(ServerTest, StreamsInChunksAndGoesOnWithTheConnection) {
  serve(keep());
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  http::Fields fields;
  fields.add("Content-Type", "text/event-stream");
  fields.add("Content-Length", "999");
  EXPECT_FALSE(kept[0]->begun());
  kept[0]->begin(200, fields);
  EXPECT_TRUE(kept[0]->begun());
  kept[0]->write("data: 1\n\n");
  kept[0]->write("");
  kept[0]->write("data: 2\n\n");
  kept[0]->finish();
  kept[0]->write("after the end");
  until([&] { return client->has("0\r\n\r\n"); });
  EXPECT_EQ(client->heard,
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n");
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 2; });
}

TEST_F(ServerTest, HttpOneZeroIsStreamedUntilCloseAndKeptOnlyWhenAsked) {
  serve(keep());
  auto client = wire();
  client->send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  until([&] { return kept.size() == 1; });
  kept[0]->respond(200, {}, "whole");
  until([&] { return client->has("whole"); });
  EXPECT_TRUE(client->has("Connection: keep-alive\r\n"));
  client->heard.clear();
  client->send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  until([&] { return kept.size() == 2; });
  kept[1]->begin(200, {});
  kept[1]->write("streamed");
  kept[1]->finish();
  until([&] { return client->closed; });
  EXPECT_EQ(client->heard, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nstreamed");
  EXPECT_EQ(client->reason, "");
}

TEST_F(ServerTest, HeadIsAnsweredWithoutABody) {
  serve(echo);
  auto client = wire();
  client->send("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\nGET /g HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return client->has("GET /g "); });
  EXPECT_TRUE(client->heard.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nHTTP/1.1 200 OK\r\n")) << client->heard;
}

TEST_F(ServerTest, ConnectionCloseIsHonoured) {
  serve(echo);
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  until([&] { return client->closed; });
  EXPECT_TRUE(client->has("Connection: close\r\n"));
  EXPECT_TRUE(client->has("GET / "));
  EXPECT_EQ(client->reason, "");
}

TEST_F(ServerTest, ExpectIsAnsweredOnlyForABodyThatWillBeRead) {
  HttpServerLimits limits;
  limits.body = Bytes{100};
  serve(echo, limits);
  auto client = wire();
  client->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  until([&] { return client->heard == "HTTP/1.1 100 Continue\r\n\r\n"; });
  client->send("ok");
  until([&] { return client->has("POST /e ok"); });

  auto large = wire();
  large->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n");
  until([&] { return large->closed; });
  EXPECT_TRUE(large->heard.starts_with("HTTP/1.1 413 ")) << large->heard;
}

TEST_F(ServerTest, AClientThatLeavesMidStreamIsNoticedOnce) {
  serve(keep());
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  int gone = 0;
  kept[0]->on_gone([&] { ++gone; });
  kept[0]->begin(200, {});
  kept[0]->write("data");
  until([&] { return client->has("data"); });
  client.reset();
  until([&] { return gone > 0; });
  kept[0]->write("to nobody");
  kept[0]->finish();
  EXPECT_EQ(server->connections(), 0U);
  EXPECT_EQ(kept[0]->unsent().count, 0);
  settle();
  EXPECT_EQ(gone, 1);

  bool late = false;
  kept[0]->on_gone([&] { late = true; });
  EXPECT_FALSE(late);
  until([&] { return late; });
}

TEST_F(ServerTest, TheExchangeMayBeDroppedByItsOwnGoneTask) {
  serve(keep());
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  kept[0]->on_gone([this] { kept.clear(); });
  client->socket->close();
  until([&] { return kept.empty() && server->connections() == 0; });
}

TEST_F(ServerTest, AbortedOrDroppedAnswersAreSeenAsCut) {
  serve(keep());
  auto aborted = wire();
  auto dropped = wire();
  for (Wire* client : {aborted.get(), dropped.get()}) {
    client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::size_t before = kept.size();
    until([&] { return kept.size() == before + 1; });
  }
  kept[0]->begin(200, {});
  kept[0]->write("begun");
  until([&] { return aborted->has("begun"); });
  kept[0]->abort();
  kept.pop_back();
  until([&] { return aborted->closed && dropped->closed; });
  EXPECT_NE(aborted->reason, "");
  EXPECT_FALSE(aborted->has("0\r\n\r\n"));
  EXPECT_NE(dropped->reason, "");
  EXPECT_EQ(dropped->heard, "");
}

TEST_F(ServerTest, TheHandlerMayDropTheExchangeOrDestroyTheServerInsideTheCall) {
  serve([](auto) {});
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return client->closed; });

  serve([this](std::shared_ptr<Exchange> exchange) {
    server.reset();
    exchange->respond(200, {}, "too late");
  });
  auto last = wire();
  last->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return last->closed; });
  EXPECT_EQ(last->heard, "");
  EXPECT_EQ(server, nullptr);
}

TEST_F(ServerTest, ExchangesOutliveTheirServerWithoutEffect) {
  serve(keep());
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  bool gone = false;
  kept[0]->on_gone([&] { gone = true; });
  server.reset();
  kept[0]->respond(200, {}, "too late");
  until([&] { return client->closed; });
  EXPECT_FALSE(gone);
}

TEST_F(ServerTest, BackPressureShowsInUnsentAndDrains) {
  serve(keep());
  auto client = std::make_unique<Wire>(loop, server->port());
  client->read = false;
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  Exchange& exchange = *kept[0];
  exchange.begin(200, {});
  std::size_t written = 0;
  while (exchange.unsent() < Bytes{4'000'000}) {
    for (int i = 0; i < 8; ++i) exchange.write(std::string(500'000, 's'));
    written += 8 * 500'000;
    settle();
  }
  int drained = 0;
  exchange.on_drained([&] { ++drained; });
  settle();
  EXPECT_EQ(drained, 0);
  client->socket->resume_reading();
  until([&] { return drained > 0; });
  EXPECT_EQ(exchange.unsent().count, 0);

  exchange.on_drained([&] { ++drained; });
  EXPECT_EQ(drained, 1) << "already drained is told later, not inside the call";
  until([&] { return drained == 2; });
  exchange.finish();
  until([&] { return client->heard.ends_with("0\r\n\r\n"); });
  EXPECT_GT(client->heard.size(), written);
}

// ---- refusing

struct Refused {
  std::string name;
  std::string request;
  int status;
};

TEST_F(ServerTest, WhatCannotBeServedIsRefusedReadablyAndTheConnectionEnds) {
  HttpServerLimits limits;
  limits.body = Bytes{1000};
  limits.head.head = Bytes{2000};
  serve(keep(), limits);
  const std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string megabyte(1'000'000, 'b');
  const std::vector<Refused> cases = {
      {"no HTTP", "\x16\x03\x01\x02 is TLS\r\n\r\n", 400},
      {"counted body too long", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + megabyte, 413},
      {"chunked body too long", chunked + "f4240\r\n" + megabyte + "\r\n0\r\n\r\n", 413},
      {"broken chunks", chunked + "zz\r\n", 400},
      {"length and chunked", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400},
      {"endless head", "GET / HTTP/1.1\r\nHost: h\r\nX: " + megabyte, 431},
  };
  for (const Refused& c : cases) {
    auto client = wire();
    client->send(c.request);
    until([&] { return client->closed; });
    EXPECT_TRUE(client->heard.starts_with(fmt::format("HTTP/1.1 {} ", c.status))) << c.name << ": " << client->heard;
    EXPECT_TRUE(client->has("Content-Type: application/json\r\n")) << c.name;
    EXPECT_TRUE(client->has("Connection: close\r\n")) << c.name;
    EXPECT_TRUE(client->has(fmt::format("\r\n\r\n[{}] ", c.status))) << c.name;
  }
  EXPECT_TRUE(kept.empty());
  EXPECT_EQ(server->connections(), 0U);
}

TEST_F(ServerTest, BodiesInFlightAreBoundedUntilTheirHoldersLetGo) {
  HttpServerLimits limits;
  limits.bodies_in_flight = Bytes{1000};
  serve(keep(), limits);
  auto first = wire();
  first->send(post(std::string(800, 'a')));
  until([&] { return kept.size() == 1; });
  auto second = wire();
  second->send(post(std::string(300, 'b')));
  until([&] { return second->closed; });
  EXPECT_TRUE(second->heard.starts_with("HTTP/1.1 503 ")) << second->heard;

  auto body = kept[0]->body();
  kept[0]->respond(200, {}, "");
  kept.clear();
  auto third = wire();
  third->send(post(std::string(300, 'c')));
  until([&] { return third->closed; });  // the body is still held
  EXPECT_TRUE(third->heard.starts_with("HTTP/1.1 503 "));

  body.reset();
  auto fourth = wire();
  fourth->send(post(std::string(300, 'd')));
  until([&] { return kept.size() == 1; });
}

TEST_F(ServerTest, SlowHeadsAndBodiesAreAnswered408AndIdleOnesClosedSilently) {
  HttpServerLimits limits;
  limits.head_timeout = limits.body_timeout = limits.idle_timeout = 20ms;
  serve(keep(), limits);
  auto head = wire();
  head->send("GET / HTTP/1.1\r\nHo");
  auto body = wire();
  body->send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  auto idle = wire();
  until([&] { return head->closed && body->closed && idle->closed; });
  EXPECT_TRUE(head->heard.starts_with("HTTP/1.1 408 ")) << head->heard;
  EXPECT_TRUE(body->heard.starts_with("HTTP/1.1 408 ")) << body->heard;
  EXPECT_EQ(idle->heard, "");
  EXPECT_EQ(idle->reason, "");
}

TEST_F(ServerTest, ABodyThatTricklesIsAnswered408HoweverOftenAByteComes) {
  HttpServerLimits limits;
  limits.body_timeout = 50ms;
  serve(keep(), limits);
  auto client = wire();
  client->send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
  Timer drip(loop);
  std::function<void()> one_more = [&] {
    if (!client->closed) client->send("a");
    drip.after(5ms, [&] { one_more(); });
  };
  one_more();
  until([&] { return client->closed; });
  EXPECT_TRUE(client->has("less than 64 KiB of its body came in 0.05 s")) << client->heard;
}

TEST_F(ServerTest, TimeLimitsDoNotTouchARequestBeingAnswered) {
  HttpServerLimits limits;
  limits.head_timeout = limits.body_timeout = limits.idle_timeout = 5ms;
  serve(keep(), limits);
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  Timer later(loop);
  bool past = false;
  later.after(30ms, [&] { past = true; });
  until([&] { return past; });
  kept[0]->respond(200, {}, "patience");
  until([&] { return client->has("patience"); });
}

TEST_F(ServerTest, AConnectionTooManyIsTurnedAway) {
  HttpServerLimits limits;
  limits.connections = 1;
  serve(echo, limits);
  auto first = wire();
  until([&] { return server->connections() == 1; });
  auto second = wire();
  until([&] { return second->closed; });
  EXPECT_TRUE(second->heard.starts_with("HTTP/1.1 503 "));
  first->send("GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return first->has("GET /ok"); });
}

TEST_F(ServerTest, AHalfClosedClientCountsAsGone) {
  serve(keep());
  auto client = wire();
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  bool gone = false;
  kept[0]->on_gone([&] { gone = true; });
  client->socket->close_after_answer();  // what it does first is a half-close
  until([&] { return gone; });
  EXPECT_EQ(server->connections(), 0U);
}

// ---- draining and numbers

TEST_F(ServerTest, DrainClosesIdleConnectionsNowAndBusyOnesAfterTheirAnswer) {
  serve(keep());
  auto idle = wire();
  auto busy = wire();
  auto streaming = wire();
  auto arriving = wire();
  busy->send("GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 1; });
  streaming->send("GET /streaming HTTP/1.1\r\nHost: h\r\n\r\n");
  until([&] { return kept.size() == 2; });
  kept[1]->begin(200, {});
  arriving->send("GET /arriving HTTP/1.1\r\n");
  until([&] { return server->connections() == 4; });
  settle();
  server->drain();
  until([&] { return idle->closed; });
  EXPECT_EQ(server->connections(), 3U);
  auto late = wire();
  until([&] { return late->closed; });
  EXPECT_TRUE(late->heard.starts_with("HTTP/1.1 503 ") && late->has("Retry-After: 1\r\n")) << late->heard;
  auto later = wire();
  until([&] { return later->closed; });
  EXPECT_TRUE(later->has("Retry-After: 2\r\n")) << "not all at once: " << later->heard;

  kept[0]->respond(200, {}, "late");
  kept[1]->write("end");
  kept[1]->finish();
  arriving->send("Host: h\r\n\r\n");
  until([&] { return kept.size() == 3; });
  kept[2]->respond(200, {}, "last");
  until([&] { return busy->closed && streaming->closed && arriving->closed; });
  EXPECT_TRUE(busy->has("Connection: close\r\n") && busy->has("late"));
  EXPECT_TRUE(streaming->heard.ends_with("0\r\n\r\n"));
  EXPECT_TRUE(arriving->has("last"));
  EXPECT_EQ(server->connections(), 0U);
}

TEST_F(ServerTest, FiveHundredConnectionsAtOnceEachGetTheirOwnAnswer) {
  raise_descriptor_limit();
  serve(keep());
  std::vector<std::unique_ptr<Wire>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(wire());
    clients.back()->send(fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", i));
  }
  until([&] { return kept.size() == 500; });
  EXPECT_EQ(server->connections(), 500U);
  for (const auto& exchange : kept) exchange->respond(200, {}, fmt::format("<{}>", exchange->head().target));
  until([&] { return std::ranges::all_of(clients, [](const auto& c) { return !c->heard.empty(); }); });
  for (std::size_t i = 0; i < clients.size(); ++i) EXPECT_TRUE(clients[i]->has(fmt::format("</{}>", i)));
}

}  // namespace
}  // namespace qlm::net

#include "fixture.hpp"

namespace qlm::net {
namespace {

class SocketTest : public OnLoop {
 protected:
  // A listener, one connected pair: `far` is the accepted end.
  void SetUp() override {
    auto made = Listener::open(loop, any, [this](std::shared_ptr<Socket> socket) { far = std::move(socket); });
    ASSERT_TRUE(made) << made.error().message;
    listener = std::move(*made);
  }
  void TearDown() override {
    if (far) far->abort();
  }
  void pair() {
    near = std::make_unique<Wire>(loop, listener->port());
    until([&] { return far && near->socket; });
  }

  std::unique_ptr<Listener> listener;
  std::shared_ptr<Socket> far;
  std::unique_ptr<Wire> near;
};

TEST_F(SocketTest, BytesArriveWholeAndInOrderHoweverTheyWereWritten) {
  pair();
  std::string expected;
  const auto lent = std::make_shared<const std::string>(200'000, 'l');
  for (int i = 0; i < 300; ++i) {
    const std::string small = fmt::format("<{}>", i);
    expected += small;
    far->write(small);
    if (i % 50 == 0) {
      expected += *lent;
      far->write(lent, *lent);
    }
  }
  EXPECT_EQ(far->unsent().count, std::ssize(expected));
  until([&] { return near->heard.size() >= expected.size(); });
  EXPECT_EQ(near->heard, expected);
  EXPECT_EQ(far->unsent().count, 0);
}

TEST_F(SocketTest, CloseSendsWhatIsQueuedFirst) {
  pair();
  const std::string much(3'000'000, 'x');
  far->write(much);
  far->close();
  until([&] { return near->closed; });
  EXPECT_EQ(near->heard, much);
  EXPECT_EQ(near->reason, "") << "an orderly end";
}

TEST_F(SocketTest, AbortIsSeenAsAReset) {
  pair();
  far->write(std::string("never arrives"));
  far->abort();
  until([&] { return near->closed; });
  EXPECT_NE(near->reason, "");
}

TEST_F(SocketTest, AFarEndThatDoesNotReadMakesUnsentGrowAndDrainsLater) {
  struct Drained : Wire {
    using Wire::Wire;
    void on_drained() override { ++drained; }
    int drained = 0;
  };
  auto writer = std::make_unique<Drained>(loop, listener->port());
  until([&] { return far && writer->socket; });
  Wire* const unread = writer.get();
  const std::string block(1'000'000, 'b');
  std::size_t written = 0;
  // `far` has no handler, so nothing is read there: the kernel's buffers fill, then our queue does.
  while (unread->socket->unsent() < Bytes{4'000'000}) {
    for (int i = 0; i < 8; ++i) unread->send(block);
    written += 8 * block.size();
    settle();
  }
  EXPECT_EQ(writer->drained, 0);

  struct Count : Socket::Handler {
    void on_data(std::string_view bytes) override { size += bytes.size(); }
    void on_closed(const std::string&) override {}
    std::size_t size = 0;
  } count;
  far->set_handler(&count);
  until([&] { return count.size == written; });
  EXPECT_EQ(writer->drained, 1);
  EXPECT_EQ(unread->socket->unsent().count, 0);
  far->abort();
}

TEST_F(SocketTest, PausedBytesComeAfterResume) {
  pair();
  near->socket->pause_reading();
  far->write(std::string("held"));
  settle();
  EXPECT_EQ(near->heard, "");
  near->socket->resume_reading();
  until([&] { return near->heard == "held"; });
}

TEST_F(SocketTest, WhatArrivesWithoutAHandlerIsKeptForTheNext) {
  pair();
  near->send("early");
  near->socket->close();
  settle();
  Wire reader(loop, listener->port());
  far->set_handler(&reader);
  until([&] { return reader.closed; });
  EXPECT_EQ(reader.heard, "early");
}

TEST_F(SocketTest, AHandlerMayTakeItselfAwayAndEndTheSocketInsideACallback) {
  struct Leaver : Socket::Handler {
    void on_data(std::string_view bytes) override {
      heard += bytes;
      const auto held = std::move(socket);
      held->set_handler(nullptr);
      held->close();
    }
    void on_closed(const std::string&) override { ADD_FAILURE() << "told after it had closed"; }
    std::shared_ptr<Socket> socket;
    std::string heard;
  };
  pair();
  auto leaver = std::make_unique<Leaver>();
  leaver->socket = std::move(far);
  leaver->socket->set_handler(leaver.get());
  near->send("x");
  until([&] { return near->closed; });
  EXPECT_EQ(leaver->heard, "x");
}

TEST_F(SocketTest, CloseAfterAnswerLetsTheClientReadItWhileItStillSends) {
  pair();
  struct Refuser : Socket::Handler {
    void on_data(std::string_view) override {
      socket->write(std::string("answer"));
      socket->close_after_answer();
    }
    void on_closed(const std::string&) override {}
    Socket* socket = nullptr;
  } refuser;
  refuser.socket = far.get();
  near->send(std::string(20'000'000, 'r'));
  far->set_handler(&refuser);
  until([&] { return near->closed; });
  EXPECT_EQ(near->heard, "answer");
  EXPECT_EQ(near->reason, "");
}

TEST_F(SocketTest, ConnectingTellsWhyItFailedAndIsSilentWhenDestroyed) {
  const std::uint16_t port = listener->port();
  listener.reset();
  std::string error;
  auto refused = connect(loop, {"127.0.0.1", port}, 10s, [&](auto made) { error = made ? "connected" : made.error().message; });
  EXPECT_EQ(error, "") << "not inside the call";
  bool told = false;
  auto destroyed = connect(loop, {"127.0.0.1", port}, 10s, [&](auto) { told = true; });
  destroyed.reset();
  until([&] { return !error.empty(); });
  EXPECT_EQ(error, fmt::format("connect to 127.0.0.1:{}: Connection refused", port));
  settle();
  EXPECT_FALSE(told);
}

TEST_F(SocketTest, NamesAreResolved) {
  bool connected = false;
  auto connecting = connect(loop, {"localhost", listener->port()}, 10s, [&](Result<std::shared_ptr<Socket>> made) {
    ASSERT_TRUE(made) << made.error().message;
    connected = true;
    (*made)->close();
  });
  until([&] { return connected && far; });
}

TEST_F(SocketTest, AStoppedListenerRefusesButWhatItAcceptedLivesOn) {
  pair();
  listener->stop();
  std::string error;
  auto refused = connect(loop, {"127.0.0.1", listener->port()}, 10s,
                         [&](auto made) { error = made ? "connected" : made.error().message; });
  until([&] { return !error.empty(); });
  EXPECT_TRUE(error.ends_with("refused")) << error;
  far->write(std::string("alive"));
  until([&] { return near->heard == "alive"; });
}

TEST_F(SocketTest, TwoListenersOnOnePortAreAnErrorThatNamesIt) {
  auto second = Listener::open(loop, {"127.0.0.1", listener->port()}, [](auto) {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(std::to_string(listener->port())), std::string::npos);
}

TEST(Addresses, AreReadAndWrittenBack) {
  EXPECT_EQ(parse_address("localhost:80"), (Address{"localhost", 80}));
  EXPECT_EQ(parse_address("[::1]:8000"), (Address{"::1", 8000}));
  EXPECT_EQ(parse_address(":0"), (Address{"", 0}));
  EXPECT_EQ((Address{"::1", 8000}.text()), "[::1]:8000");
  EXPECT_EQ((Address{"10.0.0.1", 1}.text()), "10.0.0.1:1");
  for (const char* bad : {"", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80", "[::1]", "[::1:80",
                          "[host]:80", "a b:80", "http://host:80", "host:80 "}) {
    EXPECT_FALSE(parse_address(bad)) << bad;
  }
}

TEST(Descriptors, TheLimitIsRaisedAndTold) { EXPECT_GE(raise_descriptor_limit(), 1024U); }

}  // namespace
}  // namespace qlm::net


// Requests that give way while they run, at the seam of controller, relay and client: what the client sees of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>

#include "app/gateway/accounting.hpp"
#include "app/gateway/controller_host.hpp"
#include "app/gateway/fleet.hpp"
#include "app/gateway/front_door.hpp"
#include "app/gateway/registry.hpp"
#include "house.hpp"

namespace qlm::gateway::test {
namespace {

std::string ask(std::string_view model, bool stream) {
  return std::string(R"({"model":")") + std::string(model) + (stream ? R"(","stream":true)" : "\"") +
         R"(,"messages":[{"role":"user","content":"hi"}]})";
}

struct Ear final : net::ClientHandler {
  void on_head(const http::ResponseHead&) override {}
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_complete() override { complete = true; }
  void on_failed(net::ClientFailure, const std::string&) override { failed = true; }
  std::string body;
  bool complete = false, failed = false;
};

// The parts of a gateway before one engine that serves `tiny` and can be made to serve `other` instead; every swap takes
// no time and succeeds. `greedy` leaves a model for one that more wait for.
class TwoModels {
 public:
  explicit TwoModels(FakeEngine::Answer answer)
      : engine(loop, std::move(answer)),
        client(net::HttpClient::create(loop)),
        configuration(read()),
        registry(configuration),
        accounting(std::move(Accounting::open({}, "test").value())),
        host(loop, registry.controller_configuration()),
        fleet(loop, *client, host, registry, [](log::Level, const std::string&) {}),
        door(loop, *client, host, fleet, registry, *accounting, configuration) {
    host.set_on_action([this](const Action& action) { perform(action); });
    server = std::move(net::HttpServer::listen(loop, {"127.0.0.1", 0}, {}, [](int, const std::string& message) { return message; },
                                               [this](std::shared_ptr<net::Exchange> exchange) { door.handle(std::move(exchange)); })
                           .value());
    fleet.apply(configuration.instances);
    run_until([&] { return fleet.every_instance_seen() && !host.controller().instances().empty(); });
    auto greedy = std::make_shared<ControllerConfiguration>(*registry.controller_configuration());
    greedy->policy = Policy::greedy;
    host.feed(event::ConfigurationChanged{greedy});
    InstanceDescription holder{.id = host.controller().instances().front().id, .name = "engine", .models = {tiny()}, .slots = 20, .max_in_flight = 20};
    for (const ModelId m : {tiny(), *registry.find_model("other")}) holder.holds.push_back({.model = m, .slots = 20});
    host.feed(event::InstanceChanged{holder});
  }

  std::unique_ptr<net::Call> begin(const std::string& body, net::ClientHandler& handler) {
    const auto owner = std::make_shared<const std::string>(body);
    net::ClientRequest request;
    request.method = "POST";
    request.target = "/v1/chat/completions";
    request.body = {*owner};
    request.owner = owner;
    return client->send({"127.0.0.1", server->port()}, std::move(request), handler);
  }
  // So many ask for the other model that a single one of `tiny` has to give way.
  void crowd() {
    for (int k = 0; k < 3; ++k) calls.push_back(begin(ask("other", true), others.emplace_back()));
  }
  bool crowd_served() const { return std::ranges::all_of(others, &Ear::complete); }

  void run_until(const std::function<bool()>& holds) {
    net::Timer look(loop);
    const Instant end = add(loop.now(), 60s);
    std::function<void()> again = [&] {
      if (holds()) return loop.stop();
      if (loop.now() > end) {
        ADD_FAILURE() << "what was waited for did not happen";
        return loop.stop();
      }
      look.after(1ms, [&] { again(); });
    };
    again();
    loop.run();
  }

  net::Loop loop;
  FakeEngine engine;
  std::unique_ptr<net::HttpClient> client;
  config::Configuration configuration;
  Registry registry;
  std::unique_ptr<Accounting> accounting;
  ControllerHost host;
  Fleet fleet;
  FrontDoor door;
  std::unique_ptr<net::HttpServer> server;
  int swaps = 0;
  std::list<Ear> others;
  std::vector<std::unique_ptr<net::Call>> calls;

 private:
  ModelId tiny() const { return *registry.find_model("tiny"); }
  config::Configuration read() const {
    return config::parse("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nlog: {access: off}\nstream_keepalive: 5ms\nmodels: {other: {}}\ninstances:\n"
                         "  - {name: engine, url: \"" + engine.url() + "\", engine: openai}\n", "test.yaml")
        .value();
  }
  void perform(const Action& action) {
    if (const auto* probe = std::get_if<action::Probe>(&action)) return fleet.probe(probe->instance);
    if (const auto* swap = std::get_if<action::Swap>(&action)) {
      ++swaps;
      return host.feed(event::Swapped{swap->instance, swap->to});
    }
    door.perform(action);
  }
};

void whole(const std::shared_ptr<net::Exchange>& exchange) { streams({delta("a"), delta("b"), finish, usage, done})(exchange); }

// Holds the first request it gets, and answers the others.
FakeEngine::Answer holds_the_first(const FakeEngine::Answer& first = [](const std::shared_ptr<net::Exchange>&) {}) {
  return [first, asked = 0](const std::shared_ptr<net::Exchange>& exchange) mutable { asked++ == 0 ? first(exchange) : whole(exchange); };
}

void begins(const std::shared_ptr<net::Exchange>& exchange) {
  http::Fields fields;
  fields.add("Content-Type", "text/event-stream");
  exchange->begin(200, fields);
  exchange->write(delta("a"));
}

TEST(Eviction, AStreamThatHadNotBegunIsTakenBackAndAnsweredLaterOnTheSameConnection) {
  TwoModels house(holds_the_first());
  Ear ear;
  const auto call = house.begin(ask("tiny", true), ear);
  house.run_until([&] { return house.engine.bodies.size() == 1; });
  house.crowd();
  house.run_until([&] { return house.engine.left == 1; });
  house.run_until([&] { return ear.complete; });
  EXPECT_FALSE(ear.failed);
  EXPECT_TRUE(house.crowd_served());
  EXPECT_NE(ear.body.find(": queued"), std::string::npos) << ear.body;
  EXPECT_TRUE(ear.body.ends_with(delta("a") + delta("b") + finish + done)) << ear.body;
  EXPECT_EQ(house.engine.bodies.size(), 5u);
  EXPECT_EQ(house.engine.bodies.front(), house.engine.bodies.back());
  EXPECT_EQ(house.host.controller().totals().evictions, 1);
}

TEST(Eviction, AnAnswerInOnePieceIsTakenBackThoughHalfOfItCame) {
  TwoModels house(holds_the_first(begins));
  Ear ear;
  const auto call = house.begin(ask("tiny", false), ear);
  house.run_until([&] { return house.host.controller().instances().front().running == 1; });
  house.crowd();
  house.run_until([&] { return ear.complete; });
  EXPECT_TRUE(house.crowd_served());
  EXPECT_NE(ear.body.find(R"("content":"ab")"), std::string::npos) << ear.body;
  EXPECT_EQ(house.host.controller().totals().evictions, 1);
  EXPECT_GE(house.host.controller().totals().wasted.count, 1);
}

// As when the controller decides it while the first token is on its way.
TEST(Eviction, AStreamToldToGiveWayAfterItBeganRunsToItsEnd) {
  TwoModels house(holds_the_first(begins));
  Ear ear;
  const auto call = house.begin(ask("tiny", true), ear);
  house.run_until([&] { return ear.body == delta("a"); });
  const RequestId id = house.host.controller().recent(1).front().request;
  house.door.perform(action::Abort{{id, first_attempt}, house.host.controller().instances().front().id, action::AbortWhy::evicted});
  house.engine.held.front()->write(delta("b") + finish + usage + done);
  house.engine.held.front()->finish();
  house.run_until([&] { return ear.complete; });
  EXPECT_EQ(ear.body, delta("a") + delta("b") + finish + done);
}

TEST(Eviction, AStreamThatHasBegunRunsToItsEndAndIsWaitedFor) {
  TwoModels house(holds_the_first(begins));
  Ear ear;
  const auto call = house.begin(ask("tiny", true), ear);
  house.run_until([&] { return ear.body == delta("a"); });
  house.crowd();
  const auto decided = [&] {
    return std::ranges::any_of(house.host.controller().recent(100), [](const ExplainRecord& r) { return r.decision == Decision::swap_decided; });
  };
  house.run_until(decided);
  EXPECT_EQ(house.swaps, 0);
  house.engine.held.front()->write(delta("b") + finish + usage + done);
  house.engine.held.front()->finish();
  house.run_until([&] { return ear.complete && house.crowd_served(); });
  EXPECT_EQ(ear.body, delta("a") + delta("b") + finish + done);
  EXPECT_EQ(house.engine.left, 0);
  EXPECT_EQ(house.host.controller().totals().evictions, 0);
}

}  // namespace
}  // namespace qlm::gateway::test

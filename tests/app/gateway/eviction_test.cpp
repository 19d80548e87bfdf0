// Requests that give way while they run, at the seam of controller, relay and client: what the client sees of it.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <list>

#include "app/emulator/emulated_engine.hpp"
#include "app/gateway/accounting.hpp"
#include "app/gateway/controller_host.hpp"
#include "app/gateway/fleet.hpp"
#include "app/gateway/front_door.hpp"
#include "app/gateway/registry.hpp"
#include "house.hpp"
#include "protocol/http/sse.hpp"
#include "protocol/openai/fold.hpp"

namespace qlm::gateway::test {
namespace {

std::string ask(std::string_view model, bool stream) {
  return std::string(R"({"model":")") + std::string(model) + (stream ? R"(","stream":true)" : "\"") +
         R"(,"max_tokens":4,"messages":[{"role":"user","content":"hi"}]})";
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
// no time and succeeds. `greedy` leaves a model for one that more wait for, and evicts a tenth of the slots.
class TwoModels {
 public:
  struct Terms {
    std::string kind = "openai", keepalive = "5ms";
    int slots = 20;
    ResumeLevel resume = ResumeLevel::restart;
  };
  TwoModels(net::Loop& on, const std::string& url, const Terms& terms)
      : loop(on),
        client(net::HttpClient::create(loop)),
        configuration(read(url, terms)),
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
    InstanceDescription holder{.id = host.controller().instances().front().id, .name = "engine", .models = {tiny()}, .slots = terms.slots,
                               .max_in_flight = terms.slots, .resume = terms.resume};
    for (const ModelId m : {tiny(), *registry.find_model("other")}) holder.holds.push_back({.model = m, .slots = terms.slots});
    host.feed(event::InstanceChanged{holder});
  }

  std::unique_ptr<net::Call> begin(const std::string& body, net::ClientHandler& handler, const std::string& path = "/v1/chat/completions") {
    return begin(body, handler, path, server->port());
  }
  std::unique_ptr<net::Call> begin(const std::string& body, net::ClientHandler& handler, const std::string& path, std::uint16_t port) {
    const auto owner = std::make_shared<const std::string>(body);
    net::ClientRequest request{.method = "POST", .target = path, .body = {*owner}, .owner = owner};
    request.fields.add("Content-Type", "application/json");
    return client->send({"127.0.0.1", port}, std::move(request), handler);
  }
  // So many ask for the other model that those few of `tiny` have to give way.
  void crowd(int count = 3) {
    for (int k = 0; k < count; ++k) calls.push_back(begin(ask("other", true), others.emplace_back()));
  }
  bool crowd_served() const { return std::ranges::all_of(others, &Ear::complete); }

  void run_until(const std::function<bool()>& holds) {
    net::Timer look(loop);
    const Instant end = add(loop.now(), 60s);
    std::function<void()> again = [&] {
      if (holds()) return loop.stop();
      if (loop.now() > end) {
        ADD_FAILURE() << "what was waited for did not happen: " << to_text(host.controller().picture(), *registry.controller_configuration());
        return loop.stop();
      }
      look.after(1ms, [&] { again(); });
    };
    again();
    loop.run();
  }

  net::Loop& loop;
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
  static config::Configuration read(const std::string& url, const Terms& terms) {
    return config::parse("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nlog: {access: off}\nmodels: {other: {}}\nstream_keepalive: " + terms.keepalive +
                         "\ninstances:\n  - {name: engine, url: \"" + url + "\", engine: " + terms.kind + "}\n", "test.yaml")
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

struct FakeHouse {
  explicit FakeHouse(FakeEngine::Answer answer) : engine(loop, std::move(answer)), house(loop, engine.url(), {}) {}
  net::Loop loop;
  FakeEngine engine;
  TwoModels house;
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

// Without the comments that a slow machine has time for.
std::string said(const Ear& ear) {
  std::string kept = ear.body;
  for (auto at = kept.find(':'); at != kept.npos; at = kept.find(':', at)) {
    const bool comment = at == 0 || kept[at - 1] == '\n';
    const auto end = kept.find("\n\n", at);
    if (comment && end == kept.npos) break;
    if (comment) kept.erase(at, end + 2 - at);
    else ++at;
  }
  return kept;
}

TEST(Eviction, AStreamThatHadNotBegunIsTakenBackAndAnsweredLaterOnTheSameConnection) {
  FakeHouse fake(holds_the_first());
  TwoModels& house = fake.house;
  Ear ear;
  const auto call = house.begin(ask("tiny", true), ear);
  house.run_until([&] { return fake.engine.bodies.size() == 1; });
  house.crowd();
  house.run_until([&] { return fake.engine.left == 1; });
  house.run_until([&] { return ear.complete; });
  EXPECT_FALSE(ear.failed);
  EXPECT_TRUE(house.crowd_served());
  EXPECT_NE(ear.body.find(": queued"), std::string::npos) << ear.body;
  EXPECT_EQ(said(ear), delta("a") + delta("b") + finish + done);
  EXPECT_EQ(fake.engine.bodies.size(), 5u);
  EXPECT_EQ(fake.engine.bodies.front(), fake.engine.bodies.back());
  EXPECT_EQ(house.host.controller().totals().evictions, 1);
}

TEST(Eviction, AnAnswerInOnePieceIsTakenBackThoughHalfOfItCame) {
  FakeHouse fake(holds_the_first(begins));
  TwoModels& house = fake.house;
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
  FakeHouse fake(holds_the_first(begins));
  TwoModels& house = fake.house;
  Ear ear;
  const auto call = house.begin(ask("tiny", true), ear);
  house.run_until([&] { return said(ear) == delta("a"); });
  const RequestId id = house.host.controller().recent(1).front().request;
  house.door.perform(action::Abort{{id, first_attempt}, house.host.controller().instances().front().id, action::AbortWhy::evicted});
  fake.engine.held.front()->write(delta("b") + finish + usage + done);
  fake.engine.held.front()->finish();
  house.run_until([&] { return ear.complete; });
  EXPECT_EQ(said(ear), delta("a") + delta("b") + finish + done);
}

TEST(Eviction, AStreamThatHasBegunRunsToItsEndAndIsWaitedFor) {
  FakeHouse fake(holds_the_first(begins));
  TwoModels& house = fake.house;
  Ear ear;
  const auto call = house.begin(ask("tiny", true), ear);
  house.run_until([&] { return said(ear) == delta("a"); });
  house.crowd();
  const auto decided = [&] {
    return std::ranges::any_of(house.host.controller().recent(100), [](const ExplainRecord& r) { return r.decision == Decision::swap_decided; });
  };
  house.run_until(decided);
  EXPECT_EQ(house.swaps, 0);
  fake.engine.held.front()->write(delta("b") + finish + usage + done);
  fake.engine.held.front()->finish();
  house.run_until([&] { return ear.complete && house.crowd_served(); });
  EXPECT_EQ(said(ear), delta("a") + delta("b") + finish + done);
  EXPECT_EQ(fake.engine.left, 0);
  EXPECT_EQ(house.host.controller().totals().evictions, 0);
}

// -- exactly: behind the emulated engine, whose next word depends on the ids so far and on nothing else

std::string between(const std::string& text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  if (at == std::string::npos) return {};
  return text.substr(at + from.size(), text.find(to, at + from.size()) - at - from.size());
}

std::string value(const std::string& text, const std::string& name) {
  const std::string rest = between(text, name, "\n");
  return rest.substr(0, rest.find_first_of(",}"));
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// What a client makes of its stream: the object that it would have got unstreamed.
std::string folded(const std::string& body, openai::Endpoint endpoint) {
  http::SseScanner scanner;
  scanner.feed(body);
  openai::ReplyFold fold(endpoint);
  http::SseEvent event;
  while (scanner.next(event) == http::SseScanner::Status::event) {
    if (event.data.empty()) continue;
    const auto added = fold.add(event.data);
    EXPECT_TRUE(added) << event.data;
  }
  const auto whole = fold.finish();
  EXPECT_TRUE(whole) << body;
  return whole.value_or("");
}

struct Asked {
  std::string path, body;
  bool stream = true;
  Ear ear, alone;
};

// Chat and completions, streamed and not; half end by a limit they state, half by themselves.
std::list<Asked> batch() {
  std::list<Asked> all;
  for (int k = 0; k < 24; ++k) {
    const bool chat = k % 4 != 3, stream = k % 4 != 1;
    const std::string prompt = fmt::format("request {} says {}", k, std::string(static_cast<std::size_t>(k) * 7 + 1, 'x'));
    const std::string end = k % 2 == 0 ? fmt::format(R"("max_tokens":{})", 150 + 10 * k) : fmt::format(R"("max_tokens":500,"emulated_output_tokens":{})", 180 + 9 * k);
    const std::string what = chat ? fmt::format(R"("messages":[{{"role":"user","content":"{}"}}])", prompt) : fmt::format(R"("prompt":"{}")", prompt);
    const std::string how = stream ? R"("stream":true,"stream_options":{"include_usage":true},)" : "";
    all.push_back({chat ? "/v1/chat/completions" : "/v1/completions",
                   fmt::format(R"({{"model":"tiny","temperature":0,{}{}{},"ignore_eos":{},{}}})", how, k % 3 == 0 ? R"("seed":7,)" : "", what, k % 2 == 0, end), stream, {}, {}});
  }
  return all;
}

void expect_the_same(const Asked& each) {
  SCOPED_TRACE(each.body);
  EXPECT_TRUE(each.ear.complete);
  const bool chat = each.path == "/v1/chat/completions";
  const auto endpoint = chat ? openai::Endpoint::chat : openai::Endpoint::completions;
  const std::string got = each.stream ? folded(each.ear.body, endpoint) : each.ear.body;
  const std::string wanted = each.stream ? folded(each.alone.body, endpoint) : each.alone.body;
  const std::string text = chat ? R"("content":")" : R"("text":")";
  ASSERT_FALSE(between(wanted, text, "\"").empty()) << wanted;
  EXPECT_EQ(between(got, text, "\""), between(wanted, text, "\""));
  for (const std::string name : {R"("finish_reason":)", R"("prompt_tokens":)", R"("completion_tokens":)", R"("total_tokens":)"}) {
    EXPECT_EQ(value(got, name), value(wanted, name)) << name;
  }
  EXPECT_EQ(count(each.ear.body, "token_ids\":["), 0u);
  if (!each.stream) return;
  EXPECT_EQ(count(each.ear.body, R"("role")"), chat ? 1u : 0u);
  EXPECT_EQ(count(each.ear.body, R"("usage")"), 1u);
  EXPECT_EQ(count(each.ear.body, "[DONE]"), 1u);
  EXPECT_EQ(count(each.ear.body, R"("id":")"), count(each.ear.body, "\"id\":\"" + between(each.ear.body, R"("id":")", "\"") + "\""));
}

// QLM_EXACT_ENGINE: the URL of another engine that serves `tiny` and `other`; QLM_EXACT_EVICTIONS: so many (tools/evictions).
TEST(Eviction, WhatGoesOnExactlyIsWordForWordWhatItWouldHaveBeenWithoutIt) {
  net::Loop loop;
  emulator::EmulatorOptions options{.profile = find_profile("a100-80/mistral-7b").value(), .served_as = {"tiny", "other"}, .api_keys = {}, .speed = 4, .prefix_cache = true};
  const auto engine = std::move(emulator::EmulatedEngine::start(loop, options).value());
  const char* other = std::getenv("QLM_EXACT_ENGINE");
  const std::string url = other ? other : fmt::format("http://127.0.0.1:{}", engine->port());
  const char* asked_for = std::getenv("QLM_EXACT_EVICTIONS");
  const std::int64_t least = asked_for ? std::atoi(asked_for) : 24;
  const auto port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  TwoModels house(loop, url, {.kind = "vllm", .keepalive = "1h", .slots = 400, .resume = ResumeLevel::exact});

  const auto evictions = [&] { return house.host.controller().totals().evictions; };
  for (int batches = 0; batches == 0 || (evictions() < least && batches < 100 && !HasFailure()); ++batches) {
    std::list<Asked> all = batch();
    std::vector<std::unique_ptr<net::Call>> calls;
    for (Asked& each : all) calls.push_back(house.begin(each.body, each.ear, each.path));
    house.run_until([&] { return house.host.controller().totals().in_flight == static_cast<std::int64_t>(all.size()); });
    const auto ended = [&] { return std::ranges::all_of(all, [](const Asked& each) { return each.ear.complete || each.ear.failed; }); };
    for (std::int64_t before = -1; !ended() && evictions() != before;) {
      before = evictions();
      const int swaps = house.swaps;
      house.crowd(30);
      house.run_until([&] { return ended() || (house.crowd_served() && house.swaps >= swaps + 2); });
    }
    house.run_until([&] { return ended() && house.crowd_served(); });
    // The same, asked of the engine itself.
    for (Asked& each : all) calls.push_back(house.begin(each.body, each.alone, each.path, port));
    house.run_until([&] { return std::ranges::all_of(all, [](const Asked& each) { return each.alone.complete; }); });
    for (const Asked& each : all) expect_the_same(each);
  }
  EXPECT_GE(evictions(), least);
  EXPECT_EQ(house.host.controller().totals().failed, 0);
  if (other) std::printf("%lld evictions\n", static_cast<long long>(evictions()));
}

}  // namespace
}  // namespace qlm::gateway::test

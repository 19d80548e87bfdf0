// What an operator sees and says at the admin listener, and what it does to clients.
#include <gtest/gtest.h>

#include <algorithm>

#include "house.hpp"

namespace qlm::gateway::test {
namespace {

const std::string streamed = R"({"model":"tiny","stream":true,"messages":[]})";
const std::string unstreamed = R"({"model":"tiny","messages":[]})";

struct Ear final : net::ClientHandler {
  void on_head(const http::ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_complete() override { complete = true; }
  void on_failed(net::ClientFailure, const std::string&) override {}
  int status = 0;
  std::string body;
  bool complete = false;
};

FakeEngine::Answer holds() {
  return [](const std::shared_ptr<net::Exchange>&) {};
}

bool has(const net::WholeResponse& answer, std::string_view text) { return answer.body.find(text) != std::string::npos; }

std::string first_id(House& house) {
  const std::string all = house.get("/admin/requests", true).body;
  const auto at = all.find("req_");
  return at == std::string::npos ? "" : all.substr(at, all.find('"', at) - at);
}

TEST(Admin, ACordonedInstanceIsGivenNothingAndIsNotDown) {
  net::Loop loop;
  FakeEngine engine(loop, streams({delta("a"), finish, done}));
  House house({&engine}, loop);
  const auto cordoned = house.act("/admin/instances/engine-0/cordon");
  EXPECT_EQ(cordoned.head.status, 200);
  EXPECT_TRUE(has(cordoned, R"("state":"cordoned")")) << cordoned.body;
  EXPECT_TRUE(has(house.get("/metrics", true), R"(qlm_instance_state{instance_name="engine-0",state="cordoned"} 1)"));
  EXPECT_TRUE(has(house.get("/metrics", true), R"(qlm_instance_up{instance_name="engine-0"} 1)"));
  Ear ear;
  const auto call = house.begin(streamed, ear);
  house.run_until([&] { return has(house.get("/v1/queue"), R"("queued":1)"); });
  EXPECT_TRUE(engine.bodies.empty());
  EXPECT_TRUE(has(house.get("/admin/requests/" + first_id(house), true), "engine-0 is cordoned"));
  EXPECT_TRUE(has(house.act("/admin/instances/engine-0/uncordon"), R"("state":"ready")"));
  house.run_until([&] { return ear.complete; });
  EXPECT_EQ(std::ranges::count_if(house.said, [](const std::string& line) { return line.starts_with("info: audit: 127.0.0.1:"); }), 2);
}

TEST(Admin, ADrainedInstanceFinishesWhatItRuns) {
  net::Loop loop;
  FakeEngine engine(loop, holds());
  House house({&engine}, loop);
  Ear ear;
  const auto call = house.begin(streamed, ear);
  house.run_until([&] { return engine.held.size() == 1; });
  EXPECT_TRUE(has(house.act("/admin/instances/engine-0/drain"), R"("in_flight":1)"));
  streams({delta("a"), finish, done})(engine.held.front());
  house.run_until([&] { return ear.complete; });
  house.run_until([&] { return has(house.get("/admin/instances/engine-0", true), R"("decision":"drained")"); });
}

TEST(Admin, NamesAreTakenPlainAndEncodedAndMisspeltOnesAreToldTheNearest) {
  net::Loop loop;
  FakeEngine engine(loop, holds());
  House house({&engine}, loop);
  EXPECT_EQ(house.get("/admin/instances/engine%2D0", true).head.status, 200);
  const auto missing = house.get("/admin/instances/here/engine-1", true);
  EXPECT_EQ(missing.head.status, 404);
  const auto misspelt = house.act("/admin/instances/engin-0/cordon");
  EXPECT_EQ(misspelt.head.status, 404);
  EXPECT_TRUE(has(misspelt, "Did you mean 'engine-0'?")) << misspelt.body;
  EXPECT_TRUE(has(house.act("/admin/instances/engine-0/cordn"), "Did you mean 'cordon'?"));
  EXPECT_EQ(house.act("/admin/instances").head.status, 404);
  EXPECT_EQ(house.get("/admin/nothing", true).head.status, 404);
}

TEST(Admin, ARequestThatWaitsAndOneThatRunsAreEndedAndTheirClientsToldWho) {
  net::Loop loop;
  FakeEngine engine(loop, holds());
  House house({&engine}, loop);
  Ear running, waiting;
  const auto one = house.begin(unstreamed, running);
  house.run_until([&] { return engine.held.size() == 1; });
  const auto two = house.begin(unstreamed, waiting);
  house.run_until([&] { return has(house.get("/v1/queue"), R"("queued":1)"); });
  EXPECT_TRUE(has(house.get("/admin/tenants", true), R"("in_system":2)"));
  const std::string first = first_id(house);
  EXPECT_EQ(house.act("/admin/requests/" + first + "/cancel").head.status, 200);
  house.run_until([&] { return running.complete && engine.left == 1; });
  EXPECT_EQ(running.status, 409);
  EXPECT_NE(running.body.find(R"("code":"cancelled")"), std::string::npos) << running.body;
  house.run_until([&] { return engine.held.size() == 2; });
  const std::string second = first_id(house);
  EXPECT_NE(second, first);
  house.act("/admin/requests/" + second + "/cancel");
  house.run_until([&] { return waiting.complete; });
  EXPECT_EQ(waiting.status, 409);
  EXPECT_EQ(house.act("/admin/requests/" + first + "/cancel").head.status, 410);
  EXPECT_EQ(house.act("/admin/requests/req_0000000000000/cancel").head.status, 404);
  EXPECT_TRUE(has(house.get("/admin/requests/" + first, true), R"("reason":"cancelled")"));
}

TEST(Admin, SwapsAreForbiddenForATimeAndOnlyWhatQlmRunsIsSwapped) {
  net::Loop loop;
  FakeEngine engine(loop, holds());
  House house({&engine}, loop);
  EXPECT_TRUE(has(house.act("/admin/swaps", R"({"forbid":"2h"})"), "swaps_forbidden_for_s"));
  EXPECT_FALSE(has(house.act("/admin/swaps", R"({"allow":true})"), "swaps_forbidden_for_s"));
  for (const std::string wrong : {"", "{}", R"({"forbid":"soon"})", R"({"forbid":"1h","allow":true})", R"({"allow":false})", R"({"forbidden":"1h"})", "[", R"({"allow":1})"}) {
    EXPECT_EQ(house.act("/admin/swaps", wrong).head.status, 400) << wrong;
  }
  EXPECT_TRUE(has(house.act("/admin/instances/engine-0/swap", R"({"model":"tiny"})"), "not of a pool"));
  EXPECT_TRUE(has(house.act("/admin/instances/engine-0/swap"), "must name a 'model'"));
}

TEST(Admin, AReloadIsAskedForAndItsFailureIsTold) {
  net::Loop loop;
  FakeEngine engine(loop, holds());
  House house({&engine}, loop);
  EXPECT_EQ(house.act("/admin/reload").head.status, 400);
  int asked = 0;
  house.gateway->on_reload([&]() -> Result<void> { return ++asked == 1 ? Result<void>{} : fail("qlm.yaml:3: no such key"); });
  EXPECT_EQ(house.act("/admin/reload").head.status, 200);
  EXPECT_TRUE(has(house.act("/admin/reload"), "qlm.yaml:3: no such key"));
}

TEST(Admin, APageOfAnotherSiteMayNotAct) {
  net::Loop loop;
  FakeEngine engine(loop, holds());
  House house({&engine}, loop);
  http::Fields fields;
  fields.add("Origin", "http://somewhere.example");
  EXPECT_EQ(house.act("/admin/instances/engine-0/cordon", {}, fields).head.status, 400);
  EXPECT_TRUE(has(house.get("/admin/instances", true), R"("cordoned":false)"));
}

}  // namespace
}  // namespace qlm::gateway::test

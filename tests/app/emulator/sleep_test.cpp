// Sleep and wake-up of the emulated engine, as vLLM's development endpoints do them.
#include "app/emulator/sleep.hpp"

#include "engine_fixture.hpp"

namespace qlm::emulator {
namespace {

constexpr const char* one_token = R"({"prompt":"x","max_tokens":1,"ignore_eos":true})";
constexpr const char* reload = R"({"method":"reload_weights"})";

class Sleep : public Contract {
 protected:
  static EmulatorOptions sleepy() {
    auto options = fast();
    options.sleep = SleepTimes{.put_away = 2s, .bring_back = 3s, .make_room = 1s, .reload = 4s};
    return options;
  }
  void do_post(const std::string& target, std::string body = "") { expect(200, request("POST", target, std::move(body))); }
  bool asleep() { return has(get("/is_sleeping"), "true"); }

  std::unique_ptr<net::Call> send_later(std::string body, Listener& listener) {
    return client_->send({"127.0.0.1", engine_->port()}, request("POST", completions, std::move(body)), listener);
  }
};

TEST_F(Sleep, WhoCannotSleepHasNoEndpointsForIt) {
  start(fast());
  for (const auto* path : {"/sleep", "/wake_up", "/collective_rpc", "/reset_prefix_cache"}) refused(404, path, "");
  expect(404, request("GET", "/is_sleeping", ""));
}

TEST_F(Sleep, WhatComesWhileItSleepsIsHeldUntilItWakes) {
  start(sleepy());
  EXPECT_FALSE(asleep());
  do_post("/sleep");
  EXPECT_TRUE(asleep());
  EXPECT_TRUE(has(get("/metrics"), R"(sleep_state="weights_offloaded"} 1)"));
  EXPECT_EQ(get("/health"), "");
  Listener listener;
  const auto call = send_later(one_token, listener);
  until([&] { return engine_->engine().waiting() == 1; });
  do_post("/wake_up?tags=weights");
  EXPECT_TRUE(asleep()) << "until its KV cache is back";
  EXPECT_EQ(engine_->engine().totals().steps, 0);
  do_post("/wake_up?tags=kv_cache");
  EXPECT_FALSE(asleep());
  until([&] { return listener.complete; });
  EXPECT_EQ(listener.status, 200);
  EXPECT_TRUE(has(get("/metrics"), R"(sleep_state="awake"} 1)"));
}

TEST_F(Sleep, WeightsTakeTheirTimeBySpeedToGoAndToComeBack) {
  auto options = sleepy();
  options.speed = 100;
  start(std::move(options));
  const Instant begun = loop_.now();
  do_post("/sleep?level=1");
  const Instant slept = loop_.now();
  do_post("/wake_up");
  EXPECT_GE(slept - begun, 20ms);  // machines can be late, never early
  EXPECT_GE(loop_.now() - slept, 30ms);
}

TEST_F(Sleep, ItsTimesAreThoseOfTheSizeOfTheWeights) {
  const auto times = sleep_times("mistral-7b").value();  // 14.5 GB
  EXPECT_NEAR(seconds(times.put_away), 0.690, 0.001);
  EXPECT_NEAR(seconds(times.bring_back), 0.990, 0.001);
  EXPECT_NEAR(seconds(times.make_room), 0.3, 0.001);
  EXPECT_NEAR(seconds(times.reload), 4.265, 0.001);
  EXPECT_FALSE(sleep_times("unheard-of"));
}

TEST_F(Sleep, WeightsThatWereDroppedHaveToBeReloadedOrEveryAnswerIsAFailure) {
  start(sleepy());
  do_post("/sleep?level=2");
  EXPECT_TRUE(has(get("/metrics"), R"(sleep_state="discard_all"} 1)"));
  refused(500, "/collective_rpc", reload);  // there is no room for them yet
  Listener held;
  const auto call = send_later(one_token, held);
  until([&] { return engine_->engine().waiting() == 1; });
  do_post("/wake_up");
  until([&] { return held.complete; });
  EXPECT_EQ(held.status, 500);
  refused(500, completions, one_token);
  refused(500, "/v1/embeddings", R"({"input":"a"})");
  do_post("/collective_rpc", reload);
  post(completions, one_token);
}

TEST_F(Sleep, TheWholeSequenceWakesItFromLevelTwo) {
  start(sleepy());
  do_post("/sleep?level=2");
  Listener held;
  const auto call = send_later(one_token, held);
  do_post("/wake_up?tags=weights");
  do_post("/collective_rpc", reload);
  do_post("/reset_prefix_cache");
  EXPECT_TRUE(asleep());
  do_post("/wake_up?tags=kv_cache");
  until([&] { return held.complete; });
  EXPECT_EQ(held.status, 200);
}

TEST_F(Sleep, WhoRunsIsEndedThere) {
  auto options = sleepy();
  options.speed = 1;
  options.sleep = SleepTimes{};
  start(std::move(options));
  Listener streamed, whole;
  const auto one = send_later(R"({"prompt":"x","max_tokens":30000,"ignore_eos":true,"stream":true})", streamed);
  const auto other = send_later(R"({"prompt":"x","max_tokens":30000,"ignore_eos":true})", whole);
  until([&] { return engine_->engine().running() == 2 && !streamed.body.empty(); });
  do_post("/sleep");
  until([&] { return streamed.complete && whole.complete; });
  const auto list = events(streamed.body);
  EXPECT_TRUE(has(list[list.size() - 2], R"("finish_reason":"abort")")) << list[list.size() - 2];
  EXPECT_EQ(list.back(), "[DONE]");
  EXPECT_EQ(whole.status, 200);
  EXPECT_TRUE(has(whole.body, R"("finish_reason":"abort")")) << whole.body;
  EXPECT_EQ(engine_->engine().kv_blocks_used(), 0);
}

TEST_F(Sleep, WhoIsKeptGoesOnWordForWordAfterIt) {
  auto options = sleepy();
  options.speed = 20;
  start(std::move(options));
  const std::string body = R"({"prompt":"x","max_tokens":400,"ignore_eos":true})";
  const std::string undisturbed = post(completions, body);
  Listener kept;
  const auto call = send_later(body, kept);
  until([&] { return engine_->engine().running() == 1; });
  do_post("/sleep?mode=keep");
  EXPECT_FALSE(kept.complete);
  EXPECT_EQ(engine_->engine().kv_blocks_used(), 0);
  do_post("/wake_up");
  until([&] { return kept.complete; });
  const auto text = [](const std::string& all) { return all.substr(all.find(R"("text":)"), 2000); };
  EXPECT_EQ(text(kept.body), text(undisturbed));
}

TEST_F(Sleep, WhoIsWaitedForEndsBeforeIt) {
  auto options = sleepy();
  options.speed = 20;
  start(std::move(options));
  Listener first;
  const auto call = send_later(R"({"prompt":"x","max_tokens":200,"ignore_eos":true})", first);
  until([&] { return engine_->engine().running() == 1; });
  do_post("/sleep?mode=wait");
  until([&] { return first.complete; });
  EXPECT_TRUE(has(first.body, R"("completion_tokens":200)")) << first.body;
  EXPECT_TRUE(asleep());
}

TEST_F(Sleep, WhatItKnewOfPrefixesIsGone) {
  auto options = sleepy();
  options.prefix_cache = true;
  start(std::move(options));
  const std::string body = R"({"prompt":")" + std::string(1000, 'x') + R"(","max_tokens":1})";
  post(completions, body);
  EXPECT_TRUE(has(post(completions, body), R"("cached_tokens":240)"));
  do_post("/sleep");
  do_post("/wake_up");
  EXPECT_TRUE(has(post(completions, body), R"("cached_tokens":0)"));
  EXPECT_TRUE(has(post(completions, body), R"("cached_tokens":240)"));
  do_post("/reset_prefix_cache");
  EXPECT_TRUE(has(post(completions, body), R"("cached_tokens":0)"));
}

TEST_F(Sleep, LevelZeroOnlyStopsAndASecondSleepChangesNothing) {
  start(sleepy());
  do_post("/sleep?level=0");
  do_post("/sleep?level=2");
  EXPECT_TRUE(asleep());
  EXPECT_TRUE(has(get("/metrics"), R"(sleep_state="awake"} 1)"));
  do_post("/wake_up");
  do_post("/wake_up");
  post(completions, one_token);
}

TEST_F(Sleep, WhatCannotBeReadIsRefused) {
  start(sleepy());
  refused(400, "/sleep?level=3", "");
  refused(400, "/sleep?mode=never", "");
  refused(400, "/wake_up?tags=everything", "");
  refused(400, "/collective_rpc", R"({"method":"dance"})");
  refused(405, "/is_sleeping", "");
  EXPECT_FALSE(asleep());
}

}  // namespace
}  // namespace qlm::emulator

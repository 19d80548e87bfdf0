// Who may be evicted, and how an evicted request goes on: resume levels.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

constexpr ModelId a{0}, b{1};

InstanceDescription holder(ResumeLevel resume) {
  InstanceDescription d{.models = {a}, .slots = 20, .max_in_flight = 20};
  d.resume = resume;
  for (const ModelId m : {a, b}) d.holds.push_back({.model = m, .slots = 20, .bring_in = 1s, .put_away = 1s});
  return d;
}

// One request of model a runs on an instance, and so many of model b wait that it would be evicted for them.
struct Drain : World {
  explicit Drain(ResumeLevel engine, const Ask& ask = {}) : World(configuration(Policy::greedy)) {
    id = join(holder(engine));
    running = arrive(ask);
  }
  void begin() {
    for (int k = 0; k < 3; ++k) arrive({.model = 1});
    advance(1s);
  }
  std::size_t evictions() const { return all<action::Abort>().size(); }
  bool left() const { return !all<action::Swap>().empty(); }
  RequestState state() const { return controller.request(running, now)->state; }
  // The other model comes, is served, and goes again.
  void come_back() {
    feed(event::Swapped{id, b});
    for (std::uint64_t k = 2; k <= 4; ++k) complete(RequestId{k});
    advance(30s);
    feed(event::Swapped{id, a});
  }
  InstanceId id;
  RequestId running;
};

TEST(Eviction, BeforeItsFirstTokenAnyRequestCanBeginAgain) {
  Drain w(ResumeLevel::restart);
  w.begin();
  ASSERT_EQ(w.evictions(), 1u);
  w.end(w.running, event::AttemptEnd::aborted, 0);
  w.release(w.running);
  EXPECT_TRUE(w.left());
  w.come_back();
  ASSERT_EQ(w.dispatched().size(), 5u);
  EXPECT_EQ(w.dispatched().back(), w.running.value);
  EXPECT_EQ(w.controller.totals().wasted.count, 0);
}

TEST(Eviction, AStreamThatItsClientHasSomeOfIsWaitedForWhereTheEngineCannotGoOn) {
  Drain w(ResumeLevel::restart);
  w.first_token(w.running);
  w.begin();
  w.advance(5s);
  EXPECT_EQ(w.evictions(), 0u);
  EXPECT_FALSE(w.left());
  w.complete(w.running);
  EXPECT_TRUE(w.left());
}

TEST(Eviction, AStreamIsWaitedForWhereItsOwnWordsForbidToGoOn) {
  Drain w(ResumeLevel::exact, {.resume = ResumeLevel::restart});
  w.first_token(w.running);
  w.begin();
  EXPECT_EQ(w.evictions(), 0u);
}

TEST(Eviction, OneThatNobodyMayMakeTwiceIsNeverEvicted) {
  Drain w(ResumeLevel::exact, {.streaming = false, .resume = ResumeLevel::none});
  w.begin();
  EXPECT_EQ(w.evictions(), 0u);
}

TEST(Eviction, AStreamWhoseTokensAreKeptIsEvictedAtAnyTime) {
  Drain w(ResumeLevel::exact, {.prompt = 100, .max_output = Tokens{50}});
  w.first_token(w.running);
  w.begin();
  ASSERT_EQ(w.evictions(), 1u);
  w.end(w.running, event::AttemptEnd::aborted, 20);
  EXPECT_EQ(w.state(), RequestState::queued);
  EXPECT_EQ(w.controller.totals().wasted.count, 0);
}

TEST(Eviction, AnUnstreamedAnswerBeginsAgainHoweverFarItWas) {
  Drain w(ResumeLevel::restart, {.prompt = 100, .streaming = false});
  w.first_token(w.running);
  w.begin();
  ASSERT_EQ(w.evictions(), 1u);
  w.end(w.running, event::AttemptEnd::aborted, 20);
  w.release(w.running);
  w.come_back();
  ASSERT_EQ(w.dispatched().back(), w.running.value);
  w.feed(event::Ended{.key = w.attempt(w.running), .prompt = Tokens{100}, .generated = Tokens{40}, .cached = Tokens{64}});
  EXPECT_EQ(w.finished(w.running)->outcome, Outcome::completed);
  EXPECT_EQ(w.controller.totals().wasted.count, 20 + 36) << "generated and lost, and read again";
}

// The relay had begun when it was told to stop, and lets it run: the first token it tells of says so.
TEST(Eviction, AnEvictionThatComesAfterTheFirstTokenLetsItRun) {
  Drain w(ResumeLevel::restart);
  w.begin();
  ASSERT_EQ(w.evictions(), 1u);
  w.first_token(w.running);
  w.feed(event::Progress{w.attempt(w.running), Tokens{30}});
  EXPECT_EQ(w.state(), RequestState::streaming);
  w.complete(w.running);
  EXPECT_EQ(w.finished(w.running)->outcome, Outcome::completed);
  EXPECT_EQ(w.controller.totals().evictions, 0);
  EXPECT_TRUE(w.left());
}

TEST(Eviction, WhoRunsOnIsWatchedForStallsAgain) {
  Drain w(ResumeLevel::restart);
  w.begin();
  w.first_token(w.running);
  w.advance(120s);
  ASSERT_EQ(w.evictions(), 2u);
  EXPECT_EQ(w.all<action::Abort>()[1].why, action::AbortWhy::stalled);
}

TEST(Eviction, OneWhoseClientLeftMeanwhileDoesNotRunOn) {
  Drain w(ResumeLevel::restart);
  w.begin();
  w.feed(event::Cancelled{w.running});
  w.first_token(w.running);
  ASSERT_EQ(w.evictions(), 2u);
  EXPECT_EQ(w.all<action::Abort>()[1].why, action::AbortWhy::cancelled);
}

TEST(Eviction, ALevelThatFellIsHeededAndStays) {
  Drain w(ResumeLevel::exact);
  w.first_token(w.running);
  w.feed(event::ResumeFell{w.attempt(w.running), ResumeLevel::restart});
  w.feed(event::ResumeFell{w.attempt(w.running), ResumeLevel::exact});
  w.begin();
  EXPECT_EQ(w.evictions(), 0u);
}

TEST(Eviction, ALevelThatFallsAfterTheEvictionWasAskedLetsItRun) {
  Drain w(ResumeLevel::exact);
  w.first_token(w.running);
  w.begin();
  ASSERT_EQ(w.evictions(), 1u);
  w.feed(event::ResumeFell{w.attempt(w.running), ResumeLevel::restart});
  w.complete(w.running);
  EXPECT_EQ(w.finished(w.running)->outcome, Outcome::completed);
}

TEST(Eviction, WhatWasKeptGoesOnlyWhereItCanGoOn) {
  Drain w(ResumeLevel::exact);
  w.first_token(w.running);
  w.begin();
  w.end(w.running, event::AttemptEnd::aborted, 20);
  w.release(w.running);
  InstanceDescription other{.models = {a}, .slots = 4};
  const InstanceId plain = w.join(other);
  EXPECT_EQ(w.where(w.arrive()), plain) << "others are not kept waiting";
  EXPECT_EQ(w.where(w.running), w.id);
  EXPECT_EQ(w.state(), RequestState::queued);
  other.resume = ResumeLevel::exact;
  const InstanceId able = w.join(other);
  EXPECT_EQ(w.where(w.running), able);
}

TEST(Eviction, OfSeveralModelsEachGoesOnAsItsOwnEngineCan) {
  World w(configuration(Policy::greedy));
  InstanceDescription d = holder(ResumeLevel::restart);
  const InstanceId id = w.join(d);
  w.complete(w.arrive({.model = 0}));
  EXPECT_EQ(w.all<action::Dispatch>().back().resume, ResumeLevel::restart);
  w.arrive({.model = 1});
  w.advance(1s);
  w.feed(event::Swapped{id, b, HeldModel{.model = b, .slots = 20, .resume = ResumeLevel::exact}});
  EXPECT_EQ(w.all<action::Dispatch>().back().resume, ResumeLevel::exact);
}

// Ids cost the engine a little for each token; they are asked for where somebody may want the place.
TEST(Eviction, TokensAreKeptOnlyWhereSomebodyMayBeEvicted) {
  World w;
  InstanceDescription d{.models = {a}, .slots = 4};
  d.resume = ResumeLevel::exact;
  w.join(d);
  const auto level = [&](std::uint32_t service_class) {
    w.arrive({.service_class = service_class});
    return w.all<action::Dispatch>().back().resume;
  };
  EXPECT_EQ(level(1), ResumeLevel::restart) << "no class is worth more";
  EXPECT_EQ(level(2), ResumeLevel::exact);
  World turns;
  turns.join(holder(ResumeLevel::exact));
  turns.arrive({.service_class = 1});
  EXPECT_EQ(turns.all<action::Dispatch>().back().resume, ResumeLevel::exact) << "its model takes turns";
}

}  // namespace
}  // namespace qlm::testing

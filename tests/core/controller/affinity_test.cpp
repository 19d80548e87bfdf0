// Requests go where their prompts' beginnings are cached, as long as that costs nobody a deadline or a free slot.
#include <gtest/gtest.h>

#include "core/controller/prefix_index.hpp"
#include "world.hpp"

namespace qlm::testing {
namespace {

// -- marks

std::string text_of(char with, std::size_t bytes) { return std::string(bytes, with); }

PrefixMarks marks_of(std::initializer_list<std::string> pieces, std::uint64_t salt = 0) {
  PrefixMarker marker;
  for (const std::string& piece : pieces) marker.add(piece);
  return marker.marks(salt);
}

std::size_t alike(const PrefixMarks& a, const PrefixMarks& b) {
  std::size_t k = 0;
  while (k < a.count && k < b.count && a.hashes[k] == b.hashes[k]) ++k;
  return k;
}

TEST(PrefixMarks, AgreeAsFarAsTheTextsDoHoweverTheyCameInPieces) {
  const PrefixMarks whole = marks_of({text_of('a', 1000) + text_of('b', 2000)});
  EXPECT_EQ(whole.count, 7U);  // 256 384 512 768 1024 1536 2048
  EXPECT_EQ(alike(whole, marks_of({text_of('a', 3), text_of('a', 997), text_of('b', 1), text_of('b', 1999)})), whole.count);
  EXPECT_EQ(alike(whole, marks_of({text_of('a', 1000), text_of('c', 2000)})), 4U);
  EXPECT_EQ(alike(whole, marks_of({"x", text_of('a', 1000)})), 0U);
}

TEST(PrefixMarks, AreAnotherModelsOrSaltsOwn) {
  EXPECT_EQ(alike(marks_of({text_of('a', 3000)}, prefix_salt("m0")), marks_of({text_of('a', 3000)}, prefix_salt("m1"))), 0U);
  EXPECT_NE(prefix_salt("ab"), prefix_salt("ba"));
}

TEST(PrefixMarks, AreBoundedAndWhatCannotBeComparedEndsThem) {
  EXPECT_EQ(marks_of({text_of('a', 1 << 20)}).count, PrefixMarks::most);
  EXPECT_EQ(marks_of({text_of('a', 1 << 20)}).text, 1U << 20);
  PrefixMarker marker;
  marker.add(text_of('a', 600));
  marker.stop();
  marker.add(text_of('a', 10'000));
  EXPECT_EQ(marker.marks(0).count, 3U);
  EXPECT_EQ(marker.marks(0).text, 10'600U);
}

// -- the index

TEST(PrefixIndex, HoldsWhatWasUsedUntilSoMuchElseWasComputed) {
  PrefixIndex index;
  const PrefixMarks first = marks_of({text_of('a', 3000)});
  EXPECT_EQ(index.held(first, 0, 1000), 0U);
  index.used(first, 1600);
  EXPECT_EQ(index.held(first, 1600, 1000), first.count);
  EXPECT_EQ(index.held(marks_of({text_of('a', 1100), text_of('b', 5000)}), 1600, 1000), 5U);
  EXPECT_EQ(index.held(first, 2592, 1000), first.count);
  EXPECT_EQ(index.held(first, 2720, 1000), 0U);
  index.used(first, 2720);
  EXPECT_EQ(index.held(first, 2720, 1000), first.count);
  index.clear();
  EXPECT_EQ(index.held(first, 2720, 1000), 0U);
}

TEST(PrefixIndex, ForgetsTheOldestWhereThereAreTooMany) {
  PrefixIndex index;
  const auto conversation = [](int k) { return marks_of({std::to_string(k) + text_of('a', 3000)}); };
  for (int k = 0; k < 20'000; ++k) index.used(conversation(k), k * 16);
  int old = 0, recent = 0;
  for (int k = 0; k < 100; ++k) {
    old += index.held(conversation(k), 20'000 * 16, 1 << 30) > 0 ? 1 : 0;
    recent += index.held(conversation(19'999 - k), 20'000 * 16, 1 << 30) > 0 ? 1 : 0;
  }
  EXPECT_EQ(old, 0);
  EXPECT_EQ(recent, 100);
}

// -- the controller

constexpr StepTimeModel step{.base_ms = 12, .per_prefill_token_ms = 0.05, .per_sequence_ms = 0.1, .per_context_token_ms = 0.0002};

std::shared_ptr<ControllerConfiguration> by_qlm() {
  auto c = configuration(Policy::qlm);
  c->classes = {{.name = "chat", .slo = {.ttft = 20s}, .max_wait = 1h}};
  return c;
}

struct Conversations : ::testing::Test {
  explicit Conversations(std::shared_ptr<ControllerConfiguration> c = by_qlm()) : w(std::move(c)) {}

  InstanceId engine(int slots) {
    InstanceDescription d{.slots = slots, .max_in_flight = slots, .kv_capacity = Tokens{100'000}, .speed = step};
    d.models = {ModelId{0}};
    return w.join(d);
  }
  // The conversation's next turn: all that was said before, and more.
  RequestId say(char who, std::size_t turn = 1) {
    RequestDescription r{.id = RequestId{++last}, .slo = {.ttft = 20s}, .prompt = Tokens{static_cast<std::int64_t>(500 * turn)}};
    r.prefix = marks_of({text_of(who, 2000 * turn)});
    r.streaming = true;
    w.feed(event::Arrived{r});
    return r.id;
  }
  ExplainRecord dispatch_of(RequestId id) const {
    for (const ExplainRecord& e : w.controller.explain(id)) {
      if (e.decision == Decision::dispatched) return e;
    }
    return {};
  }

  World w;
  std::uint64_t last = 100;
};

TEST_F(Conversations, TheNextTurnGoesWhereTheLastOneWas) {
  engine(4);
  engine(4);
  const RequestId a = say('a'), b = say('b');
  EXPECT_NE(w.where(a), w.where(b));
  w.complete(a);
  w.complete(b);
  const RequestId b2 = say('b', 2), a2 = say('a', 2);
  EXPECT_EQ(w.where(b2), w.where(b));
  EXPECT_EQ(w.where(a2), w.where(a));
  EXPECT_EQ(dispatch_of(b2).because, ChosenFor::prefix);
  EXPECT_GE(dispatch_of(b2).cached, Tokens{300});
  EXPECT_LE(dispatch_of(b2).cached, Tokens{500});
}

TEST_F(Conversations, ATurnDoesNotWaitForTheEngineThatKnowsIt) {
  engine(1);
  engine(1);
  const RequestId a = say('a');
  w.complete(a);
  const RequestId other = say('x');
  const RequestId blocked = w.where(other) == w.where(a) ? other : say('a');
  EXPECT_EQ(w.where(blocked), w.where(a)) << "the engine that knows a is taken";
  const RequestId a2 = say('a', 2);
  EXPECT_NE(w.attempt(a2).attempt, no_attempt);
  EXPECT_NE(w.where(a2), w.where(a));
}

TEST_F(Conversations, AnEngineThatHasRoomTakesTheOneItKnowsOfThoseAsUrgent) {
  const InstanceId first = engine(1);
  const RequestId a = say('a');
  const InstanceId second = engine(1);
  const RequestId b = say('b');
  EXPECT_EQ(w.where(b), second);
  const RequestId b2 = say('b', 2), a2 = say('a', 2);  // both wait, b2 before a2
  w.complete(a);
  EXPECT_EQ(w.where(a2), first);
  w.complete(b);
  EXPECT_EQ(w.where(b2), second);
}

TEST_F(Conversations, WhoIsMuchMoreUrgentGoesFirstWhateverIsCached) {
  const InstanceId first = engine(1);
  const RequestId a = say('a');
  engine(1);
  say('b');
  const RequestId b2 = say('b', 2);
  w.advance(5s);
  const RequestId a2 = say('a', 2);
  w.complete(a);
  EXPECT_EQ(w.where(b2), first);
  EXPECT_EQ(w.attempt(a2).attempt, no_attempt);
}

TEST_F(Conversations, NobodyIsPassedOverWithoutEnd) {
  const InstanceId first = engine(1);
  RequestId a = say('a');
  engine(1);
  say('b');
  const RequestId b2 = say('b', 2);
  int passed = 0;
  while (w.attempt(b2).attempt == no_attempt && passed < 100) {
    const RequestId next = say('a', 2);
    w.complete(a);
    a = next;
    passed += w.where(b2) == first && w.attempt(b2).attempt != no_attempt ? 0 : 1;
  }
  EXPECT_GT(passed, 0);
  EXPECT_LE(passed, 4);
}

TEST_F(Conversations, AnEngineThatSaysItHadNothingIsBelievedLess) {
  const InstanceId first = engine(4);
  RequestId a = say('a');
  w.complete(a);
  Tokens expected{0};
  for (std::size_t turn = 2; turn < 20; ++turn) {
    a = say('a');
    expected = dispatch_of(a).cached;
    w.feed(event::Ended{.key = w.attempt(a), .prompt = Tokens{500}, .generated = Tokens{10}, .cached = Tokens{0}});
    w.release(a);
  }
  EXPECT_EQ(w.where(a), first);
  EXPECT_GT(expected, Tokens{0});
  EXPECT_LT(expected, Tokens{60});
}

TEST_F(Conversations, WhatAnEngineKnewIsForgottenWhenItMayHaveBeenStartedAnew) {
  const InstanceId first = engine(4);
  const RequestId a = say('a');
  w.complete(a);
  w.feed(event::ProbeAnswered{first, false, {}});
  w.advance(2s);
  w.feed(event::ProbeAnswered{first, true, {}});
  EXPECT_EQ(dispatch_of(say('a')).cached, Tokens{0});
}

struct WithoutAffinity : Conversations {
  static std::shared_ptr<ControllerConfiguration> without() {
    auto c = by_qlm();
    c->without = {Component::affinity};
    return c;
  }
  WithoutAffinity() : Conversations(without()) {}
};

TEST_F(WithoutAffinity, NothingIsExpectedToBeCached) {
  engine(4);
  engine(4);
  const RequestId a = say('a');
  w.complete(a);
  const RequestId b = say('b'), a2 = say('a', 2);
  EXPECT_EQ(w.where(b), w.where(a));
  EXPECT_NE(w.where(a2), w.where(a)) << "the emptier one";
  EXPECT_EQ(dispatch_of(a2).cached, Tokens{0});
}

}  // namespace
}  // namespace qlm::testing

// What somebody has whatever the order says: minimum shares of classes, and a little for those passed over.
#include <gtest/gtest.h>

#include "world.hpp"

namespace qlm::testing {
namespace {

constexpr std::uint32_t dear = 0, cheap = 1;

std::shared_ptr<ControllerConfiguration> two_classes(Policy policy, double min_share) {
  auto c = configuration(policy);
  c->classes.assign(2, c->classes.front());
  c->classes[dear].value = 10;
  c->classes[cheap].value = 1;
  c->classes[cheap].min_share = min_share;
  for (ServiceClass& each : c->classes) each.max_wait = 10'000h;
  return c;
}

// One after the other on one slot; how many of `service_class` there were.
int served_of(World& w, int rounds, std::uint32_t service_class, int seconds_each = 1) {
  int found = 0;
  for (int k = 0; k < rounds; ++k) {
    const RequestId id{w.dispatched().back()};
    found += w.controller.request(id, w.now)->service_class == ClassId{service_class} ? 1 : 0;
    w.first_token(id);
    for (int second = 0; second < seconds_each; ++second) {
      w.advance(1s);
      w.feed(event::Tick{});
    }
    w.complete(id);
  }
  return found;
}

TEST(Shares, AClassHasItsMinimumThoughOthersGoFirst) {
  for (const double share : {0.0, 0.25}) {
    World w(two_classes(Policy::priority, share));
    w.join(1);
    for (int k = 0; k < 200; ++k) {
      w.arrive({.service_class = dear});
      w.arrive({.service_class = cheap});
    }
    served_of(w, 10, cheap);
    EXPECT_NEAR(served_of(w, 100, cheap), 100 * share, 1);
  }
}

TEST(Shares, ASlowModelDoesNotForgetWhatItOwes) {
  World w(two_classes(Policy::priority, 0.05));
  w.join(1);
  for (int k = 0; k < 20; ++k) w.arrive({.service_class = cheap});
  for (int k = 0; k < 200; ++k) w.arrive({.service_class = dear});
  served_of(w, 80, dear);  // what is expected of an output has become what it is
  // Fifteen requests a minute, of which a twentieth is less than one.
  const int found = served_of(w, 100, cheap, 4);
  EXPECT_GE(found, 4);
  EXPECT_LE(found, 6);
}

TEST(Shares, AreOfTokensNotOfRequests) {
  World w(two_classes(Policy::priority, 0.25));
  w.join(1);
  for (int k = 0; k < 200; ++k) {
    w.arrive({.service_class = dear, .prompt = 1000});
    w.arrive({.service_class = cheap, .prompt = 4000});
  }
  served_of(w, 20, cheap);
  const int cheap_ones = served_of(w, 100, cheap);
  EXPECT_TRUE(7 <= cheap_ones && cheap_ones <= 11) << cheap_ones << ": each counts some four times as much";
}

TEST(Shares, WhatWasRefusedOrFailedDidNotUseThem) {
  World w(two_classes(Policy::priority, 0.25));
  w.config->dispatch.attempts_max = 100;
  w.join(1);
  for (int k = 0; k < 400; ++k) {
    w.arrive({.service_class = dear});
    w.arrive({.service_class = cheap});
  }
  served_of(w, 40, cheap);
  // Every try of the cheap ones but the third is refused.
  int tries = 0, found = 0;
  for (int served = 0; served < 100;) {
    const RequestId id{w.dispatched().back()};
    const bool is_cheap = w.controller.request(id, w.now)->service_class == ClassId{cheap};
    if (is_cheap && ++tries % 3 != 0) {
      w.end(id, event::AttemptEnd::refused);
      w.release(id);
      w.advance(10ms);
      continue;
    }
    found += is_cheap ? 1 : 0;
    ++served;
    w.first_token(id);
    w.advance(1s);
    w.complete(id);
  }
  EXPECT_NEAR(found, 25, 3) << "charged for what was refused, they would have half as much";
}

TEST(Shares, WhoIsOwedMostAndMustRestDoesNotHideWhoIsOwedNext) {
  auto c = two_classes(Policy::priority, 0.3);
  c->classes.push_back(c->classes[cheap]);
  constexpr std::uint32_t other = 2;
  c->classes[other].min_share = 0.2;
  World w(c);
  w.join(1);
  for (int k = 0; k < 400; ++k) w.arrive({.service_class = dear});
  w.arrive({.service_class = cheap});
  for (int k = 0; k < 100; ++k) w.arrive({.service_class = other});
  // The only one of `cheap` is refused whenever it is tried, and rests longer each time: all the while it is owed more than `other`.
  int last = 40, longest = 0;
  for (int served = 0; served < 200;) {
    const RequestId id{w.dispatched().back()};
    const ClassId of = w.controller.request(id, w.now)->service_class;
    if (of == ClassId{cheap}) {
      w.end(id, event::AttemptEnd::refused);
      w.release(id);
      continue;
    }
    if (of == ClassId{other}) last = served;
    longest = std::max(longest, served - last);
    ++served;
    w.first_token(id);
    w.advance(100ms);
    w.feed(event::Tick{});
    w.complete(id);
  }
  EXPECT_LE(longest, 10) << "one in five is theirs, while it rests for forty";
}

TEST(Shares, AreLentWhenIdleAndNotAskedBack) {
  World w(two_classes(Policy::priority, 0.25));
  w.join(1);
  for (int k = 0; k < 300; ++k) w.arrive({.service_class = dear, .max_output = Tokens{10}});
  EXPECT_EQ(served_of(w, 100, cheap), 0) << "nobody of the class is there: the others have it all";
  for (int k = 0; k < 100; ++k) w.arrive({.service_class = cheap, .max_output = Tokens{10}});
  EXPECT_NEAR(served_of(w, 40, cheap), 10, 2) << "and it has its share from now on, not that of the time before";
}

TEST(Shares, BelowCapacityOfNobodyPassedOverTheOrderIsThatOfThePolicy) {
  World w(two_classes(Policy::edf_expire, 0.5));
  w.config->classes[dear].slo.ttft = 1000s;
  w.config->classes[cheap].slo.ttft = 2000s;
  w.join(1);
  const auto arrive = [&](std::uint32_t of_class, Duration ttft, std::uint64_t id) {
    w.feed(event::Arrived{{.id = RequestId{id}, .model = ModelId{0}, .service_class = ClassId{of_class}, .slo = {.ttft = ttft}, .prompt = Tokens{10}, .streaming = true}});
  };
  for (std::uint64_t k = 0; k < 30; ++k) {
    arrive(dear, 1000s, 100 + k);
    arrive(cheap, 2000s, 200 + k);
  }
  EXPECT_EQ(served_of(w, 30, cheap), 0) << "all can be on time, the earliest deadline first";
}

TEST(Shares, UnderPriorityNothingElseChangesWhereNobodyHasAMinimum) {
  World w(two_classes(Policy::priority, 0));
  w.join(1);
  for (int k = 0; k < 50; ++k) w.arrive({.service_class = cheap});
  for (int k = 0; k < 50; ++k) w.arrive({.service_class = dear});
  served_of(w, 1, dear);
  EXPECT_EQ(served_of(w, 50, dear), 50);
}

// A second of prefill for 1,000 tokens, and almost nothing else.
constexpr StepTimeModel prefill_only{.kind = StepTimeModel::Kind::linear, .base_ms = 0.001, .per_prefill_token_ms = 1};

TEST(Shares, WhoIsLateIsServedAtSomeTimeThoughTheOverloadGoesOn) {
  World w(configuration(Policy::qlm));
  w.config->classes[0].max_wait = 10'000h;
  w.join({.id = InstanceId{0}, .name = "gpu", .models = {ModelId{0}}, .slots = 1, .speed = prefill_only});
  std::uint64_t next = 1;
  const auto arrive = [&](Duration ttft) {
    w.feed(event::Arrived{{.id = RequestId{next}, .model = ModelId{0}, .slo = {.ttft = ttft}, .prompt = Tokens{1000}, .streaming = true}});
    return RequestId{next++};
  };
  const RequestId running = arrive(60s);
  const RequestId late = arrive(500ms);  // cannot be on time: it takes a second
  w.advance(1s);
  w.complete(running);
  bool served = false;
  for (int k = 0; k < 2000 && !served; ++k) {  // twice what can be done, for as long as it takes
    arrive(60s);
    arrive(60s);
    const RequestId id{w.dispatched().back()};
    served = id == late;
    w.advance(1s);
    w.complete(id);
  }
  EXPECT_TRUE(served);
}

TEST(Shares, TheTimeKeptForAShareIsThatOfItsTokensAmongThoseServedNotAmongAllThatAreAskedFor) {
  constexpr std::uint32_t guaranteed = cheap, hopeless = 2;
  auto c = configuration(Policy::qlm);
  c->classes.assign(3, c->classes.front());
  c->classes[dear].value = 10;
  c->classes[guaranteed].min_share = 0.25;
  c->classes[hopeless].value = 0.001;
  for (ServiceClass& each : c->classes) each.slo.ttft = 60s;
  World w(c);
  // A prompt of 1,000 takes a second, and an output of 256 two and a half.
  w.join({.id = InstanceId{0}, .name = "gpu", .models = {ModelId{0}}, .slots = 1,
          .speed = StepTimeModel{.kind = StepTimeModel::Kind::linear, .base_ms = 10, .per_prefill_token_ms = 1}});
  const auto arrive = [&](std::uint32_t of_class) {
    return w.arrive({.service_class = of_class, .prompt = of_class == hopeless ? 16 : 1000});
  };
  const auto serve = [&] {
    const RequestId id{w.dispatched().back()};
    const bool long_output = w.controller.request(id, w.now)->service_class == ClassId{hopeless};
    w.advance(long_output ? 26ms : 1010ms);
    w.first_token(id);
    w.advance(long_output ? 2550ms : 0ms);
    w.end(id, event::AttemptEnd::complete, long_output ? 256 : 1);
    w.release(id);
  };
  for (int k = 0; k < 60; ++k) {
    arrive(k % 2 == 0 ? guaranteed : hopeless);
    serve();
  }
  const Instant began = w.now;
  for (int k = 0; w.now < began + 300s;) {
    while (w.now >= began + std::chrono::seconds(k)) {
      arrive(dear);
      arrive(guaranteed);
      for (int h = 0; h < 5; ++h) arrive(hopeless);
      ++k;
    }
    serve();
  }
  // As much was asked for of the two.
  double admitted[2] = {0, 0};
  const auto picture = w.controller.picture();
  for (const GroupPicture& group : picture.models.front().groups) {
    if (group.service_class != ClassId{hopeless} && !group.priced_out) admitted[group.service_class.index()] = group.admitted;
  }
  EXPECT_NEAR(admitted[guaranteed] / (admitted[guaranteed] + admitted[dear]), 0.25, 0.04);
}

}  // namespace
}  // namespace qlm::testing

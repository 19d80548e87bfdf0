// Who is ahead of a waiting request and what binds, and the plan as a page of text.
#include <gtest/gtest.h>

#include "core/domain/names.hpp"
#include "world.hpp"

namespace qlm::testing {
namespace {

std::string said(const Standing& s) {
  std::string text(name(s.phase));
  for (const Standing::Ahead& a : s.ahead) {
    text += " | " + std::to_string(a.requests) + " of class " + std::to_string(a.service_class.value) + " " + std::string(name(a.phase));
  }
  for (const InstancePicture& i : s.instances) text += " | " + i.name + ": " + std::string(name(i.binding));
  return text;
}

TEST(Picture, AWaitingRequestsStandingSaysWhoIsBeforeItByClassAndWhatBinds) {
  World w;
  w.join({.name = "gpu", .models = {ModelId{0}}, .slots = 1, .drops_queued = false});
  const RequestId running = w.arrive();
  const RequestId first = w.arrive({.service_class = 1});
  w.arrive({.service_class = 2});
  w.arrive({.service_class = 1});
  const RequestId last = w.arrive({.service_class = 2});
  EXPECT_EQ(said(*w.controller.standing(first)), "kept | gpu: slots");
  EXPECT_EQ(said(*w.controller.standing(last)), "kept | 2 of class 1 kept | 1 of class 2 kept | gpu: slots");
  EXPECT_FALSE(w.controller.standing(running));
  EXPECT_EQ(w.controller.request(last, w.now)->position, 3);
}

TEST(Picture, MemoryAndModelsThatAreNotThereAreToldFromSlots) {
  World w;
  w.join({.name = "small", .models = {ModelId{0}}, .slots = 10, .kv_capacity = Tokens{1000}});
  InstanceDescription other{.name = "other", .models = {ModelId{1}}, .slots = 10};
  for (const std::uint32_t m : {0u, 1u}) other.holds.push_back({.model = ModelId{m}, .slots = 10});
  w.join(other);
  w.arrive({.prompt = 700});
  const RequestId waits = w.arrive({.prompt = 700});
  EXPECT_EQ(said(*w.controller.standing(waits)), "kept | small: memory | other: model_absent");
}

TEST(Picture, WhoIsLateStandsBehindAllThatCanBeOnTime) {
  auto c = configuration(Policy::edf_expire);
  for (ServiceClass& each : c->classes) each.slo.ttft = 10s;
  World w(c);
  w.join({.name = "gpu", .models = {ModelId{0}}, .slots = 1, .drops_queued = false});
  const auto ask = [&](std::uint64_t id) {
    w.feed(event::Arrived{{.id = RequestId{id}, .model = ModelId{0}, .slo = {.ttft = 10s}, .prompt = Tokens{10}, .streaming = true}});
    return RequestId{id};
  };
  const RequestId running = ask(100), late = ask(101);
  w.advance(11s);
  const RequestId next = ask(102);
  ask(103);
  w.complete(running);
  EXPECT_EQ(w.dispatched().back(), next.value);
  EXPECT_EQ(said(*w.controller.standing(late)), "late | 1 of class 0 kept | gpu: slots");
}

TEST(Picture, ThePlanIsAPageThatAReaderCanFollow) {
  World w(configuration(Policy::greedy));
  InstanceDescription d{.name = "gpu", .slots = 20, .max_in_flight = 20};
  d.models = {ModelId{0}};
  for (const std::uint32_t m : {0u, 1u}) {
    d.holds.push_back({.model = ModelId{m}, .speed = StepTimeModel{.base_ms = 10}, .slots = 20, .bring_in = 1s, .put_away = 1s});
  }
  w.join(d);
  for (int k = 0; k < 3; ++k) w.arrive({.model = 0, .service_class = 1});
  w.arrive({.model = 1, .service_class = 2, .prompt = 70});
  w.advance(1s);
  EXPECT_EQ(to_text(w.controller.picture(), *w.config), R"(policy greedy

instance gpu: nothing new, swapping to m1; 3 of 20 in flight; takes no more: swapping

queue of m1
  1. batch: 1 kept; 326 tokens; next due in 3599.0 s
)");
  EXPECT_EQ(to_text(World().controller.picture(), *w.config), "policy fcfs\n\nnobody waits\n");
}

TEST(Picture, VisitsAndWhoWasGivenUpAreWrittenOut) {
  auto names = configuration(Policy::qlm);
  names->models = {"a", "b"};
  Picture p{.at = Instant{} + 10s, .policy = Policy::qlm, .plan_age = 1200ms, .models = {}, .instances = {}};
  p.instances = {{.id = InstanceId{0}, .name = "gpu", .binding = Binding::slots, .in_flight = 8, .room = 8, .kv = Tokens{900},
                  .kv_capacity = Tokens{4000}, .serves = {ModelId{0}}, .next = {},
                  .visits = {{ModelId{0}, Instant{} + 14s}, {ModelId{1}, never}}}};
  p.models = {{.model = ModelId{0},
               .groups = {{.service_class = ClassId{0}, .prompts_from = 64, .kept = 2, .given_up = 3, .late = 1, .tokens = Tokens{77}, .due = -50ms, .admitted = 0.25},
                          {.service_class = ClassId{0}, .priced_out = true, .given_up = 9, .tokens = Tokens{5}}},
               .priced = true}};
  EXPECT_EQ(to_text(p, *names), R"(policy qlm, plan made 1.2 s ago

instance gpu: a; 8 of 8 in flight, memory 900 of 4000 tokens; takes no more: slots
  a from now until in 4.0 s
  b from in 4.0 s on

queue of a: the load leaves no room for some of it
  1. standard, prompts from 64: 2 kept, 3 given up, 1 late; 77 tokens; next due in 0.0 s; 25 % of new ones are kept
  2. standard: 0 kept, 9 given up for their price; 5 tokens
)");
}

}  // namespace
}  // namespace qlm::testing

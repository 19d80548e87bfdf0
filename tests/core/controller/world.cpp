#include "world.hpp"

#include <gtest/gtest.h>

namespace qlm::testing {

std::shared_ptr<ControllerConfiguration> configuration(Policy policy) {
  auto c = std::make_shared<ControllerConfiguration>();
  c->policy = policy;
  c->classes = {
      {.name = "standard"},
      {.name = "interactive", .slo = {.ttft = 2s}, .value = 10, .max_wait = 60s},
      {.name = "batch", .slo = {.e2e = 1h}, .value = 1, .max_wait = 24h},
      {.name = "strict", .slo = {.ttft = 2s}, .value = 5, .max_wait = 60s, .when_late = WhenLate::reject},
      {.name = "lowering", .slo = {.ttft = 2s}, .when_late = WhenLate::downgrade, .downgrade_to = ClassId{2}},
      {.name = "durable", .slo = {.e2e = 1h}, .durable = true},
  };
  c->tenants = {{.name = "a"}, {.name = "b"}};
  c->models = {"m0", "m1"};
  c->dispatch.allowance = 0;
  return c;
}

World::World(std::shared_ptr<ControllerConfiguration> c) : config(std::move(c)), controller(config, 4096) {}

void World::feed(Event event) {
  if (const auto* arrived = std::get_if<event::Arrived>(&event)) prompts_[arrived->request.id.value] = arrived->request.prompt;
  controller.handle(event, now, actions);
  const std::string broken = controller.check_invariants();
  EXPECT_TRUE(broken.empty()) << broken;
}

void World::advance(Duration by) {
  const Instant end = now + by;
  for (int ticks = 0; controller.next_wake() <= end; ++ticks) {
    ASSERT_LT(ticks, 10'000) << "the controller wakes itself without end";
    now = std::max(now, controller.next_wake());
    feed(event::Tick{});
  }
  now = end;
}

RequestId World::arrive(const Ask& ask) {
  const RequestId id{next_request_++};
  const ClassId c{ask.service_class};
  feed(event::Arrived{{.id = id,
                       .model = ModelId{ask.model},
                       .service_class = c,
                       .tenant = TenantId{ask.tenant},
                       .slo = ask.slo.value_or(config->classes[c.index()].slo),
                       .prompt = Tokens{ask.prompt},
                       .max_output = ask.max_output,
                       .body = ask.body,
                       .client_timeout = ask.client_timeout,
                       .streaming = ask.streaming,
                       .resume = ask.resume}});
  return id;
}

InstanceId World::join(int slots, std::vector<std::uint32_t> models) {
  InstanceDescription d{.name = "i" + std::to_string(next_instance_), .slots = slots};
  for (std::uint32_t m : models) d.models.push_back(ModelId{m});
  return join(d);
}

InstanceId World::join(InstanceDescription description) {
  description.id = InstanceId{next_instance_++};
  feed(event::InstanceJoined{description});
  return description.id;
}

AttemptKey World::attempt(RequestId id) const {
  AttemptKey key{id, no_attempt};
  for (const auto& d : all<action::Dispatch>()) {
    if (d.key.request == id) key = d.key;
  }
  return key;
}

InstanceId World::where(RequestId id) const {
  InstanceId instance{};
  for (const auto& d : all<action::Dispatch>()) {
    if (d.key.request == id) instance = d.instance;
  }
  return instance;
}

void World::end(RequestId id, event::AttemptEnd how, std::int64_t generated) {
  const bool counted = how == event::AttemptEnd::complete;
  feed(event::Ended{.key = attempt(id),
                    .end = how,
                    .prompt = counted ? prompts_[id.value] : Tokens{0},
                    .generated = Tokens{counted || how == event::AttemptEnd::aborted ? generated : 0}});
}

std::vector<std::uint64_t> World::dispatched() const {
  std::vector<std::uint64_t> ids;
  for (const auto& d : all<action::Dispatch>()) ids.push_back(d.key.request.value);
  return ids;
}

std::optional<action::Reject> World::rejection(RequestId id) const {
  std::optional<action::Reject> found;
  for (const auto& r : all<action::Reject>()) {
    if (r.request != id) continue;
    EXPECT_FALSE(found) << "rejected twice";
    found = r;
  }
  return found;
}

std::optional<action::Finish> World::finished(RequestId id) const {
  std::optional<action::Finish> found;
  for (const auto& f : all<action::Finish>()) {
    if (f.request != id) continue;
    EXPECT_FALSE(found) << "finished twice";
    found = f;
  }
  return found;
}

}  // namespace qlm::testing

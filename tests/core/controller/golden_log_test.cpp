// A decision log that a reader can follow, word for word: two models by turns on one instance, a drain, an eviction,
// swaps there and back. Whoever changes a rule sees here what it changes.
#include <gtest/gtest.h>

#include <cstdio>

#include "core/domain/names.hpp"
#include "world.hpp"

namespace qlm::testing {
namespace {

std::string line_of(const ExplainRecord& r, Instant from) {
  char time[32];
  std::snprintf(time, sizeof time, "%6.2f  ", seconds(r.at - from));
  std::string line = time + std::string(name(r.decision));
  if (r.request.value != 0) line += " request " + std::to_string(r.request.value);
  if (r.attempt != no_attempt) line += " attempt " + std::to_string(static_cast<int>(r.attempt.value));
  if (r.model) line += r.model == ModelId{0} ? " model a" : " model b";
  if (r.reason != Reason::none) line += ": " + std::string(name(r.reason));
  const bool counts = r.decision == Decision::admitted || r.decision == Decision::dispatched || r.decision == Decision::swap_decided ||
                      r.decision == Decision::evicted;
  if (counts) line += " (" + std::to_string(r.count) + ")";
  return line;
}

std::string log_of(const World& w, Instant from) {
  std::string text;
  for (const ExplainRecord& r : w.controller.recent(1000)) text += line_of(r, from) + "\n";
  return text;
}

TEST(GoldenLog, TwoModelsByTurns) {
  World w(configuration(Policy::greedy));
  const Instant from = w.now;
  InstanceDescription d{.slots = 20, .max_in_flight = 20};
  d.resume = ResumeLevel::exact;
  d.models = {ModelId{0}};
  for (const std::uint32_t m : {0u, 1u}) {
    d.holds.push_back({.model = ModelId{m}, .speed = StepTimeModel{.base_ms = 10}, .slots = 20, .bring_in = 1s, .put_away = 1s});
  }
  const InstanceId id = w.join(d);

  std::vector<RequestId> of_a;
  for (int k = 0; k < 3; ++k) of_a.push_back(w.arrive({.model = 0, .service_class = 2}));
  for (const RequestId r : of_a) w.first_token(r);
  std::vector<RequestId> of_b;  // nobody of a waits: a is left for b
  for (int k = 0; k < 3; ++k) of_b.push_back(w.arrive({.model = 1, .service_class = 2}));
  w.advance(1s);
  w.complete(of_a[0]);  // two are left, a tenth of the slots, and three wait: evicted
  for (const std::size_t k : {1u, 2u}) {
    w.end(of_a[k], event::AttemptEnd::aborted, 12);
    w.release(of_a[k]);
  }
  w.advance(2s);
  w.feed(event::Swapped{id, ModelId{1}});
  for (const RequestId r : of_b) w.first_token(r);
  for (const RequestId r : of_b) w.complete(r);
  w.advance(1s);
  w.feed(event::Swapped{id, ModelId{0}});  // the evicted ones go on
  for (const std::size_t k : {1u, 2u}) {
    w.first_token(of_a[k]);
    w.complete(of_a[k]);
  }
  EXPECT_EQ(log_of(w, from), R"(  0.00  admitted request 1 (0)
  0.00  dispatched request 1 attempt 1 (0)
  0.00  admitted request 2 (0)
  0.00  dispatched request 2 attempt 1 (0)
  0.00  admitted request 3 (0)
  0.00  dispatched request 3 attempt 1 (0)
  0.00  first_token request 1 attempt 1
  0.00  first_token request 2 attempt 1
  0.00  first_token request 3 attempt 1
  0.00  admitted request 4 (0)
  0.00  admitted request 5 (1)
  0.00  admitted request 6 (2)
  0.50  swap_decided model b (3)
  1.00  completed request 1 attempt 1
  1.00  abort_asked request 3 attempt 1
  1.00  abort_asked request 2 attempt 1
  1.00  evicted request 2 attempt 1 (12)
  1.00  evicted request 3 attempt 1 (12)
  3.00  swapped model b
  3.00  dispatched request 4 attempt 1 (2)
  3.00  dispatched request 5 attempt 1 (1)
  3.00  dispatched request 6 attempt 1 (0)
  3.00  first_token request 4 attempt 1
  3.00  first_token request 5 attempt 1
  3.00  first_token request 6 attempt 1
  3.00  completed request 4 attempt 1
  3.00  completed request 5 attempt 1
  3.00  completed request 6 attempt 1
  3.50  swap_decided model a (0)
  4.00  swapped model a
  4.00  dispatched request 2 attempt 2 (1)
  4.00  dispatched request 3 attempt 2 (0)
  4.00  first_token request 2 attempt 2
  4.00  completed request 2 attempt 2
  4.00  first_token request 3 attempt 2
  4.00  completed request 3 attempt 2
)");
}

}  // namespace
}  // namespace qlm::testing

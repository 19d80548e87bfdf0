#include "core/plan/fleet_plan.hpp"

#include <gtest/gtest.h>

namespace qlm {
namespace {

constexpr ModelId a{0}, b{1};
constexpr ClassId hurried{0}, patient{1};
constexpr Instant now{Duration{1'000s}};

// An instance that serves a, ten starts a second; a few of it wait, many come; some of b can wait for ten minutes.
Snapshot busy_with_a(Duration slack) {
  InstanceSummary i{.instance = InstanceId{0}, .in_flight = 20, .limit = 20, .available = true, .resident = a, .free_at = {}, .holds = {}};
  for (const ModelId m : {a, b}) i.holds.push_back({.model = m, .per_second = 10, .drain = 2s, .put_away = 1s, .bring_in = 1s, .residence = 2s});
  return {.version = SnapshotVersion{7}, .taken = now, .policy = Policy::qlm, .models = 2,
          .groups = {{.model = a, .service_class = hurried, .value = 10, .requests = 10, .due = slack, .first = slack},
                     {.model = b, .service_class = patient, .value = 1, .requests = 60, .due = 600s, .first = 600s}},
          .streams = {{.model = a, .service_class = hurried, .value = 10, .per_second = 8, .slack = slack}},
          .outputs = {{100, 0}, {100, 0}}, .instances = {i}};
}

TEST(FleetPlan, WhoeverWillComeAndCannotWaitCountsThoughAllWhoWaitCouldBeServed) {
  const auto until = [](Duration slack) { return plan_fleet(busy_with_a(slack), {}, {}).instances.at(0).visits.at(0).until; };
  EXPECT_LT(until(300s), now + 30s) << "those who can wait until a is back need not be foreseen";
  EXPECT_GT(until(8s), now + 60s);
}

TEST(FleetPlan, APlanSaysWhatItWasMadeFrom) {
  for (const Duration slack : {8s, 300s}) EXPECT_EQ(plan_fleet(busy_with_a(slack), {}, {}).made_from, SnapshotVersion{7});
}

}  // namespace
}  // namespace qlm

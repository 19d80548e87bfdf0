#include "core/plan/fair_parts.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/prng.hpp"

namespace qlm {
namespace {

TEST(FairParts, WhoAsksForLittleHasItAndTheOthersShareTheRest) {
  const FairClaim claims[] = {{.demand = 100}, {.demand = 10}, {.demand = 60}};
  const FairParts fair = fair_parts(claims, 90);
  EXPECT_NEAR(fair.parts[0], 40, 1e-6);
  EXPECT_NEAR(fair.parts[1], 10, 1e-6);
  EXPECT_NEAR(fair.parts[2], 40, 1e-6);
}

TEST(FairParts, FollowWeights) {
  const FairClaim claims[] = {{.weight = 2, .demand = 100}, {.weight = 1, .demand = 100}};
  const FairParts fair = fair_parts(claims, 90);
  EXPECT_NEAR(fair.parts[0], 60, 1e-6);
  EXPECT_NEAR(fair.parts[1], 30, 1e-6);
}

TEST(FairParts, AreOfTokensWhateverTheyCost) {
  const FairClaim claims[] = {{.demand = 100, .cost = 2}, {.demand = 100, .cost = 1}};
  const FairParts fair = fair_parts(claims, 90);
  EXPECT_NEAR(fair.parts[0], 30, 1e-6);
  EXPECT_NEAR(fair.parts[1], 30, 1e-6);
}

TEST(FairParts, WhoIsOwedHasMoreUntilItIsEven) {
  const FairClaim claims[] = {{.demand = 100, .owed = -5}, {.demand = 100, .owed = 5}};
  const FairParts fair = fair_parts(claims, 90);
  EXPECT_NEAR(fair.parts[0], 40, 1e-6);
  EXPECT_NEAR(fair.parts[1], 50, 1e-6);
}

TEST(FairParts, GiveOutAllThereIsAndNobodyMoreThanItAsksFor) {
  Prng prng(3);
  for (int round = 0; round < 1000; ++round) {
    std::vector<FairClaim> claims(1 + prng.below(6));
    double wanted = 0;
    for (FairClaim& c : claims) {
      c = {.weight = 0.1 + prng.uniform(), .demand = prng.uniform(), .cost = 0.1 + prng.uniform(), .owed = prng.uniform() - 0.5};
      wanted += c.demand * c.cost;
    }
    const double room = prng.uniform() * 2;
    const FairParts fair = fair_parts(claims, room);
    double given = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      EXPECT_TRUE(fair.parts[i] >= 0 && fair.parts[i] <= claims[i].demand);
      given += fair.parts[i] * claims[i].cost;
    }
    EXPECT_NEAR(given, std::min(room, wanted), 1e-6);
  }
}

}  // namespace
}  // namespace qlm

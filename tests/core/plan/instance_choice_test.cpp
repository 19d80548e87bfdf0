#include "core/plan/instance_choice.hpp"

#include <gtest/gtest.h>

#include <array>

namespace qlm {
namespace {

constexpr StepTimeModel fast{.base_ms = 12, .per_prefill_token_ms = 0.05, .per_sequence_ms = 0.1, .per_context_token_ms = 0.0002};
constexpr StepTimeModel slow{.base_ms = 36, .per_prefill_token_ms = 0.2, .per_sequence_ms = 0.25, .per_context_token_ms = 0.0002};

InstanceOffer offer(const StepTimeModel* step, int running, std::int64_t cached = 0) {
  return {.step = step, .running = running, .room = 64, .held = Tokens{running * 500}, .cached = Tokens{cached}};
}
constexpr ChoiceFacts asked{.prompt = Tokens{2000}, .output = 200};

TEST(InstanceChoice, WithoutSpeedsTheLeastLoadedForItsSizeAndTheFirstAmongEquals) {
  std::array offers{offer(nullptr, 3), offer(nullptr, 2), offer(nullptr, 2)};
  EXPECT_EQ(choose_instance(asked, offers).index, 1U);
  offers[0].room = 1000;
  EXPECT_EQ(choose_instance(asked, offers).index, 0U);
  EXPECT_EQ(choose_instance(asked, offers).why, ChosenFor::least_loaded);
}

TEST(InstanceChoice, WithoutSpeedsAPrefixIsWorthALittleLoadAndNotAnyLoad) {
  std::array offers{offer(nullptr, 4, 1900), offer(nullptr, 3)};
  EXPECT_EQ(choose_instance(asked, offers).index, 0U);
  EXPECT_EQ(choose_instance(asked, offers).why, ChosenFor::prefix);
  offers[0].running = 40;
  EXPECT_EQ(choose_instance(asked, offers).index, 1U);
  EXPECT_EQ(choose_instance(asked, offers).why, ChosenFor::least_loaded);
}

TEST(InstanceChoice, OfAlikeOnesTheEmptierAndThenTheFirst) {
  EXPECT_EQ(choose_instance(asked, std::array{offer(&fast, 5), offer(&fast, 5)}).index, 0U);
  EXPECT_EQ(choose_instance(asked, std::array{offer(&fast, 5), offer(&fast, 4)}).index, 1U);
}

TEST(InstanceChoice, WhatIsCachedIsWeighedInSecondsAgainstWhoWaitsForIt) {
  const std::array held{offer(&fast, 12, 1900), offer(&fast, 10)};
  EXPECT_EQ(choose_instance(asked, held).index, 0U);
  EXPECT_EQ(choose_instance(asked, held).why, ChosenFor::prefix);
  const std::array crowded{offer(&fast, 60, 1900), offer(&fast, 10)};
  EXPECT_EQ(choose_instance(asked, crowded).index, 1U);
}

TEST(InstanceChoice, AFastInstanceIsTakenUntilItsRequestsLoseMoreThanTheSlowOneCosts) {
  EXPECT_EQ(choose_instance(asked, std::array{offer(&slow, 0), offer(&fast, 0)}).index, 1U);
  EXPECT_EQ(choose_instance(asked, std::array{offer(&slow, 0), offer(&fast, 63)}).index, 0U);
}

TEST(InstanceChoice, AnInstanceThatShowedItselfSlowIsTakenForOne) {
  std::array offers{offer(&fast, 4), offer(&fast, 5)};
  EXPECT_EQ(choose_instance(asked, offers).index, 0U);
  offers[0].scale = 2;
  EXPECT_EQ(choose_instance(asked, offers).index, 1U);
}

TEST(InstanceChoice, WhoHasTimeLeavesTheFastOneFreeUnlessTheSlowOneCannotKeepItsPace) {
  ChoiceFacts patient = asked;
  patient.patient = true;
  const std::array offers{offer(&fast, 0), offer(&slow, 10)};
  EXPECT_EQ(choose_instance(asked, offers).index, 0U);
  EXPECT_EQ(choose_instance(patient, offers).index, 1U);
  EXPECT_EQ(choose_instance(patient, offers).why, ChosenFor::slower_suffices);
  patient.tpot = 40ms;
  EXPECT_EQ(choose_instance(patient, offers).index, 0U);
}

TEST(InstanceChoice, WhoHasTimeDoesNotLeaveWhatIsCachedForItElsewhere) {
  ChoiceFacts patient = asked;
  patient.patient = true;
  EXPECT_EQ(choose_instance(patient, std::array{offer(&fast, 0, 1900), offer(&slow, 0)}).index, 0U);
}

TEST(InstanceChoice, OnlyWhereItIsOnTimeAndWhereItIsNowhereTheSoonest) {
  ChoiceFacts urgent = asked;
  urgent.first_token_within = 300ms;  // the slow one's prefill alone takes 400 ms
  EXPECT_EQ(choose_instance(urgent, std::array{offer(&slow, 0), offer(&fast, 63)}).index, 1U);
  urgent.first_token_within = 10ms;
  const auto nowhere = choose_instance(urgent, std::array{offer(&slow, 0), offer(&fast, 63)});
  EXPECT_EQ(nowhere.index, 1U);
  EXPECT_EQ(nowhere.why, ChosenFor::soonest);
}

TEST(InstanceChoice, ACanaryFliesBeforeAllOthers) {
  std::array offers{offer(&fast, 0, 1900), offer(&slow, 0)};
  offers[1].canary = true;
  EXPECT_EQ(choose_instance(asked, offers).index, 1U);
  EXPECT_EQ(choose_instance(asked, offers).why, ChosenFor::canary);
}

}  // namespace
}  // namespace qlm

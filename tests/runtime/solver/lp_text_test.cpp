// The LP text that solvers are given, and what is taken for a solution and what is not.
#include "runtime/solver/lp_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace qlm::solver {
namespace {

using lp::infinite;
using lp::Program;
using lp::Status;
using testing::HasSubstr;

// Knapsack: the most of 5 x0 + 4 x1 + 3 x2 where 2 x0 + 3 x1 + x2 <= 5, all at most 1, x0 and x1 whole.
Program knapsack() {
  Program program;
  program.add({.cost = -5, .upper = 1, .integer = true});
  program.add({.cost = -4, .upper = 1, .integer = true});
  program.add({.cost = -3, .upper = 1});
  program.rows.push_back({.upper = 5, .terms = {{0, 2}, {1, 3}, {2, 1}}});
  return program;
}

std::string wrong_with(const Program& program) {
  const auto text = lp_text(program);
  return text ? "" : text.error().message;
}

std::string wrong_with(std::string_view solution) {
  const auto read = read_solution(solution, knapsack());
  return read ? "" : read.error().message;
}

TEST(LpText, AProgramReadsAsItIsMeant) {
  Program program = knapsack();
  program.add({.cost = 0.1, .lower = -infinite});
  program.add({.lower = 2, .upper = 2});
  program.add({.lower = -infinite, .upper = 7.5});
  program.rows.push_back({.lower = 1, .upper = 4, .terms = {{3, 1}, {0, -1}, {3, 1e-7}}});
  program.rows.push_back({.lower = 3, .upper = 3, .terms = {{2, 1}}});
  EXPECT_EQ(lp_text(program).value_or(""),
            "Minimize\n"
            " cost: - 5 x0 - 4 x1 - 3 x2 + 0.1 x3 + 0 x4 + 0 x5\n"
            "Subject To\n"
            " r0: 2 x0 + 3 x1 + 1 x2 <= 5\n"
            " r1: - 1 x0 + 1.0000001 x3 >= 1\n"
            " r1u: - 1 x0 + 1.0000001 x3 <= 4\n"
            " r2: 1 x2 = 3\n"
            "Bounds\n"
            " 0 <= x0 <= 1\n"
            " 0 <= x1 <= 1\n"
            " 0 <= x2 <= 1\n"
            " x3 free\n"
            " x4 = 2\n"
            " -inf <= x5 <= 7.5\n"
            "Generals\n"
            " x0\n"
            " x1\n"
            "End\n");
}

TEST(LpText, LinesStayShortHoweverManyVariables) {
  Program program;
  for (int i = 0; i < 1000; ++i) program.add({.cost = -1.2345678901234567e-300});
  std::size_t longest = 0;
  const std::string text = lp_text(program).value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    longest = std::max(longest, end - at);
    at = end + 1;
  }
  EXPECT_LT(longest, 600U);
}

TEST(LpText, AProgramThatMakesNoSenseIsNamedByItsVariableOrRow) {
  EXPECT_THAT(wrong_with(Program{}), HasSubstr("no variables"));
  Program cost = knapsack();
  cost.variables[1].cost = std::nan("");
  EXPECT_THAT(wrong_with(cost), HasSubstr("x1: its cost is nan"));
  Program crossed = knapsack();
  crossed.variables[2].lower = 2;
  EXPECT_THAT(wrong_with(crossed), HasSubstr("x2: no value lies between 2 and 1"));
  Program row = knapsack();
  row.rows[0].lower = 6;
  EXPECT_THAT(wrong_with(row), HasSubstr("r0: no value lies between 6 and 5"));
  Program nobody = knapsack();
  nobody.rows[0].terms.push_back({3, 1});
  EXPECT_THAT(wrong_with(nobody), HasSubstr("r0: names x3, and there are 3 variables"));
  Program endless = knapsack();
  endless.rows[0].terms[0].coefficient = infinite;
  EXPECT_THAT(wrong_with(endless), HasSubstr("the coefficient of x0 is inf"));
}

TEST(ReadSolution, CbcsIsRead) {
  const auto read = read_solution(
      "Optimal - objective value -8.00000000\n"
      "      0 x0                     1                      -5\n"
      "      2 x2                     1                      -3\n",
      knapsack());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->status, Status::optimal);
  EXPECT_EQ(read->values, (std::vector<double>{1, 0, 1}));
  EXPECT_DOUBLE_EQ(read->objective, -8);
}

TEST(ReadSolution, ClpsIsRead) {
  Program program = knapsack();
  for (auto& variable : program.variables) variable.integer = false;
  const auto read = read_solution(
      "optimal\n"
      "Objective value         -10.66666667\n"
      "      0 x0                     1                      -5\n"
      "      1 x1            0.66666667                       0\n"
      "      2 x2                     1                      -3\n",
      program);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->status, Status::optimal);
  EXPECT_NEAR(read->objective, -32.0 / 3, 1e-6);
}

TEST(ReadSolution, ThePlainFormIsReadWithAndWithoutAStatus) {
  const auto with = read_solution("optimal\r\n# by hand\nx2 1\nx1 1 # whole\n", knapsack());
  ASSERT_TRUE(with) << with.error().message;
  EXPECT_EQ(with->status, Status::optimal);
  EXPECT_EQ(with->values, (std::vector<double>{0, 1, 1}));
  const auto without = read_solution("# Objective value = -5\nx0 1\nx1 0\nx2 0\n", knapsack());
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_EQ(without->status, Status::feasible);
  EXPECT_DOUBLE_EQ(without->objective, -5);
}

TEST(ReadSolution, AProgramWithoutASolutionIsNoError) {
  const auto status = [](std::string_view text) {
    const auto read = read_solution(text, knapsack());
    return read ? read->status : Status::optimal;
  };
  EXPECT_EQ(status("Infeasible - objective value 0.00000000\n      0 x0   0.5   0\n"), Status::infeasible);
  EXPECT_EQ(status("Integer infeasible - objective value 7.0\n"), Status::infeasible);
  EXPECT_EQ(status("Unbounded - objective value -1e50\n"), Status::unbounded);
  EXPECT_EQ(status("infeasible\n"), Status::infeasible);
  EXPECT_EQ(status("unbounded\n"), Status::unbounded);
  EXPECT_EQ(status("stopped\n"), Status::stopped);
}

TEST(ReadSolution, WhatCbcHadWhenItWasStoppedIsASolutionUnlessItIsTheRelaxations) {
  const auto stopped = read_solution("Stopped on nodes - objective value -5.00000000\n  0 x0  1  -5\n", knapsack());
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_EQ(stopped->status, Status::feasible);
  const auto relaxation = read_solution(
      "Stopped on time (no integer solution - continuous used) - objective value -10.6\n"
      "  0 x0  1  -5\n  1 x1  0.66666667  0\n  2 x2  1  0\n",
      knapsack());
  ASSERT_TRUE(relaxation) << relaxation.error().message;
  EXPECT_EQ(relaxation->status, Status::stopped);
  EXPECT_TRUE(relaxation->values.empty());
}

TEST(ReadSolution, GarbageIsSaidToBe) {
  EXPECT_THAT(wrong_with(""), HasSubstr("empty"));
  EXPECT_THAT(wrong_with("\n# nothing\n"), HasSubstr("empty"));
  EXPECT_THAT(wrong_with("Segmentation fault\n"), HasSubstr("'Segmentation fault'"));
  EXPECT_THAT(wrong_with("optimal\nx0 one\n"), HasSubstr("'x0 one'"));
  EXPECT_THAT(wrong_with("optimal\nx0 nan\n"), HasSubstr("'x0 nan'"));
  EXPECT_THAT(wrong_with("optimal\nx0 1 2 3 4\n"), HasSubstr("'x0 1 2 3 4'"));
  EXPECT_THAT(wrong_with("optimal\nx\x01 1\n"), HasSubstr("'x? 1'"));
  EXPECT_THAT(wrong_with("optimal\nx3 1\n"), HasSubstr("not in the program"));
  EXPECT_THAT(wrong_with("optimal\nx0 1\nx0 1\n"), HasSubstr("twice"));
}

TEST(ReadSolution, ASolutionThatBreaksTheProgramIsNone) {
  EXPECT_THAT(wrong_with("optimal\nx0 0.5\n"), HasSubstr("x0 = 0.5"));
  EXPECT_THAT(wrong_with("optimal\nx2 1.01\n"), HasSubstr("x2 = 1.01"));
  EXPECT_THAT(wrong_with("optimal\nx0 1\nx1 1\nx2 1\n"), HasSubstr("row r0 comes to 6"));
  EXPECT_EQ(wrong_with("optimal\nx0 0.9999999\nx1 1.0000001\n"), "") << "rounding is no breach";
}

}  // namespace
}  // namespace qlm::solver

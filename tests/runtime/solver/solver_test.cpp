// Programs solved by the real Cbc and Clp (tools/install-deps brings them), and what is said about solvers that fail.
#include "runtime/solver/solver.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace qlm::solver {
namespace {

namespace fs = std::filesystem;
using lp::infinite;
using lp::Program;
using lp::Status;
using testing::AllOf;
using testing::HasSubstr;

constexpr Duration patience = 120s;  // only what hangs takes that long

class Solver : public testing::Test {
 protected:
  Solver() {
    std::string name = fs::temp_directory_path() / "qlm-solver-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    home_ = name;
    ::setenv("TMPDIR", name.c_str(), 1);
  }
  ~Solver() override {
    ::unsetenv("TMPDIR");
    fs::remove_all(home_);
  }

  // A solver made of a few lines of shell; $1 is the LP file, $2 the solution's.
  Command script(const std::string& lines, Duration time = patience) const {
    const fs::path file = home_ / "solver.sh";
    std::ofstream(file) << lines << "\n";
    return {{"sh", file.string(), "{lp}", "{solution}"}, time};
  }
  std::vector<fs::path> left_over() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(home_)) {
      if (entry.path().filename() != "solver.sh" && entry.path().filename() != "fifo") files.push_back(entry.path());
    }
    return files;
  }
  fs::path home_;
};

Program knapsack() {
  Program program;
  program.add({.cost = -5, .upper = 1, .integer = true});
  program.add({.cost = -4, .upper = 1, .integer = true});
  program.add({.cost = -3, .upper = 1, .integer = true});
  program.rows.push_back({.upper = 5, .terms = {{0, 2}, {1, 3}, {2, 1}}});
  return program;
}

Program relaxed(Program program) {
  for (auto& variable : program.variables) variable.integer = false;
  return program;
}

SolverError trouble(const Program& program, const Command& command) {
  const auto solution = solve(program, command);
  EXPECT_FALSE(solution);
  return solution ? SolverError{Trouble::machine, "none"} : solution.error();
}

TEST_F(Solver, CbcSolvesAnIntegerProgram) {
  const auto solution = solve(knapsack(), cbc(1000, patience));
  ASSERT_TRUE(solution) << solution.error().message;
  EXPECT_EQ(solution->status, Status::optimal);
  EXPECT_NEAR(solution->objective, -9, 1e-6);
  EXPECT_THAT(solution->values, testing::Pointwise(testing::DoubleNear(1e-6), {1, 1, 0}));
}

TEST_F(Solver, ClpSolvesALinearProgram) {
  Program program = relaxed(knapsack());
  program.rows[0].upper = 4;
  const auto solution = solve(program, clp(1000, patience));
  ASSERT_TRUE(solution) << solution.error().message;
  EXPECT_EQ(solution->status, Status::optimal);
  EXPECT_NEAR(solution->objective, -8 - 4.0 / 3, 1e-5);
}

TEST_F(Solver, CbcReadsEveryKindOfBoundAndRowAsMeant) {
  // Each variable is pushed against the side that its kind of bound allows.
  Program program;
  const auto free = program.add({.cost = 1, .lower = -infinite});
  const auto fixed = program.add({.cost = 1, .lower = 2, .upper = 2});
  const auto below = program.add({.cost = -1, .lower = -infinite, .upper = 7.5});
  const auto whole = program.add({.cost = -1, .upper = 3.5, .integer = true});
  const auto negative = program.add({.cost = 1, .lower = -4.5, .upper = -1, .integer = true});
  const auto unnamed = program.add({.lower = 1});
  program.rows.push_back({.lower = -3, .upper = 8, .terms = {{free, 1}}});
  program.rows.push_back({.lower = 1e-3, .upper = 1e9, .terms = {{below, 1}, {fixed, 0}}});
  program.rows.push_back({});
  const auto solution = solve(program, cbc(1000, patience));
  ASSERT_TRUE(solution) << solution.error().message;
  ASSERT_EQ(solution->status, Status::optimal);
  EXPECT_NEAR(solution->values[free], -3, 1e-6);
  EXPECT_NEAR(solution->values[fixed], 2, 1e-6);
  EXPECT_NEAR(solution->values[below], 7.5, 1e-6);
  EXPECT_NEAR(solution->values[whole], 3, 1e-6);
  EXPECT_NEAR(solution->values[negative], -4, 1e-6);
  EXPECT_GE(solution->values[unnamed], 1 - 1e-6);
}

TEST_F(Solver, AProgramWithoutRowsIsSolved) {
  Program program;
  program.add({.cost = -2, .upper = 4.5, .integer = true});
  for (const Command& command : {cbc(1000, patience), clp(1000, patience)}) {
    const auto solution = solve(command.words[0] == "clp" ? relaxed(program) : program, command);
    ASSERT_TRUE(solution) << solution.error().message;
    EXPECT_NEAR(solution->objective, command.words[0] == "clp" ? -9 : -8, 1e-6);
  }
}

TEST_F(Solver, ThereIsNoSolutionIsAnAnswer) {
  Program program = knapsack();
  program.rows.push_back({.lower = 4, .terms = {{0, 1}, {1, 1}, {2, 1}}});
  for (const Command& command : {cbc(1000, patience), clp(1000, patience)}) {
    const auto solution = solve(command.words[0] == "clp" ? relaxed(program) : program, command);
    ASSERT_TRUE(solution) << solution.error().message;
    EXPECT_EQ(solution->status, Status::infeasible) << command.words[0];
    EXPECT_TRUE(solution->values.empty());
  }
}

TEST_F(Solver, NoWholeNumbersFitIsAnAnswer) {
  Program program;
  for (int i = 0; i < 2; ++i) program.add({.cost = 1, .upper = 9, .integer = true});
  program.rows.push_back({.lower = 5, .upper = 5, .terms = {{0, 2}, {1, 2}}});
  const auto solution = solve(program, cbc(1000, patience));
  ASSERT_TRUE(solution) << solution.error().message;
  EXPECT_EQ(solution->status, Status::infeasible);
}

TEST_F(Solver, ThereIsNoEndToItIsAnAnswer) {
  Program program;
  program.add({.cost = -1});
  program.add({.cost = 1});
  program.rows.push_back({.lower = 1, .terms = {{0, 1}, {1, -1}}});
  program.variables[1].cost = 0.5;
  for (const Command& command : {cbc(1000, patience), clp(1000, patience)}) {
    const auto solution = solve(program, command);
    ASSERT_TRUE(solution) << solution.error().message;
    EXPECT_EQ(solution->status, Status::unbounded) << command.words[0];
  }
}

TEST_F(Solver, TheSameProgramHasTheSameSolution) {
  Program program;
  for (std::uint32_t i = 0; i < 30; ++i)
    program.add({.cost = -1.0 - 0.001 * (i * 7 % 11), .upper = 1, .integer = true});
  for (std::uint32_t r = 0; r < 6; ++r) {
    lp::Row row{.upper = 25};
    for (std::uint32_t i = 0; i < 30; ++i) row.terms.push_back({i, static_cast<double>((i * (r + 3) + r) % 9 + 1)});
    program.rows.push_back(row);
  }
  const auto once = solve(program, cbc(50, patience));
  const auto again = solve(program, cbc(50, patience));
  ASSERT_TRUE(once && again);
  EXPECT_EQ(once->values, again->values);
}

TEST_F(Solver, ACommandOfTheUsersIsAsGood) {
  const fs::path file = home_ / "solver.sh";
  std::ofstream(file) << "grep -q 'r0: 2 x0' \"$4\" || exit 3\n"
                         "test \"$1\" = 'a b' || exit 4\n"
                         "test \"$2\" = --to=\"$3\" || exit 5\n"
                         "printf 'optimal\\nx0 1\\nx1 1\\n' > \"$3\"\n";
  const auto command = command_from("sh " + file.string() + " 'a b' --to={solution} {solution}  {lp}", patience);
  ASSERT_TRUE(command) << command.error().message;
  const auto solution = solve(knapsack(), *command);
  ASSERT_TRUE(solution) << solution.error().message;
  EXPECT_DOUBLE_EQ(solution->objective, -9);
}

TEST_F(Solver, ACommandThatCannotBeMeantIsRefused) {
  const auto wrong = [](std::string_view line) {
    const auto command = command_from(line);
    return command ? "" : command.error().message;
  };
  EXPECT_THAT(wrong("gurobi_cl {lp}"), HasSubstr("{solution}"));
  EXPECT_THAT(wrong("gurobi_cl ResultFile={solution}"), HasSubstr("{lp}"));
  EXPECT_THAT(wrong("sh 'a {lp} {solution}"), HasSubstr("open '"));
  EXPECT_THAT(wrong(""), HasSubstr("{lp}"));
}

TEST_F(Solver, ASolverThatHangsIsKilledWithAllItStarted) {
  const fs::path fifo = home_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const int held = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(held, 0);
  // A grandchild holds the pipe open and ignores everything that can be ignored.
  const auto error =
      trouble(knapsack(), script("exec 9>" + fifo.string() +
                                     "\ntrap '' TERM INT HUP\necho working hard\nsh -c 'sleep 100000' &\n"
                                     "while :; do wait; done",
                                 300ms));
  EXPECT_EQ(error.trouble, Trouble::out_of_time);
  EXPECT_THAT(error.message, HasSubstr("killed after 300 ms"));
  // It reads as ended only when the last of them has let go.
  ::fcntl(held, F_SETFL, 0);
  char byte = 0;
  EXPECT_EQ(::read(held, &byte, 1), 0);
  ::close(held);
}

TEST_F(Solver, ASolverThatEndsLeavesNobodyBehind) {
  const fs::path fifo = home_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const int held = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(held, 0);
  const auto solution =
      solve(knapsack(), script("exec 9>" + fifo.string() + "\nsleep 100000 &\nprintf 'optimal\\nx0 1\\n' > \"$2\""));
  EXPECT_TRUE(solution) << solution.error().message;
  ::fcntl(held, F_SETFL, 0);
  char byte = 0;
  EXPECT_EQ(::read(held, &byte, 1), 0);
  ::close(held);
}

TEST_F(Solver, ASolverThatFailsIsQuoted) {
  const auto exit = trouble(knapsack(), script("echo no licence >&2; exit 1"));
  EXPECT_EQ(exit.trouble, Trouble::crashed);
  EXPECT_THAT(exit.message, AllOf(HasSubstr("'sh'"), HasSubstr("status 1"), HasSubstr("no licence")));
  const auto signal = trouble(knapsack(), script("kill -ABRT $$"));
  EXPECT_EQ(signal.trouble, Trouble::crashed);
  EXPECT_THAT(signal.message, AllOf(HasSubstr("signal 6"), HasSubstr("said nothing")));
}

TEST_F(Solver, ASolverThatTalksWithoutEndIsHeardToItsEnd) {
  const auto error = trouble(knapsack(), script("yes chatter | head -c 3000000; echo; echo the end; exit 2"));
  EXPECT_THAT(error.message, HasSubstr("the end"));
  EXPECT_LT(error.message.size(), 600U);
}

TEST_F(Solver, ASolverThatNeverStopsTalkingIsKilled) {
  EXPECT_EQ(trouble(knapsack(), script("exec yes", 200ms)).trouble, Trouble::out_of_time);
}

TEST_F(Solver, WhatIsNoSolutionIsSaidToBe) {
  EXPECT_THAT(trouble(knapsack(), script("exit 0")).message, HasSubstr("wrote no solution"));
  EXPECT_THAT(trouble(knapsack(), script("head -c 9000 /dev/zero > \"$2\"")).message,
              HasSubstr("a variable and its value were expected"));
  EXPECT_THAT(trouble(knapsack(), script("printf 'optimal\\nx0 1\\nx1 1\\nx2 1\\n' > \"$2\"")).message,
              HasSubstr("breaks the program"));
  EXPECT_THAT(trouble(knapsack(), script("head -c 200000 /dev/zero > \"$2\"")).message, HasSubstr("more than any can"));
  EXPECT_EQ(trouble(knapsack(), script("mkdir \"$2\"")).trouble, Trouble::solution);
}

TEST_F(Solver, ASolutionThatNeverEndsIsCutOff) {
  EXPECT_EQ(trouble(knapsack(), script("cat /dev/zero > \"$2\"")).trouble, Trouble::crashed);
}

TEST_F(Solver, ASolverThatWantsAllTheMemoryDoesNotGetIt) {
  Command hungry = script("exec dd if=/dev/zero of=/dev/null bs=512M count=1");
  hungry.memory = Bytes{64 << 20};
  EXPECT_EQ(trouble(knapsack(), hungry).trouble, Trouble::crashed);
}

TEST_F(Solver, ASolverThatIsNotThereIsNamedAndSoIsThePackage) {
  for (const char* name : {"qlm-no-such-solver", "/nowhere/solver", ""}) {
    const auto error = trouble(knapsack(), {{name, "{lp}", "{solution}"}, patience});
    EXPECT_EQ(error.trouble, Trouble::not_found) << name;
    EXPECT_THAT(error.message, AllOf(HasSubstr(std::string("'") + name + "'"), HasSubstr("coinor-cbc")));
  }
  std::ofstream(home_ / "plain") << "not a program\n";
  EXPECT_EQ(trouble(knapsack(), {{(home_ / "plain").string(), "{lp}", "{solution}"}, patience}).trouble,
            Trouble::machine);
}

TEST_F(Solver, AProgramThatMakesNoSenseIsNotHandedOn) {
  Program program = knapsack();
  program.rows[0].terms[0].variable = 9;
  EXPECT_EQ(trouble(program, script("exit 9")).trouble, Trouble::program);
}

TEST_F(Solver, NoFilesStay) {
  EXPECT_TRUE(solve(knapsack(), cbc(1000, patience)));
  EXPECT_FALSE(solve(knapsack(), script("exit 1")));
  EXPECT_EQ(left_over(), std::vector<fs::path>{});
}

TEST_F(Solver, WithoutAPlaceForItsFilesItSaysSo) {
  ::setenv("TMPDIR", (home_ / "gone").c_str(), 1);
  const auto solution = solve(knapsack(), cbc(1000, patience));
  EXPECT_TRUE(solution) << "falls back on /tmp: " << solution.error().message;
}

TEST_F(Solver, TheCoreIsToldInAMessage) {
  const auto solution = solver({{"qlm-no-such-solver", "{lp}", "{solution}"}, patience})(knapsack());
  ASSERT_FALSE(solution);
  EXPECT_THAT(solution.error().message, HasSubstr("not found"));
}

}  // namespace
}  // namespace qlm::solver

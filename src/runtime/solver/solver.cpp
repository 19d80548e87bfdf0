#include "runtime/solver/solver.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "runtime/solver/child.hpp"
#include "runtime/solver/lp_text.hpp"

namespace qlm::solver {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view lp_place = "{lp}";
constexpr std::string_view solution_place = "{solution}";

class Directory {
 public:
  Directory() {
    std::error_code error;
    const fs::path parent = fs::temp_directory_path(error);
    std::string name = (error ? fs::path("/tmp") : parent) / "qlm-solver-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string filled(std::string word, std::string_view place, const std::string& with) {
  for (std::size_t at = word.find(place); at != word.npos; at = word.find(place, at + with.size()))
    word.replace(at, place.size(), with);
  return word;
}

// The solver's last lines on one line of a message.
std::string last_words(std::string_view said) {
  constexpr std::size_t most = 300;
  if (said.size() > most) said.remove_prefix(said.size() - most);
  std::string text;
  for (const char c : said) {
    if (c == '\n' || c == '\r' || c == '\t' || c == ' ') {
      if (!text.empty() && text.back() != ' ') text += ' ';
    } else {
      text += static_cast<unsigned char>(c) >= 0x20 && c != 0x7f ? c : '?';
    }
  }
  while (text.ends_with(' ')) text.pop_back();
  return text.empty() ? "; it said nothing" : "; its last words: " + text;
}

// A solution is a line a variable, some tens of characters; a file beyond this is no solution.
std::int64_t largest_solution(const lp::Program& program) {
  return (std::int64_t{1} << 16) + 512 * static_cast<std::int64_t>(program.variables.size() + program.rows.size());
}

std::optional<std::string> content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

Command cbc(std::int64_t nodes, Duration time) {
  // Threads would make the result depend on their race.
  return {{"cbc", "{lp}", "-threads", "0", "-maxNodes", std::to_string(nodes), "-solve", "-solution", "{solution}"},
          time};
}

Command clp(std::int64_t iterations, Duration time) {
  return {{"clp", "{lp}", "-maxIterations", std::to_string(iterations), "-dualSimplex", "-solution", "{solution}"},
          time};
}

Result<Command> command_from(std::string_view line, Duration time) {
  Command command{.words = {}, .time = time};
  std::optional<std::string> word;
  char quote = 0;
  for (const char c : line) {
    if (quote != 0) {
      if (c == quote) quote = 0;
      else *word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      if (!word) word.emplace();
    } else if (c == ' ' || c == '\t') {
      if (word) command.words.push_back(*std::exchange(word, std::nullopt));
    } else {
      if (!word) word.emplace();
      *word += c;
    }
  }
  if (quote != 0) return fail(std::string("the solver's command has an open ") + quote);
  if (word) command.words.push_back(*word);
  for (const std::string_view place : {lp_place, solution_place}) {
    bool there = false;
    for (const std::string& each : command.words) there |= each.find(place) != each.npos;
    if (!there)
      return fail("the solver's command must name " + std::string(place) + ": the " +
                  (place == lp_place ? "LP file it reads" : "solution file it writes"));
  }
  return command;
}

Result<lp::Solution, SolverError> solve(const lp::Program& program, const Command& command) {
  const auto trouble = [](Trouble kind, std::string message) {
    return std::unexpected(SolverError{kind, std::move(message)});
  };
  const auto text = lp_text(program);
  if (!text) return trouble(Trouble::program, "the program cannot be solved: " + text.error().message);
  const Directory directory;
  if (directory.path().empty())
    return trouble(Trouble::machine, std::string("no directory for the solver's files: ") + std::strerror(errno));
  const fs::path lp_file = directory.path() / "program.lp";
  const fs::path solution_file = directory.path() / "solution.txt";
  if (!(std::ofstream(lp_file, std::ios::binary) << *text).flush())
    return trouble(Trouble::machine, "the solver's LP file could not be written: " + lp_file.string());

  std::vector<std::string> words;
  words.reserve(command.words.size());
  for (const std::string& word : command.words)
    words.push_back(filled(filled(word, lp_place, lp_file.string()), solution_place, solution_file.string()));
  const std::int64_t largest = largest_solution(program);
  const Child child = run_child(words, {.time = command.time, .memory = command.memory, .file = Bytes{largest * 16}});
  const std::string name = "the solver '" + (words.empty() ? "" : words[0]) + "'";
  switch (child.end) {
    case ChildEnd::not_found:
      return trouble(Trouble::not_found, name + " was not found; Debian has Cbc and Clp as coinor-cbc and coinor-clp");
    case ChildEnd::not_started:
      return trouble(Trouble::machine, name + " could not be run: " + std::strerror(child.number));
    case ChildEnd::out_of_time:
      return trouble(Trouble::out_of_time,
                     name + " was killed after " + std::to_string(command.time / 1ms) + " ms" + last_words(child.said));
    case ChildEnd::signalled:
      return trouble(Trouble::crashed,
                     name + " was ended by signal " + std::to_string(child.number) + last_words(child.said));
    case ChildEnd::exited: break;
  }
  if (child.number != 0)
    return trouble(Trouble::crashed,
                   name + " ended with status " + std::to_string(child.number) + last_words(child.said));
  std::error_code error;
  const auto size = fs::file_size(solution_file, error);
  if (error) return trouble(Trouble::solution, name + " wrote no solution" + last_words(child.said));
  if (size > static_cast<std::uintmax_t>(largest))
    return trouble(Trouble::solution,
                   name + ": its solution has " + std::to_string(size) + " bytes, more than any can");
  const auto written = content(solution_file);
  if (!written) return trouble(Trouble::solution, name + ": its solution cannot be read");
  auto solution = read_solution(*written, program);
  if (!solution) return trouble(Trouble::solution, name + ": " + solution.error().message + last_words(child.said));
  return *std::move(solution);
}

lp::Solve solver(Command command) {
  return [command = std::move(command)](const lp::Program& program) -> Result<lp::Solution> {
    auto solution = solve(program, command);
    if (!solution) return fail(solution.error().message);
    return *std::move(solution);
  };
}

}  // namespace qlm::solver

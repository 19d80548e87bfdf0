#include "runtime/solver/lp_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace qlm::solver {
namespace {

using lp::infinite;

std::string number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

// Cbc's reader takes lines of about a thousand characters.
constexpr std::size_t terms_a_line = 16;

class Sum {
 public:
  explicit Sum(std::string& out) : out_(out) {}
  void add(double coefficient, std::uint32_t variable) {
    if (count_ > 0 && count_ % terms_a_line == 0) out_ += "\n  ";
    out_ += coefficient < 0 ? " - " : (count_ > 0 ? " + " : " ");
    out_ += number(std::abs(coefficient)) + " x" + std::to_string(variable);
    ++count_;
  }

 private:
  std::string& out_;
  std::size_t count_ = 0;
};

std::vector<lp::Term> merged(std::vector<lp::Term> terms) {
  std::ranges::stable_sort(terms, {}, &lp::Term::variable);
  std::vector<lp::Term> sums;
  for (const lp::Term& term : terms) {
    if (!sums.empty() && sums.back().variable == term.variable) sums.back().coefficient += term.coefficient;
    else sums.push_back(term);
  }
  return sums;
}

std::optional<std::string> mistake(const lp::Program& program) {
  if (program.variables.empty()) return "the program has no variables";
  const auto crossed = [](double lower, double upper) {
    return std::isnan(lower) || std::isnan(upper) || lower > upper || lower == infinite || upper == -infinite;
  };
  for (std::size_t v = 0; v < program.variables.size(); ++v) {
    const lp::Variable& variable = program.variables[v];
    const std::string name = "variable x" + std::to_string(v);
    if (!std::isfinite(variable.cost)) return name + ": its cost is " + number(variable.cost);
    if (crossed(variable.lower, variable.upper))
      return name + ": no value lies between " + number(variable.lower) + " and " + number(variable.upper);
  }
  for (std::size_t r = 0; r < program.rows.size(); ++r) {
    const lp::Row& row = program.rows[r];
    const std::string name = "row r" + std::to_string(r);
    if (crossed(row.lower, row.upper))
      return name + ": no value lies between " + number(row.lower) + " and " + number(row.upper);
    for (const lp::Term& term : row.terms) {
      if (term.variable >= program.variables.size())
        return name + ": names x" + std::to_string(term.variable) + ", and there are " +
               std::to_string(program.variables.size()) + " variables";
      if (!std::isfinite(term.coefficient))
        return name + ": the coefficient of x" + std::to_string(term.variable) + " is " + number(term.coefficient);
    }
  }
  return std::nullopt;
}

void write_row(std::string& out, const std::string& name, const std::vector<lp::Term>& terms, const char* relation,
               double bound) {
  out += " " + name + ":";
  Sum sum(out);
  for (const lp::Term& term : terms) sum.add(term.coefficient, term.variable);
  if (terms.empty()) sum.add(0, 0);  // a row of the format names something
  out += std::string(" ") + relation + " " + number(bound) + "\n";
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  line = line.substr(0, line.find('#'));
  for (;;) {
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == line.npos) return words;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

template <class Number> bool parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// Of a file's first line, in Cbc's words, Clp's or the plain ones.
std::optional<lp::Status> status_of(std::string_view line) {
  const std::string text = lower_case(line);
  const auto begins = [&](std::string_view with) { return text.starts_with(with); };
  // Cbc fills in the relaxation's values where it has no integer solution.
  if (text.find("no integer solution") != text.npos) return lp::Status::stopped;
  if (begins("optimal")) return lp::Status::optimal;
  if (begins("feasible")) return lp::Status::feasible;
  if (begins("infeasible") || begins("integer infeasible") || begins("primalinfeasible")) return lp::Status::infeasible;
  if (begins("unbounded") || begins("dual infeasible") || begins("dualinfeasible")) return lp::Status::unbounded;
  // Bare, no solution; in Cbc's "Stopped on nodes - objective value ...", a solution that may not be the best.
  if (begins("stopped on")) return lp::Status::feasible;
  if (text == "stopped") return lp::Status::stopped;
  return std::nullopt;
}

std::string quoted(std::string_view line) {
  constexpr std::size_t most = 80;
  std::string text = "'";
  for (const char c : line.substr(0, most)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text + (line.size() > most ? "...'" : "'");
}

std::optional<std::string> violation(const lp::Program& program, const std::vector<double>& values) {
  // What solvers call feasible, and rounding in the text, relative to what is added up.
  constexpr double tolerance = 1e-5;
  const auto outside = [&](double value, double lower, double upper, double scale) {
    return value < lower - tolerance * scale || value > upper + tolerance * scale;
  };
  for (std::size_t v = 0; v < values.size(); ++v) {
    const lp::Variable& variable = program.variables[v];
    const bool fraction = variable.integer && std::abs(values[v] - std::round(values[v])) > tolerance;
    if (fraction || outside(values[v], variable.lower, variable.upper, std::max(1.0, std::abs(values[v]))))
      return "x" + std::to_string(v) + " = " + number(values[v]) + " may not be so";
  }
  for (std::size_t r = 0; r < program.rows.size(); ++r) {
    double sum = 0;
    double scale = 1;
    for (const lp::Term& term : program.rows[r].terms) {
      sum += term.coefficient * values[term.variable];
      scale = std::max(scale, std::abs(term.coefficient * values[term.variable]));
      if (program.variables[term.variable].integer) scale = std::max(scale, std::abs(term.coefficient));
    }
    if (outside(sum, program.rows[r].lower, program.rows[r].upper, scale))
      return "row r" + std::to_string(r) + " comes to " + number(sum) + ", not between " +
             number(program.rows[r].lower) + " and " + number(program.rows[r].upper);
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> lp_text(const lp::Program& program) {
  if (const auto wrong = mistake(program)) return fail(*wrong);
  std::string out = "Minimize\n cost:";
  Sum cost(out);
  // All of them: Cbc knows no variable that only the bounds name.
  for (std::uint32_t v = 0; v < program.variables.size(); ++v) cost.add(program.variables[v].cost, v);
  out += "\nSubject To\n";
  for (std::size_t r = 0; r < program.rows.size(); ++r) {
    const lp::Row& row = program.rows[r];
    const std::string name = "r" + std::to_string(r);
    const auto terms = merged(row.terms);
    if (row.lower == row.upper) {
      write_row(out, name, terms, "=", row.lower);
      continue;
    }
    // A row with two bounds is written as two: not every reader takes the short form.
    if (row.lower != -infinite) write_row(out, name, terms, ">=", row.lower);
    if (row.upper != infinite) write_row(out, row.lower != -infinite ? name + "u" : name, terms, "<=", row.upper);
  }
  if (program.rows.empty()) write_row(out, "none", {}, "<=", 1);  // some readers want a row
  out += "Bounds\n";
  for (std::size_t v = 0; v < program.variables.size(); ++v) {
    const lp::Variable& variable = program.variables[v];
    const std::string name = "x" + std::to_string(v);
    if (variable.lower == variable.upper) {
      out += " " + name + " = " + number(variable.lower) + "\n";
    } else if (variable.lower == -infinite && variable.upper == infinite) {
      out += " " + name + " free\n";
    } else {
      out += " " + (variable.lower == -infinite ? "-inf" : number(variable.lower)) + " <= " + name;
      out += variable.upper == infinite ? "\n" : " <= " + number(variable.upper) + "\n";
    }
  }
  if (std::ranges::any_of(program.variables, &lp::Variable::integer)) {
    out += "Generals\n";
    for (std::size_t v = 0; v < program.variables.size(); ++v) {
      if (program.variables[v].integer) out += " x" + std::to_string(v) + "\n";
    }
  }
  return out + "End\n";
}

Result<lp::Solution> read_solution(std::string_view text, const lp::Program& program) {
  lp::Solution solution{.status = lp::Status::feasible};
  std::vector<double> values(program.variables.size(), 0);
  std::vector<char> named(program.variables.size(), 0);
  bool first = true;
  bool any = false;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    auto words = words_of(line);
    if (words.empty()) continue;
    if (std::exchange(first, false)) {
      if (const auto status = status_of(line.substr(line.find_first_not_of(" \t")))) {
        solution.status = *status;
        any = true;
        continue;
      }
    }
    if (words.size() == 3 && lower_case(words[0]) == "objective" && lower_case(words[1]) == "value") continue;  // Clp's
    if (words[0] == "**") words.erase(words.begin());  // Cbc's mark of a value out of its bounds: judged below
    // Cbc and Clp: place, name, value, reduced cost. Plain: name, value.
    if (words.size() == 4) words.erase(words.begin());
    std::size_t variable = 0;
    double value = 0;
    if (words.size() < 2 || words.size() > 3 || !words[0].starts_with('x') || !parse(words[0].substr(1), variable) ||
        !parse(words[1], value) || !std::isfinite(value))
      return fail("its solution has the line " + quoted(line) + "; a variable and its value were expected");
    if (variable >= values.size())
      return fail("its solution names " + quoted(words[0]) + ", which is not in the program");
    if (named[variable]) return fail("its solution names " + quoted(words[0]) + " twice");
    named[variable] = 1;
    values[variable] = value;
    any = true;
  }
  if (!any) return fail("its solution is empty");
  if (solution.status != lp::Status::optimal && solution.status != lp::Status::feasible) return solution;
  if (const auto wrong = violation(program, values)) return fail("its solution breaks the program: " + *wrong);
  for (std::size_t v = 0; v < values.size(); ++v) solution.objective += program.variables[v].cost * values[v];
  solution.values = std::move(values);
  return solution;
}

}  // namespace qlm::solver

#include "simulate/report/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "simulate/report/summary.hpp"

namespace qlm::report {

std::string readable(std::optional<Duration> duration) {
  if (!duration) return "-";
  if (*duration < Duration{}) return "-" + readable(-*duration);
  const double s = seconds(*duration);
  if (s == 0) return "0 s";
  if (s < 0.9995e-3) return fmt::format("{:.0f} us", s * 1e6);
  if (s < 9.95e-3) return fmt::format("{:.2g} ms", s * 1e3);
  if (s < 0.9995) return fmt::format("{:.0f} ms", s * 1e3);
  if (s < 99.95) return fmt::format("{:.3g} s", s);
  const auto whole = static_cast<std::int64_t>(s + 0.5);
  if (whole < 3600) return fmt::format("{} m {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} m", whole / 3600, whole % 3600 / 60);
}

std::string percent(std::optional<double> share) {
  if (!share) return "-";
  // 99.96 % is not all of them: rounding must not hide the last miss, nor the only hit.
  double shown = std::round(*share * 1000) / 10;
  if (shown >= 100 && *share < 1) shown = 99.9;
  if (shown <= 0 && *share > 0) shown = 0.1;
  return fmt::format("{:.1f} %", shown);
}

std::string thousands(double number) {
  auto digits = fmt::format("{:.0f}", number);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > static_cast<std::ptrdiff_t>(first); at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string readable(const Slo& slo) {
  std::string out;
  const auto add = [&](std::string_view what, std::optional<Duration> objective) {
    if (objective) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", what, readable(objective));
  };
  add("TTFT", slo.ttft);
  add("TPOT", slo.tpot);
  add("E2E", slo.e2e);
  return out.empty() ? "no SLO" : out;
}

namespace {

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the first `left` of them aligned to the left.
std::string aligned(const std::vector<Row>& rows, std::size_t left) {
  std::vector<std::size_t> width(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += i < left ? fmt::format("{:<{}}", row[i], width[i]) : fmt::format("{:>{}}", row[i], width[i]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace

std::string to_table(const std::vector<Run>& runs) {
  std::vector<Row> rows = {{"class", "run", "offered", "done", "refused", "failed", "on time", "TTFT p50", "p90", "p99",
                            "TPOT p50", "p99", "E2E p50", "p99"}};
  std::vector<Row> totals = {{"run", "on time", "worst class", "tokens/s", "goodput tok/s", "busy", "wrong length",
                              "late sends", "duplicates"}};
  std::vector<Summary> summaries;
  std::vector<std::string> classes;  // in the order they first appear
  for (const auto& run : runs) {
    summaries.push_back(summarize(run));
    for (const auto& c : summaries.back().classes) {
      if (std::find(classes.begin(), classes.end(), c.name) == classes.end()) classes.push_back(c.name);
    }
  }
  const auto line = [&](const std::string& label, const ClassSummary& c) {
    const auto failed = c.offered - c.count(Outcome::completed) - c.count(Outcome::refused);
    const auto n = [](std::size_t count) { return thousands(static_cast<double>(count)); };
    rows.push_back({c.name, label, n(c.offered), n(c.count(Outcome::completed)), n(c.count(Outcome::refused)), n(failed),
                    percent(c.attainment), readable(c.ttft.p50), readable(c.ttft.p90), readable(c.ttft.p99),
                    readable(c.tpot.p50), readable(c.tpot.p99), readable(c.e2e.p50), readable(c.e2e.p99)});
  };
  for (const auto& name : classes) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      for (const auto& c : summaries[i].classes) {
        if (c.name == name) line(runs[i].label, c);
      }
    }
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& s = summaries[i];
    if (classes.size() > 1) line(runs[i].label, s.all);
    std::string worst = "-";
    if (s.worst_class) {
      const auto& c = s.classes[*s.worst_class];
      worst = fmt::format("{} {}", c.name, percent(c.attainment));
    }
    totals.push_back({runs[i].label, percent(s.all.attainment), worst, thousands(s.throughput_tokens),
                      thousands(s.goodput_tokens), percent(runs[i].busy_share), thousands(static_cast<double>(s.wrong_length)),
                      thousands(static_cast<double>(runs[i].late_sends)), thousands(static_cast<double>(runs[i].duplicates))});
  }
  return aligned(rows, 2) + '\n' + aligned(totals, 1);
}

}  // namespace qlm::report

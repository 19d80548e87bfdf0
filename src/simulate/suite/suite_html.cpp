#include <fmt/format.h>

#include <algorithm>

#include "core/domain/names.hpp"
#include "simulate/report/escape.hpp"
#include "simulate/report/html.hpp"
#include "simulate/report/plot.hpp"
#include "simulate/suite/points.hpp"

namespace qlm::suite {
namespace {

using report::Line;

// One case at all its loads, those without a load first.
struct Drawn {
  std::string name;
  std::vector<Point> loads;
};
std::vector<Drawn> cases(const std::vector<CellResult>& cells) {
  std::vector<Drawn> found;
  for (Point& point : points(cells)) {
    const auto at = std::ranges::find(found, point.name, &Drawn::name);
    if (at == found.end()) found.push_back({point.name, {point}});
    else at->loads.push_back(point);
  }
  for (Drawn& each : found) std::ranges::sort(each.loads, {}, [](const Point& p) { return p.load.value_or(0); });
  return found;
}

// There are more policies than colours: the second round is dashed.
bool second_round(std::size_t policy) { return policy >= report::colours; }

std::string over_load(const std::string& title, const Drawn& of, const Figure& figure, const std::vector<std::function<double(const Limits&)>>& limits) {
  std::vector<Line> lines;
  for (const auto& limit : limits) {
    Line& line = lines.emplace_back(Line{.colour = std::nullopt, .dashed = true, .points = {}});
    for (const Point& point : of.loads) line.points.emplace_back(point.load.value_or(0), over_seeds(point, limit).mean);
  }
  for (std::size_t p = 0; p < of.loads.front().seeds.front()->policies.size(); ++p) {
    Line& line = lines.emplace_back(Line{.colour = p, .dashed = second_round(p), .points = {}});
    for (const Point& point : of.loads) line.points.emplace_back(point.load.value_or(0), over_seeds(point, p, figure).mean);
  }
  return report::shares(title, "load", lines);
}

// At the highest load, where there is most to wait for.
std::string waits_drawn(const Drawn& of) {
  const Point& point = of.loads.back();
  std::vector<Line> lines;
  for (std::size_t p = 0; p < point.seeds.front()->policies.size(); ++p) {
    Waits waits;
    for (const CellResult* cell : point.seeds) waits += cell->policies[p].second.waits;
    Line line{.colour = p, .dashed = second_round(p), .points = {}};
    for (const WaitBin& bin : waits.bins) {
      const auto n = static_cast<double>(bin.count);
      if (bin.count >= 20) line.points.emplace_back(bin.expected / n, bin.waited / n);
    }
    if (!line.points.empty()) lines.push_back(std::move(line));
  }
  if (lines.empty()) return "";
  return report::seconds_against(fmt::format("Waits at load {}: as told, and as they were", load_of(point)), "expected at admission (mean)", "waited (mean)", lines);
}

std::string drawn(const Drawn& of) {
  const CellResult& any = *of.loads.front().seeds.front();
  const bool steady = any.limits.of_steady();
  std::vector<std::string> names;
  for (std::size_t p = 0; p < any.policies.size(); ++p) names.push_back(std::string(name(any.policies[p].first)) + (second_round(p) ? " (dashed)" : ""));
  std::string out = fmt::format("<h2>{}</h2>\n{}<div class=\"grid\">\n", report::html_escaped(of.name), report::colour_key('r', names));
  using Limited = std::vector<std::function<double(const Limits&)>>;
  const auto limits = [&](double Limit::*share) {
    Limited all = {[share](const Limits& l) { return l.bound.*share; }};
    if (!steady) all.emplace_back([share](const Limits& l) { return l.ceiling.*share; });
    return all;
  };
  out += over_load("On time", of, [](const Figures& f) { return f.all.share(); }, limits(&Limit::attainment));
  if (values_differ(any)) out += over_load("On time by value", of, [](const Figures& f) { return f.value_attainment; }, limits(&Limit::value_attainment));
  const bool any_steady = std::ranges::all_of(any.policies, [](const auto& each) { return each.second.steady.offered > 0; });
  if (steady && any_steady) {
    out += over_load("On time of the steady arrivals", of, [](const Figures& f) { return f.steady.share(); },
                     {[](const Limits& l) { return l.steady_bound.value_or(Limit{}).attainment; }, [](const Limits& l) { return l.ceiling.attainment; }});
  }
  out += over_load("Worst class", of, [](const Figures& f) { return f.worst_class(); }, {});
  return out + waits_drawn(of) + "</div>\n";
}

// A table's lines stay lines: html_escaped makes blanks of what is no text.
std::string escaped_lines(std::string_view text) {
  std::string out;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    out += report::html_escaped(text.substr(from, end - from)) + '\n';
    from = end + 1;
  }
  return out;
}

}  // namespace

std::string to_html(const std::string& suite_name, const std::vector<CellResult>& cells) {
  std::string body;
  for (const Drawn& each : cases(cells)) body += drawn(each);
  const std::string losses = losses_table(cells);
  for (const std::string& table : {to_table(cells), waits_table(cells), losses}) {
    if (!table.empty()) body += fmt::format("<div class=\"wide\"><pre>{}</pre></div>\n", escaped_lines(table));
  }
  return report::html_page("QLM simulated: " + suite_name,
                           "Share of all offered requests on time, by load (offered rate over measured capacity), mean over seeds. Dashed in ink: the bound that no "
                           "scheduler passes, and below it the ceiling that none passes on average that does not see output lengths beforehand. Waits: each point is of "
                           "requests that were told about as much; on the dashed diagonal they waited as long as they were told. Below are the tables, losing cells too.",
                           body);
}

}  // namespace qlm::suite

#include "simulate/report/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "simulate/report/escape.hpp"
#include "simulate/report/plot.hpp"
#include "simulate/report/summary.hpp"
#include "simulate/report/text.hpp"

namespace qlm::report {
namespace {

// Colours are Okabe and Ito's, told apart by most colour-blind readers, lightened for a dark page.
constexpr std::string_view style = R"(
:root{color-scheme:light dark;--page:#fff;--ink:#1c1f23;--soft:#5b636d;--line:#dfe3e8;--card:#f6f7f9;--good:#00734f;--bad:#b3261e;--badback:#fdecea;
--k0:#0072b2;--k1:#d55e00;--k2:#009e73;--k3:#b6528d;--k4:#8a6d00;--k5:#4a4e91;--r0:#6b7280;--r1:#0f766e;--r2:#7c3aed;--r3:#c2410c;--r4:#1d4ed8;--r5:#a16207}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--ink:#e7eaee;--soft:#9aa4af;--line:#2f353c;--card:#1c2024;--good:#4cc38a;--bad:#ff8a80;--badback:#3a1f1e;
--k0:#56b4e9;--k1:#f0883e;--k2:#2fbf93;--k3:#d98abb;--k4:#e0c341;--k5:#9aa0f0;--r0:#9aa4af;--r1:#2dd4bf;--r2:#b794f6;--r3:#fb923c;--r4:#7aa5ff;--r5:#e0b341}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:24px 16px 56px;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px}h2{font-size:1.15rem;margin:36px 0 4px}p{margin:4px 0 12px;max-width:75ch}
.soft{color:var(--soft)}.warn{background:var(--badback);color:var(--bad);padding:8px 12px;border-radius:8px}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}.card h3{margin:0;font-size:1rem}.card .soft{margin:0 0 8px;font-size:.87rem}
.bar{display:grid;grid-template-columns:minmax(4.5em,auto) 1fr 4.8em;gap:10px;align-items:center;margin:6px 0}
.bar i{display:block;height:14px;border-radius:3px;background:var(--c);min-width:1px}.bar span:nth-child(2){background:var(--line);border-radius:3px}
.bar b{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:600}th:first-child,td:first-child,td.name,th.name{text-align:left}
td.best{color:var(--good);font-weight:600}td.lose{color:var(--bad);background:var(--badback)}
svg{display:block;width:100%;height:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
svg text{fill:var(--soft);font-size:12px}svg text.title{fill:var(--ink);font-size:13px;font-weight:600}
.grid line.grid,svg .grid{stroke:var(--line)}.objective{stroke:currentColor;stroke-dasharray:5 4;stroke-width:1.3;fill:none}.dots{fill:none;stroke:currentColor;stroke-width:3.6;stroke-linecap:round;opacity:.6}
.crosses{fill:none;stroke:currentColor;stroke-width:1.4}.curve{fill:none;stroke:currentColor;stroke-width:2}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;margin:4px 0 10px;font-size:.9rem}.key i{display:inline-block;width:11px;height:11px;border-radius:3px;background:currentColor;margin-right:6px;vertical-align:-1px}.key span span{color:var(--ink)}
dl{display:grid;grid-template-columns:minmax(7em,auto) 1fr;gap:6px 16px;font-size:.92rem}dt{font-weight:600}dd{margin:0}
@media(max-width:520px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}body{padding-top:14px}})";

struct Page {
  const std::vector<Run>& runs;
  std::vector<Summary> summaries;
  std::vector<ClassInfo> classes;  // of all runs, in the order they first appear

  const ClassSummary* find(std::size_t run, const std::string& name) const {
    for (const auto& c : summaries[run].classes) {
      if (c.name == name) return &c;
    }
    return nullptr;
  }
};

std::string class_name(const std::string& name) { return name.empty() ? "(no class)" : html_escaped(name); }
std::string run_name(const Run& run, std::size_t i) {
  return run.label.empty() ? fmt::format("run {}", i + 1) : run.label;
}

std::string run_key(const Page& page) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < page.runs.size(); ++i) names.push_back(html_escaped(run_name(page.runs[i], i)));
  return colour_key('r', names);
}

// Marks the best and the worst of a row, where a reader can see them differ. `value` nothing: the cell takes no part.
struct Cell {
  std::string text;
  std::optional<double> value;
};
std::string cells(const std::vector<Cell>& row, bool higher_is_better) {
  std::optional<double> low, high;
  for (const auto& cell : row) {
    if (!cell.value) continue;
    low = std::min(low.value_or(*cell.value), *cell.value);
    high = std::max(high.value_or(*cell.value), *cell.value);
  }
  const bool differ = low && *high > *low &&
                      std::any_of(row.begin(), row.end(), [&](const auto& c) { return c.value && c.text != row.front().text; });
  std::string out;
  for (const auto& cell : row) {
    const char* mark = "";
    if (differ && cell.value == (higher_is_better ? high : low)) mark = " class=\"best\"";
    if (differ && cell.value == (higher_is_better ? low : high)) mark = " class=\"lose\"";
    out += fmt::format("<td{}>{}</td>", mark, html_escaped(cell.text));
  }
  return out;
}

std::string attainment_cards(const Page& page) {
  std::string out = "<h2>SLO attainment</h2>\n<p class=\"soft\">Share of the requests offered that were answered whole and "
                    "within their class's objectives. Refused, failed, cut and unanswered requests are misses.</p>\n"
                    "<div class=\"grid\">\n";
  const auto card = [&](const std::string& name, const std::string& note, auto&& attainment) {
    out += fmt::format("<div class=\"card\"><h3>{}</h3><p class=\"soft\">{}</p>", name, html_escaped(note));
    for (std::size_t i = 0; i < page.runs.size(); ++i) {
      const std::optional<double> share = attainment(i);
      out += fmt::format("<div class=\"bar\"><span>{}</span><span><i style=\"--c:var(--r{});width:{:.2f}%\"></i></span><b>{}</b></div>",
                         html_escaped(run_name(page.runs[i], i)), i % colours, share.value_or(0) * 100, percent(share));
    }
    out += "</div>\n";
  };
  for (const auto& c : page.classes) {
    if (c.slo == Slo{}) continue;
    card(class_name(c.name), readable(c.slo), [&](std::size_t i) {
      const auto* summary = page.find(i, c.name);
      return summary ? summary->attainment : std::nullopt;
    });
  }
  card("Worst class", "the lowest of the classes above", [&](std::size_t i) -> std::optional<double> {
    const auto& s = page.summaries[i];
    return s.worst_class ? s.classes[*s.worst_class].attainment : std::nullopt;
  });
  return out + "</div>\n";
}

std::string timelines(const Page& page) {
  std::vector<std::vector<PointSeries>> panels;
  Duration last{};
  for (const auto& run : page.runs) {
    std::vector<PointSeries> panel;
    for (std::size_t colour = 0; colour < page.classes.size(); ++colour) {
      PointSeries series{colour, {}, page.classes[colour].slo.ttft};
      for (const auto& r : run.requests) {
        if (run.classes[r.slo_class].name != page.classes[colour].name) continue;
        series.points.push_back({r.arrival, ttft(r)});
        last = std::max(last, r.arrival);
      }
      panel.push_back(std::move(series));
    }
    // The rarest class is drawn last, on top.
    std::stable_sort(panel.begin(), panel.end(),
                     [](const auto& a, const auto& b) { return a.points.size() > b.points.size(); });
    panels.push_back(std::move(panel));
  }
  const auto range = range_of(panels);

  std::vector<std::string> names;
  for (const auto& c : page.classes) {
    names.push_back(class_name(c.name) + (c.slo.ttft ? " (dashed: its TTFT objective)" : ""));
  }
  std::string out = "<h2>Waiting for the first token, request by request</h2>\n<p class=\"soft\">Each dot is one request, at "
                    "the time it arrived; its height is the time to its first token, on a logarithmic scale. All panels have "
                    "the same axes; crosses at the top never got one. A column of dots climbing together is head-of-line blocking: requests that wait "
                    "for what stands before them.</p>\n" + colour_key('k', names) + "<div class=\"grid\">\n";
  for (std::size_t i = 0; i < panels.size(); ++i) out += scatter(run_name(page.runs[i], i), panels[i], last, range);
  out += "</div>\n<h2>Distribution of the time to first token</h2>\n<p class=\"soft\">Share of the requests offered whose first "
         "token came within a time. A curve that ends below 100 % left the rest without a token.</p>\n" + run_key(page) +
         "<div class=\"grid\">\n";
  for (const auto& c : page.classes) {
    std::vector<Curve> curves;
    for (std::size_t i = 0; i < page.runs.size(); ++i) {
      Curve curve{i, {}, 0};
      for (const auto& r : page.runs[i].requests) {
        if (page.runs[i].classes[r.slo_class].name != c.name) continue;
        ++curve.offered;
        if (const auto t = ttft(r)) curve.sorted.push_back(*t);
      }
      std::sort(curve.sorted.begin(), curve.sorted.end());
      curves.push_back(std::move(curve));
    }
    out += distribution(c.name.empty() ? "(no class)" : c.name, curves, c.slo.ttft, range);
  }
  return out + "</div>\n";
}

std::string class_table(const Page& page) {
  struct Metric {
    const char* name;
    bool higher_is_better;
    std::function<Cell(const ClassSummary&)> of;
  };
  const auto time = [](auto member) {
    return [member](const ClassSummary& c) {
      const std::optional<Duration> d = member(c);
      return Cell{readable(d), d ? std::optional(seconds(*d)) : std::nullopt};
    };
  };
  const std::vector<Metric> metrics = {
      {"on time", true, [](const ClassSummary& c) { return Cell{percent(c.attainment), c.attainment}; }},
      {"completed", true, [](const ClassSummary& c) {
         const auto n = static_cast<double>(c.count(Outcome::completed));
         return Cell{fmt::format("{} of {}", thousands(n), thousands(static_cast<double>(c.offered))),
                     c.offered ? std::optional(n / static_cast<double>(c.offered)) : std::nullopt};
       }},
      {"TTFT p50", false, time([](const ClassSummary& c) { return c.ttft.p50; })},
      {"TTFT p90", false, time([](const ClassSummary& c) { return c.ttft.p90; })},
      {"TTFT p99", false, time([](const ClassSummary& c) { return c.ttft.p99; })},
      {"TPOT p50", false, time([](const ClassSummary& c) { return c.tpot.p50; })},
      {"TPOT p99", false, time([](const ClassSummary& c) { return c.tpot.p99; })},
      {"E2E p50", false, time([](const ClassSummary& c) { return c.e2e.p50; })},
      {"E2E p99", false, time([](const ClassSummary& c) { return c.e2e.p99; })},
  };
  std::string out = "<h2>By class</h2>\n<p class=\"soft\">Green is the best of a row, red the worst; every row counts, also those "
                    "a policy loses.</p>\n<div class=\"wide\"><table><thead><tr><th>class</th><th class=\"name\">figure</th>";
  for (std::size_t i = 0; i < page.runs.size(); ++i) out += fmt::format("<th>{}</th>", html_escaped(run_name(page.runs[i], i)));
  out += "</tr></thead><tbody>\n";
  for (const auto& c : page.classes) {
    for (const auto& metric : metrics) {
      std::vector<Cell> row;
      for (std::size_t i = 0; i < page.runs.size(); ++i) {
        const auto* summary = page.find(i, c.name);
        row.push_back(summary ? metric.of(*summary) : Cell{"-", std::nullopt});
      }
      out += fmt::format("<tr><td>{}</td><td class=\"name\">{}</td>{}</tr>\n", class_name(c.name), metric.name,
                         cells(row, metric.higher_is_better));
    }
  }
  return out + "</tbody></table></div>\n";
}

std::string totals(const Page& page) {
  std::string out = "<h2>Whole runs</h2>\n<div class=\"wide\"><table><thead><tr><th>figure</th>";
  for (std::size_t i = 0; i < page.runs.size(); ++i) out += fmt::format("<th>{}</th>", html_escaped(run_name(page.runs[i], i)));
  out += "</tr></thead><tbody>\n";
  const auto row = [&](const std::string& name, bool higher_is_better, auto&& cell) {
    std::vector<Cell> line;
    for (std::size_t i = 0; i < page.runs.size(); ++i) line.push_back(cell(page.runs[i], page.summaries[i]));
    out += fmt::format("<tr><td>{}</td>{}</tr>\n", name, cells(line, higher_is_better));
  };
  const auto count = [](auto n) { return Cell{thousands(static_cast<double>(n)), static_cast<double>(n)}; };
  row("requests offered", true, [](const Run&, const Summary& s) {
    return Cell{thousands(static_cast<double>(s.all.offered)), std::nullopt};
  });
  for (std::size_t i = 0; i < outcome_names.size(); ++i) {
    row(i == 4 ? "unanswered at the end" : std::string(outcome_names[i]), i == 0,
        [&](const Run&, const Summary& s) { return count(s.all.outcomes[i]); });
  }
  row("on time, of classes with an SLO", true, [](const Run&, const Summary& s) {
    return Cell{percent(s.all.attainment), s.all.attainment};
  });
  row("output tokens a second", true, [&](const Run&, const Summary& s) { return count(std::round(s.throughput_tokens)); });
  row("goodput: tokens a second of requests on time", true,
      [&](const Run&, const Summary& s) { return count(std::round(s.goodput_tokens)); });
  row("engines busy", true, [](const Run& r, const Summary&) { return Cell{percent(r.busy_share), r.busy_share}; });
  row("first arrival to last completion", false, [](const Run&, const Summary& s) {
    return Cell{readable(s.span), seconds(s.span)};
  });
  row("completed with another length than asked", false, [&](const Run&, const Summary& s) { return count(s.wrong_length); });
  row("answers beyond the first (duplicates)", false, [&](const Run& r, const Summary&) { return count(r.duplicates); });
  row("sent late by the load generator", false, [](const Run& r, const Summary&) {
    const auto n = static_cast<double>(r.late_sends);
    return Cell{r.late_sends > 0 ? fmt::format("{} (worst {})", thousands(n), readable(r.worst_lateness)) : "0", n};
  });
  return out + "</tbody></table></div>\n";
}

constexpr std::string_view definitions = R"(<h2>What the figures mean</h2>
<dl><dt>on time</dt><dd>answered whole, and every objective of the request's class met. The share is taken of all requests offered, whatever became of them.</dd>
<dt>TTFT</dt><dd>from the instant the request was due until its first non-empty piece of text, over all requests that got one.</dd>
<dt>TPOT</dt><dd>mean time between output tokens after the first, of completed requests with at least two.</dd>
<dt>E2E</dt><dd>from the instant the request was due until its answer ended, of completed requests.</dd>
<dt>p50, p90, p99</dt><dd>nearest rank: the smallest measured value that this share of the values does not exceed.</dd>
<dt>tokens a second</dt><dd>output tokens of completed requests over the time from the first arrival to the last completion; goodput counts only requests on time.</dd>
<dt>completed</dt><dd>a 2xx answer that ended with its end mark. refused: another status. failed: no answer. cut: an answer that broke off.</dd>
<dt>open loop</dt><dd>requests leave when the trace says, whatever the answers do.</dd></dl>
)";

bool same_trace(const Run& a, const Run& b) {
  return std::equal(a.requests.begin(), a.requests.end(), b.requests.begin(), b.requests.end(),
                    [](const auto& x, const auto& y) {
                      return x.arrival == y.arrival && x.prompt == y.prompt && x.asked == y.asked;
                    });
}

}  // namespace

std::string to_html(const std::vector<Run>& runs, const std::string& title) {
  Page page{runs, {}, {}};
  bool comparable = true, one_speed = true;
  for (const auto& run : runs) {
    page.summaries.push_back(summarize(run));
    comparable = comparable && same_trace(run, runs.front());
    one_speed = one_speed && run.speed == 1;
    for (const auto& c : run.classes) {
      const bool known = std::any_of(page.classes.begin(), page.classes.end(), [&](const auto& k) { return k.name == c.name; });
      if (!known) page.classes.push_back(c);
    }
  }
  std::string out;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& run = runs[i];
    out += fmt::format("{}{}: {} requests to {}{}", i ? " &#183; " : "", html_escaped(run_name(run, i)),
                       thousands(static_cast<double>(run.requests.size())), html_escaped(run.target),
                       run.speed == 1 ? "" : fmt::format(", at {:g} times life's speed", run.speed));
  }
  const std::string introduction = std::move(out);
  out.clear();
  if (!one_speed) out += "<p class=\"soft\">All times below are life's: what was measured, times the speed.</p>\n";
  if (!comparable) out += "<p class=\"warn\">These runs did not replay the same trace: compare them with care.</p>\n";
  if (!runs.empty()) out += attainment_cards(page) + timelines(page) + class_table(page) + totals(page);
  return html_page(title, introduction, out + std::string(definitions));
}

std::string html_page(const std::string& title, const std::string& introduction, const std::string& body) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/><title>{0}</title>\n<style>{1}\n",
      html_escaped(title), style);
  for (std::size_t i = 0; i < colours; ++i) out += fmt::format("svg .k{0}{{color:var(--k{0})}}svg .r{0}{{color:var(--r{0})}}", i);
  return out + fmt::format("</style></head>\n<body>\n<h1>{}</h1>\n<p class=\"soft\">{}</p>\n{}</body></html>\n", html_escaped(title), introduction, body);
}

std::string colour_key(char kind, const std::vector<std::string>& names) {
  std::string out = "<div class=\"key\">";
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("<span style=\"color:var(--{}{})\"><i></i><span>{}</span></span>", kind, i % colours, names[i]);
  }
  return out + "</div>\n";
}

}  // namespace qlm::report

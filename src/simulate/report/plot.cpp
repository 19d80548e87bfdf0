#include "simulate/report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "simulate/report/escape.hpp"
#include "simulate/report/text.hpp"

namespace qlm::report {
namespace {

// A narrow canvas: scaled to a phone's width its text stays readable.
constexpr double width = 440, height = 300, left = 54, right = 428, top = 34, bottom = 266, strip = 20;
constexpr std::size_t most_points = 40'000;

double log_position(Duration value, LatencyRange range, double from, double to) {
  const double low = std::log10(seconds(range.low)), high = std::log10(seconds(range.high));
  const double at = std::clamp(std::log10(std::max(seconds(value), 1e-9)), low, high);
  return from + (at - low) / (high - low) * (to - from);
}

std::vector<Duration> decades(LatencyRange range) {
  std::vector<Duration> out;
  for (Duration d = range.low; d <= range.high; d *= 10) out.push_back(d);
  return out;
}

// A decade's label: never minutes, so that the powers of ten are plain to see.
std::string label(Duration decade) {
  return decade >= 100s ? thousands(seconds(decade)) + " s" : readable(decade);
}

double tick_step(double span) {
  const double raw = span / 5, unit = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1., 2., 5.}) {
    if (raw <= factor * unit) return factor * unit;
  }
  return 10 * unit;
}

std::string open(const std::string& title, const std::string& description) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\"><title>{}</title><desc>{}</desc>"
                     "<text class=\"title\" x=\"{}\" y=\"15\">{}</text>\n",
                     width, height, html_escaped(title), html_escaped(description), left, html_escaped(title));
}

std::string line(const char* style, double x1, double y1, double x2, double y2) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", style, x1, y1, x2, y2);
}

std::string text(const char* anchor, double x, double y, const std::string& what) {
  return fmt::format("<text text-anchor=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", anchor, x, y, html_escaped(what));
}

}  // namespace

LatencyRange range_of(const std::vector<std::vector<PointSeries>>& panels) {
  Duration low = Duration::max(), high{};
  const auto see = [&](Duration d) {
    low = std::min(low, d);
    high = std::max(high, d);
  };
  for (const auto& panel : panels) {
    for (const auto& series : panel) {
      for (const auto& point : series.points) {
        if (point.latency) see(*point.latency);
      }
      if (series.objective) see(*series.objective);
    }
  }
  LatencyRange range{1s, 10s};
  if (high == Duration{}) return range;
  while (range.low > low && range.low > 1ms) range.low /= 10;
  while (range.high < high && range.high < 100'000s) range.high *= 10;
  while (range.low * 10 <= low && range.low * 10 < range.high) range.low *= 10;
  while (range.high / 10 >= high && range.high / 10 > range.low) range.high /= 10;
  return range;
}

std::string scatter(const std::string& title, const std::vector<PointSeries>& series, Duration last_arrival,
                    LatencyRange range) {
  std::string out = open(title, "Time to first token of each request over its arrival time, logarithmic");
  const double floor = top + strip;  // latencies are drawn between `bottom` and here, crosses above
  const double span = std::max(seconds(last_arrival), 1e-3);
  const auto x_of = [&](double s) { return left + s / span * (right - left); };
  const auto y_of = [&](Duration d) { return log_position(d, range, bottom, floor); };

  for (const Duration d : decades(range)) {
    out += line("grid", left, y_of(d), right, y_of(d)) + text("end", left - 5, y_of(d) + 4, label(d));
  }
  const double step = tick_step(span);
  for (double s = 0; s <= span * 1.001; s += step) {
    out += line("grid", x_of(s), bottom, x_of(s), bottom + 4) + text("middle", x_of(s), bottom + 17, fmt::format("{:g}", s));
  }
  out += text("end", right, height - 3, "arrival, s") + text("start", 2, top - 4, "TTFT");

  std::size_t total = 0;
  for (const auto& s : series) total += s.points.size();
  const std::size_t every = total / most_points + 1;
  bool any_lost = false;
  for (const auto& s : series) {
    if (s.objective) {
      out += fmt::format("<line class=\"objective k{}\" x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\"/>\n",
                         s.colour % colours, left, y_of(*s.objective), right, y_of(*s.objective));
    }
    std::string dots, crosses;
    for (std::size_t i = 0; i < s.points.size(); i += every) {
      const auto& p = s.points[i];
      const double x = x_of(seconds(p.at));
      if (p.latency) {
        fmt::format_to(std::back_inserter(dots), "M{:.1f} {:.1f}h0", x, y_of(*p.latency));
      } else {
        fmt::format_to(std::back_inserter(crosses), "M{:.1f} {:.1f}l5 5m-5 0l5-5", x - 2.5, top + 4);
        any_lost = true;
      }
    }
    out += fmt::format("<path class=\"dots k{0}\" d=\"{1}\"/><path class=\"crosses k{0}\" d=\"{2}\"/>\n",
                       s.colour % colours, dots, crosses);
  }
  if (any_lost) out += text("end", left - 5, top + 11, "none");
  if (every > 1) out += text("end", right, 15, fmt::format("one point in {} shown", every));
  return out + "</svg>\n";
}

std::string distribution(const std::string& title, const std::vector<Curve>& curves, std::optional<Duration> objective,
                         LatencyRange range) {
  std::string out = open(title, "Share of all offered requests whose first token came within a time");
  const auto x_of = [&](Duration d) { return log_position(d, range, left, right); };
  const auto y_of = [&](double share) { return bottom - share * (bottom - top); };
  for (const double share : {0., .25, .5, .75, 1.}) {
    out += line("grid", left, y_of(share), right, y_of(share)) +
           text("end", left - 5, y_of(share) + 4, fmt::format("{:.0f} %", share * 100));
  }
  for (const Duration d : decades(range)) {
    const char* anchor = d == range.high ? "end" : "middle";
    out += line("grid", x_of(d), top, x_of(d), bottom) +
           text(anchor, d == range.high ? right : x_of(d), bottom + 17, label(d));
  }
  out += text("end", right, height - 3, "TTFT");
  if (objective) out += line("objective", x_of(*objective), top, x_of(*objective), bottom);
  for (const auto& curve : curves) {
    if (curve.offered == 0) continue;
    const auto n = curve.sorted.size();
    const std::size_t every = n / 400 + 1;  // more steps than pixels show nothing
    std::string path = fmt::format("M{:.1f} {:.1f}", left, y_of(0));
    for (std::size_t i = 0; i < n; ++i) {
      if (i % every != 0 && i + 1 != n) continue;
      fmt::format_to(std::back_inserter(path), "H{:.1f}V{:.1f}", x_of(curve.sorted[i]),
                     y_of(static_cast<double>(i + 1) / static_cast<double>(curve.offered)));
    }
    out += fmt::format("<path class=\"curve r{}\" d=\"{}H{:.1f}\"/>\n", curve.colour % colours, path, right);
  }
  return out + "</svg>\n";
}

namespace {

template <class X, class Y>
std::string drawn(const Line& line, X&& x_of, Y&& y_of) {
  const std::string colour = line.colour ? fmt::format("r{}", *line.colour % colours) : "ink";
  std::string path, marks;
  for (const auto& [x, y] : line.points) {
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x_of(x), y_of(y));
    fmt::format_to(std::back_inserter(marks), "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"currentColor\"/>", colour, x_of(x), y_of(y));
  }
  return fmt::format("<path class=\"curve {}\"{} d=\"{}\"/>{}\n", colour, line.dashed ? " stroke-dasharray=\"5 4\"" : "", path, marks);
}

}  // namespace

std::string shares(const std::string& title, const std::string& across, const std::vector<Line>& lines) {
  std::string out = open(title, "Shares over " + across);
  double low = 0, high = 0;
  bool any = false;
  for (const Line& line : lines) {
    for (const auto& [x, y] : line.points) {
      low = any ? std::min(low, x) : x;
      high = any ? std::max(high, x) : x;
      any = true;
    }
  }
  if (high <= low) low -= 0.5, high = low + 1;
  const auto x_of = [&](double x) { return left + (x - low) / (high - low) * (right - left); };
  const auto y_of = [&](double share) { return bottom - std::clamp(share, 0.0, 1.0) * (bottom - top); };
  for (const double share : {0., .25, .5, .75, 1.}) {
    out += line("grid", left, y_of(share), right, y_of(share)) + text("end", left - 5, y_of(share) + 4, fmt::format("{:.0f} %", share * 100));
  }
  const double step = tick_step(high - low);
  for (double x = std::ceil(low / step - 1e-9) * step; x <= high + step * 1e-9; x += step) {
    out += line("grid", x_of(x), bottom, x_of(x), bottom + 4) + text("middle", x_of(x), bottom + 17, fmt::format("{:.4g}", x));
  }
  out += text("end", right, height - 3, across);
  for (const Line& each : lines) out += drawn(each, x_of, y_of);
  return out + "</svg>\n";
}

std::string seconds_against(const std::string& title, const std::string& across, const std::string& up, const std::vector<Line>& lines) {
  std::string out = open(title, up + " over " + across + ", both logarithmic");
  PointSeries all;  // both ways, so that the diagonal is one
  for (const Line& line : lines) {
    for (const auto& [x, y] : line.points) {
      for (const double s : {x, y}) all.points.push_back({Duration{}, duration_from_seconds(s)});
    }
  }
  const LatencyRange range = range_of({{all}});
  const auto x_of = [&](double s) { return log_position(duration_from_seconds(s), range, left, right); };
  const auto y_of = [&](double s) { return log_position(duration_from_seconds(s), range, bottom, top); };
  for (const Duration d : decades(range)) {
    const double s = seconds(d);
    out += line("grid", left, y_of(s), right, y_of(s)) + text("end", left - 5, y_of(s) + 4, label(d));
    out += line("grid", x_of(s), top, x_of(s), bottom) + text(d == range.high ? "end" : "middle", x_of(s), bottom + 17, label(d));
  }
  out += line("objective", left, bottom, right, top) + text("end", right, height - 3, across) + text("start", 2, top - 4, up);
  for (const Line& each : lines) out += drawn(each, x_of, y_of);
  return out + "</svg>\n";
}

}  // namespace qlm::report

// The plots of a report as inline SVG. Colours come from the page's style sheet by class names: k0.. for classes,
// r0.. for runs.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"

namespace qlm::report {

inline constexpr std::size_t colours = 6;

struct Point {
  Duration at;                     // arrival
  std::optional<Duration> latency; // nothing: no token ever came
};
struct PointSeries {
  std::size_t colour = 0;
  std::vector<Point> points;
  std::optional<Duration> objective;  // drawn as a line across
};
struct LatencyRange {
  Duration low = 10ms;
  Duration high = 10s;
};
// Whole decades around every latency, so that panels drawn with it can be compared.
LatencyRange range_of(const std::vector<std::vector<PointSeries>>& panels);

// Latency over arrival time, logarithmic; requests without any token are crosses in a strip above.
std::string scatter(const std::string& title, const std::vector<PointSeries>& series, Duration last_arrival,
                    LatencyRange range);

struct Curve {
  std::size_t colour = 0;
  std::vector<Duration> sorted;
  std::size_t offered = 0;  // the curve ends at sorted.size() / offered
};
// Share of the offered requests within a latency.
std::string distribution(const std::string& title, const std::vector<Curve>& curves, std::optional<Duration> objective,
                         LatencyRange range);

struct Line {
  std::optional<std::size_t> colour;  // none: in the ink of the page
  bool dashed = false;
  std::vector<std::pair<double, double>> points;  // by the first
};
// Shares (0 to 1) over a number.
std::string shares(const std::string& title, const std::string& across, const std::vector<Line>& lines);
// Seconds over seconds, both logarithmic, beside the diagonal on which they are the same.
std::string seconds_against(const std::string& title, const std::string& across, const std::string& up, const std::vector<Line>& lines);

}  // namespace qlm::report

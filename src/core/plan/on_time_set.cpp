#include "core/plan/on_time_set.hpp"

#include <algorithm>
#include <cmath>
#include <queue>

namespace qlm {
namespace {

struct Kept {
  double density = 0;  // value of a second of work: the least goes first
  std::uint32_t group = 0;
  std::int64_t work = 0;
  std::int64_t count = 0;

  bool operator>(const Kept& other) const {
    if (density != other.density) return density > other.density;
    if (work != other.work) return work < other.work;
    return group > other.group;
  }
};

}  // namespace

std::vector<std::int64_t> give_up(std::vector<OnTimeCell> cells, double capacity) {
  std::ranges::stable_sort(cells, [](const OnTimeCell& a, const OnTimeCell& b) {
    return a.due != b.due ? a.due < b.due : a.group < b.group;
  });
  std::uint32_t groups = 0;
  for (const OnTimeCell& cell : cells) groups = std::max(groups, cell.group + 1);
  std::vector<std::int64_t> given_up(groups, 0);
  if (capacity <= 0) {
    for (const OnTimeCell& cell : cells) given_up[cell.group] += cell.count;
    return given_up;
  }

  std::priority_queue<Kept, std::vector<Kept>, std::greater<>> kept;
  double taken = 0;  // nanoseconds of engine time of all that is kept
  for (const OnTimeCell& cell : cells) {
    if (cell.count <= 0) continue;
    const std::int64_t work = std::max<std::int64_t>(1, cell.work.count());
    kept.push({cell.value / static_cast<double>(work), cell.group, work, cell.count});
    taken += static_cast<double>(work) * static_cast<double>(cell.count);
    const double room = capacity * static_cast<double>(std::max<std::int64_t>(0, cell.due.count()));
    while (taken > room && !kept.empty()) {
      Kept worst = kept.top();
      kept.pop();
      const auto needed = static_cast<std::int64_t>(std::ceil((taken - room) / static_cast<double>(worst.work)));
      const std::int64_t dropped = std::min(worst.count, std::max<std::int64_t>(1, needed));
      given_up[worst.group] += dropped;
      taken -= static_cast<double>(worst.work) * static_cast<double>(dropped);
      worst.count -= dropped;
      if (worst.count > 0) kept.push(worst);
    }
  }
  return given_up;
}

}  // namespace qlm

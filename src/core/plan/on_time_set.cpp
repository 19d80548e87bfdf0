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

std::vector<std::int64_t> give_up(std::vector<OnTimeCell> cells, double capacity, const std::vector<double>& floors) {
  std::ranges::stable_sort(cells, [](const OnTimeCell& a, const OnTimeCell& b) {
    return a.due != b.due ? a.due < b.due : a.group < b.group;
  });
  std::uint32_t groups = 0, parties = 1;
  for (const OnTimeCell& cell : cells) {
    groups = std::max(groups, cell.group + 1);
    parties = std::max(parties, cell.party + 1);
  }
  std::vector<std::int64_t> given_up(groups, 0);
  if (capacity <= 0) {
    for (const OnTimeCell& cell : cells) given_up[cell.group] += cell.count;
    return given_up;
  }

  struct Party {
    std::priority_queue<Kept, std::vector<Kept>, std::greater<>> kept;
    double taken = 0;  // nanoseconds of engine time of all that is kept
    double floor = 0;
  };
  std::vector<Party> all(parties);
  for (std::uint32_t p = 0; p < parties && p < floors.size(); ++p) all[p].floor = floors[p];
  double taken = 0;
  for (const OnTimeCell& cell : cells) {
    if (cell.count <= 0) continue;
    const std::int64_t work = std::max<std::int64_t>(1, cell.work.count());
    const double added = static_cast<double>(work) * static_cast<double>(cell.count);
    all[cell.party].kept.push({cell.value / static_cast<double>(work), cell.group, work, cell.count});
    all[cell.party].taken += added;
    taken += added;
    const auto until = static_cast<double>(std::max<std::int64_t>(0, cell.due.count()));
    const double room = capacity * until;
    while (taken > room) {
      // The worst of those parties that would keep their floor without it; of all when none would.
      Party* from = nullptr;
      for (const bool heeded : {true, false}) {
        for (Party& party : all) {
          if (party.kept.empty()) continue;
          const bool may = !heeded || party.taken - static_cast<double>(party.kept.top().work) >= party.floor * until;
          if (may && (!from || from->kept.top() > party.kept.top())) from = &party;
        }
        if (from) break;
      }
      if (!from) break;
      Kept worst = from->kept.top();
      from->kept.pop();
      const auto one = static_cast<double>(worst.work);
      const auto needed = static_cast<std::int64_t>(std::ceil((taken - room) / one));
      const auto spare = static_cast<std::int64_t>((from->taken - from->floor * until) / one);
      const std::int64_t most = spare >= 1 ? std::min(worst.count, spare) : worst.count;
      const std::int64_t dropped = std::min(most, std::max<std::int64_t>(1, needed));
      given_up[worst.group] += dropped;
      from->taken -= one * static_cast<double>(dropped);
      taken -= one * static_cast<double>(dropped);
      worst.count -= dropped;
      if (worst.count > 0) from->kept.push(worst);
    }
  }
  return given_up;
}

}  // namespace qlm

// Whom to serve on time when not all can be: Moore and Hodgson's rule (1968: on one machine, with all jobs there, the
// fewest late jobs are had by walking the due dates and dropping the longest job whenever one would be late), over cells
// of alike requests, and with values (the heuristic that drops what is worth least a second of work).
//
// A party of cells may have a floor: what is kept of it is not cut below that part of the engines' time, whatever others are
// worth, unless the floors alone are more than there is.
//
// Pure; O(n log n) in the cells, with floors times the parties. Exact for equal values and whole requests of one size a cell.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time.hpp"

namespace qlm {

// `count` requests of group `group` that take `work` of one engine each and must have started by `due`, so long after
// now that the work itself counts too: due = latest start + work / capacity.
struct OnTimeCell {
  std::uint32_t group = 0;
  Duration due{};
  Duration work{};  // engine time of one request, above zero
  double value = 1; // of one request on time
  std::int64_t count = 0;
  std::uint32_t party = 0;
};

// `capacity`: engine time a second, of all engines that share this work. Returns how many requests of each group are
// given up, indexed by group up to the largest one named; the earliest due of a group are meant. `floors`: of each party,
// engine time a second; those not named have none.
std::vector<std::int64_t> give_up(std::vector<OnTimeCell> cells, double capacity, const std::vector<double>& floors = {});

}  // namespace qlm

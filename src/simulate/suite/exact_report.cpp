#include <fmt/format.h>

#include <algorithm>

#include "core/domain/names.hpp"
#include "simulate/suite/points.hpp"
#include "simulate/suite/suite_report.hpp"

namespace qlm::suite {

std::string exact_json(const paper::ExactCounts& of) {
  return fmt::format(R"({{"programs":{},"asked":{},"exact":{},"impossible":{},"missed":{},"gap":{}}})", of.programs, of.asked, of.exact, of.impossible,
                     of.missed, of.exact > of.missed ? fmt::format("{:.6f}", of.gap()) : "null");
}

std::string exact_table(const std::vector<CellResult>& cells) {
  std::string out;
  std::size_t wide = 30;
  for (const CellResult& cell : cells) wide = std::max(wide, cell.name.size());
  for (const CellResult& cell : cells) {
    for (const auto& [policy, f] : cell.policies) {
      if (f.exact.programs == 0) continue;
      const auto of_all = [&](std::int64_t part) {
        return fmt::format("{} {:>5.1f}%", part, 100.0 * static_cast<double>(part) / static_cast<double>(f.exact.programs));
      };
      out += fmt::format("{:<{}} {:>5} {:>5}  {:<13} {:>8} {:>14} {:>14} {:>14} {:>7} {:>9}\n", cell.name, wide, load_of(cell), cell.seed, name(policy), f.exact.programs,
                         of_all(f.exact.asked), of_all(f.exact.exact), of_all(f.exact.impossible), f.exact.missed,
                         f.exact.exact > f.exact.missed ? fmt::format("{:.3f} %", 100 * f.exact.gap()) : "-");
    }
  }
  if (out.empty()) return out;
  return fmt::format("The paper's program, exactly by the solver where it is small (asked): solved to the optimum, or shown to have no solution; all else by\n"
                     "local search. Missed: solved, and the search breaks a constraint; gap: by how much groups wait longer in the search's orders, over the\n"
                     "other solved ones.\n\n{:<{}} {:>5} {:>5}  {:<13} {:>8} {:>14} {:>14} {:>14} {:>7} {:>9}\n",
                     "case", wide, "load", "seed", "policy", "programs", "asked", "solved", "no solution", "missed", "gap") + out;
}

std::string failures(const std::vector<CellResult>& cells) {
  std::string out;
  for (const CellResult& cell : cells) {
    for (const auto& [policy, f] : cell.policies) {
      if (!f.failed.empty()) out += fmt::format("failed: {}, load {}, seed {}, {}: {}\n", cell.name, load_of(cell), cell.seed, name(policy), f.failed);
    }
  }
  return out;
}

}  // namespace qlm::suite

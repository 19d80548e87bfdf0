#include "simulate/bounds/fluid.hpp"

#include <algorithm>
#include <bit>

namespace qlm::bounds {
namespace {

constexpr double negligible = 1e-9;  // seconds of engine time: the rounding of sums

}  // namespace

Fluid::Fluid(std::span<const Window> windows, std::size_t most_points) {
  std::vector<Duration> points;
  for (const Window& window : windows) {
    if (window.release >= window.due) continue;  // never done
    points.push_back(window.release);
    points.push_back(window.due);
  }
  std::ranges::sort(points);
  points.erase(std::ranges::unique(points).begin(), points.end());
  if (points.size() > most_points) {
    const Duration first = points.front(),
                   step = (points.back() - first) / static_cast<std::int64_t>(most_points - 1) + 1ns;
    points.clear();
    for (std::size_t i = 0; i < most_points; ++i) points.push_back(first + step * static_cast<std::int64_t>(i));
  }
  for (std::size_t i = 0; i + 1 < points.size(); ++i) length_.push_back(seconds(points[i + 1] - points[i]));
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (windows[i].release >= windows[i].due || windows[i].value <= 0) continue;
    const auto from = std::ranges::upper_bound(points, windows[i].release) - points.begin() - 1;
    const auto to = std::ranges::lower_bound(points, windows[i].due) - points.begin();
    jobs_.push_back({static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to), static_cast<std::uint32_t>(i), 0, windows[i].value});
  }
  std::ranges::stable_sort(jobs_, {}, &Job::release);
  by_density_.resize(jobs_.size());
  waiting_.resize(points.size());
  any_.resize(points.size() / 64 + 1);
}

double Fluid::most(std::span<const EngineTime> work, double capacity, std::size_t levels) {
  for (Job& job : jobs_) job.work = std::max(work[job.window].count(), 0.0);
  for (std::uint32_t i = 0; i < jobs_.size(); ++i) by_density_[i] = {jobs_[i].work / jobs_[i].value, i};
  std::ranges::sort(by_density_);
  const auto at_rank = [this](std::size_t rank) -> const Job& { return jobs_[by_density_[rank].second]; };
  std::vector<double> sum{0};
  sum.reserve(by_density_.size() + 1);
  for (std::uint32_t rank = 0; rank < by_density_.size(); ++rank) {
    jobs_[by_density_[rank].second].rank = rank;
    sum.push_back(sum.back() + at_rank(rank).work);
  }

  const std::size_t n = jobs_.size();
  levels = std::clamp<std::size_t>(levels, 1, std::max<std::size_t>(n, 1));
  const auto boundary = [&](std::size_t level) { return n * level / levels; };
  std::size_t all = 0, some = levels + 1;  // the first `all` levels can be done whole, the first `some` cannot
  while (some - all > 1) {
    const std::size_t middle = all + (some - all) / 2;
    (left_undone(boundary(middle), capacity) <= negligible ? all : some) = middle;
  }
  double value = 0;
  for (std::size_t i = 0; i < boundary(all); ++i) value += at_rank(i).value;
  double rank = sum[boundary(all)];
  for (std::size_t level = all; level < levels; ++level) {
    const std::size_t end = boundary(level + 1);
    const double done = sum[end] - left_undone(end, capacity);
    double more = done - rank;  // of this level, beside all denser ones; spent on its densest first
    rank = std::max(rank, done);
    for (std::size_t i = boundary(level); i < end && more > 0; ++i) {
      const Job& job = at_rank(i);
      value += job.work <= more ? job.value : job.value * more / job.work;
      more -= job.work;
    }
  }
  return value;
}

// What the `densest` jobs leave undone when they run earliest due first, which no order betters.
double Fluid::left_undone(std::size_t densest, double capacity) {
  double undone = 0;
  std::size_t next = 0;
  low_ = any_.size();
  for (std::size_t point = 0; point < length_.size(); ++point) {
    for (; next < jobs_.size() && jobs_[next].release == point; ++next) {
      const Job& job = jobs_[next];
      if (job.rank >= densest) continue;
      waiting_[job.due] += job.work;
      any_[job.due / 64] |= std::uint64_t{1} << (job.due % 64);
      low_ = std::min(low_, static_cast<std::size_t>(job.due / 64));
    }
    double free = capacity * length_[point];
    for (std::size_t due = first_waiting(); due < waiting_.size(); due = first_waiting()) {
      double& amount = waiting_[due];
      if (due > point && amount > free) {
        amount -= free;
        break;
      }
      if (due <= point) {
        undone += amount;
      } else {
        free -= amount;
      }
      amount = 0;
      any_[due / 64] &= ~(std::uint64_t{1} << (due % 64));
    }
  }
  for (std::size_t due = first_waiting(); due < waiting_.size(); due = first_waiting()) {
    undone += waiting_[due];
    waiting_[due] = 0;
    any_[due / 64] &= ~(std::uint64_t{1} << (due % 64));
  }
  return undone;
}

std::size_t Fluid::first_waiting() {
  while (low_ < any_.size() && any_[low_] == 0) ++low_;
  if (low_ == any_.size()) return waiting_.size();
  return low_ * 64 + static_cast<std::size_t>(std::countr_zero(any_[low_]));
}

}  // namespace qlm::bounds

#include "core/estimate/turns.hpp"

#include <algorithm>

namespace qlm {
namespace {

constexpr double kept = 0.95;          // of what visits and absences were, at each
constexpr double left_at_least = 0.25; // of a visit or absence that is longer than usual
constexpr double share_at_least = 0.05; // of the time that it is served
constexpr double longest = 1e6;        // seconds

double left_of(Duration usual, Duration passed) { return std::max(seconds(usual - passed), left_at_least * seconds(usual)); }

}  // namespace

void Turns::Mean::add(Duration seen) {
  sum = sum * kept + seconds(seen);
  count = count * kept + 1;
}

void Turns::is(Instant now, bool served, bool waiting) {
  if (served != served_) {
    if (served && began_ && waiting_) absences_.add(now - since_);
    if (!served && began_) visits_.add(now - since_);
    since_ = now;
    began_ = true;
  } else if (!served && waiting && !waiting_) {
    since_ = now;
  }
  served_ = served;
  waiting_ = waiting;
}

double Turns::seconds_until(Instant now, double needed, std::span<const Visit> known, double engines, double head_start) const {
  const double absence = seconds(absences_.mean());
  double at = 0;  // so far looked
  if (!known.empty()) {
    // Instances come and go at the visits' ends: between two of those as many serve as have a visit then.
    for (;;) {
      double next = longest, serving = 0;
      for (const Visit& v : known) {
        const double from = seconds(v.from), until = seconds(v.until);
        if (from == at && from > 0) needed -= v.engines * head_start;
        if (from > at) next = std::min(next, from);
        else if (until > at) next = std::min(next, until), serving += v.engines;
      }
      if (needed <= 0) return at;
      if (serving > 0 && needed <= serving * (next - at)) return at + needed / serving;
      if (next >= longest) break;
      needed -= serving * (next - at);
      at = next;
    }
    at += absence;
  } else if (served_) {
    if (visits_.count == 0) return needed / engines;  // it was never left
    const double left = left_of(visits_.mean(), now - since_);
    if (needed <= engines * left) return needed / engines;
    needed -= engines * left;
    at = left + absence;
  } else {
    at = waiting_ ? left_of(absences_.mean(), now - since_) : absence;
  }
  const double visit = std::max(seconds(visits_.mean()), absence * share_at_least);
  const double of_one = engines * (visit + head_start);
  if (visit <= 0) return at + std::max(0.0, needed / engines - head_start);
  const auto whole = static_cast<double>(static_cast<std::int64_t>(std::min(needed / of_one, longest)));
  return at + whole * (visit + absence) + std::max(0.0, (needed - whole * of_one) / engines - head_start);
}

}  // namespace qlm

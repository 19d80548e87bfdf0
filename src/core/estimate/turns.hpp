// A model that takes turns with others on the same instances: how long until it has been served for so long. What is known
// of its next visits (a plan, a swap under way) comes from the caller; beyond that they are thought to be as long, and as
// far apart, as they were.
//
// Costs: O(1) an event, O(visits) an estimate. Threads: its owner's.
#pragma once

#include <span>

#include "base/time.hpp"

namespace qlm {

class Turns {
 public:
  // From now on it is served somewhere, or nowhere; and somebody waits for it, or nobody does.
  void is(Instant now, bool served, bool waiting);
  bool served() const { return served_; }

  // From now; `engines` serve it in that time.
  struct Visit {
    Duration from{}, until{};
    double engines = 1;
  };
  // Seconds until it has been served for `needed` engine seconds. A visit begins with all slots free: as much is started
  // at once as an engine does in `head_start` seconds.
  double seconds_until(Instant now, double needed, std::span<const Visit> known, double engines, double head_start = 0) const;

  // As learned; zero: never seen. An absence counts from when somebody waits.
  Duration visit() const { return visits_.mean(); }
  Duration absence() const { return absences_.mean(); }

 private:
  struct Mean {  // old ones fading
    double sum = 0, count = 0;
    void add(Duration seen);
    Duration mean() const { return count > 0 ? duration_from_seconds(sum / count) : Duration{}; }
  };
  bool served_ = false, waiting_ = false, began_ = false;
  Instant since_;    // served: since it is; else since somebody waits
  Mean visits_, absences_;
};

}  // namespace qlm

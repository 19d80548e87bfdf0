// How fast an instance is: one scale on its profile's step times, learned from what it is seen to do, or its plain token
// throughput where no profile is known. From streamed tokens alone batch and context cannot be told apart (both grow
// together), so the profile gives the shape and the stream one number (scheduling-survey 2.2).
//
// Windows of about two seconds during which something always ran: the tokens counted in one say how many steps there were at the mean batch, the profile says how long those should have taken, and least squares with forgetting has the ratio.
// Reports may come late and together; what one window lacks the next has.
//
// Costs: O(1) each. Threads: its owner's.
#pragma once

#include <cstdint>
#include <optional>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/step_time.hpp"

namespace qlm {

class StepScale {
 public:
  void describe(const std::optional<StepTimeModel>& profile) { profile_ = profile; }

  // A stream's first token came; its prompt of so many tokens was computed.
  void started(Instant now, Tokens prompt);
  void generated(Instant now, Tokens fresh);
  // It ended or was aborted, having held so much context.
  void ended(Instant now, Tokens context);

  // Observed over foretold step time: 2 is half as fast as the profile. 1 before anything was seen.
  double scale() const { return settled_.scale(); }
  double windows() const { return windows_; }                // behind it, old ones fading
  std::int64_t changes() const { return changes_; }          // times that its speed was seen to become another
  double tokens_per_second() const;                          // generated, while something ran; 0 before anything was seen
  int running() const { return running_; }

 private:
  void pass(Instant now);
  void close();
  double foretold() const;  // seconds

  std::optional<StepTimeModel> profile_;
  int running_ = 0;
  double context_ = 0;
  Instant at_;
  // The window under way.
  double elapsed_ = 0, running_time_ = 0, context_time_ = 0;
  double fresh_ = 0, prefilled_ = 0, attention_ = 0, prefills_ = 0;
  Instant last_prefill_ = Instant::min();
  struct Memory {  // sums over the windows before; at first as if the profile had been right for a moment
    double products = 0.25, squares = 0.25;
    double scale() const { return squares / products; }
    void add(double x, double y, double kept) {
      products = products * kept + x * y;
      squares = squares * kept + y * y;
    }
  };
  Memory recent_, settled_;
  double windows_ = 0;
  std::int64_t changes_ = 0;
  double tokens_ = 0, seconds_ = 0;
};

}  // namespace qlm

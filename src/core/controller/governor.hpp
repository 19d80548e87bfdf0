// How many requests an instance is given at once (architecture, section 8). Three sources, best first: a number the
// engine or the operator states; the engine's own waiting gauge (raise what is in flight until it reports waiting, then
// hold just below); else throughput (grow while more in flight brings more tokens).
//
// The gauge may be read every 2 s only, too seldom to find a limit of hundreds in the first seconds of load. Until the
// gauge has shown waiting, each first token that comes while none is overdue says that what is in flight runs, and that
// twice as much may be tried: the slow start of TCP, with first tokens for acknowledgements.
#pragma once

#include <cstdint>
#include <optional>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/fleet.hpp"

namespace qlm {

class Governor {
 public:
  enum class Change : std::uint8_t { none, raised, lowered };

  void describe(const InstanceDescription& instance, const DispatchParameters& parameters);

  int limit() const { return limit_; }
  // Requests that may stand in the engine's own queue so that a freed slot never idles: none where the engine could
  // not drop them again, and none where the limit was found by waiting (it holds them already).
  int allowance() const { return allowance_; }

  // `in_flight` at the moment of the reading.
  Change on_stats(const InstanceStats& stats, Instant now, int in_flight, const DispatchParameters& parameters);
  // Whether first tokens can still raise the limit: whoever asks need not look for overdue ones otherwise.
  bool starting(int in_flight, const DispatchParameters& parameters) const;
  // A first token came; the oldest request still without one was sent `oldest_unstarted` ago, zero if there is none.
  Change on_first_token(Duration oldest_unstarted, int in_flight, const DispatchParameters& parameters);
  // For engines without a waiting gauge: tokens seen flowing, judged over windows of 2 s.
  Change on_tokens(Tokens tokens, Instant now, int in_flight, const DispatchParameters& parameters);
  // The engine said it was too busy with this many in flight.
  Change on_refused(int in_flight);
  // Something waited in our queue while this instance was full: only then is raising the limit evidence-based.
  void note_full() { full_since_last_ = true; }

 private:
  enum class Source : std::uint8_t { stated, waiting_gauge, throughput };
  Change set(int limit);
  int known_to_fit(const DispatchParameters& parameters) const;

  Source source_ = Source::throughput;
  bool described_ = false;
  int limit_ = 1;
  int allowance_ = 0;
  bool full_since_last_ = false;
  std::optional<Instant> waiting_since_;  // in all readings since then
  int readings_calm_ = 0;          // in a row, full and with nothing waiting
  int ceiling_ = 0;                // where waiting was last seen; exceeded by small steps only, 0: not found yet
  int steps_beyond_ = 0;           // above the ceiling with nothing waiting
  Instant window_start_ = Instant::min();
  Tokens window_tokens_{0};
  bool trying_ = false;            // the window under way is the first at a raised limit
  std::int64_t base_rate_ = 0;     // tokens a second at base_limit_
  int base_limit_ = 0;
  int hold_windows_ = 0;           // full windows to wait before the next try
};

}  // namespace qlm

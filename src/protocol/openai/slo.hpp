// What a request says about when it wants its answer, whichever way it says it. First source that says anything wins:
// x-slo-* headers, then service_tier, then completion_window, then the spellings of other gateways. The tenant's and the
// configuration's defaults, and the tenant's ceiling, are applied by the caller.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "protocol/http/message.hpp"
#include "protocol/openai/request.hpp"

namespace qlm::openai {

// OpenAI's service tiers. `standard` is what OpenAI calls `default`; `auto` leaves the choice to the server: none.
enum class Tier { none, standard, priority, flex, background };

struct StatedSlo {
  std::optional<Duration> ttft;
  std::optional<Duration> tpot;
  std::optional<Duration> e2e;
  std::optional<Duration> max_wait;       // how long it may be queued, where a peer's header says so
  std::optional<UnixTime> deadline;       // may lie in the past: the caller answers 504
  std::optional<std::int64_t> priority;   // from peers' spellings, turned so that higher is sooner
  std::string class_name;                 // x-slo-class, or a peer's name for one
  Tier tier = Tier::none;
  bool waits_gladly = false;              // x-qlm-wait: allow; says nothing of when
  std::string source;                     // the first header or field that counted; empty: nothing stated

  bool stated() const { return !source.empty(); }
};

inline constexpr Duration longest_slo = 30 * 24h;

// A value that is no number, not above zero, beyond longest_slo, or given twice is a 400 whose param is the header's
// name. `now` only bounds x-slo-deadline; a past deadline is accepted as stated.
std::expected<StatedSlo, RequestError> stated_slo(const http::Fields& headers, const RequestFacts& facts, UnixTime now);

// What the official SDKs announce about themselves. Garbage here is ignored: no person wrote it.
struct ClientHints {
  std::optional<Duration> read_timeout;  // the smaller of x-stainless-read-timeout and x-stainless-timeout
  int retry_count = 0;                   // x-stainless-retry-count
};
ClientHints client_hints(const http::Fields& headers);

// RFC 3339: 2026-11-21T14:30:00Z, with a fraction or an offset if need be. Leap seconds count as the second before.
std::optional<UnixTime> parse_rfc3339(std::string_view text);

}  // namespace qlm::openai

// What a run of a workload left behind: one record for each request that was offered, whatever became of it. The load
// generator and the simulator fill these; every figure, table and plot is computed from them, so a report can be made
// again from the file of a run.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/slo.hpp"

namespace qlm::report {

enum class Outcome : std::uint8_t {
  completed,  // a whole answer, with its end marked
  refused,    // answered with a status that is not 2xx, before any content
  failed,     // no answer: connection refused or lost, or not HTTP
  cut,        // an answer began and ended without its end mark, or in an error event
  timed_out,  // still unanswered when the run ended
};
inline constexpr std::array<std::string_view, 5> outcome_names = {"completed", "refused", "failed", "cut", "timed_out"};
inline std::string_view name(Outcome outcome) { return outcome_names[static_cast<std::size_t>(outcome)]; }

// Times count from the run's beginning, in life's time: what a run at a higher speed measured is already multiplied.
struct RequestRecord {
  std::uint32_t slo_class = 0;  // index into Run::classes
  std::uint32_t model = 0;      // index into Run::models
  Outcome outcome = Outcome::timed_out;
  int status = 0;  // of HTTP; 0 without an answer
  Duration arrival{};
  std::optional<Duration> sent;
  std::optional<Duration> first_token;
  std::optional<Duration> last_token;
  std::optional<Duration> ended;
  Tokens prompt{0};
  Tokens asked{0};     // output tokens the trace holds
  Tokens received{0};  // output tokens that came

  bool operator==(const RequestRecord&) const = default;
};

struct ClassInfo {
  std::string name;
  Slo slo;  // without any objective the class has no attainment

  bool operator==(const ClassInfo&) const = default;
};

struct Run {
  std::string label;   // what is compared: a policy, a configuration
  std::string target;  // where the requests went
  double speed = 1;
  std::vector<ClassInfo> classes;
  std::vector<std::string> models;
  std::vector<RequestRecord> requests;
  std::int64_t late_sends = 0;      // left more than the tolerance after they were due
  Duration worst_lateness{};
  std::int64_t duplicates = 0;      // answers or ends of answers beyond the first
  std::optional<double> busy_share; // of the engines' time, where they tell

  bool operator==(const Run&) const = default;
};

// TTFT and E2E count from the instant the request was due, not from the send: a load generator that falls behind must
// not flatter what it measures. TPOT is the mean gap between tokens after the first; it needs two tokens.
std::optional<Duration> ttft(const RequestRecord& request);
std::optional<Duration> tpot(const RequestRecord& request);
std::optional<Duration> e2e(const RequestRecord& request);  // completed requests only

// Completed, and within every objective its class states. Refused, failed, cut and timed out are misses.
bool on_time(const RequestRecord& request, const Slo& slo);

}  // namespace qlm::report

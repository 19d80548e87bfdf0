// What is known of a request once it is over. Made once; the access log and the metrics both read it, so that they
// can never disagree. It holds no word of what was asked or answered.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/estimate.hpp"
#include "core/domain/request.hpp"
#include "core/domain/slo.hpp"

namespace qlm::observe {

struct RequestRecord {
  std::string id;
  std::string path;         // "/v1/chat/completions"
  std::string model;        // as the client wrote it; empty where none was readable
  bool model_known = true;  // an unknown name is logged and never a label
  std::string class_name;
  std::string tenant;
  std::string instance;     // of the last attempt; empty: never dispatched
  std::string traceparent;
  int attempts = 0;
  // Of them: those that brought the client nothing, by what they were lost to, in the order these first came.
  std::vector<std::pair<Lost, int>> lost;
  int evictions = 0;        // attempts that gave way to others
  int client_retries = 0;   // as the client's SDK announced
  bool streamed = false;

  UnixTime arrived{};
  std::optional<Duration> wait;  // arrival to the last dispatch, or to the end of one never dispatched
  std::optional<Duration> ttft;  // arrival to the first token towards the client
  std::optional<Duration> tpot;
  Duration e2e{0};               // arrival to the end, whatever the end was
  Tokens prompt_tokens;
  Tokens output_tokens;
  Tokens cached_expected;        // of the prompt, at the instance it was sent to last
  std::optional<Tokens> cached;  // the same, as the engine said

  Slo slo;                              // that it was given
  std::optional<WaitEstimate> estimate;  // told at its arrival

  int status = 0;  // as sent, or 499
  Outcome outcome = Outcome::completed;
  Reason reason = Reason::none;
  std::string error;  // code of the error object that QLM answered with; empty where the engine's own words went out
  bool client_gone = false;
};

}  // namespace qlm::observe

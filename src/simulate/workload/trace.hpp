// A trace: what arrives when. One CSV for everything that makes or takes one: the generator, the load generator, the
// simulator, and a user's own recordings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "simulate/workload/prefix.hpp"

namespace qlm::workload {

struct TraceRequest {
  Duration arrival{};  // since the trace began
  Tokens prompt{1};
  Tokens output{1};
  std::string model;  // empty: the reader's default
  std::string slo_class;
  std::string tenant;
  Prefix prefix;

  bool operator==(const TraceRequest&) const = default;
};
using Trace = std::vector<TraceRequest>;

inline constexpr std::string_view trace_header = "arrival_s,prompt_tokens,output_tokens,model,class";

// Columns are found by the header's names; order is free and further columns are ignored, but the first three must be
// there. Arrivals must not go back in time. An error names its line.
Result<Trace> parse_trace(std::string_view csv);
Result<Trace> read_trace_file(const std::string& path);

// Arrivals are written with six decimals, so reading back gives them to the microsecond. There are columns `tenant`
// and `prefix` where a request has one.
std::string write_trace(const Trace& trace);

}  // namespace qlm::workload

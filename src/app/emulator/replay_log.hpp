// Replays a real engine's request log through EngineModel and says how far the two are apart: the proof that
// an emulated GPU keeps a real one's time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "core/enginemodel/engine_model.hpp"

namespace qlm::emulator {

struct LoggedRequest {
  Duration arrival{0};
  Tokens prompt{0};
  Tokens output{0};
  Duration first_token{0};  // both since the log's start, as `arrival` is
  Duration last_token{0};
};

// A CSV with at least the columns arrival_s, prompt_tokens, output_tokens, first_token_s and last_token_s,
// ordered by arrival; gzipped or not; "-" is standard input.
Result<std::vector<LoggedRequest>> read_request_log(const std::string& path);

struct ReplayReport {
  std::size_t requests = 0;
  double e2e_error = 0;                  // mean over requests of |modelled - real| / real (MAPE), as a share
  Duration ttft_real{0}, ttft_model{0};  // means
  Duration e2e_real{0}, e2e_model{0};
  Duration e2e_p99_real{0}, e2e_p99_model{0};
  std::int64_t preemptions = 0;
  std::string text() const;
};

Result<ReplayReport> replay(const std::vector<LoggedRequest>& log, const StepTimeModel& step,
                            const EngineLimits& limits);

}  // namespace qlm::emulator

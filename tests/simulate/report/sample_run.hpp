// Runs made by hand for the tests of this room.
#pragma once

#include "simulate/report/run_record.hpp"

namespace qlm::report {

inline RequestRecord completed(std::uint32_t slo_class, Duration arrival, Duration ttft, Duration e2e, std::int64_t tokens) {
  RequestRecord r;
  r.slo_class = slo_class;
  r.outcome = Outcome::completed;
  r.status = 200;
  r.arrival = arrival;
  r.sent = arrival;
  r.first_token = arrival + ttft;
  r.last_token = arrival + e2e;
  r.ended = arrival + e2e;
  r.prompt = Tokens{100};
  r.asked = r.received = Tokens{tokens};
  return r;
}

inline RequestRecord without_answer(std::uint32_t slo_class, Duration arrival, Outcome outcome, int status) {
  RequestRecord r;
  r.slo_class = slo_class;
  r.outcome = outcome;
  r.status = status;
  r.arrival = arrival;
  r.sent = arrival;
  r.ended = arrival;
  r.prompt = r.asked = Tokens{10};
  return r;
}

// Interactive: TTFT within 1 s and TPOT within 100 ms. Batch: E2E within 60 s. Other: no SLO.
inline Run empty_run() {
  Run run;
  run.label = "fcfs";
  run.target = "http://127.0.0.1:1";
  run.classes = {{"interactive", {1s, 100ms, {}}}, {"batch", {{}, {}, 60s}}, {"other", {}}};
  run.models = {"m"};
  return run;
}

}  // namespace qlm::report

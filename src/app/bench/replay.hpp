// Open-loop replay: every request leaves at its instant, whatever became of those before it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "app/bench/flags.hpp"
#include "app/bench/prompt.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/net/loop.hpp"
#include "simulate/report/run_record.hpp"
#include "simulate/workload/trace.hpp"

namespace qlm::bench {

struct ReplayOptions {
  Target target;
  PromptStyle style;
  http::Fields fields;                            // sent with every request
  double speed = 1;                               // of life; arrivals and SLOs are divided by it
  Duration timeout = 120s;                        // after the last arrival, in life's time
  Duration late_after = 10ms;                     // of the machine's time
  std::map<std::string, Slo> slos;                // by the trace's class names
  std::map<std::string, std::string> class_map;   // what x-slo-class says instead of the trace's class
  bool slo_headers = false;                       // send the objectives too (x-slo-ttft-ms ...)
  std::uint64_t seed = 1;                         // of the prompts' text
  std::uint64_t most_in_flight = ~std::uint64_t{0};  // descriptors allow no more; what exceeds it fails, counted
};

struct Progress {
  std::size_t offered = 0, total = 0, ended = 0, completed = 0, refused = 0, in_flight = 0;
  std::int64_t late = 0;
  Duration elapsed{};   // life's time
  Duration length{};    // of the trace
};

class Replay {
 public:
  // `trace` outlives the replay and names a model in every request.
  Replay(net::Loop& loop, net::HttpClient& client, const workload::Trace& trace, ReplayOptions options);
  ~Replay();

  // Calls back once: every request ended, or the timeout is over, or stop() was called.
  void start(net::Loop::Task on_end);
  // Offers nothing more and gives up what is unanswered.
  void stop();

  Progress progress() const;
  // After the end. Requests that were never offered (stop()) are not in it.
  report::Run take_run();
  // Why requests did not complete, with how many each.
  const std::map<std::string, std::size_t>& problems() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qlm::bench

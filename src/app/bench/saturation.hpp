// How many output tokens a second an engine gives when it has all the work it can use: concurrency is doubled, closed
// loop, until throughput stops growing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/bench/flags.hpp"
#include "app/bench/prompt.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/net/loop.hpp"
#include "simulate/workload/lengths.hpp"

namespace qlm::bench {

struct SaturationOptions {
  Target target;
  std::string model;
  PromptStyle style;
  http::Fields fields;
  workload::LengthDistribution lengths;
  double speed = 1;          // of the engine's life; throughput is reported in life's seconds
  int first = 8;             // concurrency to begin with
  int most = 1024;
  Duration settle = 2s;      // of the machine's time, before measuring each step
  Duration measure = 4s;
  double least_growth = 0.03;
  std::uint64_t seed = 1;
};

struct SaturationStep {
  int concurrency = 0;
  double tokens_per_second = 0;
  std::size_t failed = 0;
};

class Saturation {
 public:
  Saturation(net::Loop& loop, net::HttpClient& client, SaturationOptions options);
  ~Saturation();
  void start(std::function<void(const SaturationStep&)> on_step, net::Loop::Task on_end);
  void stop();
  const std::vector<SaturationStep>& steps() const;
  double best() const;                      // 0: nothing was measured
  const std::string& problem() const;       // the last failure's reason

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qlm::bench

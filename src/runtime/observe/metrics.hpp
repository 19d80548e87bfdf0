// The Prometheus metrics. Counters and histograms grow as requests end; gauges are handed over when somebody asks,
// so that nothing has to be kept up to date between two scrapes. prometheus-cpp stays behind this header.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/fleet.hpp"
#include "runtime/observe/request_record.hpp"

namespace qlm::observe {

struct QueueNow {
  std::string model;
  std::string class_name;
  std::int64_t requests = 0;
  Tokens tokens;
};

struct SwapsNow {
  std::int64_t started = 0, woken = 0;  // models that came: by an engine's start, or from its sleep
  std::int64_t failed = 0;
  Duration took{0};  // all of them, from when nothing ran until the next model served
};

struct InstanceNow {
  std::string name;
  std::string state;  // "ready", "starting", "cordoned" ...: one of the program's own few words
  bool up = false;
  bool stalled = false;
  std::int64_t running = 0;
  std::optional<std::int64_t> slots;
  Duration busy{0};  // with at least one request running, since start
  std::optional<Duration> stats_age;
  std::optional<SwapsNow> swaps;  // where models come and go
};

// What is true at the moment of the scrape.
struct Now {
  std::vector<QueueNow> queue;
  std::vector<InstanceNow> instances;
  std::uint64_t access_lines_lost = 0;
  std::int64_t evictions = 0;
  Tokens wasted{0};  // by them
};

class Metrics {
 public:
  explicit Metrics(std::string_view version);
  ~Metrics();

  void request_finished(const RequestRecord& record);
  // How long QLM itself held what it passes on: a request from its last byte read to its first byte written upstream,
  // its wait in the queue left out; a chunk of an answer from read to written.
  void request_resided(Duration residence);
  void chunk_resided(Duration residence);
  void config_reloaded(bool successful, UnixTime at);  // a failed one leaves the timestamp of the last good one

  // The text format, version 0.0.4; serve it as `content_type`.
  std::string expose(const Now& now) const;
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  // Beyond so many pairs of model and class, further ones are counted together as model="other".
  static constexpr std::size_t pairs_max = 1000;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qlm::observe

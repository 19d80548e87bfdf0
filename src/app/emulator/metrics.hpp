// What the emulated engine counts, under vLLM's names, in Prometheus' text format.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "core/enginemodel/engine_model.hpp"

namespace qlm::emulator {

class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  void append_to(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> counts_;  // the last one: above every bound
  double sum_ = 0;
};

struct Metrics {
  Metrics();
  std::int64_t prompt_tokens = 0;
  std::int64_t generation_tokens = 0;
  enum class Reason { stop, length, abort };
  std::array<std::int64_t, 3> finished{};
  Histogram time_to_first_token, inter_token, end_to_end;

  std::string text(const std::string& model, const EngineModel& engine, Duration busy, std::string_view sleep_state) const;
};

}  // namespace qlm::emulator

// The Prometheus text format (version 0.0.4, and what of OpenMetrics engines write), read line by line
// without copying. Strict in what counts as a sample, tolerant of everything else: a line that is none is
// skipped and counted, because one odd line must not cost the figures around it. Linear in the text, and
// bounded.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qlm::engines {

struct MetricSample {
  std::string_view name;
  std::string_view labels;  // between the braces, as written; checked to be well formed
  double value = 0;         // may be NaN or infinite: that is what the engine said

  // The unescaped value of one label; nothing when it is absent.
  std::optional<std::string> label(std::string_view key) const;
};

class MetricsReader {
 public:
  static constexpr std::size_t max_text = 8 * 1024 * 1024;  // bytes beyond are not read
  static constexpr std::size_t max_line = 64 * 1024;        // a longer line is skipped

  explicit MetricsReader(std::string_view text) : rest_(text.substr(0, max_text)) {}
  // The next sample, in the order of the text; views point into it.
  std::optional<MetricSample> next();
  // Lines so far that were neither a sample, a comment nor blank.
  std::size_t malformed() const { return malformed_; }

 private:
  std::string_view rest_;
  std::size_t malformed_ = 0;
};

}  // namespace qlm::engines

// Bytes as an engine's metrics: every line counts alone, whatever stands around it, and what is read as stats
// can be.
#include "protocol/engines/metrics_text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/engines/driver.hpp"
#include "require.hpp"

namespace {

using namespace qlm::engines;

bool blank_or_comment(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto first = line.find_first_not_of(" \t");
  return first == std::string_view::npos || line[first] == '#';
}

void check(const MetricSample& sample) {
  REQUIRE(!sample.name.empty() && std::isdigit(static_cast<unsigned char>(sample.name.front())) == 0);
  for (const char c : sample.name)
    REQUIRE(std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':');
  if (sample.labels.find('"') == std::string_view::npos)
    REQUIRE(sample.labels.find('=') == std::string_view::npos);
  const auto engine = sample.label("engine");
  if (engine)
    REQUIRE(sample.labels.find("engine") != std::string_view::npos && engine->size() <= sample.labels.size());
}

template <class Count>
void check_count(const std::optional<Count>& count) {
  if (count) REQUIRE(*count >= Count{0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  MetricsReader whole(text);
  std::size_t malformed = 0;
  for (std::size_t at = 0, end; at < text.size(); at = end + 1) {
    end = std::min(text.find('\n', at), text.size());
    const auto line = text.substr(at, end - at);
    MetricsReader alone(line);
    const auto sample = alone.next();
    malformed += alone.malformed();
    REQUIRE(!alone.next());
    REQUIRE((sample ? 1u : 0u) + alone.malformed() == (blank_or_comment(line) ? 0u : 1u));
    if (!sample) continue;
    check(*sample);
    const auto same = whole.next();
    REQUIRE(same && same->name == sample->name && same->labels == sample->labels);
    REQUIRE(same->value == sample->value || (same->value != same->value && sample->value != sample->value));
  }
  REQUIRE(!whole.next() && whole.malformed() == malformed);

  for (const auto kind : {EngineKind::vllm, EngineKind::llamacpp, EngineKind::sglang, EngineKind::openai}) {
    const auto stats = parse_stats(kind, 200, text);
    if (!stats) continue;
    check_count(stats->running);
    check_count(stats->waiting);
    check_count(stats->preemptions);
    check_count(stats->prompt_tokens);
    check_count(stats->cached_tokens);
    check_count(stats->generated_tokens);
    if (stats->kv_usage) REQUIRE(*stats->kv_usage >= 0 && *stats->kv_usage <= 1);
  }
  return 0;
}

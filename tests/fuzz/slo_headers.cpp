// Bytes as header lines ("name: value" a line, names by number for brevity): an SLO that is accepted is sane, a refusal
// names a header or field, and nothing depends on headers QLM does not read.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/openai/slo.hpp"
#include "require.hpp"

namespace {

using namespace qlm;
using namespace qlm::openai;

constexpr auto names = std::to_array<std::string_view>({
    "x-slo-ttft-ms", "x-slo-tpot-ms", "x-slo-e2e-ms", "x-slo-class", "x-slo-deadline", "x-llm-d-slo-ttft-ms", "x-llm-d-slo-tpot-ms",
    "x-llm-d-inference-ttl", "x-llm-d-inference-objective", "x-smg-priority", "x-dynamo-request-priority",
    "x-dynamo-request-strict-priority", "x-vllm-priority", "x-stainless-read-timeout", "x-stainless-timeout",
    "x-stainless-retry-count", "service_tier", "completion_window", "other",
});

bool sane(const std::optional<Duration>& value) { return !value || (*value > 0s && *value <= longest_slo); }

}  // namespace

// Each line: a byte that chooses the name, then the value.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  http::Fields headers;
  RequestFacts facts;
  facts.endpoint = Endpoint::chat;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.empty()) continue;
    const std::string_view name = names[static_cast<unsigned char>(line[0]) % names.size()];
    const std::string_view value = line.substr(1);
    if (name == "service_tier") facts.service_tier = value;
    else if (name == "completion_window") facts.completion_window = value;
    else headers.add(name, value);
  }

  const UnixTime now = *parse_rfc3339("2026-11-21T12:00:00Z");
  const auto slo = stated_slo(headers, facts, now);
  if (slo) {
    REQUIRE(sane(slo->ttft) && sane(slo->tpot) && sane(slo->e2e) && sane(slo->max_wait));
    REQUIRE(!slo->deadline || *slo->deadline - now <= longest_slo);
    REQUIRE(slo->class_name.size() <= 64);
    const bool says = slo->ttft || slo->tpot || slo->e2e || slo->max_wait || slo->deadline || slo->priority ||
                      !slo->class_name.empty() || slo->tier != Tier::none;
    REQUIRE(says == slo->stated());
  } else {
    REQUIRE(slo.error().status == 400 && !slo.error().param.empty() && !slo.error().message.empty());
  }
  const ClientHints hints = client_hints(headers);
  REQUIRE(sane(hints.read_timeout) && hints.retry_count >= 0);
  return 0;
}

// Bytes as everything an engine may answer: a stream, a whole body, an error, and each answer to a probe. The
// first byte chooses the engine, the endpoint and how the body ended.
#include <array>
#include <cstdint>
#include <string_view>

#include "protocol/engines/driver.hpp"
#include "protocol/engines/stream.hpp"
#include "protocol/http/sse.hpp"
#include "require.hpp"

namespace {

using namespace qlm::engines;
using qlm::openai::Endpoint;

constexpr std::array kinds{EngineKind::openai,          EngineKind::vllm,   EngineKind::llamacpp,
                           EngineKind::llamacpp_router, EngineKind::sglang, EngineKind::ollama,
                           EngineKind::transformers};
constexpr std::array endpoints{Endpoint::chat, Endpoint::completions, Endpoint::responses, Endpoint::opaque};

void check(const EngineError& error) {
  REQUIRE(error.status >= 400 && error.status <= 599);
  REQUIRE(!error.type.empty() && !error.message.empty() && error.message.size() <= 1200);
  for (const char c : error.message) REQUIRE(static_cast<unsigned char>(c) >= 0x20);
  REQUIRE(!(error.context_exceeded && error.retryable_elsewhere));
}

void check(const Outcome& outcome, bool content) {
  using Kind = Outcome::Kind;
  REQUIRE(outcome.error.has_value() == (outcome.kind != Kind::complete));
  if (outcome.error) check(*outcome.error);
  if (outcome.kind != Kind::complete) REQUIRE((outcome.kind == Kind::failed_after_content) == content);
}

void judge_stream(std::string_view bytes, EngineKind kind, Endpoint endpoint, bool clean) {
  qlm::http::SseScanner scanner;
  scanner.feed(bytes);
  const auto able = capabilities(kind);
  StreamJudge judge(able, endpoint);
  qlm::http::SseEvent event;
  bool content = false;
  bool done = false;
  bool broken = false;
  while (scanner.next(event) == qlm::http::SseScanner::Status::event) {
    const bool over = judge.finished();
    const auto is = judge.event(event.data);
    if (over) continue;
    content = content || is == EventIs::content;
    done = done || is == EventIs::done;
    broken = broken || is == EventIs::error || is == EventIs::garbage;
    REQUIRE(judge.content_seen() == content);
  }
  const auto outcome = judge.end(clean, scanner.rest());
  check(outcome, content);
  if (outcome.kind != Outcome::Kind::complete) return;
  // What success may rest on, said in the plainest way.
  REQUIRE(!broken);
  REQUIRE(clean || done);
  if (endpoint == Endpoint::chat || endpoint == Endpoint::completions) {
    REQUIRE(!outcome.finish_reason.empty());
    REQUIRE(done || !able.done_marker);
  }
}

void probe_with(int status, std::string_view body) {
  // Every answer the same: the probe must end, whatever it is told.
  Probe probe;
  int questions = 0;
  while (const auto ask = probe.next()) {
    REQUIRE(++questions <= 12);
    REQUIRE(ask->method == "GET" && ask->target.starts_with('/'));
    if (questions == 1 && status == 200) {
      probe.answered(200, {}, R"({"object":"list","data":[{"id":"m","owned_by":"llamacpp"}]})");
    } else {
      probe.answered(status, {}, body);
    }
  }
  const auto& result = probe.result();
  REQUIRE(!result.slots || *result.slots > 0);
  REQUIRE(!result.kv_capacity || *result.kv_capacity > qlm::Tokens{0});
  REQUIRE(result.health.reason.empty() == (result.health.readiness == Readiness::ready));
  for (const auto& model : result.models) REQUIRE(!model.id.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0];
  const auto kind = kinds[choice % kinds.size()];
  const auto endpoint = endpoints[choice / 7 % endpoints.size()];
  const bool clean = choice / 28 % 2 == 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);

  judge_stream(bytes, kind, endpoint, clean);
  for (const int status : {200, 400, 503}) check(judge_body(endpoint, status, {}, bytes, clean ? BodyEnd::framed : BodyEnd::cut), false);
  check(read_error(static_cast<int>(choice) * 3, {}, bytes));
  if (const auto error = find_error(bytes)) check(*error);
  for (const int status : {200, 404, 503}) probe_with(status, bytes);
  {
    Probe probe;
    while (probe.next()) probe.answered(200, {}, bytes);
  }
  return 0;
}

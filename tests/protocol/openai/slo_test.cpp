#include "protocol/openai/slo.hpp"

#include <gtest/gtest.h>

namespace qlm::openai {
namespace {

using Lines = std::initializer_list<std::pair<std::string_view, std::string_view>>;

const UnixTime now = *parse_rfc3339("2026-11-21T12:00:00Z");

http::Fields fields(Lines lines) {
  http::Fields out;
  for (const auto& [name, value] : lines) out.add(name, value);
  return out;
}

std::expected<StatedSlo, RequestError> stated(Lines headers, std::string more = "", std::string_view path = "/v1/chat/completions") {
  const auto facts = extract(path, std::make_shared<const std::string>(R"({"model":"m")" + (more.empty() ? "" : "," + more) + "}"));
  if (!facts) throw std::runtime_error(facts.error().message);
  return stated_slo(fields(headers), *facts, now);
}

std::string param_refused(Lines headers, std::string more = "") {
  const auto slo = stated(headers, std::move(more));
  if (slo) return "accepted";
  EXPECT_EQ(slo.error().status, 400);
  return slo.error().param;
}

TEST(Slo, NothingStatedIsNothing) {
  const auto slo = stated({});
  ASSERT_TRUE(slo);
  EXPECT_FALSE(slo->stated());
  EXPECT_FALSE(stated({}, R"("service_tier":"auto")")->stated());
}

TEST(Slo, OwnHeadersAreReadTogether) {
  const auto slo = stated({{"X-SLO-TTFT-ms", "2000"}, {"x-slo-tpot-ms", "12.5"}, {"x-slo-e2e-ms", "60000"}, {"x-slo-class", "chat"},
                           {"x-slo-deadline", "2026-11-21T12:01:00Z"}});
  ASSERT_TRUE(slo) << slo.error().message;
  EXPECT_EQ(slo->ttft, 2s);
  EXPECT_EQ(slo->tpot, 12500us);
  EXPECT_EQ(slo->e2e, 1min);
  EXPECT_EQ(slo->class_name, "chat");
  EXPECT_EQ(slo->deadline, now + 1min);
  EXPECT_EQ(slo->source, "x-slo-ttft-ms");
}

TEST(Slo, TheFirstSourceWinsWhole) {
  const auto own = stated({{"x-slo-e2e-ms", "5"}, {"x-llm-d-slo-ttft-ms", "7"}}, R"("service_tier":"flex","priority":1)");
  EXPECT_EQ(own->source, "x-slo-e2e-ms");
  EXPECT_EQ(own->tier, Tier::none);
  EXPECT_FALSE(own->ttft);
  EXPECT_FALSE(own->priority);
  const auto tier = stated({{"x-llm-d-slo-ttft-ms", "7"}}, R"("service_tier":"flex","completion_window":"1h")");
  EXPECT_EQ(tier->source, "service_tier");
  EXPECT_EQ(tier->tier, Tier::flex);
  EXPECT_FALSE(tier->e2e);
  const auto window = stated({{"x-llm-d-slo-ttft-ms", "7"}}, R"("service_tier":"auto","completion_window":"1h")");
  EXPECT_EQ(window->e2e, 1h);
  EXPECT_FALSE(window->ttft);
}

TEST(Slo, TiersAreOpenAIs) {
  const auto tier = [](std::string name) { return stated({}, R"("service_tier":")" + name + "\"")->tier; };
  EXPECT_EQ(tier("default"), Tier::standard);
  EXPECT_EQ(tier("standard"), Tier::standard);
  EXPECT_EQ(tier("priority"), Tier::priority);
  EXPECT_EQ(tier("flex"), Tier::flex);
  EXPECT_EQ(tier("background"), Tier::background);
  EXPECT_EQ(param_refused({}, R"("service_tier":"gold")"), "service_tier");
  EXPECT_TRUE(stated({}, R"("service_tier":"standard_only")", "/v1/messages"));  // another API's word
}

TEST(Slo, CompletionWindowIsTimeFromArrival) {
  EXPECT_EQ(stated({}, R"("completion_window":"24h")")->e2e, 24h);
  EXPECT_EQ(stated({}, R"("completion_window":"7d")")->e2e, 7 * 24h);
  EXPECT_EQ(stated({}, R"("completion_window":"1h30m")")->e2e, 90min);
  EXPECT_EQ(stated({}, R"("completion_window":"background")")->tier, Tier::background);
  for (const char* bad : {"soon", "0s", "-1h", "31d", "1", "h", "1h-30m", "1e3s", "nans", "infs", "99999999999999999999h", "1h1"}) {
    EXPECT_EQ(param_refused({}, R"("completion_window":")" + std::string(bad) + "\""), "completion_window") << bad;
  }
}

TEST(Slo, GarbageNamesItsHeader) {
  for (const char* bad : {"", "abc", "-5", "0", "-0", "nan", "NaN", "inf", "-inf", "1e999", "1e-30", "5ms", " 5", "5 ", "0x10", "+5", "1,5",
                          "2592000001", "1e300", "--5", "5.5.5"}) {
    EXPECT_EQ(param_refused({{"x-slo-ttft-ms", bad}}), "x-slo-ttft-ms") << bad;
    EXPECT_EQ(param_refused({{"x-slo-tpot-ms", bad}}), "x-slo-tpot-ms") << bad;
    EXPECT_EQ(param_refused({{"x-slo-e2e-ms", bad}}), "x-slo-e2e-ms") << bad;
    EXPECT_EQ(param_refused({{"x-llm-d-slo-ttft-ms", bad}}), "x-llm-d-slo-ttft-ms") << bad;
  }
  EXPECT_EQ(param_refused({{"x-slo-e2e-ms", "2592000000"}}), "accepted");  // thirty days
  EXPECT_EQ(param_refused({{"x-slo-class", ""}}), "x-slo-class");
  EXPECT_EQ(param_refused({{"x-slo-deadline", "tomorrow"}}), "x-slo-deadline");
  EXPECT_EQ(param_refused({{"x-slo-deadline", "2027-11-21T12:00:00Z"}}), "x-slo-deadline");
  EXPECT_EQ(param_refused({{"x-dynamo-request-priority", "high"}}), "x-dynamo-request-priority");
}

TEST(Slo, AHeaderGivenTwiceIsRefused) {
  EXPECT_EQ(param_refused({{"x-slo-ttft-ms", "5"}, {"X-Slo-Ttft-Ms", "6"}}), "x-slo-ttft-ms");
}

TEST(Slo, APastDeadlineIsStatedAsItIs) {
  EXPECT_EQ(stated({{"x-slo-deadline", "2026-11-21T11:00:00Z"}})->deadline, now - 1h);
}

TEST(Slo, PeersAreUnderstood) {
  const auto llmd = stated({{"x-llm-d-slo-ttft-ms", "300"}, {"x-llm-d-slo-tpot-ms", "20"}, {"x-llm-d-inference-ttl", "45s"},
                            {"x-llm-d-inference-objective", "batch"}});
  EXPECT_EQ(llmd->ttft, 300ms);
  EXPECT_EQ(llmd->tpot, 20ms);
  EXPECT_EQ(llmd->max_wait, 45s);
  EXPECT_EQ(llmd->class_name, "batch");
  EXPECT_FALSE(stated({{"x-llm-d-inference-ttl", "0s"}})->max_wait);  // as long as the client stays
  EXPECT_EQ(stated({{"x-llm-d-inference-ttl", "30"}})->max_wait, 30s);
  EXPECT_EQ(stated({{"x-smg-priority", "interactive"}})->tier, Tier::priority);
  EXPECT_EQ(stated({{"x-smg-priority", "bulk"}})->tier, Tier::flex);
  EXPECT_EQ(stated({{"x-smg-priority", "whatever"}})->tier, Tier::standard);
}

TEST(Slo, PrioritiesAreTurnedSoThatHigherIsSooner) {
  EXPECT_EQ(stated({{"x-dynamo-request-priority", "5"}})->priority, 5);
  EXPECT_EQ(stated({{"x-vllm-priority", "5"}})->priority, -5);
  EXPECT_EQ(stated({}, R"("priority":-3)")->priority, 3);
  EXPECT_EQ(stated({{"x-vllm-priority", "-1"}}, R"("priority":-3)")->priority, 1);  // vLLM's header wins over its field
  EXPECT_EQ(stated({}, R"("nvext":{"agent_hints":{"priority":9}})")->priority, 9);
  EXPECT_EQ(stated({}, R"("priority":-9223372036854775808)")->priority, INT64_MAX);
}

TEST(Slo, WaitingIsAllowedInOneWordOnly) {
  EXPECT_FALSE(stated({})->waits_gladly);
  EXPECT_TRUE(stated({{"x-qlm-wait", "Allow"}})->waits_gladly);
  EXPECT_FALSE(stated({{"x-qlm-wait", "allow"}})->stated()) << "which says nothing of when";
  for (const std::string_view other : {"maybe", "", "allow, allow", "1"}) EXPECT_EQ(param_refused({{"x-qlm-wait", other}}), "x-qlm-wait") << other;
  EXPECT_EQ(param_refused({{"x-qlm-wait", "allow"}, {"x-qlm-wait", "allow"}}), "x-qlm-wait");
}

TEST(Slo, DeadlinesAreRfc3339) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), UnixTime{});
  EXPECT_EQ(parse_rfc3339("2026-11-21t13:00:00.25+01:00"), now + 250ms);
  EXPECT_EQ(parse_rfc3339("2026-11-21 06:30:00-05:30"), now);
  EXPECT_EQ(parse_rfc3339("2024-02-29T00:00:00Z"), *parse_rfc3339("2024-03-01T00:00:00Z") - 24h);
  EXPECT_EQ(parse_rfc3339("2016-12-31T23:59:60Z"), *parse_rfc3339("2016-12-31T23:59:59Z"));
  for (const char* bad : {"", "2026-11-21", "2026-11-21T12:00:00", "2026-11-21T12:00Z", "2026-02-30T12:00:00Z", "2026-13-01T12:00:00Z",
                          "2026-11-21T24:00:00Z", "2026-11-21T12:60:00Z", "2026-11-21T12:00:61Z", "2026-11-21T12:00:00.Z",
                          "2026-11-21T12:00:00+1:00", "2026-11-21T12:00:00+01:00Z", "2026-11-21T12:00:00Zjunk", "9999-01-01T00:00:00Z",
                          "2026-11-21T12:00:00+", "-026-11-21T12:00:00Z", "1700000000"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(ClientHints, SdksAnnounceTheirPatience) {
  const auto hints = client_hints(fields({{"X-Stainless-Read-Timeout", "600"}, {"x-stainless-timeout", "12.5"}, {"x-stainless-retry-count", "2"}}));
  EXPECT_EQ(hints.read_timeout, 12500ms);
  EXPECT_EQ(hints.retry_count, 2);
}

TEST(ClientHints, GarbageInThemIsNoError) {
  const auto hints = client_hints(fields({{"x-stainless-read-timeout", "NOT_GIVEN"}, {"x-stainless-timeout", "-1"}, {"x-stainless-retry-count", "x"}}));
  EXPECT_FALSE(hints.read_timeout);
  EXPECT_EQ(hints.retry_count, 0);
  EXPECT_EQ(client_hints(fields({{"x-stainless-retry-count", "-7"}})).retry_count, 0);
  http::Fields too_short;
  too_short.add("x-stainless-timeout", "483E-90");
  EXPECT_FALSE(client_hints(too_short).read_timeout) << "an impatience below a nanosecond would expire every request";
}

}  // namespace
}  // namespace qlm::openai

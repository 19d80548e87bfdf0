#include "protocol/openai/deny_list.hpp"

#include <algorithm>
#include <array>

#include "protocol/openai/known_fields.hpp"

namespace qlm::openai {
namespace {

constexpr auto steering_headers = std::to_array<std::string_view>({
    "x-vllm-priority", "x-data-parallel-rank", "x-request-id", "x-session-id",             // vLLM
    "x-conversation-id",                                                                   // llama.cpp: generation outlives the client
    "x-dynamo-request-priority", "x-dynamo-request-strict-priority",                       // Dynamo
    "x-dynamo-meta-policy-class", "x-dynamo-session-id",
    "x-llm-d-inference-objective", "x-llm-d-inference-fairness-id", "x-llm-d-inference-ttl",  // llm-d
    "x-llm-d-slo-ttft-ms", "x-llm-d-slo-tpot-ms",
    "x-smg-priority",                                                                      // SMG
});

// Last parts of paths by which vLLM and SGLang are administered.
constexpr auto engine_acts = std::to_array<std::string_view>({
    "load_lora_adapter", "unload_lora_adapter", "sleep", "wake_up", "reset_prefix_cache", "flush_cache",
    "update_weights_from_disk", "release_memory_occupation", "resume_memory_occupation",
});

// Meant for the next hop only, which is QLM.
constexpr auto hop_by_hop = std::to_array<std::string_view>({
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "content-length",
});

// QLM reads replies, so it must not invite a compressed one; it has answered Expect itself; the rest are secrets.
constexpr auto ends_at_qlm = std::to_array<std::string_view>({
    "host", "expect", "accept-encoding", "authorization", "x-api-key", "api-key", "cookie",
});

// Of an engine: a cookie would be one for everybody behind QLM, and what it runs on is its operator's business.
constexpr auto ends_on_the_way_back = std::to_array<std::string_view>({"set-cookie", "set-cookie2", "server"});

std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool holds(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool for_this_hop(const http::Fields& fields, std::string_view name) {
  return holds(hop_by_hop, name) || fields.has_token("connection", name);
}

}  // namespace

std::span<const std::string_view> denied_body_fields() { return denied_fields; }
std::span<const std::string_view> denied_headers() { return steering_headers; }

bool denied_path(std::string_view path) { return holds(engine_acts, path.substr(path.rfind('/') + 1)); }

std::vector<std::string> remove_denied_fields(const RequestFacts& facts, Splice& splice) {
  std::vector<std::string> removed;
  for (const Member& member : facts.members) {
    if (!holds(denied_fields, member.name)) continue;
    splice.remove(member.name);
    removed.push_back(member.name);
  }
  return removed;
}

http::Fields forwarded_headers(const http::Fields& from_client, bool trusted, std::vector<std::string>& removed) {
  http::Fields out;
  for (const auto& field : from_client.all()) {
    const std::string name = lower(field.name);
    if (for_this_hop(from_client, name) || holds(ends_at_qlm, name)) continue;
    if (name.starts_with("x-slo-") || name.starts_with("x-qlm-")) continue;
    if (!trusted && holds(steering_headers, name)) {
      if (std::ranges::find(removed, name) == removed.end()) removed.push_back(name);
      continue;
    }
    out.add(field.name, field.value);
  }
  return out;
}

http::Fields returned_headers(const http::Fields& from_engine) {
  http::Fields out;
  for (const auto& field : from_engine.all()) {
    const std::string name = lower(field.name);
    if (for_this_hop(from_engine, name) || holds(ends_on_the_way_back, name) || name.starts_with("x-qlm-")) continue;
    out.add(field.name, field.value);
  }
  return out;
}

}  // namespace qlm::openai

#include "app/gateway/ask_engine.hpp"

#include <fmt/format.h>

#include <utility>

namespace qlm::gateway {
namespace {

constexpr Bytes answer_limit{16 * 1024 * 1024};

}  // namespace

std::unique_ptr<net::Call> ask_engine(net::Loop& loop, net::HttpClient& client, const config::Instance& instance,
                                      const engines::EngineRequest& request, net::OnResponse then) {
  net::ClientRequest out;
  out.method = request.method;
  out.target = instance.url.prefix + request.target;
  out.fields.add("Accept", "*/*");
  if (!instance.api_key.empty()) out.fields.add("Authorization", "Bearer " + instance.api_key);
  if (!request.body.empty()) {
    out.fields.add("Content-Type", "application/json");
    const auto body = std::make_shared<const std::string>(request.body);
    out.body = {*body};
    out.owner = body;
  }
  const net::Address address{instance.url.host, instance.url.port};
  return net::fetch(loop, client, address, std::move(out), request.timeout, answer_limit, std::move(then));
}

std::optional<engines::EngineKind> configured_kind(config::Engine engine) {
  switch (engine) {
    case config::Engine::detect: return std::nullopt;
    case config::Engine::vllm: return engines::EngineKind::vllm;
    case config::Engine::llamacpp: return std::nullopt;  // probed: single or router
    case config::Engine::sglang: return engines::EngineKind::sglang;
    case config::Engine::ollama: return engines::EngineKind::ollama;
    case config::Engine::openai: return engines::EngineKind::openai;
  }
  return std::nullopt;
}

std::string concurrency_text(std::optional<int> slots, std::optional<std::int64_t> max_in_flight) {
  if (!slots && !max_in_flight) return "concurrency to be found by load";
  std::string text = slots ? fmt::format("{} at once", *slots) : std::string();
  if (max_in_flight) text += fmt::format("{}max_in_flight {}", text.empty() ? "" : ", ", *max_in_flight);
  return text;
}

std::string to_text(const engines::ProbeResult& found, std::optional<std::int64_t> max_in_flight) {
  std::string models;
  for (const engines::Model& model : found.models) {
    models += (models.empty() ? "" : ", ") + model.id;
    if (model.context) models += fmt::format(" (context {})", model.context->count);
  }
  return fmt::format("{}{}{}, {}, serving {}", engines::to_string(found.kind), found.version.empty() ? "" : " ", found.version,
                     concurrency_text(found.slots, max_in_flight), models.empty() ? "no model" : models);
}

}  // namespace qlm::gateway

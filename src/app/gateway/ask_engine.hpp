// One question to one configured engine: its address, its key, a driver's request; and what a probe found, in words.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "protocol/engines/driver.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::gateway {

// The call must be kept; destroying it cancels.
std::unique_ptr<net::Call> ask_engine(net::Loop& loop, net::HttpClient& client, const config::Instance& instance,
                                      const engines::EngineRequest& request, net::OnResponse then);

// What the configuration says it is; nothing where that is to be found out.
std::optional<engines::EngineKind> configured_kind(config::Engine engine);

// For people: "4 at once", "max_in_flight 64", "concurrency to be found by load".
std::string concurrency_text(std::optional<int> slots, std::optional<std::int64_t> max_in_flight);

// "vllm 0.19, 4 at once, serving a, b": for people.
std::string to_text(const engines::ProbeResult& found, std::optional<std::int64_t> max_in_flight);

}  // namespace qlm::gateway

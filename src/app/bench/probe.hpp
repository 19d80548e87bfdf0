// Small questions to a server before and after a run. Each runs the loop until it has its answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/bench/flags.hpp"
#include "runtime/net/http_client.hpp"

namespace qlm::bench {

// The names /v1/models lists.
Result<std::vector<std::string>> list_models(net::Loop& loop, net::HttpClient& client, const Target& target,
                                             const http::Fields& fields);

// Sum of the samples of one metric in Prometheus text; nothing where there is none.
std::optional<double> metric_sum(std::string_view text, std::string_view name);

// Seconds the engines were busy since they started, one figure each (emulator:busy_seconds_total).
Result<std::vector<double>> busy_seconds(net::Loop& loop, net::HttpClient& client, const std::vector<Target>& engines);

}  // namespace qlm::bench

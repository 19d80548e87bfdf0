#include "app/bench/probe.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>

namespace qlm::bench {
namespace {

constexpr Bytes body_limit{16 * 1024 * 1024};

Result<std::string> get(net::Loop& loop, net::HttpClient& client, const Target& target, std::string_view path,
                        const http::Fields& fields) {
  Result<std::string> answer = fail("no answer");
  net::ClientRequest request;
  request.target = target.path(path);
  request.fields = fields;
  const auto call = net::fetch(loop, client, target.address, std::move(request), 10s, body_limit,
                               [&](Result<net::WholeResponse> response) {
                                 if (!response) answer = std::unexpected(response.error());
                                 else if (response->head.status != 200) answer = fail(fmt::format("status {}", response->head.status));
                                 else answer = std::move(response->body);
                                 loop.stop();
                               });
  loop.run();
  if (!answer) return fail(fmt::format("GET {} of {}: {}", path, target.text, answer.error().message));
  return answer;
}

}  // namespace

Result<std::vector<std::string>> list_models(net::Loop& loop, net::HttpClient& client, const Target& target,
                                             const http::Fields& fields) {
  const auto body = get(loop, client, target, "/v1/models", fields);
  if (!body) return std::unexpected(body.error());
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::array data;
  if (parser.parse(*body).get(root) != simdjson::SUCCESS || root["data"].get(data) != simdjson::SUCCESS) {
    return fail(fmt::format("GET /v1/models of {}: not the list of models it should be", target.text));
  }
  std::vector<std::string> names;
  for (const auto model : data) {
    std::string_view id;
    if (model["id"].get(id) == simdjson::SUCCESS) names.emplace_back(id);
  }
  return names;
}

std::optional<double> metric_sum(std::string_view text, std::string_view name) {
  std::optional<double> sum;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    if (line.starts_with('{')) {
      const auto end = line.rfind('}');
      if (end == std::string_view::npos) continue;
      line.remove_prefix(end + 1);
    }
    if (!line.starts_with(' ')) continue;  // a longer name
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    double value = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), value).ec == std::errc{}) sum = sum.value_or(0) + value;
  }
  return sum;
}

Result<std::vector<double>> busy_seconds(net::Loop& loop, net::HttpClient& client, const std::vector<Target>& engines) {
  std::vector<double> busy;
  for (const auto& engine : engines) {
    const auto text = get(loop, client, engine, "/metrics", {});
    if (!text) return std::unexpected(text.error());
    const auto seconds = metric_sum(*text, "emulator:busy_seconds_total");
    if (!seconds) return fail(fmt::format("{} does not tell emulator:busy_seconds_total", engine.text));
    busy.push_back(*seconds);
  }
  return busy;
}

}  // namespace qlm::bench

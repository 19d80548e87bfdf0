#include "app/bench/flags.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "simulate/workload/recipe.hpp"

namespace qlm::bench {
namespace {

std::string_view take(std::string_view& rest, char separator) {
  const auto item = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), item.size() + 1));
  return item;
}

}  // namespace

Result<Target> parse_target(std::string_view url) {
  const auto wrong = [&](std::string_view why) {
    return fail(fmt::format("'{}': {}; expected something like http://127.0.0.1:8000", url, why));
  };
  Target target;
  target.text = url;
  std::string_view rest = url;
  if (rest.starts_with("https://")) return wrong("TLS is not supported yet");
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  if (rest.find("://") != std::string_view::npos) return wrong("only http is supported");
  if (rest.find_first_of("?#@ ") != std::string_view::npos) return wrong("no user, query or fragment belongs there");
  const auto slash = std::min(rest.find('/'), rest.size());
  target.prefix = rest.substr(slash);
  while (target.prefix.ends_with('/')) target.prefix.pop_back();
  if (target.prefix.ends_with("/v1")) target.prefix.resize(target.prefix.size() - 3);
  std::string authority(rest.substr(0, slash));
  const auto bracket = authority.rfind(']');
  const bool has_port = authority.rfind(':') != std::string::npos &&
                        (bracket == std::string::npos || authority.rfind(':') > bracket);
  if (!has_port) authority += ":80";
  auto address = net::parse_address(authority);
  if (!address) return wrong(address.error().message);
  if (address->host.empty() || address->port == 0) return wrong("host and port are needed");
  target.address = *address;
  return target;
}

Result<std::pair<std::string, Slo>> parse_slo(std::string_view text) {
  const auto equals = text.rfind('=');
  const auto wrong = [&](std::string_view why) {
    return fail(fmt::format("--slo '{}': {}; expected something like interactive=ttft:2s,tpot:200ms", text, why));
  };
  if (equals == std::string_view::npos) return wrong("no '='");
  Slo slo;
  std::string_view rest = text.substr(equals + 1);
  if (rest.empty()) return wrong("no objective");
  while (!rest.empty()) {
    auto value = take(rest, ',');
    const auto key = take(value, ':');
    auto* objective = key == "ttft" ? &slo.ttft : key == "tpot" ? &slo.tpot : key == "e2e" ? &slo.e2e : nullptr;
    if (objective == nullptr) return wrong(fmt::format("'{}' is none of ttft, tpot, e2e", key));
    if (*objective) return wrong(fmt::format("'{}' stands there twice", key));
    const auto duration = workload::parse_duration(value);
    if (!duration) return wrong(duration.error().message);
    *objective = *duration;
  }
  return std::pair(std::string(text.substr(0, equals)), slo);
}

Result<std::map<std::string, std::string>> parse_map(std::string_view text) {
  std::map<std::string, std::string> map;
  while (!text.empty()) {
    auto to = take(text, ',');
    const auto from = take(to, '=');
    if (from.empty() || to.empty()) return fail(fmt::format("'{}': expected FROM=TO,...", text));
    map[std::string(from)] = to;
  }
  return map;
}

}  // namespace qlm::bench

// The small languages of the command line's values.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "core/domain/slo.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::bench {

struct Target {
  net::Address address;
  std::string prefix;  // path before /v1, without a slash at its end
  std::string text;    // as it was given

  std::string path(std::string_view of) const { return prefix + std::string(of); }
};
// "http://host:port[/prefix]", "host:port"; a final /v1 is taken for part of the API's paths, as SDKs write it.
Result<Target> parse_target(std::string_view url);

// "interactive=ttft:2s,tpot:200ms"
Result<std::pair<std::string, Slo>> parse_slo(std::string_view text);

// "interactive=chat,batch=bulk"
Result<std::map<std::string, std::string>> parse_map(std::string_view text);

}  // namespace qlm::bench

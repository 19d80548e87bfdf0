// A client's request as one engine is to see it: the bytes that came, spliced where they must differ.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/gateway/fleet.hpp"
#include "protocol/http/message.hpp"
#include "protocol/openai/request.hpp"
#include "runtime/net/http_client.hpp"

namespace qlm::gateway {

struct UpstreamRequest {
  net::ClientRequest request;
  bool streamed = false;             // the engine will send events
  bool fold = false;                 // streamed here, although the client wants one object
  bool usage_is_ours = false;        // the client did not ask for the usage chunk
  std::vector<std::string> removed;  // fields and headers taken out, by name
};

UpstreamRequest make_upstream_request(const Upstream& upstream, const std::shared_ptr<const openai::RequestFacts>& facts,
                                      const http::RequestHead& head, ModelId model, bool trusted);

}  // namespace qlm::gateway

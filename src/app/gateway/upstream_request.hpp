// A client's request as one engine is to see it: the bytes that came, spliced where they must differ. What gave way and
// goes on (resume level `exact`) is a completion of token ids under the client's own sampling parameters, and of as many
// tokens as are left to it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/gateway/fleet.hpp"
#include "protocol/http/message.hpp"
#include "protocol/openai/continuation.hpp"
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

// `continuation`: where it is sent at resume level `exact`, what former attempts brought of it, perhaps nothing yet.
UpstreamRequest make_upstream_request(const Upstream& upstream, const std::shared_ptr<const openai::RequestFacts>& facts,
                                      const http::RequestHead& head, ModelId model, bool trusted,
                                      const openai::Continuation* continuation = nullptr);

}  // namespace qlm::gateway

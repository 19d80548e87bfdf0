// What QLM itself says to clients: refusals in words, and headers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/domain/actions.hpp"
#include "protocol/openai/errors.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::gateway {

// Names a refusal needs to be understood by who gets it.
struct RefusalContext {
  std::string model;
  std::string service_class;
  std::string tenant;
  std::string engine_error;  // the last attempt's, in the engine's words
};
openai::Refusal refusal_of(const action::Reject& reject, const RefusalContext& context);

// Answers with an error object. `id` is empty where there is no request.
int respond_refusal(net::Exchange& exchange, std::string_view id, const openai::Refusal& refusal);
int respond_refusal(net::Exchange& exchange, std::string_view id, const openai::RequestError& error);
// SDKs write the slash of org/model as %2F. What is no escape stays as it stands.
std::string unescaped(std::string_view text);
void respond_json(net::Exchange& exchange, int status, std::string body);

}  // namespace qlm::gateway

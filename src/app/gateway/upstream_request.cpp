#include "app/gateway/upstream_request.hpp"

#include <utility>

#include "protocol/engines/driver.hpp"
#include "protocol/openai/deny_list.hpp"
#include "protocol/openai/fold.hpp"
#include "protocol/openai/splice.hpp"

namespace qlm::gateway {
namespace {

http::Fields fields_for(const Upstream& upstream, const http::Fields& from_client, bool trusted,
                        std::vector<std::string>& removed) {
  http::Fields fields = openai::forwarded_headers(from_client, trusted, removed);
  fields.remove("Accept-Encoding");  // the relay must read what comes
  if (!upstream.authorization.empty()) fields.set("Authorization", upstream.authorization);
  return fields;
}

bool streams(openai::Endpoint endpoint) {
  return endpoint == openai::Endpoint::chat || endpoint == openai::Endpoint::completions;
}

}  // namespace

UpstreamRequest make_upstream_request(const Upstream& upstream, const std::shared_ptr<const openai::RequestFacts>& facts,
                                      const http::RequestHead& head, ModelId model, bool trusted) {
  UpstreamRequest made;
  openai::Splice splice(facts);
  if (!trusted) made.removed = openai::remove_denied_fields(*facts, splice);

  // An unstreamed request keeps its slot long after its client left, on engines that notice only when they write.
  const bool may_fold = !facts->stream && streams(facts->endpoint) && openai::can_fold(*facts);
  engines::DispatchFacts dispatch;
  dispatch.path = head.path();
  const auto name = upstream.engine_names.find(model);
  dispatch.model = name == upstream.engine_names.end() ? std::string_view(facts->model) : std::string_view(name->second);
  dispatch.stream = facts->stream || may_fold;
  const engines::DispatchRewrite rewrite = engines::rewrite(upstream.kind, upstream.capabilities, dispatch);

  made.streamed = rewrite.stream;
  made.fold = may_fold && rewrite.stream;
  if (rewrite.model != facts->model) splice.set_model(rewrite.model);
  if (rewrite.stream != facts->stream) splice.set("stream", rewrite.stream ? "true" : "false");
  if (rewrite.include_usage && (rewrite.stream || facts->stream) && streams(facts->endpoint)) {
    made.usage_is_ours = !facts->wants_usage;
    if (made.usage_is_ours) splice.ask_usage();
  }
  if (rewrite.remove_stream_options) splice.remove("stream_options");

  made.request.method = head.method;
  made.request.target = upstream.prefix + rewrite.target;
  if (!head.query().empty()) made.request.target += "?" + std::string(head.query());
  made.request.fields = fields_for(upstream, head.fields, trusted, made.removed);
  auto body = std::make_shared<const openai::AssembledBody>(splice.assemble());
  made.request.body = body->pieces();
  made.request.owner = std::move(body);
  return made;
}

}  // namespace qlm::gateway

#include "app/gateway/upstream_request.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
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

constexpr std::string_view completions_path = "/v1/completions";
// Of chat alone, or said by the ids.
constexpr std::array<std::string_view, 15> not_for_ids = {
    "messages", "max_completion_tokens", "logprobs", "top_logprobs", "response_format", "chat_template", "chat_template_kwargs",
    "add_generation_prompt", "continue_final_message", "add_special_tokens", "documents", "truncate_prompt_tokens",
    "truncation_side", "tool_choice", "parallel_tool_calls"};
// That count from the first token of the output, with the least they may be; the second is the emulated engine's.
constexpr std::array<std::pair<std::string_view, std::int64_t>, 2> counted = {{{"min_tokens", 0}, {"emulated_output_tokens", 1}}};

std::optional<std::int64_t> number(const openai::RequestFacts& facts, std::string_view name) {
  const openai::Member* member = facts.find(name);
  if (!member) return std::nullopt;
  const std::string_view text = std::string_view(*facts.body).substr(member->value.begin, member->value.end - member->value.begin);
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

void go_on(openai::Splice& splice, const openai::RequestFacts& facts, const Upstream& upstream, ModelId model,
           const openai::Continuation& from) {
  for (const std::string_view name : not_for_ids) splice.remove(name);
  splice.set("prompt", from.prompt());
  std::optional<Tokens> longest = facts.max_tokens;
  const auto context = upstream.contexts.find(model);
  if (!longest && context != upstream.contexts.end()) longest = context->second - from.prompt_tokens();
  if (longest) splice.set("max_tokens", std::to_string(std::max<std::int64_t>(1, (*longest - from.before()).count)));
  for (const auto& [name, least] : counted) {
    if (const auto value = number(facts, name)) splice.set(name, std::to_string(std::max(least, *value - from.before().count)));
  }
}

}  // namespace

UpstreamRequest make_upstream_request(const Upstream& upstream, const std::shared_ptr<const openai::RequestFacts>& facts,
                                      const http::RequestHead& head, ModelId model, bool trusted, const openai::Continuation* continuation) {
  UpstreamRequest made;
  openai::Splice splice(facts);
  if (!trusted) made.removed = openai::remove_denied_fields(*facts, splice);

  // An unstreamed request keeps its slot long after its client left, on engines that notice only when they write.
  const bool may_fold = !facts->stream && streams(facts->endpoint) && openai::can_fold(*facts);
  engines::DispatchFacts dispatch;
  const bool resumed = continuation && continuation->resumed();
  if (resumed) go_on(splice, *facts, upstream, model, *continuation);
  dispatch.path = resumed ? completions_path : head.path();
  dispatch.want_token_ids = continuation != nullptr;
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
  if (rewrite.return_token_ids && rewrite.stream) splice.set("return_token_ids", "true");
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

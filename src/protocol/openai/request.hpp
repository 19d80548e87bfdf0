// What QLM must know of a request body to queue and forward it, read in one checked pass over the bytes that came.
// Nothing is copied out but short strings; positions are byte offsets into the body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "core/domain/prefix.hpp"
#include "protocol/http/message.hpp"

namespace qlm::openai {

enum class Endpoint { chat, completions, embeddings, responses, opaque };

Endpoint endpoint_of(std::string_view path);  // the path without its query

// The answer to a request that cannot be accepted as it is written.
struct RequestError {
  int status = 400;
  std::string code;     // machine-readable: invalid_json, duplicate_field, invalid_type ...
  std::string message;  // what was wrong, where, and what would be right
  std::string param;    // the field or header at fault; may be empty
};

// A half-open range of bytes of the body.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Span&) const = default;
};

// One member of the outermost object, in the order they came.
struct Member {
  std::string name;  // with escapes resolved
  Span whole;        // from the key's opening quote to the value's last byte
  Span value;
};

struct StreamOptions {
  Span value;                         // of stream_options; an object, or null
  bool empty = true;                  // null, or an object without members
  bool only_usage = true;             // nothing but that is asked for
  std::optional<Span> include_usage;  // the value of that member
};

// Priorities as peers of QLM spell them in the body, kept raw: their directions differ (see slo.hpp).
struct BodyPriority {
  std::optional<std::int64_t> vllm;           // `priority`: lower is sooner
  std::optional<std::int64_t> dynamo;         // `nvext.agent_hints.priority`: higher is sooner
  std::optional<std::int64_t> dynamo_strict;  // `nvext.agent_hints.strict_priority`: higher is sooner
};

struct RequestFacts {
  std::shared_ptr<const std::string> body;
  std::vector<Member> members;
  Endpoint endpoint = Endpoint::opaque;

  std::string model;
  bool stream = false;
  bool background = false;  // responses: the client polls for the result
  std::optional<StreamOptions> stream_options;
  bool wants_usage = false;           // the client itself asked for usage in the stream
  std::optional<Tokens> max_tokens;   // the smallest of the spellings present
  std::int64_t choices = 1;           // n (best_of when larger) times the number of prompts
  std::string service_tier;           // empty when not stated
  std::string completion_window;      // empty when not stated
  BodyPriority priority;

  // Size of the input before an engine counted it. Media are left out: their bytes say nothing about their tokens.
  Bytes prompt_text{0};
  Tokens prompt_ids{0};     // prompts given as token ids
  std::size_t media_parts = 0;
  PrefixMarks prefix;                 // of one prompt, up to its first medium

  // What decides how much of a broken-off generation can be resumed, and whether a stream can be folded.
  bool logprobs = false;
  bool tools = false;
  bool structured_output = false;  // response_format other than text, guided_*, structured_outputs
  bool stop = false;
  bool penalties = false;
  bool echo = false;

  const Member* find(std::string_view name) const;
};

inline constexpr int max_json_depth = 128;

// 415 for a body that says it is something else than JSON, or packed. A body that says nothing is taken for JSON.
std::optional<RequestError> check_media(const http::Fields& headers);

// Rejects with 400, naming the place or the field: anything that is not one JSON object in valid UTF-8; nesting beyond
// max_json_depth; no model, or one that is not a non-empty string; wrong types of the fields read here; and a second,
// escaped or differently cased spelling of any of them, because an engine might read the one QLM did not.
std::expected<RequestFacts, RequestError> extract(std::string_view path, std::shared_ptr<const std::string> body);

}  // namespace qlm::openai

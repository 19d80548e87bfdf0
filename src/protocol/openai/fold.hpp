// Reading the events of a reply: what one chunk means to the relay, and how a whole stream is put together into the
// single object a client that did not stream expects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "protocol/openai/request.hpp"

namespace qlm::openai {

class JsonReader;
class JsonWriter;

struct Usage {
  Tokens prompt{0};
  Tokens completion{0};
  std::optional<Tokens> cached;  // of the prompt, where the engine says so
};

// What the relay needs to know of one `data:` payload. All false for an object QLM does not understand.
struct ChunkFacts {
  bool done = false;      // [DONE]
  bool garbage = false;   // neither [DONE] nor a JSON object
  bool content = false;   // a non-empty delta: text, reasoning, refusal, tool call; the first of these ends TTFT
  bool finished = false;  // a choice has its finish_reason (responses: response.completed or .incomplete)
  bool usage_only = false;  // no choices, but usage: the chunk include_usage asks for
  bool error = false;
  std::string finish_reason;   // of the first choice that has one
  std::string error_message;   // the engine's words
  std::optional<Usage> usage;
  std::optional<Span> usage_member;  // in the payload, with the comma that goes with it: cut it out to remove usage
  std::size_t token_ids = 0;         // ids in the chunk, where they were asked for
};

// A chunk of chat or completions, or an event of responses.
ChunkFacts inspect_chunk(std::string_view data);
// Usage of an unstreamed reply, any endpoint.
std::optional<Usage> usage_of(std::string_view body);
// The payload without its usage member.
std::string without_usage(std::string_view data, const ChunkFacts& facts);

// Whether an answer to this request can be streamed upstream and folded: one choice, and fields the fold knows.
bool can_fold(const RequestFacts& facts);

// Folds chat and completions chunks of a single choice. Fields it does not know at the top level or in the choice are
// kept as the chunk that carried them last had them; an unknown part of a delta that is no text is an error.
class ReplyFold {
 public:
  explicit ReplyFold(Endpoint endpoint) : endpoint_(endpoint) {}

  // Each data payload in order, [DONE] included. An error means that the stream cannot be folded; errors of the engine
  // itself are the caller's to notice first (inspect_chunk).
  Result<void> add(std::string_view data);
  // The object, once finish_reason was seen.
  Result<std::string> finish() const;

 private:
  struct ToolCall {
    std::int64_t index = 0;
    std::string id, type, name, arguments;
  };
  struct Extra {
    std::string name;
    std::string json;
  };

  static void keep(std::vector<Extra>& among, std::string_view name, std::string_view json);
  bool choice(JsonReader& in, bool& understood);
  bool delta(JsonReader& in, bool& understood);
  bool tool_call(JsonReader& in, bool& understood);
  bool grow(JsonReader& in, std::string_view name);
  std::optional<std::string_view> text_of(std::string_view name) const;
  void write_message(JsonWriter& json) const;

  Endpoint endpoint_;
  bool finished_ = false;
  std::string role_ = "assistant";
  std::vector<Extra> top_;     // id, created, model, usage, timings ...: the last that is not null
  std::vector<Extra> choice_;  // finish_reason, stop_reason ...: the last that is not null
  std::vector<Extra> texts_;   // what grows: content, reasoning_content, refusal, text; decoded, not JSON
  std::vector<ToolCall> tools_;
};

}  // namespace qlm::openai

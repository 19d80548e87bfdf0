// One stream towards a client out of the streams of several attempts, where the engine tells token ids beside its text
// (`return_token_ids`, as vLLM has it): resume level `exact`.
//
// The first attempt is the client's own request. What gave way goes on as POST /v1/completions whose prompt is prompt(): the
// ids of the first prompt and of all output that the client was given. Its chunks are written as the client's endpoint writes
// them, under the first attempt's id; token ids, which only QLM asked for, become null, as they are where nobody asks.
//
// Ids count as given once text came with or after them: an engine holds text back while a character is incomplete.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/quantity.hpp"
#include "protocol/openai/fold.hpp"
#include "protocol/openai/request.hpp"

namespace qlm::openai {

struct ChunkParts;  // what matters of one chunk

class Continuation {
 public:
  explicit Continuation(Endpoint endpoint) : endpoint_(endpoint) {}  // the client's: chat or completions

  void attempt_begins();
  // One event's data, [DONE] included, as the client is to have it.
  std::string event(std::string_view data);

  bool resumed() const { return before_.count > 0; }  // this attempt goes on with former ones' output
  bool intact() const { return intact_; }      // all text came with its ids, and nothing but text came
  bool finished() const { return finished_; }  // a finish_reason was told: nothing is left to go on with
  Tokens prompt_tokens() const { return prompt_tokens_; }
  Tokens before() const { return before_; }    // output of former attempts
  Tokens fresh() const { return output_tokens_ - before_; }  // of this one
  std::string prompt() const;                  // a JSON array
  Usage of_all(const Usage& of_attempt) const;  // what the client is told

 private:
  void remember(const ChunkParts& chunk);
  std::string as_begun(const ChunkParts& chunk) const;
  std::string usage_of_all(const Usage& of_attempt) const;

  Endpoint endpoint_;
  std::string id_, created_, model_;  // JSON, of the first attempt
  std::string prompt_, output_, held_back_;  // ids as JSON array members
  Tokens prompt_tokens_, output_tokens_, held_back_tokens_, before_;
  bool intact_ = true;
  bool finished_ = false;
};

}  // namespace qlm::openai

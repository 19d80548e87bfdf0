#include "protocol/openai/resume.hpp"

#include <gtest/gtest.h>

namespace qlm::openai {
namespace {

ResumeLevel level(std::string_view path, const std::string& members) {
  const auto facts = extract(path, std::make_shared<const std::string>(R"({"model":"m",)" + members + "}"));
  EXPECT_TRUE(facts) << members;
  return facts ? resume_level(*facts) : ResumeLevel::none;
}
ResumeLevel chat(const std::string& more) { return level("/v1/chat/completions", R"("messages":[{"role":"user","content":"hi"}])" + more); }

TEST(Resume, PlainTextGoesOnExactly) {
  EXPECT_EQ(chat(""), ResumeLevel::exact);
  EXPECT_EQ(chat(R"(,"stream":true,"temperature":0.7,"top_p":0.9,"seed":5,"max_tokens":100,"n":1,"user":"x")"), ResumeLevel::exact);
  EXPECT_EQ(chat(R"(,"stream":true,"stream_options":{"include_usage":true})"), ResumeLevel::exact);
  EXPECT_EQ(chat(R"(,"response_format":{"type":"text"},"presence_penalty":0,"logprobs":false)"), ResumeLevel::exact);
  EXPECT_EQ(level("/v1/completions", R"("prompt":"hi","max_tokens":9)"), ResumeLevel::exact);
  EXPECT_EQ(level("/v1/completions", R"("prompt":[1,2,3],"max_tokens":9)"), ResumeLevel::exact);
}

TEST(Resume, WhatDependsOnMoreThanTokensCanOnlyBeginAgain) {
  for (const std::string more : {R"("n":2)", R"("logprobs":true)", R"("tools":[{"type":"function","function":{"name":"f"}}])",
                                 R"("response_format":{"type":"json_object"})", R"("guided_regex":"a+")", R"("stop":["x"])",
                                 R"("presence_penalty":0.5)", R"("frequency_penalty":-1)", R"("return_token_ids":true)",
                                 R"("stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true})", R"("use_beam_search":true)"}) {
    EXPECT_EQ(chat("," + more), ResumeLevel::restart) << more;
  }
  EXPECT_EQ(level("/v1/chat/completions", R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}])"), ResumeLevel::restart);
  EXPECT_EQ(level("/v1/completions", R"("max_tokens":9,"prompt":["a","b"])"), ResumeLevel::restart);
  EXPECT_EQ(level("/v1/completions", R"("max_tokens":9,"prompt":"a","echo":true)"), ResumeLevel::restart);
  EXPECT_EQ(level("/v1/completions", R"("prompt":"a")"), ResumeLevel::restart);
  EXPECT_EQ(level("/v1/embeddings", R"("input":"a")"), ResumeLevel::restart);
}

TEST(Resume, WhatMayActTwiceIsNeverMadeTwice) {
  EXPECT_EQ(level("/v1/responses", R"("input":"a")"), ResumeLevel::none);
  EXPECT_EQ(level("/v1/whatever", R"("x":1)"), ResumeLevel::none);
}

}  // namespace
}  // namespace qlm::openai

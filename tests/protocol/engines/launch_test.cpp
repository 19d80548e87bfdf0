#include "protocol/engines/launch.hpp"

#include <gtest/gtest.h>

namespace qlm::engines {
namespace {

using Words = std::vector<std::string>;

const LaunchPlace here{.port = 4711, .model = "m", .gpu = "2"};

Words words(std::string_view command) {
  const auto made = launch(command, here);
  return made ? made->words : Words{"error: " + made.error().message};
}

std::string problem(std::string_view command) {
  const auto made = launch(command, here);
  return made ? "" : made.error().message;
}

TEST(Launch, CommandsAreSplitAsAShellSplitsThem) {
  EXPECT_EQ(split_words("a  'b c' \"d 'e'\" f\\ g ''h\"\""), (Words{"a", "b c", "d 'e'", "f g", "h"}));
  EXPECT_EQ(split_words("a ''"), (Words{"a", ""}));
  EXPECT_EQ(split_words(R"('a\b' "c\"d")"), (Words{"a\\b", "c\"d"}));
  EXPECT_EQ(split_words("  ").error().message, "is empty");
  EXPECT_EQ(split_words("a 'b").error().message, "has a ' without its second");
  EXPECT_EQ(split_words("a\\").error().message, "ends in a backslash");
  EXPECT_EQ(split_words("a $HOME | b"), (Words{"a", "$HOME", "|", "b"})) << "there is no shell";
}

TEST(Launch, EachProgramIsToldItsPlaceInItsOwnWords) {
  EXPECT_EQ(words("vllm serve x --max-num-seqs 8"),
            (Words{"vllm", "serve", "x", "--max-num-seqs", "8", "--host", "127.0.0.1", "--port", "4711", "--served-model-name", "m"}));
  EXPECT_EQ(words("/opt/bin/llama-server -m x.gguf"), (Words{"/opt/bin/llama-server", "-m", "x.gguf", "--host", "127.0.0.1", "--port", "4711", "--alias", "m"}));
  EXPECT_EQ(words("python3 -m sglang.launch_server --model-path x"),
            (Words{"python3", "-m", "sglang.launch_server", "--model-path", "x", "--host", "127.0.0.1", "--port", "4711", "--served-model-name", "m"}));
  EXPECT_EQ(words("qlm emulate --model mistral-7b"), (Words{"qlm", "emulate", "--model", "mistral-7b", "--listen", "127.0.0.1:4711", "--served-as", "m"}));
}

TEST(Launch, ACommandThatSaysWherePlacesStandIsGivenNothingElse) {
  EXPECT_EQ(words("env A={gpu} serve --at={host}:{port},{port} {model}"), (Words{"env", "A=2", "serve", "--at=127.0.0.1:4711,4711", "m"}));
}

TEST(Launch, TheGpuIsToldByTheEnvironment) {
  EXPECT_EQ(launch("vllm serve x", here)->environment.at("CUDA_VISIBLE_DEVICES"), "2");
}

TEST(Launch, AnEngineThatMaySleepIsGivenTheEndpointsForIt) {
  EXPECT_TRUE(launch("vllm serve x --enable-sleep-mode", here)->sleeps);
  EXPECT_EQ(launch("vllm serve x --enable-sleep-mode", here)->environment.at("VLLM_SERVER_DEV_MODE"), "1");
  EXPECT_FALSE(launch("vllm serve x", here)->sleeps);
  EXPECT_FALSE(launch("vllm serve x", here)->environment.contains("VLLM_SERVER_DEV_MODE"));
}

TEST(Launch, WhatQlmGivesItselfMayNotBeSaid) {
  EXPECT_EQ(problem("vllm serve x --port 80"), "says --port, which QLM gives each engine itself: leave it out");
  EXPECT_EQ(problem("llama-server --host=0.0.0.0 -m x"), "says --host, which QLM gives each engine itself: leave it out");
  EXPECT_EQ(problem("qlm emulate --instances 3"), "says --instances, which QLM gives each engine itself: leave it out");
  EXPECT_EQ(problem("vllm serve x --portable"), "") << "another option that begins alike";
}

TEST(Launch, AnUnknownProgramNeedsPlaceholders) {
  EXPECT_NE(problem("serve-it x").find("'serve-it' is no program whose options QLM knows"), std::string::npos);
  EXPECT_EQ(problem("serve-it {port}"), "");
}

}  // namespace
}  // namespace qlm::engines

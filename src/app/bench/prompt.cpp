#include "app/bench/prompt.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/prng.hpp"
#include "simulate/report/escape.hpp"

namespace qlm::bench {
namespace {

// Plain words with their blank; none needs escaping in JSON.
constexpr std::array<std::string_view, 16> words = {"time ",  "queue ", "river ", "stone ", "light ", "paper ", "model ", "green ",
                                                    "train ", "cloud ", "music ", "table ", "north ", "field ", "seven ", "house "};

std::string text_of(std::size_t bytes, std::uint64_t key) {
  std::string text;
  text.reserve(bytes + 8);
  Prng prng(key);
  for (std::uint64_t bits = prng.next(), left = 16; text.size() < bytes; bits >>= 4, --left) {
    if (left == 0) bits = prng.next(), left = 16;
    text += words[bits % words.size()];
  }
  text.resize(bytes);
  if (text.ends_with(' ')) text.back() = '.';
  return text;
}

}  // namespace

std::string_view path(Endpoint endpoint) {
  return endpoint == Endpoint::chat ? "/v1/chat/completions" : "/v1/completions";
}

std::string request_body(const PromptStyle& style, std::string_view model, Tokens prompt, Tokens output, std::uint64_t key) {
  const double bytes = static_cast<double>(prompt.count) * style.bytes_per_token;
  const auto text = text_of(std::max<std::size_t>(1, static_cast<std::size_t>(bytes + 0.5)), key);
  const auto input = style.endpoint == Endpoint::chat
                         ? fmt::format(R"("messages":[{{"role":"user","content":"{}"}}])", text)
                         : fmt::format(R"("prompt":"{}")", text);
  return fmt::format(R"({{"model":{},"stream":true,"stream_options":{{"include_usage":true}},"{}":{},"temperature":0,{}{}}})",
                     report::json_quoted(model), style.hide_length ? "emulated_output_tokens" : "max_tokens", output.count,
                     style.ignore_eos ? R"("ignore_eos":true,)" : "", input);
}

}  // namespace qlm::bench

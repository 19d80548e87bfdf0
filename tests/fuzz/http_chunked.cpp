// Bytes as a chunked body: what comes out must not depend on how the bytes were cut, must lie in the input,
// must agree with a plain reading of the grammar, and what we write must read back.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/http/chunked.hpp"
#include "require.hpp"

namespace {

using qlm::http::ChunkedDecoder;
using Kind = ChunkedDecoder::Step::Kind;

struct Outcome {
  std::string payload;
  Kind end = Kind::need_more;
  std::size_t taken = 0;
  bool operator==(const Outcome&) const = default;
};

// Feeds pieces of `piece` bytes.
Outcome decode(std::string_view bytes, std::size_t piece) {
  ChunkedDecoder decoder;
  Outcome outcome;
  for (std::size_t at = 0; at < bytes.size() && outcome.end == Kind::need_more; at += piece) {
    const std::string_view whole = bytes.substr(at, piece);
    std::string_view in = whole;
    while (true) {
      const auto step = decoder.next(in);
      outcome.end = step.kind;
      if (step.kind != Kind::payload) break;
      REQUIRE(!step.payload.empty());
      REQUIRE(step.payload.data() >= whole.data() && step.payload.data() + step.payload.size() == in.data());
      outcome.payload += step.payload;
    }
    outcome.taken += whole.size() - in.size();
    if (outcome.end == Kind::need_more) REQUIRE(in.empty());
    REQUIRE(decoder.done() == (outcome.end == Kind::done));
  }
  return outcome;
}

// The whole message by the grammar, line by line; nothing where it is not one.
std::optional<Outcome> read_plainly(std::string_view bytes) {
  Outcome outcome{{}, Kind::done, 0};
  std::size_t at = 0;
  const auto line = [&]() -> std::optional<std::string_view> {
    const auto end = bytes.find("\r\n", at);
    if (end == std::string_view::npos) return std::nullopt;
    const auto text = bytes.substr(at, end - at);
    for (const char c : text) {
      if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f) return std::nullopt;
    }
    at = end + 2;
    return text;
  };
  while (true) {
    const auto size_line = line();
    if (!size_line) return std::nullopt;
    const std::string digits(size_line->substr(0, size_line->find(';')));
    if (digits.empty() || digits.size() > 15 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      return std::nullopt;
    }
    const std::uint64_t size = std::stoull(digits, nullptr, 16);
    if (size == 0) break;
    if (size > bytes.size() - at || bytes.substr(at + size, 2) != "\r\n") return std::nullopt;
    outcome.payload += bytes.substr(at, size);
    at += size + 2;
  }
  while (true) {
    const auto trailer = line();
    if (!trailer || trailer->starts_with(' ') || trailer->starts_with('\t')) return std::nullopt;
    if (trailer->empty()) break;
  }
  outcome.taken = at;
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = decode(bytes, bytes.size() + 1);
  for (std::size_t piece = 1; piece <= 17; ++piece) REQUIRE(decode(bytes, piece) == whole);

  const auto plain = read_plainly(bytes);
  if (whole.end == Kind::done) {
    REQUIRE(plain && *plain == whole);
  } else if (size <= ChunkedDecoder::max_overhead) {
    REQUIRE(!plain);
  }

  // The same bytes as a payload, cut into chunks by their own values.
  std::string written;
  for (std::size_t at = 0; at < size;) {
    const std::size_t length = data[at] + std::size_t{1};
    qlm::http::append_chunk(written, bytes.substr(at, length));
    at += length;
  }
  written += qlm::http::last_chunk;
  REQUIRE(decode(written, written.size()) == (Outcome{std::string(bytes), Kind::done, written.size()}));
  return 0;
}

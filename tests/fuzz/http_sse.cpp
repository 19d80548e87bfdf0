// Bytes as an event stream: the events must not depend on how the bytes were cut, no byte may be lost or
// doubled, and the data must agree with a plain reading of the standard.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/http/sse.hpp"
#include "require.hpp"

namespace {

using qlm::http::SseEvent;
using qlm::http::SseScanner;

constexpr std::size_t limit = 256;

struct Event {
  std::string raw, data;
  bool comment_only = false;
  bool operator==(const Event&) const = default;
};

struct Stream {
  std::vector<Event> events;
  bool too_large = false;
  bool operator==(const Stream&) const = default;
};

// Feeds pieces of `piece` bytes.
Stream scan(std::string_view bytes, std::size_t piece) {
  SseScanner scanner(limit);
  Stream stream;
  std::string seen;
  for (std::size_t at = 0; at < bytes.size() && !stream.too_large; at += piece) {
    scanner.feed(bytes.substr(at, piece));
    SseEvent event;
    SseScanner::Status status;
    while ((status = scanner.next(event)) == SseScanner::Status::event) {
      REQUIRE(!event.raw.empty() && event.raw.size() <= limit);
      REQUIRE(!event.comment_only || event.data.empty());
      stream.events.push_back({std::string(event.raw), std::string(event.data), event.comment_only});
      seen += event.raw;
    }
    stream.too_large = status == SseScanner::Status::too_large;
    REQUIRE(scanner.next(event) == status);  // asking again changes nothing
    REQUIRE(seen + std::string(scanner.rest()) == bytes.substr(0, at + piece));
  }
  return stream;
}

// The data of one whole event, line by line, with every line end made LF first.
std::string read_plainly(std::string_view raw) {
  std::string text;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '\n' && i > 0 && raw[i - 1] == '\r') continue;
    text += raw[i] == '\r' ? '\n' : raw[i];
  }
  std::string data;
  for (std::size_t at = 0, end; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    REQUIRE(!line.empty() || end + 1 == text.size());  // a blank line stands at the end only
    if (line == "data") {
      data += '\n';
    } else if (line.starts_with("data: ")) {
      data += line.substr(6) + '\n';
    } else if (line.starts_with("data:")) {
      data += line.substr(5) + '\n';
    }
  }
  if (!data.empty()) data.pop_back();
  return data;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Stream whole = scan(bytes, bytes.size() + 1);
  for (std::size_t piece = 1; piece <= 17; ++piece) REQUIRE(scan(bytes, piece) == whole);
  for (const Event& event : whole.events) REQUIRE(event.data == read_plainly(event.raw));
  return 0;
}

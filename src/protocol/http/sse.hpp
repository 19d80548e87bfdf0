// Server-sent events as engines write them, scanned so that each event can be forwarded as the very bytes
// that came. Accepts every line end of the standard (LF, CR LF, lone CR), comments, `data:` with or without a
// blank, events split anywhere.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qlm::http {

struct SseEvent {
  std::string_view raw;   // every byte of the event, its ending blank line included
  std::string_view data;  // the data lines joined by LF; empty for a comment or a bare event
  bool comment_only = false;
};

class SseScanner {
 public:
  explicit SseScanner(std::size_t max_event_bytes = 4 * 1024 * 1024) : limit_(max_event_bytes) {}

  enum class Status { event, need_more, too_large };
  // Adds bytes. Then call next() until it says need_more. Views in an event live until the following feed()
  // or next().
  void feed(std::string_view bytes);
  Status next(SseEvent& event);
  // Bytes after the last whole event (an engine that died mid-event, or text that was no event at all).
  std::string_view rest() const;

 private:
  SseEvent read(std::string_view raw);

  std::size_t limit_;
  std::string buffer_;
  std::size_t start_ = 0;     // of the event being read
  std::size_t line_ = 0;      // of the line being read
  std::size_t searched_ = 0;  // bytes of that line known to hold no line end
  std::string joined_;        // only for events of several data lines
};

}  // namespace qlm::http

#include "protocol/http/sse.hpp"

namespace qlm::http {
namespace {

constexpr auto npos = std::string_view::npos;

struct Line {
  std::string_view text;     // without its end
  std::size_t bytes = 0;     // with it; 0 while the line has not ended
  std::size_t searched = 0;  // how far no end was found
};

// The first line of `text`. Its end is LF, CR LF or a lone CR; a CR that came last waits to see whether an LF
// follows.
Line first_line(std::string_view text, std::size_t searched) {
  const auto lf = text.find('\n', searched);
  // JSON has no raw CR, so this second look meets one only before the LF.
  const auto cr = text.substr(0, lf).find('\r', searched);
  if (cr == npos) {
    if (lf == npos) return {{}, 0, text.size()};
    return {text.substr(0, lf), lf + 1, 0};
  }
  if (cr + 1 == text.size()) return {{}, 0, cr};
  return {text.substr(0, cr), cr + (text[cr + 1] == '\n' ? 2 : 1), 0};
}

}  // namespace

void SseScanner::feed(std::string_view bytes) {
  buffer_.erase(0, start_);
  line_ -= start_;
  start_ = 0;
  buffer_ += bytes;
}

SseScanner::Status SseScanner::next(SseEvent& event) {
  const std::string_view all = buffer_;
  while (true) {
    const Line line = first_line(all.substr(line_), searched_);
    searched_ = line.searched;
    const std::size_t line_end = line_ + line.bytes;
    if ((line.bytes > 0 ? line_end : all.size()) - start_ > limit_) return Status::too_large;
    if (line.bytes == 0) return Status::need_more;
    line_ = line_end;
    if (line.text.empty()) break;
  }
  event = read(all.substr(start_, line_ - start_));
  start_ = line_;
  return Status::event;
}

SseEvent SseScanner::read(std::string_view raw) {
  SseEvent event{raw, {}, false};
  std::size_t data_lines = 0;
  bool comments = false, fields = false;
  for (std::string_view rest = raw; !rest.empty();) {
    const Line line = first_line(rest, 0);
    rest.remove_prefix(line.bytes);
    if (line.text.empty()) break;
    (line.text.starts_with(':') ? comments : fields) = true;

    const auto colon = line.text.find(':');
    if (line.text.substr(0, colon) != "data") continue;
    std::string_view value = colon == npos ? std::string_view{} : line.text.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (++data_lines == 1) {
      event.data = value;
      continue;
    }
    if (data_lines == 2) joined_ = event.data;
    joined_ += '\n';
    joined_ += value;
  }
  if (data_lines > 1) event.data = joined_;
  event.comment_only = comments && !fields;
  return event;
}

std::string_view SseScanner::rest() const { return std::string_view(buffer_).substr(start_); }

}  // namespace qlm::http

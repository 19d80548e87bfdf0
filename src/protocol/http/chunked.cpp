#include "protocol/http/chunked.hpp"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace qlm::http {
namespace {

constexpr int max_size_digits = 15;  // 2^60 - 1: more than any body, and never near an overflow

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= ' ' && byte != 0x7f);
}

}  // namespace

ChunkedDecoder::State ChunkedDecoder::after(char c) const {
  switch (state_) {
    case State::size:
      if (hex_value(c) >= 0) return size_digits_ < max_size_digits ? State::size : State::broken;
      if (size_digits_ == 0) return State::broken;
      return c == '\r' ? State::size_lf : c == ';' ? State::extension : State::broken;
    case State::extension:
      return c == '\r' ? State::size_lf : is_text(c) ? State::extension : State::broken;
    case State::size_lf:
      return c != '\n' ? State::broken : left_ > 0 ? State::data : State::trailer_start;
    case State::data_cr:
      return c == '\r' ? State::data_lf : State::broken;
    case State::data_lf:
      return c == '\n' ? State::size : State::broken;
    // A trailer that begins with a blank would be a folded line.
    case State::trailer_start:
      return c == '\r' ? State::end_lf : is_text(c) && c != ' ' && c != '\t' ? State::trailer : State::broken;
    case State::trailer:
      return c == '\r' ? State::trailer_lf : is_text(c) ? State::trailer : State::broken;
    case State::trailer_lf:
      return c == '\n' ? State::trailer_start : State::broken;
    case State::end_lf:
      return c == '\n' ? State::done : State::broken;
    case State::data:
    case State::done:
    case State::broken:
      break;
  }
  return state_;
}

bool ChunkedDecoder::take(char c) {
  const State next = after(c);
  if (state_ == State::size && next == State::size) {
    left_ = left_ * 16 + static_cast<std::uint64_t>(hex_value(c));
    ++size_digits_;
  }
  if (state_ == State::data_lf) size_digits_ = 0;
  const bool overhead = next == State::extension || next == State::trailer;
  if (next == State::broken || (overhead && ++overhead_ > max_overhead)) {
    broke_in_ = std::exchange(state_, State::broken);
    return false;
  }
  state_ = next;
  return true;
}

std::string_view ChunkedDecoder::fault() const {
  if (state_ != State::broken) return {};
  if (overhead_ > max_overhead) return "extensions and trailers of more than 16 KiB";
  switch (broke_in_) {
    case State::size:
      if (size_digits_ == 0) return "a chunk does not begin with its size in hexadecimal";
      return size_digits_ == max_size_digits ? "a chunk size of more than 15 digits"
                                             : "a chunk size is not followed by CR LF";
    case State::extension:
    case State::trailer_start:
    case State::trailer:
      return "control bytes or a folded line in an extension or a trailer";
    case State::data_cr:
    case State::data_lf:
      return "a chunk is longer than its size says, or not followed by CR LF";
    default:
      return "a line does not end in CR LF";
  }
}

ChunkedDecoder::Step ChunkedDecoder::next(std::string_view& in) {
  while (true) {
    if (state_ == State::done) return {Step::Kind::done, {}};
    if (state_ == State::broken) return {Step::Kind::malformed, {}};
    if (in.empty()) return {Step::Kind::need_more, {}};
    if (state_ == State::data) {
      const std::string_view payload = in.substr(0, left_);
      in.remove_prefix(payload.size());
      left_ -= payload.size();
      if (left_ == 0) state_ = State::data_cr;
      return {Step::Kind::payload, payload};
    }
    if (take(in.front())) in.remove_prefix(1);
  }
}

void append_chunk(std::string& out, std::string_view payload) {
  if (payload.empty()) return;  // a chunk of size 0 would end the message
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", payload.size());
  out += payload;
  out += "\r\n";
}

}  // namespace qlm::http

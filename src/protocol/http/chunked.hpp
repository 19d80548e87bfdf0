// The chunked transfer coding (RFC 9112, section 7.1), read without copying and written without buffering.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qlm::http {

// Takes raw bytes as they arrive, gives back the payload as spans of them.
//
//   std::string_view in = bytes;
//   while (true) { auto step = decoder.next(in); ... }   // `in` shrinks from the front
//
// As strict as the heads, for the same reason: lines end in CR LF, a size is hexadecimal digits and nothing
// else, and extensions and trailers are dropped, of a message no more than `max_overhead` bytes. What follows
// the message stays in `in`.
class ChunkedDecoder {
 public:
  static constexpr std::size_t max_overhead = 16 * 1024;

  struct Step {
    enum class Kind { payload, need_more, done, malformed };
    Kind kind = Kind::need_more;
    std::string_view payload;  // kind payload only; points into the caller's bytes
  };
  Step next(std::string_view& in);
  bool done() const { return state_ == State::done; }
  std::string_view fault() const;  // what is malformed, in words; empty while nothing is

 private:
  enum class State {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer,
    trailer_lf,
    end_lf,
    done,
    broken
  };
  State after(char c) const;  // the state that a byte outside the data leads to
  bool take(char c);          // false when it breaks the message

  State state_ = State::size;
  State broke_in_ = State::size;
  std::uint64_t left_ = 0;  // the chunk's size while it is read, then what is missing of its data
  int size_digits_ = 0;
  std::size_t overhead_ = 0;  // bytes of extension and trailer so far
};

void append_chunk(std::string& out, std::string_view payload);  // an empty payload appends nothing
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace qlm::http

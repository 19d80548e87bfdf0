// The chunked transfer coding (RFC 9112, section 7.1), read without copying and written without buffering.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qlm::http {

// Takes raw bytes as they arrive, gives back the payload as spans of them.
//
//   std::string_view in = bytes;
//   while (true) { auto step = decoder.next(in); ... }   // `in` shrinks from the front
class ChunkedDecoder {
 public:
  struct Step {
    enum class Kind { payload, need_more, done, malformed };
    Kind kind;
    std::string_view payload;  // kind payload only; points into the caller's bytes
  };
  Step next(std::string_view& in);
  bool done() const { return state_ == State::done; }

 private:
  enum class State { size, extension, size_lf, data, data_cr, data_lf, trailer_start, trailer, trailer_lf, end_lf, done, broken };
  State state_ = State::size;
  std::uint64_t left_ = 0;
  int size_digits_ = 0;
  std::uint32_t overhead_ = 0;  // bytes of extension and trailer so far, bounded
};

void append_chunk(std::string& out, std::string_view payload);  // an empty payload appends nothing
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace qlm::http

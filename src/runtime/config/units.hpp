// Quantities as people write them: "250ms", "32MiB", "100k", "2M/min", "20%". Each reader says what it expected.
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/config/configuration.hpp"

namespace qlm::config {

// On failure the message is what follows "found '...', ": what was expected, and a hint where there is one.
Result<Duration> parse_duration(std::string_view text);            // ns, us, ms, s, min (or m), h, d; more than zero
Result<Bytes> parse_size(std::string_view text);                   // B, KiB, MiB, GiB, TiB, kB, MB, GB, TB
Result<std::int64_t> parse_count(std::string_view text);           // 20000, 100k, 2M, 1.5k
Result<double> parse_share(std::string_view text);                 // "20%", 0 to 100
Result<double> parse_number(std::string_view text);                // finite, not negative
Result<bool> parse_flag(std::string_view text);                    // true, false
Result<ListenAddress> parse_listen(std::string_view text);         // host:port, [v6]:port, :port
Result<Url> parse_url(std::string_view text);                      // http://host[:port][/prefix]

struct PlainRate {
  std::int64_t amount = 0;
  Duration per = 1s;
};
Result<PlainRate> parse_rate(std::string_view text);               // 2M/min, 2900/s, 10/h

// The candidate that the writer most likely meant, or nothing: few edits for the length, and a prefix counts.
std::string_view nearest(std::string_view written, std::span<const std::string_view> candidates);

// Text from a file, made fit for one line of an error message: no control characters, cut when long.
std::string in_quotes(std::string_view text);

}  // namespace qlm::config

#include "protocol/openai/json_read.hpp"

#include <simdjson.h>

#include <charconv>
#include <cstring>

namespace qlm::openai {
namespace {

// Whether one of eight bytes ends a run of plain string bytes: a quote, a backslash or a control byte.
bool holds_special(std::uint64_t eight) {
  constexpr std::uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
  const auto zero_in = [](std::uint64_t v) { return (v - ones) & ~v & highs; };
  const std::uint64_t control = (eight - ones * 0x20) & ~eight & highs;
  return (control | zero_in(eight ^ (ones * '"')) | zero_in(eight ^ (ones * '\\'))) != 0;
}

bool plain(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\'; }

bool digit(char c) { return c >= '0' && c <= '9'; }

// The code unit of \uXXXX whose first digit is at `at`; nothing when there are no four hexadecimal digits.
std::optional<unsigned> code_unit(std::string_view text, std::size_t at) {
  if (text.size() < at + 4) return {};
  unsigned unit = 0;
  const char* begin = text.data() + at;
  const auto [end, fault] = std::from_chars(begin, begin + 4, unit, 16);
  if (fault != std::errc{} || end != begin + 4) return {};
  return unit;
}

bool leads(unsigned unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool trails(unsigned unit) { return unit >= 0xDC00 && unit < 0xE000; }

std::size_t utf8_size(unsigned unit) { return unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3; }

void append_utf8(std::string& out, unsigned code) {
  const auto byte = [&](unsigned b) { out += static_cast<char>(b); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | code >> 6), byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 0x3F)), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F));
  }
}

}  // namespace

bool valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

// Only for a raw string the reader has accepted, so every escape is whole.
std::string JsonString::text() const {
  if (!escaped) return std::string(raw);
  std::string out;
  out.reserve(decoded);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    switch (const char c = raw[++i]) {
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        unsigned code = *code_unit(raw, i + 1);
        i += 4;
        if (leads(code)) {
          code = 0x10000 + ((code - 0xD800) << 10) + (*code_unit(raw, i + 3) - 0xDC00);
          i += 6;
        }
        append_utf8(out, code);
        break;
      }
      default: out += c;
    }
  }
  return out;
}

JsonKind JsonReader::peek() {
  blanks();
  if (at_ >= text_.size()) return JsonKind::none;
  switch (text_[at_]) {
    case '{': return JsonKind::object;
    case '[': return JsonKind::array;
    case '"': return JsonKind::string;
    case 't':
    case 'f': return JsonKind::boolean;
    case 'n': return JsonKind::null;
    default: return text_[at_] == '-' || digit(text_[at_]) ? JsonKind::number : JsonKind::none;
  }
}

bool JsonReader::skip() {
  JsonString string_value;
  std::string_view number_value;
  bool truth = false;
  switch (peek()) {
    case JsonKind::object: return object([this](const JsonString&, std::size_t) { return skip(); });
    case JsonKind::array: return array([this] { return skip(); });
    case JsonKind::string: return string(string_value);
    case JsonKind::number: return number(number_value);
    case JsonKind::boolean: return boolean(truth);
    case JsonKind::null: return null();
    case JsonKind::none: break;
  }
  return fail(at_ < text_.size() ? "expected a value" : "the text ends where a value is due");
}

bool JsonReader::string(JsonString& out) {
  blanks();
  if (!take('"')) return fail("expected a string");
  const std::size_t begin = at_;
  out = {};
  while (true) {
    const std::size_t run = at_;
    std::uint64_t eight = 0;
    while (text_.size() - at_ >= sizeof eight) {
      std::memcpy(&eight, text_.data() + at_, sizeof eight);
      if (holds_special(eight)) break;
      at_ += sizeof eight;
    }
    while (at_ < text_.size() && plain(text_[at_])) ++at_;
    out.decoded += at_ - run;
    if (at_ == text_.size()) return fail("the text ends inside a string");
    if (text_[at_] == '"') break;
    if (text_[at_] != '\\') return fail("a control character inside a string must be escaped");
    if (!escape(out)) return false;
  }
  out.raw = text_.substr(begin, at_ - begin);
  ++at_;
  return true;
}

bool JsonReader::escape(JsonString& out) {
  out.escaped = true;
  const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (c != 'u') {
    if (c == '\0' || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) return fail("unknown escape in a string");
    at_ += 2;
    out.decoded += 1;
    return true;
  }
  const auto unit = code_unit(text_, at_ + 2);
  if (!unit) return fail("\\u takes four hexadecimal digits");
  if (trails(*unit)) return fail("unpaired surrogate in a string");
  if (!leads(*unit)) {
    at_ += 6;
    out.decoded += utf8_size(*unit);
    return true;
  }
  const auto second = text_.substr(at_ + 6, 2) == "\\u" ? code_unit(text_, at_ + 8) : std::nullopt;
  if (!second || !trails(*second)) return fail("unpaired surrogate in a string");
  at_ += 12;
  out.decoded += 4;
  return true;
}

bool JsonReader::number(std::string_view& out) {
  blanks();
  const std::size_t begin = at_;
  const auto digits = [this] {
    const std::size_t first = at_;
    while (at_ < text_.size() && digit(text_[at_])) ++at_;
    return at_ > first;
  };
  take('-');
  if (!take('0') && !digits()) return fail("expected a number");
  if (take('.') && !digits()) return fail("a number needs digits after its point");
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    if (!digits()) return fail("a number needs digits in its exponent");
  }
  out = text_.substr(begin, at_ - begin);
  return true;
}

bool JsonReader::literal(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return fail("expected a value");
  at_ += word.size();
  return true;
}

bool JsonReader::boolean(bool& out) {
  blanks();
  out = at_ < text_.size() && text_[at_] == 't';
  return literal(out ? "true" : "false");
}

bool JsonReader::null() {
  blanks();
  return literal("null");
}

bool JsonReader::string_if(std::optional<JsonString>& out) {
  if (peek() != JsonKind::string) return skip();
  return string(out.emplace());
}

bool JsonReader::integer_if(std::optional<std::int64_t>& out) {
  if (peek() != JsonKind::number) return skip();
  std::string_view digits;
  if (!number(digits)) return false;
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (fault == std::errc{} && end == digits.data() + digits.size()) out = value;
  return true;
}

bool JsonReader::enter() {
  if (--depth_left_ >= 0) return true;
  too_deep_ = true;
  return fail("nested too deeply");
}

bool JsonReader::end() {
  blanks();
  return at_ == text_.size() || fail("text after the end of the value");
}

}  // namespace qlm::openai

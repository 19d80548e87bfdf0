// A strict reader of JSON text in place: one pass that checks the whole grammar (RFC 8259), gives byte positions, and
// builds nothing. Requests need all three at once: a duplicate or misplaced field must be seen, a fault must be located,
// and a patch must know where its value lies. UTF-8 is checked beforehand by valid_utf8(), for all of a text at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qlm::openai {

bool valid_utf8(std::string_view text);

enum class JsonKind { object, array, string, number, boolean, null, none };

// A string as it stands in the text.
struct JsonString {
  std::string_view raw;     // between the quotes
  std::size_t decoded = 0;  // bytes once escapes are resolved
  bool escaped = false;

  std::string text() const;
  bool is(std::string_view name) const { return escaped ? text() == name : raw == name; }
  bool empty() const { return raw.empty(); }
};

// Every reading function returns false once the text was found faulty; fault() and position() then say what and where.
// The callbacks of object() and array() must read exactly one value and return false to stop with the reader's fault.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text, int max_depth = 128) : text_(text), depth_left_(max_depth) {}

  // Of the value that comes next; none when no value can start here.
  JsonKind peek();
  bool skip();  // any value, checked
  bool string(JsonString& out);
  bool number(std::string_view& out);  // its text
  bool boolean(bool& out);
  bool null();
  // Skips a value of another kind and leaves `out` alone.
  bool string_if(std::optional<JsonString>& out);
  bool integer_if(std::optional<std::int64_t>& out);

  // f(const JsonString& key, std::size_t key_begin) -> bool
  template <class F>
  bool object(F&& f);
  // f() -> bool
  template <class F>
  bool array(F&& f);

  bool end();  // nothing but blanks is left

  std::size_t position() const { return at_; }
  std::string_view text() const { return text_; }
  const char* fault() const { return fault_; }
  bool too_deep() const { return too_deep_; }

 private:
  bool fail(const char* what) {
    if (!fault_) fault_ = what;
    return false;
  }
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool enter();
  bool literal(std::string_view word);
  bool escape(JsonString& out);

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_left_;
  const char* fault_ = nullptr;
  bool too_deep_ = false;
};

template <class F>
bool JsonReader::object(F&& f) {
  blanks();
  if (!take('{')) return fail("expected an object");
  if (!enter()) return false;
  blanks();
  if (!take('}')) {
    do {
      blanks();
      const std::size_t key_begin = at_;
      JsonString key;
      if (!string(key)) return false;
      blanks();
      if (!take(':')) return fail("expected ':' after the key");
      blanks();
      if (!f(static_cast<const JsonString&>(key), key_begin)) return false;
      blanks();
    } while (take(','));
    if (!take('}')) return fail("expected ',' or '}'");
  }
  ++depth_left_;
  return true;
}

template <class F>
bool JsonReader::array(F&& f) {
  blanks();
  if (!take('[')) return fail("expected an array");
  if (!enter()) return false;
  blanks();
  if (!take(']')) {
    do {
      blanks();
      if (!f()) return false;
      blanks();
    } while (take(','));
    if (!take(']')) return fail("expected ',' or ']'");
  }
  ++depth_left_;
  return true;
}

}  // namespace qlm::openai

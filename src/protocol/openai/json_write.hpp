// Writes JSON: escapes what must be escaped, replaces what is not UTF-8, puts the commas. For errors, logs, answers of
// the admin and queue API.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace qlm::openai {

// Quoted. Each maximal invalid UTF-8 sequence becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

//   JsonWriter json(out);
//   json.begin_object().member("id", 7).key("tags").begin_array().value("a").end_array().end_object();
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(bool truth);
  JsonWriter& value(double number);  // shortest text that reads back equal; null when not finite
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  JsonWriter& value(T number) {
    if constexpr (std::is_signed_v<T>) return integer(static_cast<std::int64_t>(number));
    else return natural(static_cast<std::uint64_t>(number));
  }
  JsonWriter& null() { return raw("null"); }
  JsonWriter& raw(std::string_view json);  // written as it is

  template <class T>
  JsonWriter& member(std::string_view name, const T& v) {
    return key(name).value(v);
  }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& integer(std::int64_t number);
  JsonWriter& natural(std::uint64_t number);
  void separate();

  std::string& out_;
  bool comma_ = false;
};

}  // namespace qlm::openai

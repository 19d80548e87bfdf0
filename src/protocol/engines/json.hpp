// JSON as the drivers read it: whole small documents from engines, so simdjson's checked DOM. Private to this
// room.
#pragma once

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace qlm::engines::json {

using Value = simdjson::dom::element;
using Array = simdjson::dom::array;
using Object = simdjson::dom::object;

// Values point into the document and end with it or with its next parse.
class Document {
 public:
  std::optional<Value> parse(std::string_view text) {
    padded_.resize(std::max(padded_.size(), text.size() + simdjson::SIMDJSON_PADDING));
    if (!text.empty()) std::memcpy(padded_.data(), text.data(), text.size());
    std::memset(padded_.data() + text.size(), 0, simdjson::SIMDJSON_PADDING);
    Value value;
    if (parser_.parse(padded_.data(), text.size(), false).get(value)) return {};
    return value;
  }

 private:
  std::vector<char> padded_;
  simdjson::dom::parser parser_{64 * 1024 * 1024};
};

template <class T>
std::optional<T> as(Value value) {
  T out;
  if (value.get(out)) return {};
  return out;
}

inline std::optional<Value> find(Value object, std::string_view key) {
  Object fields;
  Value value;
  if (object.get(fields) || fields[key].get(value) || value.is_null()) return {};
  return value;
}

// A member of that type; nothing when it is absent, null or something else.
template <class T>
std::optional<T> get(Value object, std::string_view key) {
  const auto value = find(object, key);
  return value ? as<T>(*value) : std::nullopt;
}

inline std::string_view text(Value object, std::string_view key) {
  return get<std::string_view>(object, key).value_or(std::string_view{});
}

}  // namespace qlm::engines::json

// The one table of every key: its kind, its default, its meaning, and where its value goes. The reader walks a file
// along it; the JSON Schema and the table in docs/configuration.md are printed from it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "runtime/config/configuration.hpp"

namespace qlm::config {

enum class Kind {
  text, name, path, flag, number, count, share, duration, size, rate, choice, listen, url,  // one scalar each
  names,    // a list of names
  section,  // one map of keys
  named,    // a map from a name of the operator's to a section
  list,     // a list of sections
  later,    // known from the design, refused in this version
};

// A checked scalar (or list of names) on its way into its field. A choice is the index of its word.
struct Choice {
  std::size_t index;
};
using Value = std::variant<std::string, bool, double, std::int64_t, Duration, Bytes, Tokens, Choice, TokenRate,
                           RequestRate, ListenAddress, Url, std::vector<std::string>>;

struct Section;

struct Key {
  std::string_view name;
  Kind kind;
  std::string_view fallback;  // as it would be written; empty: none
  std::string_view meaning;
  void (*store)(void* owner, const Value& value) = nullptr;
  // Nested kinds: the object that the nested section's keys store into; `name` for a named one.
  void* (*enter)(void* owner, std::string_view name) = nullptr;
  const Section* section = nullptr;
  std::span<const std::string_view> choices = {};
  std::int64_t least = 0;  // of a count
  std::int64_t most = 1'000'000'000;
  bool required = false;
  std::string_view word = {};  // what a named map may be instead of a map: `classes: paper`
};

struct Section {
  std::string_view title;
  std::span<const Key> keys;
};

const Section& root_section();

inline constexpr std::string_view paper_classes = "paper";

template <class Enum>
std::span<const std::string_view> words();  // in the enumeration's order
template <> std::span<const std::string_view> words<Auth>();
template <> std::span<const std::string_view> words<Policy>();
template <> std::span<const std::string_view> words<WhenLate>();
template <> std::span<const std::string_view> words<Engine>();
template <> std::span<const std::string_view> words<LogLevel>();
template <> std::span<const std::string_view> words<SwapPreset>();

std::string json_schema();  // docs/qlm.schema.json
std::string key_table();    // the table in docs/configuration.md, between its two marks

}  // namespace qlm::config

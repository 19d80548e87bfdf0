// The table of keys for others to read: as JSON Schema for editors, as Markdown for people.
#include <fmt/format.h>

#include "runtime/config/schema.hpp"

namespace qlm::config {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// What a scalar may look like. A YAML scalar that looks like a number reaches a validator as one.
std::string scalar_schema(Kind kind) {
  constexpr std::string_view pattern = R"("type": "string", "pattern": "{}")";
  switch (kind) {
    case Kind::flag: return R"("type": "boolean")";
    case Kind::number: return R"("type": "number", "minimum": 0)";
    case Kind::count: return R"("type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+([.][0-9]+)?[kMG]?$")";
    case Kind::share: return fmt::format(pattern, "^[0-9]+([.][0-9]+)?%$");
    case Kind::duration: return fmt::format(pattern, "^[0-9]+([.][0-9]+)?(ns|us|ms|s|min|m|h|d)$");
    case Kind::size: return fmt::format(pattern, "^[0-9]+([.][0-9]+)?([KMGT]i|[kMGT])?B$");
    case Kind::rate: return fmt::format(pattern, "^[0-9]+([.][0-9]+)?[kMG]?/(s|min|h)$");
    case Kind::listen: return fmt::format(pattern, "^.*:[0-9]+$");
    case Kind::url: return fmt::format(pattern, "^http://[^@]+$");
    default: return R"("type": "string", "minLength": 1)";
  }
}

class SchemaWriter {
 public:
  std::string out;

  void section(const Section& section, int indent) {
    line(indent, R"("type": "object",)");
    line(indent, R"("additionalProperties": false,)");
    std::string required;
    for (const Key& key : section.keys) {
      if (key.required) required += fmt::format(R"({}"{}")", required.empty() ? "" : ", ", key.name);
    }
    if (!required.empty()) line(indent, fmt::format(R"("required": [{}],)", required));
    line(indent, R"("properties": {)");
    bool first = true;
    for (const Key& key : section.keys) {
      if (key.kind == Kind::later) continue;
      if (!first) out.insert(out.size() - 1, ",");
      first = false;
      line(indent + 2, fmt::format(R"("{}": {{)", key.name));
      value(key, indent + 4);
      line(indent + 2, "}");
    }
    line(indent, "}");
  }

 private:
  void line(int indent, std::string_view text) {
    out.append(static_cast<std::size_t>(indent), ' ').append(text).append("\n");
  }

  void value(const Key& key, int indent) {
    if (!key.meaning.empty()) line(indent, fmt::format(R"("description": "{}",)", escaped(key.meaning)));
    if (!key.fallback.empty()) line(indent, fmt::format(R"("default": {},)", default_of(key)));
    switch (key.kind) {
      case Kind::section: section(*key.section, indent); return;
      case Kind::list:
        line(indent, R"("type": "array", "minItems": 1,)");
        line(indent, R"("items": {)");
        section(*key.section, indent + 2);
        line(indent, "}");
        return;
      case Kind::names:
        line(indent, R"("type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string", "minLength": 1})");
        return;
      case Kind::named: named(key, indent); return;
      case Kind::choice: {
        std::string all;
        for (const auto& choice : key.choices) all += fmt::format(R"({}"{}")", all.empty() ? "" : ", ", choice);
        line(indent, fmt::format(R"("enum": [{}])", all));
        return;
      }
      default: line(indent, scalar_schema(key.kind)); return;
    }
  }

  void named(const Key& key, int indent) {
    if (key.word.empty()) {
      map_of_sections(key, indent);
      return;
    }
    line(indent, R"("anyOf": [)");
    line(indent + 2, fmt::format(R"({{"const": "{}"}},)", key.word));
    line(indent + 2, "{");
    map_of_sections(key, indent + 4);
    line(indent + 2, "}");
    line(indent, "]");
  }

  // `batch:` with nothing behind it is a section of defaults.
  void map_of_sections(const Key& key, int indent) {
    line(indent, R"("type": "object",)");
    line(indent, R"("additionalProperties": {)");
    line(indent + 2, R"("anyOf": [)");
    line(indent + 4, R"({"type": "null"},)");
    line(indent + 4, "{");
    section(*key.section, indent + 6);
    line(indent + 4, "}");
    line(indent + 2, "]");
    line(indent, "}");
  }

  static std::string default_of(const Key& key) {
    if (key.kind == Kind::flag || key.kind == Kind::number) return std::string(key.fallback);
    return fmt::format(R"("{}")", escaped(key.fallback));
  }
};

std::string_view kind_in_words(const Key& key) {
  switch (key.kind) {
    case Kind::flag: return "true or false";
    case Kind::number: return "number";
    case Kind::count: return "count";
    case Kind::share: return "share";
    case Kind::duration: return "duration";
    case Kind::size: return "size";
    case Kind::rate: return "rate";
    case Kind::listen: return "address";
    case Kind::url: return "URL";
    case Kind::name: return "name";
    case Kind::path: return "path";
    case Kind::names: return "list of names";
    default: return "text";
  }
}

void rows(const Section& section, const std::string& path, std::string& out) {
  for (const Key& key : section.keys) {
    const std::string at = path + std::string(key.name);
    switch (key.kind) {
      case Kind::section: rows(*key.section, at + ".", out); continue;
      case Kind::named: rows(*key.section, at + ".NAME.", out); continue;
      case Kind::list: rows(*key.section, at + "[].", out); continue;
      case Kind::later: continue;
      default: break;
    }
    std::string form(kind_in_words(key));
    if (key.kind == Kind::choice) {
      form.clear();
      for (const auto& choice : key.choices) form += fmt::format("{}`{}`", form.empty() ? "" : ", ", choice);
    }
    const std::string fallback = key.required ? "required" : key.fallback.empty() ? "" : fmt::format("`{}`", key.fallback);
    out += fmt::format("| `{}` | {} | {} | {} |\n", at, form, fallback, key.meaning);
  }
}

}  // namespace

std::string json_schema() {
  SchemaWriter writer;
  writer.out =
      "{\n"
      "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
      "  \"title\": \"QLM's configuration\",\n";
  writer.section(root_section(), 2);
  writer.out += "}\n";
  return writer.out;
}

std::string key_table() {
  std::string out = "| key | form | default | meaning |\n|---|---|---|---|\n";
  rows(root_section(), {}, out);
  return out;
}

}  // namespace qlm::config

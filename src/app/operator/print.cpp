#include "app/operator/print.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace qlm::operators {
namespace {

namespace dom = simdjson::dom;

struct Column {
  std::string_view title, member;
  bool wide = false;  // only where all is asked for
};
struct Table {
  std::string_view what, list;
  std::vector<Column> columns;
};

const std::vector<Table>& tables() {
  static const std::vector<Table> all = {
      {"instances", "instances",
       {{"INSTANCE", "name"}, {"STATE", "state"}, {"SERVES", "serves"}, {"NEXT", "next"}, {"RUN", "in_flight"}, {"CAP", "limit"}, {"PINNED", "pinned"},
        {"PINNED_FOR_S", "pinned_for_s", true}, {"HOLDS", "holds", true}, {"BREAKER", "breaker", true}, {"BUSY_S", "busy_s", true}}},
      {"queue", "queues", {{"MODEL", "model"}, {"CLASS", "class"}, {"REQUESTS", "requests"}, {"TOKENS", "tokens"}}},
      {"requests", "requests",
       {{"REQUEST", "id"}, {"STATE", "state"}, {"MODEL", "model"}, {"CLASS", "class"}, {"TENANT", "tenant"}, {"AGE_MS", "age_ms"}, {"INSTANCE", "instance"},
        {"AHEAD", "position"}, {"ATTEMPTS", "attempts", true}, {"WAIT_MS", "wait_estimate_ms", true}, {"DEADLINE_MS", "deadline_in_ms", true}}},
      {"tenants", "tenants", {{"TENANT", "name"}, {"IN_SYSTEM", "in_system"}, {"QUEUED", "queued"}, {"QUEUED_BYTES", "queued_bytes"}}},
  };
  return all;
}

// A name could hold what a terminal obeys.
std::string plain(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

std::string text_of(dom::element value) {
  switch (value.type()) {
    case dom::element_type::STRING: return plain(value.get_string().value());
    case dom::element_type::DOUBLE: return fmt::format("{:.1f}", value.get_double().value());
    case dom::element_type::NULL_VALUE: return "-";
    case dom::element_type::ARRAY: {
      std::string all;
      for (const dom::element each : value.get_array()) all += (all.empty() ? "" : ",") + text_of(each);
      return all.empty() ? "-" : all;
    }
    default: return simdjson::minify(value);
  }
}

std::string pairs(dom::object object) {
  std::string all;
  for (const auto [key, value] : object) {
    dom::object inner;
    all += fmt::format("{}{} {}", all.empty() ? "" : ", ", plain(key), value.get(inner) == simdjson::SUCCESS ? "(" + pairs(inner) + ")" : text_of(value));
  }
  return all;
}

}  // namespace

Result<std::string> table(const std::string& what, const std::string& json, bool wide) {
  const auto of = std::ranges::find(tables(), what, &Table::what);
  dom::parser parser;
  dom::element root;
  dom::array list;
  if (of == tables().end() || parser.parse(json).get(root) != simdjson::SUCCESS || root[of->list].get(list) != simdjson::SUCCESS) {
    return fail("what came is not what was asked for: is this QLM's admin listener?");
  }
  std::vector<Column> columns = of->columns;
  if (!wide) std::erase_if(columns, &Column::wide);
  std::vector<std::vector<std::string>> rows(1);
  for (const Column& column : columns) rows[0].emplace_back(column.title);
  for (const dom::element each : list) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const Column& column : columns) {
      dom::element value;
      row.push_back(each[column.member].get(value) == simdjson::SUCCESS ? text_of(value) : "-");
    }
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& row : rows) {
    for (std::size_t k = 0; k < row.size(); ++k) widths[k] = std::max(widths[k], row[k].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t k = 0; k < row.size(); ++k) line += k + 1 == row.size() ? row[k] : fmt::format("{:<{}}  ", row[k], widths[k]);
    text += line + "\n";
  }
  return text;
}

Result<std::string> lines(const std::string& json) {
  dom::parser parser;
  dom::object root;
  if (parser.parse(json).get(root) != simdjson::SUCCESS) return fail("what came is not what was asked for: is this QLM's admin listener?");
  std::string text;
  for (const auto [key, value] : root) {
    dom::array list;
    dom::object inner;
    const bool of_objects = value.get(list) == simdjson::SUCCESS && list.size() > 0 && list.at(0).get(inner) == simdjson::SUCCESS;
    if (of_objects) {
      text += plain(key) + ":\n";
      for (const dom::element each : list) {
        dom::object one;
        text += "  " + (each.get(one) == simdjson::SUCCESS ? pairs(one) : text_of(each)) + "\n";
      }
    } else {
      text += fmt::format("{}: {}\n", plain(key), value.get(inner) == simdjson::SUCCESS ? pairs(inner) : text_of(value));
    }
  }
  return text;
}

}  // namespace qlm::operators

#include "simulate/workload/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>

namespace qlm::workload {
namespace {

enum Column : std::size_t { arrival, prompt, output, model, slo_class, tenant, prefix, column_count };
constexpr std::array<std::string_view, column_count> column_names = {"arrival_s", "prompt_tokens", "output_tokens",
                                                                     "model", "class", "tenant", "prefix"};
constexpr std::size_t absent = std::numeric_limits<std::size_t>::max();
constexpr std::int64_t most_tokens = 100'000'000;
constexpr double longest_s = 1e9;

std::string_view take_line(std::string_view& rest) {
  const auto end = rest.find('\n');
  auto line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void split(std::string_view line, std::vector<std::string_view>& cells) {
  cells.clear();
  while (true) {
    const auto comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> bad(std::size_t line, std::string_view column, std::string_view got, std::string_view expected) {
  return fail(fmt::format("line {}: {} is '{}', expected {}", line, column, got, expected));
}

Result<std::array<std::size_t, column_count>> find_columns(std::string_view header) {
  std::vector<std::string_view> cells;
  split(header, cells);
  std::array<std::size_t, column_count> at{};
  for (std::size_t column = 0; column < column_count; ++column) {
    const auto found = std::find(cells.begin(), cells.end(), column_names[column]);
    at[column] = found == cells.end() ? absent : static_cast<std::size_t>(found - cells.begin());
    if (found != cells.end() && std::find(found + 1, cells.end(), column_names[column]) != cells.end()) {
      return fail(fmt::format("line 1: column '{}' stands there twice", column_names[column]));
    }
    if (at[column] == absent && column <= output) {
      return fail(fmt::format("line 1: no column '{}' in the header; expected {}", column_names[column], trace_header));
    }
  }
  return at;
}

}  // namespace

Result<Trace> parse_trace(std::string_view csv) {
  if (csv.starts_with("\xef\xbb\xbf")) csv.remove_prefix(3);  // the byte order mark spreadsheets write
  const auto header = take_line(csv);
  const auto columns = find_columns(header);
  if (!columns) return std::unexpected(columns.error());
  const auto& at = *columns;
  const auto width = static_cast<std::size_t>(std::count(header.begin(), header.end(), ',')) + 1;

  Trace trace;
  std::vector<std::string_view> cells;
  for (std::size_t number = 2; !csv.empty(); ++number) {
    const auto line = take_line(csv);
    if (line.empty() && csv.empty()) break;
    if (line.find('"') != std::string_view::npos) {
      return fail(fmt::format("line {}: quoted cells are not supported; names must not hold commas", number));
    }
    split(line, cells);
    if (cells.size() != width) {
      return fail(fmt::format("line {}: {} cells, but the header has {}", number, cells.size(), width));
    }
    TraceRequest request;
    const auto arrival_s = parse_number<double>(cells[at[arrival]]);
    if (!arrival_s || !(*arrival_s >= 0) || *arrival_s > longest_s) {
      const bool epoch = arrival_s && *arrival_s > longest_s;
      return bad(number, "arrival_s", cells[at[arrival]],
                 epoch ? "at most 1e9 seconds: of times since 1970 subtract the first" : "seconds, 0 or more");
    }
    // To the nearest microsecond: decimals as written, not what a double made of them.
    request.arrival = std::chrono::microseconds{static_cast<std::int64_t>(*arrival_s * 1e6 + 0.5)};
    if (!trace.empty() && request.arrival < trace.back().arrival) {
      return bad(number, "arrival_s", cells[at[arrival]], "no earlier arrival than the line before");
    }
    for (const auto column : {prompt, output}) {
      const auto tokens = parse_number<std::int64_t>(cells[at[column]]);
      if (!tokens || *tokens < 1 || *tokens > most_tokens) {
        return bad(number, column_names[column], cells[at[column]], "a whole number of tokens, 1 or more");
      }
      (column == prompt ? request.prompt : request.output) = Tokens{*tokens};
    }
    if (at[model] != absent) request.model = cells[at[model]];
    if (at[slo_class] != absent) request.slo_class = cells[at[slo_class]];
    if (at[tenant] != absent) request.tenant = cells[at[tenant]];
    if (at[prefix] != absent) {
      auto parsed = parse_prefix(cells[at[prefix]]);
      if (!parsed) return bad(number, "prefix", cells[at[prefix]], "parts TEXT:TOKENS with blanks between them, such as 3:1000 17:240");
      request.prefix = std::move(*parsed);
    }
    trace.push_back(std::move(request));
  }
  return trace;
}

Result<Trace> read_trace_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(fmt::format("cannot read {}", path));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.starts_with("\x1f\x8b")) return fail(fmt::format("{}: compressed; unpack it first (gunzip -k)", path));
  auto trace = parse_trace(text);
  if (!trace) return fail(fmt::format("{}: {}", path, trace.error().message));
  return trace;
}

std::string write_trace(const Trace& trace) {
  std::string out(trace_header);
  const bool tenants = std::ranges::any_of(trace, [](const TraceRequest& r) { return !r.tenant.empty(); });
  const bool prefixes = std::ranges::any_of(trace, [](const TraceRequest& r) { return !r.prefix.empty(); });
  if (tenants) out += ",tenant";
  if (prefixes) out += ",prefix";
  out += '\n';
  for (const auto& r : trace) {
    const auto us = std::chrono::round<std::chrono::microseconds>(r.arrival).count();
    fmt::format_to(std::back_inserter(out), "{}.{:06},{},{},{},{}", us / 1'000'000, us % 1'000'000, r.prompt.count,
                   r.output.count, r.model, r.slo_class);
    if (tenants) out += "," + r.tenant;
    if (prefixes) out += "," + to_string(r.prefix);
    out += '\n';
  }
  return out;
}

}  // namespace qlm::workload

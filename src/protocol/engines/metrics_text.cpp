#include "protocol/engines/metrics_text.hpp"

#include <charconv>
#include <limits>
#include <utility>

namespace qlm::engines {
namespace {

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

void skip_blanks(std::string_view& in) {
  while (!in.empty() && (in.front() == ' ' || in.front() == '\t')) in.remove_prefix(1);
}

bool skip(std::string_view& in, char c) {
  if (in.empty() || in.front() != c) return false;
  in.remove_prefix(1);
  return true;
}

std::string_view take_name(std::string_view& in, bool colons) {
  std::size_t n = 0;
  while (n < in.size() && (letter(in[n]) || (colons && in[n] == ':') || (n > 0 && digit(in[n])))) ++n;
  const auto name = in.substr(0, n);
  in.remove_prefix(n);
  return name;
}

// A quoted label value, escapes left as written; nothing when it is not closed or an escape is unknown.
std::optional<std::string_view> take_quoted(std::string_view& in) {
  if (!skip(in, '"')) return {};
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i] == '\\') {
      if (++i == in.size() || (in[i] != '\\' && in[i] != '"' && in[i] != 'n')) return {};
    } else if (in[i] == '"') {
      const auto value = in.substr(0, i);
      in.remove_prefix(i + 1);
      return value;
    }
  }
  return {};
}

struct Label {
  std::string_view name;
  std::string_view escaped;
};

// One label of `name="value",...` and the comma behind it.
std::optional<Label> take_label(std::string_view& in) {
  skip_blanks(in);
  const auto name = take_name(in, false);
  skip_blanks(in);
  if (name.empty() || !skip(in, '=')) return {};
  skip_blanks(in);
  const auto value = take_quoted(in);
  if (!value) return {};
  skip_blanks(in);
  return Label{name, *value};
}

std::optional<double> take_number(std::string_view& in) {
  std::size_t n = 0;
  while (n < in.size() && in[n] != ' ' && in[n] != '\t') ++n;
  auto word = in.substr(0, n);
  in.remove_prefix(n);
  // from_chars takes no plus sign, and takes "nan(...)" and "infinity", which the format does not have.
  if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (word == "+Inf" || word == "Inf") return std::numeric_limits<double>::infinity();
  if (word == "-Inf") return -std::numeric_limits<double>::infinity();
  const bool plus = skip(word, '+');
  if (word.empty() || !(digit(word.back()) || word.back() == '.')) return {};
  if (!(digit(word.front()) || word.front() == '.' || (word.front() == '-' && !plus))) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return {};
  return value;
}

std::optional<MetricSample> parse_line(std::string_view line) {
  MetricSample sample;
  sample.name = take_name(line, true);
  if (sample.name.empty()) return {};
  skip_blanks(line);
  if (skip(line, '{')) {
    const char* const begin = line.data();
    skip_blanks(line);
    while (!line.empty() && line.front() != '}') {
      if (!take_label(line)) return {};
      if (!skip(line, ',')) break;
      skip_blanks(line);
    }
    sample.labels = {begin, static_cast<std::size_t>(line.data() - begin)};
    if (!skip(line, '}')) return {};
    skip_blanks(line);
  }
  const auto value = take_number(line);
  if (!value) return {};
  sample.value = *value;
  skip_blanks(line);
  // A timestamp may follow, and an OpenMetrics exemplar behind a '#'. Neither is used.
  if (!line.empty() && line.front() != '#' && !take_number(line)) return {};
  skip_blanks(line);
  if (!line.empty() && line.front() != '#') return {};
  return sample;
}

std::string unescape(std::string_view escaped) {
  std::string out;
  out.reserve(escaped.size());
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] == '\\' && i + 1 < escaped.size()) {
      ++i;
      out += escaped[i] == 'n' ? '\n' : escaped[i];
    } else {
      out += escaped[i];
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> MetricSample::label(std::string_view key) const {
  auto in = labels;
  while (const auto label = take_label(in)) {
    if (label->name == key) return unescape(label->escaped);
    if (!skip(in, ',')) break;
  }
  return {};
}

std::optional<MetricSample> MetricsReader::next() {
  while (!rest_.empty()) {
    const auto end = rest_.find('\n');
    auto line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    skip_blanks(line);
    if (line.empty() || line.front() == '#') continue;
    if (line.size() <= max_line) {
      if (auto sample = parse_line(line)) return sample;
    }
    ++malformed_;
  }
  return {};
}

}  // namespace qlm::engines

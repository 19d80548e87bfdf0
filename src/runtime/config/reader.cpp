#include "runtime/config/reader.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

#include "runtime/config/schema.hpp"
#include "runtime/config/units.hpp"

namespace qlm::config {
namespace {

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/:@+").find(c) != std::string_view::npos;
  });
}
constexpr std::string_view expected_name = "expected a name of letters, digits and . _ - / : @ +, at most 128";

// Keys by which people try to write a secret into the file.
bool asks_for_secret(std::string_view key) {
  constexpr std::array<std::string_view, 8> words{"key", "keys", "api_key", "api_keys", "token", "secret", "password", "bearer"};
  return std::ranges::find(words, key) != words.end();
}

std::string joined(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    out += i == 0 ? "" : i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

std::string did_you_mean(std::string_view written, std::span<const std::string_view> candidates) {
  const auto near = nearest(written, candidates);
  return near.empty() ? std::string{} : fmt::format("; did you mean '{}'?", near);
}

std::string_view described(const Node& node) {
  switch (node.kind) {
    case Node::Kind::nothing: return "nothing";
    case Node::Kind::list: return "a list";
    case Node::Kind::map: return "a map";
    case Node::Kind::scalar: break;
  }
  return "a single value";
}

class Reader {
 public:
  explicit Reader(Report& report) : report_(report) {}

  void section(const Section& section, const Node& node, const std::string& path, void* owner) {
    std::map<std::string_view, Mark> seen;
    for (const Node::Entry& entry : node.entries) {
      const std::string at = path.empty() ? entry.key : path + "." + entry.key;
      const auto key = std::ranges::find(section.keys, entry.key, &Key::name);
      if (key == section.keys.end()) {
        unknown(section, entry, at);
        continue;
      }
      if (const auto [first, is_new] = seen.emplace(key->name, entry.mark); !is_new) {
        report_.problem_at(entry.mark, at, fmt::format("a second time; the first is on line {}", first->second.line));
        continue;
      }
      // Of a value that is not there the parser only knows where the next thing stands.
      report_.saw(at, entry.value.kind == Node::Kind::nothing ? entry.mark : entry.value.mark);
      value(*key, entry.value, at, owner);
    }
    for (const Key& key : section.keys) {
      if (!key.required || seen.contains(key.name)) continue;
      const std::string at = path.empty() ? std::string(key.name) : fmt::format("{}.{}", path, key.name);
      report_.problem_at(node.mark, at, fmt::format("is missing: {}", key.meaning));
    }
  }

  void value(const Key& key, const Node& node, const std::string& at, void* owner) {
    switch (key.kind) {
      case Kind::later: report_.problem(at, fmt::format("not in this version ({})", key.meaning)); return;
      case Kind::section:
        if (want(node, Node::Kind::map, "a map of keys", at)) section(*key.section, node, at, key.enter(owner, {}));
        return;
      case Kind::named: named(key, node, at, owner); return;
      case Kind::list: list(key, node, at, owner); return;
      case Kind::names: names(key, node, at, owner); return;
      default: break;
    }
    if (!want(node, Node::Kind::scalar, "a single value", at)) return;
    scalar(key, node.text, at, owner);
  }

 private:
  void unknown(const Section& section, const Node::Entry& entry, const std::string& at) {
    if (asks_for_secret(entry.key)) {
      report_.problem_at(entry.mark, at, "no such key: secrets are never in this file; put it in a file of its own and name that (keys_file, api_key_file)");
      return;
    }
    std::vector<std::string_view> known;
    for (const Key& key : section.keys) {
      if (key.kind != Kind::later) known.push_back(key.name);
    }
    std::string hint = did_you_mean(entry.key, known);
    if (hint.empty()) hint = fmt::format("; known here: {}", joined(known));
    report_.problem_at(entry.mark, at, "no such key" + hint);
  }

  bool want(const Node& node, Node::Kind kind, std::string_view expected, const std::string& at) {
    if (node.kind == kind) return true;
    report_.problem(at, fmt::format("found {}, expected {}", described(node), expected));
    return false;
  }

  void named(const Key& key, const Node& node, const std::string& at, void* owner) {
    if (node.kind == Node::Kind::scalar && !key.word.empty()) {
      if (node.text != key.word) {
        report_.problem(at, fmt::format("found {}, expected a map from names to settings, or {}", in_quotes(node.text), key.word));
      }
      return;  // what the word stands for was put in before the file was read
    }
    if (!want(node, Node::Kind::map, "a map from names to settings", at)) return;
    std::map<std::string_view, Mark> seen;
    for (const Node::Entry& entry : node.entries) {
      const std::string below = at + "." + entry.key;
      if (!is_name(entry.key)) {
        report_.problem_at(entry.mark, at, fmt::format("found {}, {}", in_quotes(entry.key), expected_name));
        continue;
      }
      if (const auto [first, is_new] = seen.emplace(entry.key, entry.mark); !is_new) {
        report_.problem_at(entry.mark, below, fmt::format("a second time; the first is on line {}", first->second.line));
        continue;
      }
      report_.saw(below, entry.mark);
      // `batch:` alone is a class with every default.
      if (entry.value.kind != Node::Kind::nothing && !want(entry.value, Node::Kind::map, "a map of keys", below)) continue;
      section(*key.section, entry.value, below, key.enter(owner, entry.key));
    }
  }

  void list(const Key& key, const Node& node, const std::string& at, void* owner) {
    if (!want(node, Node::Kind::list, "a list", at)) return;
    if (node.items.empty()) report_.problem(at, "is empty, expected at least one");
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const std::string below = fmt::format("{}[{}]", at, i);
      report_.saw(below, node.items[i].mark);
      // The object is made even for a wrong item, so that numbers in later messages are the file's.
      void* object = key.enter(owner, {});
      if (want(node.items[i], Node::Kind::map, "a map of keys", below)) section(*key.section, node.items[i], below, object);
    }
  }

  void names(const Key& key, const Node& node, const std::string& at, void* owner) {
    if (!want(node, Node::Kind::list, "a list of names", at)) return;
    std::vector<std::string> all;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const std::string below = fmt::format("{}[{}]", at, i);
      report_.saw(below, node.items[i].mark);
      if (!want(node.items[i], Node::Kind::scalar, "a name", below)) continue;
      const std::string& text = node.items[i].text;
      if (!is_name(text)) {
        report_.problem(below, fmt::format("found {}, {}", in_quotes(text), expected_name));
      } else if (std::ranges::find(all, text) != all.end()) {
        report_.problem(below, fmt::format("{} a second time", in_quotes(text)));
      } else {
        all.push_back(text);
      }
    }
    if (node.items.empty()) report_.problem(at, fmt::format("found an empty list, expected names{}", key.required ? "" : "; leave the key out for all"));
    key.store(owner, all);
  }

  template <class T>
  void keep(const Key& key, const Result<T>& read, const std::string& text, const std::string& at, void* owner) {
    if (read) key.store(owner, *read);
    else report_.problem(at, fmt::format("found {}, {}", in_quotes(text), read.error().message));
  }

  void scalar(const Key& key, const std::string& text, const std::string& at, void* owner) {
    switch (key.kind) {
      case Kind::flag: keep(key, parse_flag(text), text, at, owner); return;
      case Kind::number: keep(key, parse_number(text), text, at, owner); return;
      case Kind::share: keep(key, parse_share(text), text, at, owner); return;
      case Kind::duration: keep(key, parse_duration(text), text, at, owner); return;
      case Kind::size: keep(key, parse_size(text), text, at, owner); return;
      case Kind::listen: keep(key, parse_listen(text), text, at, owner); return;
      case Kind::url:
        if (text.find('@') != text.npos) {
          report_.problem(at, "has a user or password in it: secrets are never in this file; use api_key_file");
          return;
        }
        keep(key, parse_url(text), text, at, owner);
        return;
      case Kind::count: {
        Result<std::int64_t> count = parse_count(text);
        if (count && (*count < key.least || *count > key.most)) {
          count = fail(fmt::format("expected a number from {} to {}", key.least, key.most));
        }
        keep(key, count, text, at, owner);
        return;
      }
      case Kind::rate: {
        const auto rate = parse_rate(text);
        keep(key, rate ? Result<TokenRate>(TokenRate{Tokens{rate->amount}, rate->per}) : fail(rate.error().message), text,
             at, owner);
        return;
      }
      case Kind::choice: {
        const auto chosen = std::ranges::find(key.choices, text);
        if (chosen != key.choices.end()) {
          key.store(owner, Choice{static_cast<std::size_t>(chosen - key.choices.begin())});
        } else {
          report_.problem(at, fmt::format("found {}, expected {}{}", in_quotes(text), joined(key.choices), did_you_mean(text, key.choices)));
        }
        return;
      }
      case Kind::name:
        keep(key, is_name(text) ? Result<std::string>(text) : fail(std::string(expected_name)), text, at, owner);
        return;
      default:
        keep(key, !text.empty() && text.size() <= 4096 ? Result<std::string>(text) : fail("expected 1 to 4096 characters"),
             text, at, owner);
        return;
    }
  }

  Report& report_;
};

}  // namespace

namespace {
// A quoted key may hold line breaks; a problem may not.
std::string on_one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  }
  return text;
}
}  // namespace

Mark Report::mark(std::string key) const {
  while (!key.empty()) {
    if (const auto found = marks_.find(key); found != marks_.end()) return found->second;
    const auto cut = key.find_last_of(".[");
    key.resize(cut == key.npos ? 0 : cut);
  }
  return {};
}

void Report::problem_at(Mark mark, const std::string& key, std::string message) {
  if (const auto source = sources_.find(key); source != sources_.end()) {
    problems_.push_back({source->second, 0, 0, {}, std::move(message)});
    return;
  }
  problems_.push_back({file_, mark.line, mark.column, on_one_line(key), on_one_line(std::move(message))});
}

std::vector<Problem> Report::take() {
  std::ranges::sort(problems_, {}, [](const Problem& p) { return std::tie(p.line, p.column, p.key, p.message); });
  return std::move(problems_);
}

void read_tree(const Node& tree, Configuration& into, Report& report) {
  if (tree.kind != Node::Kind::map && tree.kind != Node::Kind::nothing) {
    report.problem_at(tree.mark, {}, fmt::format("found {}, expected a map of keys", described(tree)));
    return;
  }
  Reader(report).section(root_section(), tree, {}, &into);
  if (!report.has("instances") && !report.has("pools")) report.problem_at(tree.mark, "instances", "is missing: the engines");
}

void read_override(std::string_view name, const std::string& text, Configuration& into, Report& report) {
  const auto keys = root_section().keys;
  const auto key = std::ranges::find(keys, name, &Key::name);
  report.came_from(std::string(name), fmt::format("--{}", name));
  Node node;
  node.kind = Node::Kind::scalar;
  node.text = text;
  Reader(report).value(*key, node, std::string(name), &into);
}

}  // namespace qlm::config

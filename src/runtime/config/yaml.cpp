#include "runtime/config/yaml.hpp"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/utf8.hpp"

namespace qlm::config {
namespace {

Mark from_yaml(const YAML::Mark& mark) { return mark.is_null() ? Mark{} : Mark{mark.line + 1, mark.column + 1}; }

// Builds the tree from yaml-cpp's events. What it refuses it throws, through the library and to read_yaml(): that
// also ends the library's own recursion before the nesting can hurt.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder() { open_.push_back({&root_, {}, {}, false}); }

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    throw YamlError{from_yaml(mark), "anchors (&name) are not allowed in this file; write the value out"};
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YamlError{from_yaml(mark), "aliases (*name) are not allowed in this file; write the value out"};
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add(Node::Kind::nothing, mark, {}); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    add(Node::Kind::scalar, mark, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    enter(add(Node::Kind::list, mark, {}));
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    enter(add(Node::Kind::map, mark, {}));
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  struct Open {
    Node* node;
    std::string key;
    Mark key_mark;
    bool has_key;
  };

  // yaml-cpp gives plain scalars the tag "?" and quoted ones "!".
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") throw YamlError{from_yaml(mark), "tags (!name) are not allowed in this file"};
  }

  Node* add(Node::Kind kind, const YAML::Mark& mark, const std::string& text) {
    if (++nodes_ > yaml_nodes_max) {
      throw YamlError{from_yaml(mark), fmt::format("the file has more than {} values", yaml_nodes_max)};
    }
    Open& open = open_.back();
    if (open.node->kind == Node::Kind::map && !open.has_key) {
      if (kind != Node::Kind::scalar || text.empty()) throw YamlError{from_yaml(mark), "a key must be a plain name"};
      open.key = text;
      open.key_mark = from_yaml(mark);
      open.has_key = true;
      return nullptr;
    }
    Node* made = open.node;  // the root itself, at first
    if (open.node->kind == Node::Kind::map) {
      made = &open.node->entries.emplace_back(Node::Entry{std::move(open.key), open.key_mark, {}}).value;
      open.has_key = false;
    } else if (open.node->kind == Node::Kind::list) {
      made = &open.node->items.emplace_back();
    }
    made->kind = kind;
    made->mark = from_yaml(mark);
    made->text = text;
    return made;
  }

  // Pointers into the tree stay good: only the innermost open node grows.
  void enter(Node* node) {
    if (open_.size() > static_cast<std::size_t>(yaml_depth_max)) {
      throw YamlError{node->mark, fmt::format("nested deeper than {} levels", yaml_depth_max)};
    }
    open_.push_back({node, {}, {}, false});
  }

  Node root_;
  std::vector<Open> open_;
  std::size_t nodes_ = 0;
};

Mark position_of(std::string_view text, std::size_t at) {
  const auto before = text.substr(0, at);
  const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<int>(std::ranges::count(before, '\n')) + 1, static_cast<int>(at - line_start) + 1};
}

std::expected<Node, YamlError> refused(Mark mark, std::string message) {
  return std::unexpected(YamlError{mark, std::move(message)});
}

}  // namespace

std::expected<Node, YamlError> read_yaml(std::string_view text) {
  if (text.size() > yaml_bytes_max) {
    return refused({}, fmt::format("the file is larger than {} bytes", yaml_bytes_max));
  }
  if (const auto at = first_invalid_utf8(text); at < text.size()) return refused(position_of(text, at), "not UTF-8");
  const auto is_control = [](char c) {
    return (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\r' && c != '\t') || c == 0x7f;
  };
  if (const auto at = std::ranges::find_if(text, is_control); at != text.end()) {
    return refused(position_of(text, static_cast<std::size_t>(at - text.begin())), "a control character");
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder;
    parser.HandleNextDocument(builder);
    TreeBuilder none;
    if (parser.HandleNextDocument(none)) return refused({}, "more than one document (---) in the file");
    return builder.take();
  } catch (const YamlError& error) {
    return refused(error.mark, error.message);
  } catch (const YAML::Exception& error) {
    return refused(from_yaml(error.mark), "not YAML: " + error.msg);
  } catch (const std::exception& error) {
    return refused({}, std::string("not YAML: ") + error.what());
  }
}

}  // namespace qlm::config

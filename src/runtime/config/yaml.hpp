// A YAML document as a tree with positions, within bounds that keep hostile files harmless. The only user of yaml-cpp.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace qlm::config {

struct Mark {
  int line = 0;  // from 1
  int column = 0;

  auto operator<=>(const Mark&) const = default;
};

struct Node {
  enum class Kind { nothing, scalar, list, map };
  struct Entry;

  Kind kind = Kind::nothing;
  Mark mark;
  std::string text;            // scalar
  std::vector<Node> items;     // list
  std::vector<Entry> entries;  // map, in the file's order, duplicates included
};

struct Node::Entry {
  std::string key;
  Mark mark;
  Node value;
};

struct YamlError {
  Mark mark;
  std::string message;
};

inline constexpr std::size_t yaml_bytes_max = 1 << 20;
inline constexpr std::size_t yaml_nodes_max = 100'000;
inline constexpr int yaml_depth_max = 16;

// One document of UTF-8. Anchors, aliases and tags are refused: a configuration needs none, and a few lines of
// aliases can stand for billions of nodes.
std::expected<Node, YamlError> read_yaml(std::string_view text);

}  // namespace qlm::config

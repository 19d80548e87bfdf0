// From a tree of YAML to a configuration along the schema's table, noting where everything stood.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/config/configuration.hpp"
#include "runtime/config/yaml.hpp"

namespace qlm::config {

// Problems of one source, and where each key stood in it, so that a later check can point there.
class Report {
 public:
  explicit Report(std::string file) : file_(std::move(file)) {}

  void saw(const std::string& key, Mark mark) { marks_[key] = mark; }
  bool has(const std::string& key) const { return marks_.contains(key); }
  Mark mark(std::string key) const;  // of the key, else of the nearest above it
  // Overrides have no line: their problems name the option instead of the file.
  void came_from(const std::string& key, std::string source) { sources_[key] = std::move(source); }

  void problem(const std::string& key, std::string message) { problem_at(mark(key), key, std::move(message)); }
  void problem_at(Mark mark, const std::string& key, std::string message);
  std::vector<Problem> take();  // in the file's order
  bool empty() const { return problems_.empty(); }

 private:
  std::string file_;
  std::map<std::string, Mark> marks_;
  std::map<std::string, std::string> sources_;
  std::vector<Problem> problems_;
};

void read_tree(const Node& tree, Configuration& into, Report& report);
// One scalar of the root section, as an override gives it.
void read_override(std::string_view key, const std::string& text, Configuration& into, Report& report);

// References, addresses, names and secrets that no single key can answer for; fills what depends on them.
void finish(Configuration& configuration, Report& report, const std::string& folder, const ReadFile& read_file);

// The keys in a file of secrets; see read_keys().
Result<std::vector<std::string>> secret_lines(std::string_view content);

}  // namespace qlm::config

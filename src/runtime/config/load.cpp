#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "runtime/config/configuration.hpp"
#include "runtime/config/reader.hpp"
#include "runtime/config/schema.hpp"
#include "runtime/config/units.hpp"
#include "runtime/config/yaml.hpp"

namespace qlm::config {
namespace {

Class made_class(std::string name, std::optional<Duration> ttft, double value) {
  Class made;
  made.name = std::move(name);
  made.ttft = ttft;
  made.value = value;
  return made;
}

// What is there before the file says anything.
Configuration built_in() {
  Configuration configuration;
  configuration.classes.push_back(made_class("standard", {}, 1));
  configuration.tenants.emplace_back().name = "anonymous";
  return configuration;
}

// The QLM paper's three, section 8 there: TTFT 20 s, one minute, one hour.
void add_paper_classes(Configuration& configuration) {
  configuration.classes.push_back(made_class("interactive", 20s, 10));
  configuration.classes.push_back(made_class("batch-1", 1min, 2));
  configuration.classes.push_back(made_class("batch-2", 1h, 1));
  configuration.classes.back().max_wait = 2h;  // who may wait an hour is not given up after ten minutes
}

// Errors do not say of which file: whoever reports them does.
Result<std::string> read_plain_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return fail("no such file");
  if (!std::filesystem::is_regular_file(status)) return fail("is no plain file");
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(fmt::format("cannot be read: {}", std::strerror(errno)));
  // One byte more than is allowed: a file may grow while it is read.
  std::string text(yaml_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return fail("reading failed");
  if (text.size() > yaml_bytes_max) return fail(fmt::format("larger than {} bytes", yaml_bytes_max));
  return text;
}

bool asks_for_paper_classes(const Node& tree) {
  for (const Node::Entry& entry : tree.entries) {
    if (entry.key == "classes") return entry.value.kind == Node::Kind::scalar && entry.value.text == paper_classes;
  }
  return false;
}

Loaded finished(Configuration configuration, Report& report, const Overrides& overrides, const std::string& folder,
                const ReadFile& read_file, const FurtherCheck& check) {
  if (overrides.listen) read_override("listen", *overrides.listen, configuration, report);
  if (overrides.admin) read_override("admin", *overrides.admin, configuration, report);
  if (overrides.policy) read_override("policy", *overrides.policy, configuration, report);
  finish(configuration, report, folder, read_file);
  if (check) check(configuration, [&](const std::string& key, std::string message) { report.problem(key, std::move(message)); });
  if (!report.empty()) return std::unexpected(report.take());
  return configuration;
}

}  // namespace

Loaded parse(std::string_view yaml, const std::string& name, const Overrides& overrides, const ReadFile& read_file,
             const FurtherCheck& check) {
  Report report(name);
  const auto tree = read_yaml(yaml);
  if (!tree) {
    report.problem_at(tree.error().mark, {}, tree.error().message);
    return std::unexpected(report.take());
  }
  Configuration configuration = built_in();
  if (asks_for_paper_classes(*tree)) add_paper_classes(configuration);
  read_tree(*tree, configuration, report);
  return finished(std::move(configuration), report, overrides, std::filesystem::path(name).parent_path().string(), read_file, check);
}

Loaded load(const std::string& path, const Overrides& overrides, const FurtherCheck& check) {
  const auto text = read_plain_file(path);
  if (!text) return std::unexpected(std::vector<Problem>{{path, 0, 0, {}, text.error().message}});
  return parse(*text, path, overrides, read_small_file, check);
}

Loaded defaults_for_urls(std::span<const std::string> urls, const Overrides& overrides) {
  Report report("the command line");
  Configuration configuration = built_in();
  if (urls.empty()) report.problem({}, "names no engine, expected an address such as http://gpu1:8000");
  for (const std::string& text : urls) {
    if (text.find('@') != text.npos) {
      report.problem({}, "an engine's address has a user or password in it; use a file and its api_key_file");
      continue;
    }
    const auto url = parse_url(text);
    if (url) configuration.instances.emplace_back().url = *url;
    else report.problem({}, fmt::format("found {}, {}", in_quotes(text), url.error().message));
  }
  return finished(std::move(configuration), report, overrides, {}, read_small_file, {});
}

Result<std::string> read_small_file(const std::string& path) {
  auto text = read_plain_file(path);
  if (!text) return fail(fmt::format("{}: {}", path, text.error().message));
  return text;
}

Result<std::vector<std::string>> secret_lines(std::string_view content) {
  std::vector<std::string> keys;
  int number = 0;
  while (!content.empty()) {
    ++number;
    const auto end = content.find('\n');
    std::string_view line = content.substr(0, end);
    content = end == content.npos ? std::string_view{} : content.substr(end + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (line.size() > 512) return fail(fmt::format("line {}: a key is longer than 512 characters", number));
    for (const char c : line) {
      if (c <= ' ' || c > '~') return fail(fmt::format("line {}: a key has a character that no HTTP header can carry", number));
    }
    keys.emplace_back(line);
  }
  if (keys.empty()) return fail("holds no key, expected one a line");
  return keys;
}

Result<std::vector<std::string>> read_keys(const std::string& path) {
  const auto content = read_small_file(path);
  if (!content) return fail(content.error().message);
  auto keys = secret_lines(*content);
  if (!keys) return fail(fmt::format("{}: {}", path, keys.error().message));
  return keys;
}

ServiceClass service_class(const Class& from) {
  ServiceClass to;
  to.name = from.name;
  to.slo = {from.ttft, from.tpot, from.e2e};
  to.objective = from.objective;
  to.value = from.value;
  to.min_share = from.min_share;
  if (from.max_wait) to.max_wait = *from.max_wait;
  to.when_late = from.when_late;
  return to;
}

std::string instance_name(const Pool& pool, std::string_view gpu) { return fmt::format("{}/{}", pool.name, gpu); }

bool is_loopback(const ListenAddress& address) {
  if (address.host == "localhost" || address.host == "::1") return true;
  // Digits and dots only: "127.example.org" is a name.
  return address.host.starts_with("127.") && address.host.find_first_not_of("0123456789.") == std::string::npos;
}

std::string to_string(const ListenAddress& address) {
  return address.host.find(':') == std::string::npos ? fmt::format("{}:{}", address.host, address.port)
                                                     : fmt::format("[{}]:{}", address.host, address.port);
}

std::string to_string(const Url& url) { return "http://" + to_string(ListenAddress{url.host, url.port}) + url.prefix; }

std::string to_string(const Problem& problem) {
  std::string out = problem.file;
  if (problem.line > 0) out += fmt::format(":{}:{}", problem.line, problem.column);
  if (!problem.key.empty()) out += ": " + problem.key;
  return out + ": " + problem.message;
}

}  // namespace qlm::config

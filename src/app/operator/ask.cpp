#include "app/operator/ask.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <cctype>
#include <memory>
#include <utility>

namespace qlm::operators {
namespace {

constexpr Duration patience = 10s;
constexpr Bytes answer_limit{64 * 1024 * 1024};

std::string words_of(const net::WholeResponse& response) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view message;
  if (parser.parse(response.body).get(root) == simdjson::SUCCESS && root["error"]["message"].get(message) == simdjson::SUCCESS) return std::string(message);
  return fmt::format("status {}", response.head.status);
}

}  // namespace

Result<std::string> Admin::ask(std::string method, const std::string& path, std::string body) {
  net::ClientRequest request;
  request.method = std::move(method);
  request.target = path;
  if (request.method == "POST") {
    request.fields.add("Content-Type", "application/json");
    const auto owner = std::make_shared<const std::string>(std::move(body));
    request.body = {*owner};
    request.owner = owner;
  }
  Result<std::string> answer = fail("no answer");
  const auto call = net::fetch(loop_, *client_, at_, std::move(request), patience, answer_limit, [&](net::Fetched got) {
    if (!got) answer = fail(fmt::format("nobody answers at {}:{} ({}); --admin says where QLM's admin listener is", at_.host, at_.port, got.error().message));
    else if (got->head.status != 200) answer = fail(words_of(*got));
    else answer = std::move(got->body);
    loop_.stop();
  });
  loop_.run();
  return answer;
}

void Admin::wait(Duration time) {
  net::Timer timer(loop_);
  timer.after(time, [this] { loop_.stop(); });
  loop_.run();
}

std::string escaped(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '/') out += c;
    else out += fmt::format("%{:02X}", byte);
  }
  return out;
}

}  // namespace qlm::operators

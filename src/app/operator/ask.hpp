// One question to the admin listener of a running QLM, and its answer.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/net/loop.hpp"

namespace qlm::operators {

class Admin {
 public:
  explicit Admin(net::Address at) : at_(std::move(at)), client_(net::HttpClient::create(loop_)) {}

  // The answer's body; an error has what was wrong in QLM's own words.
  Result<std::string> get(const std::string& path) { return ask("GET", path, {}); }
  Result<std::string> post(const std::string& path, std::string body = {}) { return ask("POST", path, std::move(body)); }
  void wait(Duration time);

 private:
  Result<std::string> ask(std::string method, const std::string& path, std::string body);
  net::Loop loop_;
  net::Address at_;
  std::unique_ptr<net::HttpClient> client_;
};

// A name as a part of a path.
std::string escaped(std::string_view name);

}  // namespace qlm::operators

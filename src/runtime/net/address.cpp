#include <fmt/format.h>

#include <charconv>

#include "runtime/net/socket.hpp"

namespace qlm::net {

std::string Address::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<Address> parse_address(std::string_view text) {
  const auto bad = [&](std::string_view what) {
    return fail(fmt::format("\"{}\": {}; expected host:port, [v6]:port or :port", text, what));
  };
  Address address;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return bad("the bracket is not closed");
    address.host = text.substr(1, end - 1);
    if (address.host.find(':') == std::string::npos) return bad("no IPv6 address in the brackets");
    port = text.substr(end + 1);
    if (!port.starts_with(':')) return bad("no port");
    port.remove_prefix(1);
  } else {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad("no port");
    address.host = text.substr(0, colon);
    if (address.host.find(':') != std::string::npos) return bad("an IPv6 address needs brackets");
    port = text.substr(colon + 1);
  }
  if (address.host.find_first_of(" \t\r\n/@") != std::string::npos) return bad("not a host name");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size()) return bad("the port is not a number up to 65535");
  return address;
}

}  // namespace qlm::net

// Bytes as a request body: what extract() accepts, Boost.JSON accepts and agrees on; whatever is then patched, the
// result is the document that Boost.JSON's DOM would have been edited into. The first byte chooses the patches.
#include <boost/json/src.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/openai/deny_list.hpp"
#include "protocol/openai/fold.hpp"
#include "protocol/openai/splice.hpp"
#include "require.hpp"

namespace {

namespace json = boost::json;
using namespace qlm::openai;

json::value oracle(std::string_view text, json::error_code& error) {
  json::parse_options options;
  options.max_depth = max_json_depth;
  return json::parse(text, error, {}, options);
}

// Boost.JSON 1.81 reads a long fraction differently by how many bytes follow it: 81.2036854236854775809 is two doubles.
bool same(const json::value& a, const json::value& b) {
  if (a.kind() != b.kind()) return false;
  if (a == b) return true;
  if (a.is_double()) return std::abs(a.get_double() - b.get_double()) <= 1e-12 * std::abs(b.get_double());
  if (a.is_array()) return std::ranges::equal(a.get_array(), b.get_array(), same);
  if (!a.is_object()) return false;
  return a.get_object().size() == b.get_object().size() && std::ranges::all_of(a.get_object(), [&](const auto& member) {
    const json::value* other = b.get_object().if_contains(member.key());
    return other && same(member.value(), *other);
  });
}

void check_patched(const std::shared_ptr<const RequestFacts>& facts, json::object expected, unsigned choice) {
  Splice splice(facts);
  REQUIRE(splice.assemble().str() == *facts->body);
  if (choice & 1) {
    splice.set_model("an\"other");
    expected["model"] = "an\"other";
  }
  if (choice & 2) {
    splice.ask_usage();
    json::value& options = expected["stream_options"];
    if (!options.is_object()) options = json::object{};
    options.as_object()["include_usage"] = true;
  }
  if (choice & 4) {
    for (const std::string& name : remove_denied_fields(*facts, splice)) expected.erase(name);
  }
  if (choice & 8) {
    splice.set("temperature", "[1 ]");
    expected["temperature"] = json::array{1};
  }
  if (choice & 16) {
    splice.remove("messages");
    expected.erase("messages");
  }
  const AssembledBody out = splice.assemble();
  json::error_code error;
  const json::value written = oracle(out.str(), error);
  REQUIRE(!error);
  REQUIRE(same(written, expected));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0];
  constexpr std::array paths = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/rerank"};
  const auto body = std::make_shared<const std::string>(reinterpret_cast<const char*>(data) + 1, size - 1);

  // Whatever it is, a chunk reader must survive it, and what it cuts must leave JSON behind.
  const ChunkFacts chunk = inspect_chunk(*body);
  json::error_code error;
  const json::value document = oracle(*body, error);
  // Sound grammar that the oracle alone cannot hold: exponents beyond its range, and 0e75808, which it takes for NaN.
  if (error == json::error::exponent_overflow) return 0;
  if (const json::value copy = document; !error && copy != document) return 0;
  if (chunk.usage_member && !error) {
    json::error_code cut_error;
    oracle(without_usage(*body, chunk), cut_error);
    REQUIRE(!cut_error);
  }
  ReplyFold fold(Endpoint::chat);
  if (fold.add(*body) && !error) {
    if (const auto folded = fold.finish()) {
      json::error_code fold_error;
      oracle(*folded, fold_error);
      REQUIRE(!fold_error);
    }
  }

  auto extracted = extract(paths[choice / 32 % paths.size()], body);
  if (!extracted) {
    REQUIRE(extracted.error().status == 400 && !extracted.error().message.empty());
    const std::string_view code = extracted.error().code;
    // A body is called broken if and only if the oracle calls it broken; Boost.JSON counts depth as we do.
    if (code == "invalid_json" || code == "json_too_deep" || code == "invalid_utf8") REQUIRE(error);
    return 0;
  }
  REQUIRE(!error);
  const json::object& object = document.as_object();
  REQUIRE(object.at("model").as_string() == extracted->model);
  if (const auto* stream = object.if_contains("stream")) REQUIRE(stream->is_null() || stream->as_bool() == extracted->stream);
  for (const Member& member : extracted->members) REQUIRE(object.contains(member.name));
  check_patched(std::make_shared<const RequestFacts>(std::move(*extracted)), object, choice);
  return 0;
}

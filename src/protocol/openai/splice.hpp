// A body to send: the bytes that came, with a few members replaced, removed or added. Nothing of the original is
// copied, and nothing is parsed again, so a retry elsewhere under another model name costs a few small strings.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/openai/request.hpp"

namespace qlm::openai {

// The pieces of a body in sending order, with what keeps them alive. Move it into the write; do not outlive it.
class AssembledBody {
 public:
  const std::vector<std::string_view>& pieces() const { return pieces_; }
  std::size_t size() const { return size_; }
  std::string str() const;

 private:
  friend class Splice;
  void add(std::string_view piece);

  std::vector<std::string_view> pieces_;
  std::size_t size_ = 0;
  std::shared_ptr<const std::string> original_;
  std::shared_ptr<const std::string> patches_;
};

class Splice {
 public:
  explicit Splice(std::shared_ptr<const RequestFacts> facts);

  // Each may be called again; the last call for a name counts.
  void set_model(std::string_view name);
  void ask_usage();                                            // stream_options.include_usage = true
  void set(std::string_view name, std::string_view json);      // replaces the member, or adds it; json is written as it is
  void set_string(std::string_view name, std::string_view text);
  void remove(std::string_view name);                          // no effect when absent

  AssembledBody assemble() const;

 private:
  struct Patch {
    std::string name;
    std::optional<std::string> json;  // nothing: removed
  };
  Patch& patch(std::string_view name);

  std::shared_ptr<const RequestFacts> facts_;
  std::vector<Patch> patches_;
};

}  // namespace qlm::openai

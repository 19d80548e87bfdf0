// The names under which clients know their requests. Ids count all tenants' requests; a name tells nothing of the others.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/speck64.hpp"
#include "core/domain/ids.hpp"

namespace qlm::gateway {

class RequestNames {
 public:
  RequestNames();  // with a key of its own, by chance: names of one run mean nothing to the next

  std::string of(RequestId id) const;  // "req_" and 13 characters
  std::optional<RequestId> id(std::string_view name) const;  // of a name that of() could have made

 private:
  Speck64 scramble_;
};

}  // namespace qlm::gateway

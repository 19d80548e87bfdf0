// A configured tenant as the controller knows it: name, limits and weight. The gateway and the simulator hold who is refused
// to the same words.
#pragma once

#include "core/domain/configuration.hpp"
#include "runtime/config/configuration.hpp"

namespace qlm::config {

qlm::Tenant tenant(const Tenant& from);

}  // namespace qlm::config

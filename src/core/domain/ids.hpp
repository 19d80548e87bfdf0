// The identities everything speaks of. Model, instance, class and tenant ids are dense and given out once by the
// shell, in order; an id is never used again for something else while the process lives.
#pragma once

#include <cstdint>

#include "base/id.hpp"

namespace qlm {

using RequestId = Id<struct RequestTag, std::uint64_t>;
using ModelId = Id<struct ModelTag>;
using InstanceId = Id<struct InstanceTag>;
using ClassId = Id<struct ClassTag>;
using TenantId = Id<struct TenantTag>;

// One dispatch of one request. Attempts count from 1; 0 means none yet.
using Attempt = Id<struct AttemptTag, std::uint8_t>;
inline constexpr Attempt no_attempt{0};
inline constexpr Attempt first_attempt{1};

// A snapshot is taken at a version; a plan names the version it was made from, so that a late one is recognised.
using SnapshotVersion = Id<struct SnapshotTag, std::uint64_t>;
using PlanVersion = Id<struct PlanTag, std::uint64_t>;

// A fenced claim on a durable request: only the holder of the newest token may publish.
using FencingToken = Id<struct FencingTag, std::uint64_t>;

struct AttemptKey {
  RequestId request;
  Attempt attempt;
  constexpr auto operator<=>(const AttemptKey&) const = default;
};

}  // namespace qlm

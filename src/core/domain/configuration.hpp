// What the controller must know of the configuration. The shell builds it from the file; ids index the vectors.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/slo.hpp"

namespace qlm {

enum class Policy : std::uint8_t { fcfs, priority, edf, edf_expire, sjf, greedy, shepherd, qlm_lp, qlm_lp_expire, qlm_sp, qlm };
inline constexpr std::array all_policies = {Policy::fcfs,     Policy::priority, Policy::edf,           Policy::edf_expire,
                                            Policy::sjf,      Policy::greedy,   Policy::shepherd,      Policy::qlm_lp,
                                            Policy::qlm_lp_expire, Policy::qlm_sp, Policy::qlm};

// At most `amount` at once, refilled evenly over `per`.
struct RateLimit {
  std::int64_t amount = 0;
  Duration per = 1min;
};

struct TenantLimits {
  std::optional<int> in_flight;               // queued and running together
  std::optional<std::int64_t> queued;         // requests waiting
  std::optional<RateLimit> tokens;            // prompt and generated
  std::optional<RateLimit> requests;
};

struct Tenant {
  std::string name;
  TenantLimits limits;
  double weight = 1;  // of its part against others', where there is too little for all
};

struct QueueLimits {
  std::int64_t requests = 100'000;
  Bytes bytes{4LL * 1024 * 1024 * 1024};
  double tenant_share = 1.0;  // of both, for each tenant
};

struct DispatchParameters {
  int initial_limit = 8;              // in flight at an instance that does not tell its concurrency
  int initial_limit_generic = 4;      // the same where not even waiting requests are told
  int limit_max = 4096;
  int allowance = 2;                  // queued at the engine beyond what it runs, against bubbles
  int attempts_max = 4;               // dispatches of one request
  int failures_to_open = 3;           // consecutive, before the breaker opens
  Duration breaker_pause = 1s;        // doubled up to breaker_pause_max while it keeps failing
  Duration breaker_pause_max = 5s;    // who is well again shall be at work within 10 s
  Duration stall_floor = 5s;          // no token on any stream for this long at least
  Duration stall_unlearned = 60s;     // before an instance has shown how fast it is
  Duration release_timeout = 10s;     // an aborted attempt whose slot nobody gave back: before the engine is asked
  Duration whole_release_timeout = 1s;  // the same of one that ended by itself
  Duration drained_release_timeout = 250ms;  // the same of any, where a swap waits for nothing else
  Duration no_instance_grace = 10s;   // how long a model may have no instance before arrivals are refused
  Duration proxy_patience = 50s;      // longest wait of an unstreamed request that did not agree to more
  Duration default_deadline = 60s;    // edf: from arrival, where nothing states one
};

// What `qlm` is made of. An experiment leaves one out to see what it is worth (qlm sim --without); nobody serves without.
enum class Component : std::uint8_t { price, on_time_set, length_model, calibration, gathering, plan, affinity, late_binding };
inline constexpr std::array all_components = {Component::price,     Component::on_time_set, Component::length_model, Component::calibration,
                                              Component::gathering, Component::plan,        Component::affinity,       Component::late_binding};

struct ControllerConfiguration {
  Policy policy = Policy::fcfs;
  std::vector<ServiceClass> classes;   // by ClassId
  std::vector<Tenant> tenants;         // by TenantId
  std::vector<std::string> models;     // by ModelId; for explanations only
  QueueLimits limits;
  DispatchParameters dispatch;
  double delta = 0.95;                 // of qlm-sp: how probably each group shall be on time
  std::vector<Component> without;      // of experiments

  bool has(Component c) const { return std::ranges::find(without, c) == without.end(); }
};

}  // namespace qlm

// What no scheduler passes, to put beside what one reached. A request is on time when its first token and its last come
// within its objectives (a mean TPOT counts over the whole reply); the figure is a share of the value of all arrivals, 0 to 1:
// of their number, where all are worth the same.
//
// bound(): not even one that knows all arrivals and all lengths beforehand. A linear program: a fraction of each request
// is on time, and for every interval of time the least engine time (work.hpp) of what is released and due within it fits
// into the instances (fluid.hpp). Relaxed, so that it is above the true optimum: requests run in parts and on several
// instances at once, swaps and loads are free, and the order prefill before decode is not kept.
//
// A run of finite length lends it the drain after its last arrival. ceiling.hpp has what is left without seeing lengths,
// steady.hpp what several models leave each other in the long run.
//
// Pure, deterministic, and seconds for a hundred thousand requests.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/slo.hpp"
#include "simulate/bounds/work.hpp"

namespace qlm::bounds {

struct Request {
  Duration arrival{};
  ModelId model{};
  Tokens prompt{1};
  Tokens output{1};
  Slo slo;  // what is absent is no objective
  double value = 1;  // of being on time; not negative
};

// Instances that are alike.
struct InstanceKind {
  int count = 1;
  std::vector<std::optional<EngineSpec>> models;  // by ModelId; absent: cannot run here
};

double bound(std::span<const Request> requests, std::span<const InstanceKind> fleet);

}  // namespace qlm::bounds

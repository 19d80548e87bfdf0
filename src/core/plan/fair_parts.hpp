// How several share what is less than they ask for: each has its part by weight, who asks for less has that, and what it
// leaves goes to the others (weighted max-min, by filling up to one level).
//
// Pure; O(n) in the claims for each of some fifty halvings.
#pragma once

#include <span>
#include <vector>

namespace qlm {

struct FairClaim {
  double weight = 1;
  double demand = 0;  // tokens a second
  double cost = 1;    // engine seconds a token
  double owed = 0;    // tokens a second that it is to have beyond its part, or, below zero, less
};
struct FairParts {
  double level = 0;           // tokens a second for a weight of 1; who asks for less loses nothing
  std::vector<double> parts;  // tokens a second
};
// `room`: engine seconds a second. All of it is given out where there is demand for it.
FairParts fair_parts(std::span<const FairClaim> claims, double room);

}  // namespace qlm

// What nobody passes in expectation who learns how long an output is only when it ends, even one that knows all arrivals
// and prompts beforehand. One model on alike instances; a share of the value of all arrivals, 0 to 1.
//
// By prices (Lagrange; the reference is our own research): if engine time costs L until t1 and nothing after it, nobody
// gains more than
//   instances * L * t1 + sum over requests of max over k of v P(O <= k) - L * E[work of the prompt and min(O, k) tokens],
// v a request's value, because all there is to choose for a request of unknown length is after how many tokens to give it up. What is due
// after t1 is free: of outputs so long that they are due later, only the tokens that were made before t1 for the sake of
// shorter ones, and the prompt if the first token was due. The lowest over L, t1 and the CostSplit (work.hpp). So it is
// right for a steady load, and too high where load comes in waves with idle time between them.
//
// The distribution is what is knowable of a length: the ceiling holds for who is told no more. A run of finite length
// lends it the drain after its last arrival, as it does bound() (bounds.hpp).
#pragma once

#include <span>
#include <vector>

#include "simulate/bounds/bounds.hpp"
#include "simulate/workload/lengths.hpp"

namespace qlm::bounds {

// Output lengths given the prompt's: the pairs, cut by prompt into buckets of about equal count.
class OutputLengths {
 public:
  explicit OutputLengths(std::span<const workload::Lengths> pairs, std::size_t buckets = 8);

  struct Point {
    Tokens output;
    double no_longer;  // P(O <= output)
  };
  // In order; the last has probability 1. Not empty, unless there were no pairs.
  std::span<const Point> given(Tokens prompt) const;

 private:
  struct Bucket {
    Tokens first_prompt;
    std::vector<Point> points;
  };
  std::vector<Bucket> buckets_;
};

// Of the requests their `output` is not looked at, nor their model.
double ceiling(std::span<const Request> requests, const OutputLengths& lengths, const EngineSpec& engine,
               int instances = 1);

}  // namespace qlm::bounds

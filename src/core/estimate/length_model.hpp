// How long outputs are: hazards counted over log-spaced bins (Kaplan and Meier 1958), so that what was seen of requests
// that run on, were cancelled or were cut off counts as far as it was seen. Four levels: all requests, a model's, those
// of its prompts of like size, and of these the ones that state a like max_tokens; each leans on the one above it until
// it has seen enough itself.
//
// Old counts fade with a half-life in completions. A drift is found faster: seen completions are held against those the
// hazards foretold (a martingale, whatever is still running), summed both ways (CUSUM, Page 1954); beyond a threshold the
// model's former counts are cut to a quarter. The survey's statistic, where in the distribution finished outputs fall,
// would take every burst for a drift: of what starts together, the short ones finish first.
//
// Costs: `observe` O(bins passed), now and then O(64) a level; everything else O(1), a quantile O(64). At most
// `nodes_max` levels are kept, 2.6 KB each; further ones are told what is known of the level above.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/id_map.hpp"
#include "base/quantity.hpp"
#include "core/domain/ids.hpp"

namespace qlm {

inline constexpr double typical_output = 256;  // tokens, before anything was seen

struct LengthKey {
  ModelId model;
  Tokens prompt{0};
  std::optional<Tokens> max_output;  // as stated: outputs end there at the latest
};

class LengthModel {
 public:
  LengthModel();

  // An output was seen to grow from `from` tokens to `to`; `ended`: that is all of it. Whatever stops being told without
  // having ended is known to be longer. One that ended at its own max_output says no more than that either.
  void observe(const LengthKey& key, Tokens from, Tokens to, bool ended);

  double mean(const LengthKey& key) const { return residual(key, Tokens{0}); }
  double residual(const LengthKey& key, Tokens so_far) const;  // expected further tokens of one that has so many
  double variance(const LengthKey& key) const;                 // tokens squared
  // The least length that at least `share` of the outputs that pass `so_far` do not pass.
  Tokens quantile(const LengthKey& key, double share, Tokens so_far = Tokens{0}) const;

  double mean(ModelId model) const;              // of all its outputs, without caps
  double seen(ModelId model) const;              // completions it rests on, old ones fading
  std::int64_t drifts(ModelId model) const;      // found so far

  static constexpr std::size_t bins = 64;
  static constexpr std::size_t nodes_max = 4096;

 private:
  using Bins = std::array<double, bins>;
  struct Node {
    std::uint32_t parent = 0;
    double weight = 1;     // of a completion now; it grows instead of the former ones shrinking
    double completions = 0;
    int since = 0;         // completions since the curve was drawn
    Bins risk{}, event{}, sum{};
    // The curve: drawn from the counts and the parent's.
    Bins hazard{}, centre{};               // of outputs that end in the bin: their mean length
    std::array<double, bins + 1> reach{};  // share of outputs that get to the bin
    double variance = 0;
    std::array<double, bins + 1> mass{};   // sum of their lengths, by share, of those ending in it or beyond
  };
  struct Watch {  // for drift, a model
    std::uint32_t node = 0;
    double block = 0, up = 0, down = 0;
    int ended = 0;
    std::int64_t drifts = 0;
  };

  std::uint32_t leaf(const LengthKey& key) const;  // the finest there is
  std::uint32_t child(std::uint32_t parent, std::uint64_t key);
  void draw(Node& node);
  void fade(Node& node, double by);
  void watch(std::uint32_t model, double surprise, bool ended);
  double residual(const Node& node, double so_far, double cap) const;

  std::vector<Node> nodes_;  // the first is of all requests
  IdMap<std::uint32_t> by_key_;
  std::vector<Watch> watches_;  // by model
};

}  // namespace qlm

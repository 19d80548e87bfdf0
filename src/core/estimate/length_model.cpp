#include "core/estimate/length_model.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace qlm {
namespace {

constexpr double lean = 30;                         // pseudo-observations of the level above, in every bin
constexpr double growth = 1.0003466340156556;       // 2^(1/2000): the half-life is 2,000 completions
constexpr double weight_max = 1 << 20;
constexpr int draw_every = 16;                      // completions, once there are many

// Looked for every so many completions: what runs on is told in turns, so that within a turn completions run ahead.
constexpr int drift_block = 256;
constexpr double drift_slack = 0.15 * drift_block;  // completions too many or too few that are let pass
constexpr double drift_limit = 48;                  // three times what a block scatters by
constexpr double drift_from = 500;                  // completions before anything is called a drift

// Bins: 0 to 7 for themselves, then quarters of octaves; the last one takes all beyond 114,688.
std::size_t bin_of(std::int64_t tokens) {
  if (tokens < 8) return static_cast<std::size_t>(std::max<std::int64_t>(tokens, 0));
  const auto n = static_cast<std::uint64_t>(tokens);
  const auto octave = static_cast<std::size_t>(std::bit_width(n)) - 1;
  return std::min(LengthModel::bins - 1, 8 + (octave - 3) * 4 + static_cast<std::size_t>(n >> (octave - 2) & 3U));
}

double floor_of(std::size_t bin) {
  if (bin < 8) return static_cast<double>(bin);
  return static_cast<double>((4 + (bin & 3U)) << (1 + (bin - 8) / 4));
}

// Where in its bin a length lies, as a share of it.
double share_of(std::size_t bin, std::int64_t tokens) {
  const double low = floor_of(bin), width = bin + 1 < LengthModel::bins ? floor_of(bin + 1) - low : low;
  return std::clamp((static_cast<double>(tokens) - low) / width, 0.0, 1.0);
}

// Half-octaves of prompts, octaves of caps.
std::uint64_t prompt_bucket(Tokens prompt) {
  const auto tokens = static_cast<std::uint64_t>(std::max<std::int64_t>(prompt.count, 16));
  const auto octave = static_cast<std::uint64_t>(std::bit_width(tokens)) - 1;
  return octave * 2 + (tokens >> (octave - 1) & 1U);
}
std::uint64_t cap_bucket(Tokens cap) { return static_cast<std::uint64_t>(std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(cap.count, 1)))); }

std::uint64_t of_model(ModelId model) { return 1ULL << 56 | static_cast<std::uint64_t>(model.value) << 16; }
std::uint64_t of_prompt(const LengthKey& key) { return 2ULL << 56 | static_cast<std::uint64_t>(key.model.value) << 16 | prompt_bucket(key.prompt) << 8; }
std::uint64_t of_cap(const LengthKey& key) { return of_prompt(key) + (1ULL << 56) + cap_bucket(*key.max_output); }

constexpr double no_cap = std::numeric_limits<double>::infinity();
double cap_of(const LengthKey& key) { return key.max_output ? static_cast<double>(key.max_output->count) : no_cap; }

}  // namespace

LengthModel::LengthModel() {
  nodes_.emplace_back();
  draw(nodes_.front());
}

std::uint32_t LengthModel::leaf(const LengthKey& key) const {
  if (key.max_output) {
    if (const auto found = by_key_.find(of_cap(key))) return *found;
  }
  if (const auto found = by_key_.find(of_prompt(key))) return *found;
  return by_key_.find(of_model(key.model)).value_or(0);
}

std::uint32_t LengthModel::child(std::uint32_t parent, std::uint64_t key) {
  if (const auto found = by_key_.find(key)) return *found;
  if (nodes_.size() >= nodes_max) return parent;
  const auto made = static_cast<std::uint32_t>(nodes_.size());
  nodes_.emplace_back().parent = parent;
  draw(nodes_.back());
  by_key_.insert(key, made);
  return made;
}

void LengthModel::draw(Node& node) {
  const bool root = &node == nodes_.data();
  const Node& above = nodes_[node.parent];
  // Nothing is above the first level but a guess: as likely to end at any token as at any other.
  const double leaning = (root ? 1 : lean) * node.weight;
  node.since = 0;
  node.reach[0] = 1;
  for (std::size_t b = 0; b < bins; ++b) {
    const double width = b + 1 < bins ? floor_of(b + 1) - floor_of(b) : floor_of(b);
    const double prior = root ? width / (width + typical_output) : above.hazard[b];
    const double middle = root ? floor_of(b) + (width - 1) / 2 : above.centre[b];
    node.hazard[b] = b + 1 < bins ? std::min(1.0, (node.event[b] + leaning * prior) / (node.risk[b] + leaning)) : 1;
    node.centre[b] = (node.sum[b] + node.weight * middle) / (node.event[b] + node.weight);
    node.reach[b + 1] = node.reach[b] * (1 - node.hazard[b]);
  }
  node.mass[bins] = 0;
  for (std::size_t b = bins; b-- > 0;) {
    node.mass[b] = node.mass[b + 1] + (node.reach[b] - node.reach[b + 1]) * node.centre[b];
  }
  node.variance = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    const double off = node.centre[b] - node.mass[0];
    node.variance += (node.reach[b] - node.reach[b + 1]) * off * off;
  }
}

void LengthModel::fade(Node& node, double by) {
  node.weight *= by;
  if (node.weight < weight_max) return;
  for (Bins* counts : {&node.risk, &node.event, &node.sum}) {
    for (double& count : *counts) count /= node.weight;
  }
  node.completions /= node.weight;
  node.weight = 1;
}

void LengthModel::observe(const LengthKey& key, Tokens from, Tokens to, bool ended) {
  if (to < from || (to == from && !ended)) return;
  if (ended && key.max_output && to >= *key.max_output) ended = false;

  const std::uint32_t model = child(0, of_model(key.model));
  const std::uint32_t by_prompt = child(model, of_prompt(key));
  const std::uint32_t finest = key.max_output ? child(by_prompt, of_cap(key)) : by_prompt;
  if (key.model.index() >= watches_.size()) watches_.resize(key.model.index() + 1);
  watches_[key.model.index()].node = model;

  const std::size_t first = bin_of(from.count), last = bin_of(to.count);
  // How much of each bin it was at risk for. One that ends in a bin was so for all of it, as hazards are counted; one
  // that is in the middle of it only that far, or those beside it that did end would look like too many.
  const double skipped = share_of(first, from.count);
  const double begun = ended ? 1 : share_of(last, to.count);
  const auto exposure = [&](std::size_t b) { return (b == last ? begun : 1) - (b == first ? skipped : 0); };
  double foretold = 0;
  for (std::size_t b = first; b <= last; ++b) foretold += std::min(nodes_[finest].hazard[b], 0.95) * exposure(b);

  std::array<std::uint32_t, 4> levels{};
  std::size_t depth = 0;
  for (std::uint32_t at = finest;; at = nodes_[at].parent) {
    levels[depth++] = at;
    if (at == 0) break;
  }
  while (depth-- > 0) {  // from the top: a level is drawn from the one above
    Node& node = nodes_[levels[depth]];
    for (std::size_t b = first; b <= last; ++b) node.risk[b] += node.weight * exposure(b);
    if (!ended) continue;
    node.event[last] += node.weight;
    node.sum[last] += node.weight * static_cast<double>(to.count);
    node.completions += node.weight;
    fade(node, growth);
    if (++node.since >= std::clamp(static_cast<int>(node.completions / node.weight / 8), 1, draw_every)) draw(node);
  }
  watch(key.model.value, (ended ? 1 : 0) - foretold, ended);
}

void LengthModel::watch(std::uint32_t model, double surprise, bool ended) {
  Watch& w = watches_[model];
  w.block += surprise;
  if (!ended || ++w.ended < drift_block) return;
  const double step = w.block;
  w.block = 0;
  w.ended = 0;
  if (nodes_[w.node].completions < drift_from * nodes_[w.node].weight) return;
  w.up = std::max(0.0, w.up + step - drift_slack);
  w.down = std::max(0.0, w.down - step - drift_slack);
  if (w.up < drift_limit && w.down < drift_limit) return;
  w.up = w.down = 0;
  ++w.drifts;
  for (std::uint32_t at = w.node; at < nodes_.size(); ++at) {  // who is below comes after
    const std::uint32_t parent = nodes_[at].parent;
    if (at != w.node && (parent == 0 || (parent != w.node && nodes_[parent].parent != w.node))) continue;
    fade(nodes_[at], 4);
    draw(nodes_[at]);
  }
}

double LengthModel::residual(const Node& node, double so_far, double cap) const {
  if (so_far >= cap) return 0;
  const std::size_t at = bin_of(static_cast<std::int64_t>(so_far));
  // Within a bin ends are taken to be even; a bin that lies whole before or behind is known by its own mean.
  const auto split = [&](std::size_t b, double x, double& share, double& mean) {
    const double low = floor_of(b), high = b + 1 < bins ? floor_of(b + 1) : std::max(2 * low, x + 1);
    share = x <= low ? 0 : (x - low) / (high - low);
    mean = x <= low ? node.centre[b] : (x + high) / 2;
  };
  double before = 0, mean_behind = 0;
  split(at, so_far, before, mean_behind);
  const double here = node.reach[at] - node.reach[at + 1];
  const double reach = here * (1 - before) + node.reach[at + 1];
  if (reach <= 1e-12) return 1;
  double mass = here * (1 - before) * mean_behind + node.mass[at + 1];
  if (cap < floor_of(bins - 1)) {  // what would end beyond the cap ends there
    const std::size_t end = bin_of(static_cast<std::int64_t>(cap));
    double below = 0, mean_beyond = 0;
    split(end, cap, below, mean_beyond);
    const double beyond_here = end == at ? std::min(here * (1 - before), here * (1 - below)) : (node.reach[end] - node.reach[end + 1]) * (1 - below);
    mass -= beyond_here * mean_beyond + node.mass[end + 1];
    mass += (beyond_here + node.reach[end + 1]) * cap;
  }
  return std::max(0.0, std::min(mass / reach, cap) - so_far);
}

double LengthModel::residual(const LengthKey& key, Tokens so_far) const {
  const Node& node = nodes_[leaf(key)];
  if (nodes_.front().completions == 0 && so_far.count == 0) return std::min(typical_output, cap_of(key));
  return residual(node, static_cast<double>(std::max<std::int64_t>(so_far.count, 0)), cap_of(key));
}

double LengthModel::variance(const LengthKey& key) const {
  const double most = cap_of(key) / 2;  // of anything between nothing and the cap
  return std::min(nodes_[leaf(key)].variance, most * most);
}

double LengthModel::mean(ModelId model) const {
  if (nodes_.front().completions == 0) return typical_output;
  return residual(nodes_[by_key_.find(of_model(model)).value_or(0)], 0, no_cap);
}

double LengthModel::seen(ModelId model) const {
  const auto found = by_key_.find(of_model(model));
  return found ? nodes_[*found].completions / nodes_[*found].weight : 0;
}

std::int64_t LengthModel::drifts(ModelId model) const {
  return model.index() < watches_.size() ? watches_[model.index()].drifts : 0;
}

Tokens LengthModel::quantile(const LengthKey& key, double share, Tokens so_far) const {
  const Node& node = nodes_[leaf(key)];
  const auto from = static_cast<double>(std::max<std::int64_t>(so_far.count, 0));
  const std::size_t at = bin_of(so_far.count);
  const double high = at + 1 < bins ? floor_of(at + 1) : 2 * floor_of(at);
  const double width = high - floor_of(at);
  const double ahead = std::clamp((high - from) / width, 0.0, 1.0);
  const double reach = node.reach[at + 1] + (node.reach[at] - node.reach[at + 1]) * ahead;
  const double wanted = reach * (1 - share);  // that still run on at the answer
  std::size_t b = at;
  while (b + 1 < bins && node.reach[b + 1] > wanted) ++b;
  const double low = std::max(from, floor_of(b));
  const double top = b + 1 < bins ? floor_of(b + 1) : 2 * floor_of(b);
  const double at_low = b == at ? reach : node.reach[b];
  const double part = at_low > node.reach[b + 1] ? std::clamp((at_low - wanted) / (at_low - node.reach[b + 1]), 0.0, 1.0) : 1;
  // Bins of a single length end at it.
  const double found = b < 8 ? floor_of(b) : low + part * (top - low);
  return Tokens{static_cast<std::int64_t>(std::min(std::max(found, from), cap_of(key)))};
}

}  // namespace qlm

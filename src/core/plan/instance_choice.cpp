#include "core/plan/instance_choice.hpp"

#include <algorithm>
#include <optional>

namespace qlm {
namespace {

constexpr double slower = 1.25;         // times as long for the same work
constexpr double tpot_usable = 0.9;     // the rest is for those that come later
constexpr double prefill_weight = 0.125;  // of a prompt's token against an output's, where speeds are not known

// All in milliseconds.
struct Cost {
  double first_token = 0;  // until its own
  double step = 0;         // between its tokens, those that come in beside it counted
  double whole = 0;        // until its last token
  double added = 0;        // the same, and what the others lose
  double alone = 0;        // the whole of it on the idle instance with nothing cached: how slow it is
};

double prefill_ms(const StepTimeModel& s, double fresh, double cached) {
  const double own_step = s.kind == StepTimeModel::Kind::separate ? s.base_ms : 0;
  return own_step + s.per_prefill_token_ms * fresh + s.per_attention_ms * (fresh * cached + fresh * fresh / 2);
}

double step_ms(const StepTimeModel& s, double sequences, double context) {
  double ms = s.kind == StepTimeModel::Kind::separate ? s.decode_base_ms : s.base_ms;
  if (s.kind == StepTimeModel::Kind::knee) ms += s.per_prefill_token_ms * std::max(sequences, s.knee_tokens);
  return ms + s.per_sequence_ms * sequences + s.per_context_token_ms * context;
}

Cost cost_of(const ChoiceFacts& facts, const InstanceOffer& offer) {
  const StepTimeModel& s = *offer.step;
  const auto prompt = static_cast<double>(facts.prompt.count), cached = static_cast<double>(offer.cached.count);
  const auto others = static_cast<double>(offer.running), held = static_cast<double>(offer.held.count);
  const double own_context = prompt + facts.output / 2;
  const double prefill = offer.scale * prefill_ms(s, prompt - cached, cached);
  const double before = offer.scale * step_ms(s, others, held), after = offer.scale * step_ms(s, others + 1, held + own_context);
  Cost cost;
  cost.first_token = prefill + 1.2 * after;
  // As many come in as finish: each of the others is followed by one like this, whose prefill everybody waits for.
  cost.step = after + others / std::max(1.0, facts.output) * prefill;
  cost.whole = prefill + facts.output * after;
  cost.added = cost.whole + others * (prefill + facts.output * (after - before));
  cost.alone = offer.scale * (prefill_ms(s, prompt, 0) + facts.output * step_ms(s, 1, own_context));
  return cost;
}

double ms(Duration d) { return seconds(d) * 1000; }

bool keeps(const ChoiceFacts& facts, const Cost& cost) {
  return cost.first_token <= ms(facts.first_token_within) && cost.whole <= ms(facts.whole_within) && cost.step <= tpot_usable * ms(facts.tpot);
}

InstanceChoice by_load(const ChoiceFacts& facts, std::span<const InstanceOffer> offers) {
  const double whole = prefill_weight * static_cast<double>(facts.prompt.count) + std::max(1.0, facts.output);
  std::size_t best = 0;
  double least = 0;
  bool prefixes = false;
  for (std::size_t k = 0; k < offers.size(); ++k) {
    const double load = static_cast<double>(offers[k].running + 1) / static_cast<double>(offers[k].room);
    const double left = offers[k].cached.count == 0 ? load : load * (1 - prefill_weight * static_cast<double>(offers[k].cached.count) / whole);
    prefixes = prefixes || offers[k].cached != offers[0].cached;
    if (k == 0 || left < least) {
      best = k;
      least = left;
    }
  }
  const bool most = std::ranges::all_of(offers, [&](const InstanceOffer& o) { return o.cached <= offers[best].cached; });
  return {best, prefixes && most ? ChosenFor::prefix : ChosenFor::least_loaded};
}

}  // namespace

InstanceChoice choose_instance(const ChoiceFacts& facts, std::span<const InstanceOffer> offers) {
  if (offers.size() == 1) return {0, ChosenFor::only_one};
  // While others have room it would never fly, and its instance never come back.
  const auto canary = std::ranges::find(offers, true, &InstanceOffer::canary);
  if (canary != offers.end()) return {static_cast<std::size_t>(canary - offers.begin()), ChosenFor::canary};
  if (std::ranges::any_of(offers, [](const InstanceOffer& o) { return o.step == nullptr; })) return by_load(facts, offers);

  struct Best {
    std::optional<std::size_t> index;
    double least = 0;
    void see(std::size_t k, double value) {
      if (index && value >= least) return;
      index = k;
      least = value;
    }
  };
  double fastest = 0;
  Tokens most_cached{0};
  for (std::size_t k = 0; k < offers.size(); ++k) {
    const double alone = cost_of(facts, offers[k]).alone;
    fastest = k == 0 ? alone : std::min(fastest, alone);
    most_cached = std::max(most_cached, offers[k].cached);
  }
  Best on_time, saving, soonest;
  for (std::size_t k = 0; k < offers.size(); ++k) {
    const Cost cost = cost_of(facts, offers[k]);
    soonest.see(k, cost.whole);
    if (!keeps(facts, cost)) continue;
    on_time.see(k, cost.added);
    // To compute again what is cached elsewhere would cost the fleet more than a fast instance's time is worth.
    const bool suffices = cost.alone >= slower * fastest && offers[k].cached * 2 >= most_cached;
    if (facts.patient && suffices) saving.see(k, cost.added);
  }
  if (saving.index) return {*saving.index, ChosenFor::slower_suffices};
  if (!on_time.index) return {*soonest.index, ChosenFor::soonest};
  const InstanceOffer& chosen = offers[*on_time.index];
  const bool by_prefix = chosen.cached == most_cached && std::ranges::any_of(offers, [&](const InstanceOffer& o) { return o.cached < most_cached; });
  return {*on_time.index, by_prefix ? ChosenFor::prefix : ChosenFor::least_cost};
}

}  // namespace qlm

// How a policy orders requests: pure functions from what is known of a request to its place. The controller keeps the
// queues; what it must do for a policy beyond the order is in its traits.
#pragma once

#include <cstdint>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/step_time.hpp"

namespace qlm {

struct PolicyTraits {
  bool late_last = false;       // who cannot be on time any more is served after all others
  bool gives_up = false;        // in overload some are given up before they are late (plan/on_time_set.hpp)
  bool gathers = false;         // engines with separate steps are given requests together
  bool plans = false;           // which model is served where (core/plan/fleet_plan.hpp); else by rule
  bool paper_plans = false;     // by the paper's program (core/plan/paper_plan.hpp)
  bool swaps_for_on_time = false;  // a model is brought in for those who can be on time (plan/swap_rule.hpp); else for who is first
  double evicts_rest = 0;       // of a drain, the last: a share of the slots
  bool keeps_prefixes = false;  // of those as urgent, one whose prefix an instance has cached goes before
  bool groups_by_size = false;  // request groups are cut by prompt size too, so that a group's requests are alike
};
PolicyTraits traits(Policy policy);
// Whether what classes are worth changes what it does; otherwise only how that is judged.
bool heeds_values(Policy policy);

struct OrderFacts {
  Instant deadline = never;      // of its first token, or of its end
  Instant latest_start = never;  // to keep it
  double class_value = 1;
  Duration work{};               // engine time it is expected to take
};
// Lower is sooner; equal ones go by arrival.
std::int64_t order_key(Policy policy, const OrderFacts& facts);

// Prompts within a factor of about 1.4 share a bucket.
std::uint32_t size_bucket(Tokens prompt);

// An engine at work: what one more request costs it.
struct EngineLoad {
  StepTimeModel step;
  double batch = 1;      // sequences that run together when it is full
  double context = 0;    // KV tokens each holds, on average
  double memory = 0;     // KV tokens of the engine, where memory and not its slots bounds the batch; else 0
  double admitted = 0;   // requests a step takes in, on average, for those that finish
  double prompt = 0;     // tokens of one, on average
};
// The steady batch of an engine with so many slots and so much KV memory, for requests of this size.
EngineLoad full_load(const StepTimeModel& step, double slots, double kv_tokens, double mean_prompt, double mean_output);

// The share of a full engine's time that a request takes: its prompt's prefill, its tokens' own terms, and its part of
// what each step costs whoever runs (scheduling-survey 2.2; reference: "work in engine seconds from its own prompt").
Duration request_work(const EngineLoad& load, Tokens prompt, double output);
Duration full_step(const EngineLoad& load);  // prompts that come in included
// How long before its deadline it must be dispatched: 1.2 steps of a full engine, those until `queued` others before it
// have been taken in, and its own prefill.
Duration start_margin(const EngineLoad& load, Tokens prompt, int queued);

}  // namespace qlm

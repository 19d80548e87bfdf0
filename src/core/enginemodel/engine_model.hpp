// A continuous-batching engine, one step at a time, without a clock: the caller adds up the durations. It
// follows vLLM's scheduler, which decides whose tokens fit into each step and whose KV blocks fit into
// memory:
//
// - Mixed steps (kinds linear and knee): sequences that decode come first, then the rest of the token budget
// goes
//   to prefill, FIFO, the last prompt cut to what is left (chunked prefill). A waiting sequence is admitted
//   when its whole prompt fits into free blocks.
// - Separate steps: whole prompts that can be admitted go first, in a step of their own; else everybody
// decodes.
// - Blocks run out: the last admitted sequence is preempted, of the least urgent where priorities differ. It loses its KV, goes back to the head of the
// queue,
//   and later prefills its prompt and all it had generated (recompute). A step that preempted admits nobody.
//
// Decoding sequences all advance by one token a step, so the model keeps sums over them, not copies of them:
// a step costs the same however many sequences decode, plus the work for those that start, finish or are
// preempted in it.
//
//   while (auto duration = engine.begin_step()) { now += *duration; report(engine.finish_step(), now); }
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/id.hpp"
#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "core/enginemodel/prefix_cache.hpp"
#include "core/enginemodel/profiles.hpp"
#include "core/domain/step_time.hpp"

namespace qlm {

// Valid from submit() until finish_step() reports the sequence finished, or abort(). Never given out twice.
using SequenceId = Id<struct SequenceTag, std::uint64_t>;

struct EngineLimits {
  Tokens kv_tokens{0};
  std::int64_t max_num_seqs = 256;
  Tokens max_num_batched_tokens{
      2048};  // raised to max_num_seqs where it is less: every sequence must be able to decode
  bool prefix_cache = false;
};
EngineLimits limits_of(const EngineProfile& profile);

class EngineModel {
 public:
  static constexpr Tokens block_size{16};

  EngineModel(const StepTimeModel& step_time, const EngineLimits& limits);
  explicit EngineModel(const EngineProfile& profile) : EngineModel(profile.step, limits_of(profile)) {}

  // `output` is how many tokens it will generate, which a real engine learns only at the end; both at
  // least 1. `user` comes back in the reports. Fails only for a sequence that could not run even alone.
  // `keys`, for an engine with a prefix cache: one for each whole block of prompt and output, which stands for all text up
  // to its end; as many as are known. `priority`: a lower one is admitted sooner and preempted later (vLLM's policy
  // "priority"); among equals the order is that of arrival.
  Result<SequenceId> submit(Tokens prompt, Tokens output, std::uint64_t user = 0, std::vector<std::uint64_t> keys = {},
                            std::int64_t priority = 0);
  // Forgets the sequence: at once where no step holds it, else when the step ends. False for an id no longer
  // known.
  bool abort(SequenceId id);
  // Between two steps: the KV cache is gone, the prefixes it knew too. Who ran goes back to the queue, as if preempted.
  void forget_kv();

  // Schedules the next step and says how long it takes; nothing when there is nothing to do. Each begun step
  // must be finished before the next.
  std::optional<Duration> begin_step();

  struct Event {
    SequenceId id;
    std::uint64_t user;
    Tokens cached{0};  // of its prompt, found in the prefix cache when it was last admitted
  };
  // In order of admission. Views live until the next begin_step().
  struct StepResult {
    std::span<const Event> first_token;  // produced their very first token
    std::span<const Event> finished;     // produced their last
    std::span<const Event> preempted;    // lost their KV when the step began
    Tokens prefilled{0};
    Tokens generated{0};
  };
  StepResult finish_step();

  bool in_step() const { return in_step_; }
  // Tokens generated so far, as of the last finished step; 0 for an id no longer known.
  Tokens generated(SequenceId id) const;

  std::int64_t running() const { return running_.size; }
  std::int64_t waiting() const { return waiting_.size; }
  std::int64_t kv_blocks_used() const { return total_blocks_ - free_blocks_; }
  std::int64_t kv_blocks_total() const { return total_blocks_; }
  const StepLoad& step_load() const { return load_; }  // of the last begun step

  struct Totals {
    std::int64_t steps = 0;
    std::int64_t preemptions = 0;
    Tokens prefilled{0};  // computed, so recomputed ones count again
    Tokens cached{0};     // of prompts: found in the prefix cache instead
    Tokens generated{0};
    Duration busy{0};
  };
  const Totals& totals() const { return totals_; }

 private:
  using Slot = std::uint32_t;
  static constexpr Slot none = ~Slot{0};

  enum class State : std::uint8_t { free, waiting, prefilling, decoding };
  struct Sequence {
    State state = State::free;
    bool doomed = false;           // aborted while a step held it
    std::uint32_t generation = 0;  // of the slot, upper half of the id
    Slot before = none, after = none;
    std::uint64_t user = 0;
    std::int64_t prompt = 0;
    std::int64_t output = 0;
    std::int64_t priority = 0;
    std::int64_t generated = 0;    // state decoding: when it began to
    std::int64_t computed = 0;     // tokens in the KV cache; state decoding: when it began to
    std::int64_t decode_from = 0;  // state decoding: decode_steps_ when it began to
    std::uint64_t entry = 0;       // state decoding: its place in order of beginning to decode
    std::vector<std::uint64_t> keys;  // of its blocks, where there is a prefix cache
    std::int64_t keyed = 0;        // of the blocks it holds, from the first: those held by their keys
    std::int64_t cached = 0;       // tokens found when it was admitted
  };
  struct List {  // intrusive, through Sequence::before and after
    Slot head = none, tail = none;
    std::int64_t size = 0;
  };
  struct Finish {
    std::int64_t at;  // decode_steps_
    std::uint64_t entry;
    Slot slot;
    bool operator>(const Finish& other) const { return at != other.at ? at > other.at : entry > other.entry; }
  };

  std::optional<Slot> find(SequenceId id) const;
  SequenceId id_of(Slot slot) const;
  Event event_of(Slot slot) const { return {id_of(slot), sequences_[slot].user, Tokens{sequences_[slot].cached}}; }
  void link_before(List& list, Slot slot, Slot next);  // none: at the end
  void unlink(List& list, Slot slot);

  std::int64_t computed_now(const Sequence& s) const;
  std::int64_t blocks_needed_to_decode() const;
  Slot least_urgent() const;  // of those that run, the last admitted one of the highest priority number
  void preempt(Slot slot);
  std::int64_t blocks_to_admit(const Sequence& s) const;
  std::int64_t uncached(const Sequence& s) const;
  void use_cached(Sequence& s);
  void key_computed(Sequence& s);
  void make_room_to_decode();
  void prefill_chunk(Slot slot, std::int64_t chunk);
  void continue_chunked_prompt(std::int64_t& budget);
  void admit_mixed(std::int64_t budget);
  void admit_whole_prompts();
  void schedule_decode();
  void begin_decoding(Slot slot);
  void stop_running(Slot slot);
  void release(Slot slot);

  StepTimeModel step_time_;
  std::int64_t max_seqs_;
  std::int64_t token_budget_;
  std::int64_t total_blocks_;
  std::int64_t free_blocks_;  // nobody holds them; the prefix cache may know them still
  std::optional<PrefixCache> cache_;

  std::vector<Sequence> sequences_;
  std::vector<Slot> free_slots_;
  List waiting_;
  List running_;         // in order of admission
  Slot chunked_ = none;  // the one sequence whose prompt is partly computed; always the last of running_

  // Sums over the decoding sequences.
  std::int64_t decoding_ = 0;
  std::int64_t context_ = 0;       // KV tokens they hold
  std::int64_t decode_steps_ = 0;  // finished so far
  // phase_[p]: how many have computed - decode_steps_ = p modulo the block size. They stay in their phase for
  // as long as they decode, and all of one phase need a new block in the same step.
  std::array<std::int64_t, 16> phase_{};
  std::vector<Finish> finishes_;  // a min-heap; entries of sequences preempted or aborted since are skipped
  std::uint64_t entries_ = 0;

  // The step under way.
  bool in_step_ = false;
  bool decodes_ = false;
  StepLoad load_;
  std::vector<Slot> prompts_done_;  // their prompts end in this step
  std::vector<Slot> doomed_;
  std::vector<Event> first_token_, finished_, preempted_;
  Totals totals_;
};

}  // namespace qlm

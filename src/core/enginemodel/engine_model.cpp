#include "core/enginemodel/engine_model.hpp"

#include <algorithm>
#include <cassert>
#include <functional>
#include <string>

namespace qlm {
namespace {

constexpr std::int64_t block = EngineModel::block_size.count;

constexpr std::int64_t blocks_for(std::int64_t tokens) { return (tokens + block - 1) / block; }

constexpr std::size_t phase_of(std::int64_t value) {
  return static_cast<std::size_t>(((value % block) + block) % block);
}

}  // namespace

EngineLimits limits_of(const EngineProfile& profile) {
  return {.kv_tokens = profile.kv_tokens,
          .max_num_seqs = profile.max_num_seqs,
          .max_num_batched_tokens = profile.max_num_batched_tokens};
}

EngineModel::EngineModel(const StepTimeModel& step_time, const EngineLimits& limits)
    : step_time_(step_time),
      max_seqs_(std::max<std::int64_t>(limits.max_num_seqs, 1)),
      token_budget_(std::max(limits.max_num_batched_tokens.count, max_seqs_)),
      total_blocks_(std::max<std::int64_t>(limits.kv_tokens.count, 0) / block),
      free_blocks_(total_blocks_) {
  if (limits.prefix_cache) cache_.emplace();
  static_assert(std::tuple_size_v<decltype(phase_)> == block);
}

Result<SequenceId> EngineModel::submit(Tokens prompt, Tokens output, std::uint64_t user, std::vector<std::uint64_t> keys,
                                       std::int64_t priority) {
  if (prompt.count < 1 || output.count < 1)
    return fail("a sequence needs a prompt and an output of at least one token");
  if (prompt.count > total_blocks_ * block || blocks_for(prompt.count + output.count) > total_blocks_) {
    return fail("prompt and output of " + std::to_string(prompt.count) + " and " +
                std::to_string(output.count) + " tokens need more than the whole KV cache of " +
                std::to_string(total_blocks_ * block));
  }
  Slot slot = static_cast<Slot>(sequences_.size());
  if (free_slots_.empty()) {
    sequences_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Sequence& s = sequences_[slot];
  const std::uint32_t generation = s.generation;
  s = Sequence{};
  s.generation = generation;
  s.state = State::waiting;
  s.user = user;
  s.prompt = prompt.count;
  s.output = output.count;
  s.priority = priority;
  if (cache_) s.keys = std::move(keys);
  Slot next = none;
  for (Slot last = waiting_.tail; last != none && sequences_[last].priority > priority; last = sequences_[last].before) {
    next = last;
  }
  link_before(waiting_, slot, next);
  return id_of(slot);
}

bool EngineModel::abort(SequenceId id) {
  const auto slot = find(id);
  if (!slot) return false;
  Sequence& s = sequences_[*slot];
  if (s.state == State::waiting) {
    unlink(waiting_, *slot);
    release(*slot);
  } else if (in_step_) {
    s.doomed = true;
    doomed_.push_back(*slot);
  } else {
    stop_running(*slot);
    release(*slot);
  }
  return true;
}

void EngineModel::forget_kv() {
  assert(!in_step_);
  while (running_.tail != none) preempt(running_.tail);
  if (cache_) cache_->shrink_to(0);
}

std::optional<Duration> EngineModel::begin_step() {
  assert(!in_step_);
  load_ = {};
  decodes_ = false;
  preempted_.clear();
  if (step_time_.kind == StepTimeModel::Kind::separate) {
    admit_whole_prompts();
    if (load_.prefill_tokens == 0) schedule_decode();
  } else {
    schedule_decode();
    std::int64_t budget = token_budget_ - decoding_;
    continue_chunked_prompt(budget);
    if (preempted_.empty()) admit_mixed(budget);
  }
  if (cache_) cache_->shrink_to(free_blocks_);
  if (load_.prefill_tokens == 0 && load_.decoding == 0) return std::nullopt;
  in_step_ = true;
  const Duration duration = step_time_(load_);
  ++totals_.steps;
  totals_.busy += duration;
  return duration;
}

EngineModel::StepResult EngineModel::finish_step() {
  assert(in_step_);
  in_step_ = false;
  first_token_.clear();
  finished_.clear();
  std::int64_t generated = 0;

  if (decodes_) {
    ++decode_steps_;
    context_ += decoding_;
    generated += decoding_;
  }
  for (const Slot slot : doomed_) {
    if (sequences_[slot].state == State::decoding && decodes_) --generated;
    stop_running(slot);
    release(slot);
  }
  doomed_.clear();

  while (!finishes_.empty() && finishes_.front().at <= decode_steps_) {
    const Finish finish = finishes_.front();
    std::pop_heap(finishes_.begin(), finishes_.end(), std::greater<>{});
    finishes_.pop_back();
    const Sequence& s = sequences_[finish.slot];
    if (s.state != State::decoding || s.entry != finish.entry) continue;
    finished_.push_back(event_of(finish.slot));
    stop_running(finish.slot);
    release(finish.slot);
  }

  for (const Slot slot : prompts_done_) {
    Sequence& s = sequences_[slot];
    if (s.state != State::prefilling) continue;  // aborted meanwhile
    ++s.generated;
    ++generated;
    if (s.generated == 1) first_token_.push_back(event_of(slot));
    if (s.generated < s.output) {
      begin_decoding(slot);
    } else {
      finished_.push_back(event_of(slot));
      stop_running(slot);
      release(slot);
    }
  }
  prompts_done_.clear();

  totals_.prefilled += Tokens{load_.prefill_tokens};
  totals_.generated += Tokens{generated};
  return {first_token_, finished_, preempted_, Tokens{load_.prefill_tokens}, Tokens{generated}};
}

Tokens EngineModel::generated(SequenceId id) const {
  const auto slot = find(id);
  if (!slot) return Tokens{0};
  const Sequence& s = sequences_[*slot];
  return Tokens{s.generated + (s.state == State::decoding ? decode_steps_ - s.decode_from : 0)};
}

// ---- scheduling ----

void EngineModel::schedule_decode() {
  make_room_to_decode();
  if (decoding_ == 0) return;
  free_blocks_ -= blocks_needed_to_decode();
  decodes_ = true;
  load_.decoding = decoding_;
  load_.context_tokens = context_ + decoding_;  // each also reads the KV of the token it brings
}

std::int64_t EngineModel::blocks_needed_to_decode() const { return phase_[phase_of(-decode_steps_)]; }

void EngineModel::make_room_to_decode() {
  while (blocks_needed_to_decode() > free_blocks_) preempt(least_urgent());
}

void EngineModel::continue_chunked_prompt(std::int64_t& budget) {
  if (chunked_ == none || budget <= 0) return;
  const Sequence& s = sequences_[chunked_];
  const std::int64_t chunk = std::min(s.prompt + s.generated - s.computed, budget);
  // Decoding sequences may have taken what was free when it was admitted. It is the last, so the victim is
  // itself.
  if (blocks_for(s.computed + chunk) - blocks_for(s.computed) > free_blocks_) {
    preempt(chunked_);
    return;
  }
  prefill_chunk(chunked_, chunk);
  budget -= chunk;
}

// Of what it needs for its prompt, and for what it had generated before it was preempted: blocks beyond those that others hold.
std::int64_t EngineModel::blocks_to_admit(const Sequence& s) const {
  const std::int64_t prompt = s.prompt + s.generated;
  if (!cache_) return blocks_for(prompt);
  const auto usable = std::min<std::size_t>(s.keys.size(), static_cast<std::size_t>((prompt - 1) / block));
  return blocks_for(prompt) - cache_->find(PrefixCache::Keys(s.keys).first(usable)).held;
}

// The last token is always computed: it is what the next one is made of.
std::int64_t EngineModel::uncached(const Sequence& s) const {
  const std::int64_t prompt = s.prompt + s.generated;
  if (!cache_) return prompt;
  const auto usable = std::min<std::size_t>(s.keys.size(), static_cast<std::size_t>((prompt - 1) / block));
  return prompt - cache_->find(PrefixCache::Keys(s.keys).first(usable)).blocks * block;
}

void EngineModel::use_cached(Sequence& s) {
  if (!cache_) return;
  s.cached = s.prompt + s.generated - uncached(s);
  s.computed = s.cached;
  s.keyed = s.cached / block;
  totals_.cached += Tokens{s.cached};
  free_blocks_ -= cache_->hold(PrefixCache::Keys(s.keys).first(static_cast<std::size_t>(s.keyed)));
}

// Blocks that were filled are held by their keys: what another holds too need not be there twice.
void EngineModel::key_computed(Sequence& s) {
  if (!cache_) return;
  const std::int64_t whole = std::min(s.computed / block, static_cast<std::int64_t>(s.keys.size()));
  if (whole <= s.keyed) return;
  const auto fresh = PrefixCache::Keys(s.keys).subspan(static_cast<std::size_t>(s.keyed), static_cast<std::size_t>(whole - s.keyed));
  free_blocks_ += whole - s.keyed - cache_->hold(fresh);
  s.keyed = whole;
}

void EngineModel::admit_mixed(std::int64_t budget) {
  if (cache_) cache_->shrink_to(free_blocks_);
  while (budget > 0 && waiting_.size > 0 && running_.size < max_seqs_) {
    const Slot slot = waiting_.head;
    Sequence& s = sequences_[slot];
    if (blocks_to_admit(s) > free_blocks_) return;
    unlink(waiting_, slot);
    link_before(running_, slot, none);
    use_cached(s);
    const std::int64_t chunk = std::min(s.prompt + s.generated - s.computed, budget);
    prefill_chunk(slot, chunk);
    budget -= chunk;
  }
}

void EngineModel::admit_whole_prompts() {
  // One block in a hundred stays free at admission, so that running sequences can grow a while before they
  // preempt.
  const std::int64_t watermark = total_blocks_ / 100;
  if (cache_) cache_->shrink_to(free_blocks_);
  std::int64_t budget = token_budget_;
  while (waiting_.size > 0 && running_.size < max_seqs_) {
    const Slot slot = waiting_.head;
    Sequence& s = sequences_[slot];
    const std::int64_t prompt = uncached(s);
    const bool first = load_.prefill_tokens == 0;
    if (prompt > budget && !first) return;  // a prompt over the whole budget has a step for itself
    if (blocks_to_admit(s) > free_blocks_ - (running_.size > 0 ? watermark : 0)) return;
    unlink(waiting_, slot);
    link_before(running_, slot, none);
    use_cached(s);
    prefill_chunk(slot, prompt);
    budget -= prompt;
  }
}

void EngineModel::prefill_chunk(Slot slot, std::int64_t chunk) {
  Sequence& s = sequences_[slot];
  s.state = State::prefilling;
  free_blocks_ -= blocks_for(s.computed + chunk) - blocks_for(s.computed);
  const auto length = static_cast<double>(chunk);
  load_.prefill_tokens += chunk;
  load_.attention += length * static_cast<double>(s.computed) + length * length / 2;
  s.computed += chunk;
  key_computed(s);
  if (s.computed < s.prompt + s.generated) {
    chunked_ = slot;
  } else {
    if (chunked_ == slot) chunked_ = none;
    prompts_done_.push_back(slot);
  }
}

EngineModel::Slot EngineModel::least_urgent() const {
  Slot victim = running_.tail;
  for (Slot slot = victim; slot != none; slot = sequences_[slot].before) {
    if (sequences_[slot].priority > sequences_[victim].priority) victim = slot;
  }
  return victim;
}

void EngineModel::preempt(Slot slot) {
  preempted_.push_back(event_of(slot));
  ++totals_.preemptions;
  Sequence& s = sequences_[slot];
  if (s.state == State::decoding) s.generated += decode_steps_ - s.decode_from;
  stop_running(slot);
  s.state = State::waiting;
  s.computed = 0;
  Slot next = waiting_.head;
  while (next != none && sequences_[next].priority < s.priority) next = sequences_[next].after;
  link_before(waiting_, slot, next);
}

// ---- sequences ----

void EngineModel::begin_decoding(Slot slot) {
  Sequence& s = sequences_[slot];
  s.state = State::decoding;
  s.decode_from = decode_steps_;
  s.entry = ++entries_;
  ++decoding_;
  context_ += s.computed;
  ++phase_[phase_of(s.computed - decode_steps_)];
  finishes_.push_back({decode_steps_ + s.output - s.generated, s.entry, slot});
  std::push_heap(finishes_.begin(), finishes_.end(), std::greater<>{});
}

std::int64_t EngineModel::computed_now(const Sequence& s) const {
  return s.state == State::decoding ? s.computed + decode_steps_ - s.decode_from : s.computed;
}

void EngineModel::stop_running(Slot slot) {
  Sequence& s = sequences_[slot];
  const std::int64_t computed = computed_now(s);
  free_blocks_ += blocks_for(computed);
  if (cache_) {
    // Its output can be found too, once it was filled; those that others hold are not free.
    const auto keys = PrefixCache::Keys(s.keys);
    const auto keyed = static_cast<std::size_t>(s.keyed);
    const auto whole = std::max(keyed, std::min(s.keys.size(), static_cast<std::size_t>(computed / block)));
    cache_->keep(keys.subspan(keyed, whole - keyed));
    free_blocks_ -= s.keyed - cache_->release(keys.first(keyed));
    s.keyed = 0;
    cache_->shrink_to(free_blocks_);
  }
  if (s.state == State::decoding) {
    --decoding_;
    context_ -= computed;
    --phase_[phase_of(computed - decode_steps_)];
  }
  if (chunked_ == slot) chunked_ = none;
  unlink(running_, slot);
}

void EngineModel::release(Slot slot) {
  Sequence& s = sequences_[slot];
  s.state = State::free;
  s.doomed = false;
  ++s.generation;
  free_slots_.push_back(slot);
}

SequenceId EngineModel::id_of(Slot slot) const {
  return SequenceId{static_cast<std::uint64_t>(sequences_[slot].generation) << 32 | slot};
}

std::optional<EngineModel::Slot> EngineModel::find(SequenceId id) const {
  const auto slot = static_cast<Slot>(id.value);
  if (slot >= sequences_.size()) return std::nullopt;
  const Sequence& s = sequences_[slot];
  if (s.state == State::free || s.doomed || id_of(slot) != id) return std::nullopt;
  return slot;
}

void EngineModel::link_before(List& list, Slot slot, Slot next) {
  const Slot before = next == none ? list.tail : sequences_[next].before;
  sequences_[slot].before = before;
  sequences_[slot].after = next;
  (before == none ? list.head : sequences_[before].after) = slot;
  (next == none ? list.tail : sequences_[next].before) = slot;
  ++list.size;
}

void EngineModel::unlink(List& list, Slot slot) {
  const Sequence& s = sequences_[slot];
  (s.before == none ? list.head : sequences_[s.before].after) = s.after;
  (s.after == none ? list.tail : sequences_[s.after].before) = s.before;
  --list.size;
}

}  // namespace qlm

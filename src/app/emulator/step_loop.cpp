#include "app/emulator/step_loop.hpp"

#include <algorithm>
#include <utility>

namespace qlm::emulator {

namespace {
EngineLimits limits_with(const EngineProfile& profile, bool prefix_cache) {
  EngineLimits limits = limits_of(profile);
  limits.prefix_cache = prefix_cache;
  return limits;
}
}  // namespace

StepLoop::StepLoop(net::Loop& loop, const EngineProfile& profile, double speed, bool prefix_cache)
    : loop_(loop), timer_(loop), engine_(profile.step, limits_with(profile, prefix_cache)), speed_(speed) {}

Result<StepLoop::Ticket> StepLoop::submit(Listener& listener, std::uint32_t choice, Tokens prompt,
                                          Tokens output, std::vector<std::uint64_t> keys,
                                          std::int64_t priority) {
  const Ticket ticket = ++last_ticket_;
  const auto id = engine_.submit(prompt, output, ticket, std::move(keys), priority);
  if (!id) return std::unexpected(id.error());
  entries_.emplace(ticket, Entry{&listener, choice, *id, output.count});
  if (!engine_.in_step() && !paused_) {
    step_ends_ = loop_.now();
    begin();
  }
  return ticket;
}

void StepLoop::pause(bool finish_first, net::Loop::Task when_still) {
  paused_ = true;
  finish_first_ = finish_first ? last_ticket_ : 0;
  if (!engine_.in_step()) return when_still();
  when_still_ = std::move(when_still);
}

void StepLoop::resume() {
  paused_ = false;
  if (engine_.in_step()) return;
  step_ends_ = loop_.now();
  begin();
}

bool StepLoop::may_pause() const {
  return paused_ && std::ranges::none_of(entries_, [&](const auto& each) { return each.first <= finish_first_; });
}

void StepLoop::abort(Ticket ticket) {
  const auto found = entries_.find(ticket);
  if (found == entries_.end()) return;
  engine_.abort(found->second.id);
  entries_.erase(found);
}

Duration StepLoop::busy() const {
  return busy_ + (engine_.in_step()
                      ? std::clamp(loop_.now() - (step_ends_ - step_takes_), Duration{0}, step_takes_)
                      : 0ns);
}

void StepLoop::begin() {
  const auto modelled = engine_.begin_step();
  if (!modelled) return;
  // After a stop of the process (SIGSTOP, a debugger, a laptop's lid) the lost steps are not made up in a
  // burst.
  constexpr Duration largest_lag = 1s;
  if (loop_.now() - step_ends_ > largest_lag) step_ends_ = loop_.now();
  step_takes_ = duration_from_seconds(seconds(*modelled) * slowness_ / speed_);
  step_ends_ += step_takes_;
  timer_.at(step_ends_, [this] { end(); });
}

void StepLoop::end() {
  busy_ += step_takes_;
  const auto result = engine_.finish_step();
  for (const auto& event : result.first_token) {
    generating_.push_back(event.user);
    const auto entry = entries_.find(event.user);
    if (entry != entries_.end() && event.cached.count > 0) entry->second.listener->on_cached(entry->second.choice, event.cached);
  }
  std::vector<Entry> finished;
  for (const auto& event : result.finished) {
    finished.push_back(entries_.at(event.user));
    entries_.erase(event.user);
  }
  // The next step's schedule does not wait for the writing of this one's tokens. Aborts made below fall into
  // it, as they would with a real engine.
  const bool still = may_pause();
  if (!still) begin();

  for (const Entry& entry : finished) entry.listener->on_tokens(entry.choice, entry.output, true);
  std::size_t kept = 0;
  for (const Ticket ticket : generating_) {
    if (!entries_.contains(ticket)) continue;
    generating_[kept++] = ticket;
  }
  generating_.resize(kept);
  for (std::size_t i = 0; i < generating_.size(); ++i) {
    const auto found = entries_.find(generating_[i]);
    if (found == entries_.end()) continue;  // aborted by an earlier listener
    const Entry entry = found->second;
    entry.listener->on_tokens(entry.choice, engine_.generated(entry.id).count, false);
  }
  if (still) std::exchange(when_still_, {})();
}

}  // namespace qlm::emulator

// What becomes of a dispatch: progress, the end, the slot that comes back, and another try where nothing went out.
#include <algorithm>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {
namespace {

// Before the next try of what was refused or failed everywhere it could go; doubled each time.
constexpr Duration refused_rest = 500ms;
constexpr Duration failed_rest = 250ms;
constexpr Duration rest_max = 4s;
constexpr Duration rest_max_each = 125ms;       // times its attempts, once it has been refused for minutes
constexpr Duration hold_max = 10s;              // where the engine names a time
constexpr std::uint8_t attempts_ceiling = 200;  // refusals included: the better part of an hour, within an Attempt

// Tokens that it took of the engine, as far as anybody knows: its prompt once it was read, and what was generated.
Tokens used(const LedgerEntry& entry, const event::Ended& e) {
  const bool whole = e.end == event::AttemptEnd::complete;
  const Tokens generated = std::max(e.generated, entry.seen);
  const bool unseen = !entry.streamed && e.end == event::AttemptEnd::aborted;
  if (generated.count == 0 && e.prompt.count == 0 && (whole || unseen)) return entry.charge.tokens;  // nobody said
  if (e.prompt.count > 0) return e.prompt + generated;
  return whole || entry.seen_running ? entry.prompt + generated : Tokens{0};
}

}  // namespace

void Controller::State::account_busy(ModelRecord& m, int change) {
  if (m.in_flight > 0) m.busy_seconds += seconds(now - m.busy_from);
  m.busy_from = now;
  m.in_flight += change;
}

void Controller::State::account_busy(InstanceRecord& i, int slots_before) {
  const int slots = ledger.account(i.description.id).slots;
  if (slots_before == 0 && slots > 0) i.busy_from = now;
  if (slots_before > 0 && slots == 0) i.busy += now - i.busy_from;
}

void Controller::State::leave_flight(Index index) {
  --totals.in_flight;
  account_busy(model(requests[index].request.model), -1);
}

void Controller::State::on(const event::Sent& e) {
  const auto entry = ledger.find(e.key);
  if (!entry) return;
  ledger.set_streamed(*entry, e.streamed);
  // What it will have generated at any time nobody will see: it counts as those that run do on average.
  if (!e.streamed) hold_memory(*entry, soon_generated(ledger[*entry].model, Tokens{0}, ledger[*entry].longest) * 2);
}

// How well it goes on where that instance runs it and somebody takes its place. Where nobody ever will, the engine is not
// asked for more than text.
ResumeLevel Controller::State::resume_level(const RequestRecord& r, const InstanceRecord& i) const {
  const ResumeLevel level = std::min(r.request.resume, i.description.resume);
  if (level <= ResumeLevel::restart || r.kept.count > 0 || planned(r.request.model)) return level;
  const std::vector<ServiceClass>& classes = configuration->classes;
  const double value = classes[r.request.service_class.index()].value;
  const bool outranked = std::ranges::any_of(classes, [&](const ServiceClass& c) { return c.value > value; });
  return outranked ? level : ResumeLevel::restart;
}

bool Controller::State::can_evict(const RequestRecord& r, const LedgerEntry& entry) const {
  if (entry.resume >= ResumeLevel::text) return true;
  const bool given = r.request.streaming && (r.state == RequestState::streaming || r.kept.count > 0);
  return entry.resume == ResumeLevel::restart && !given;
}

// The eviction came too late: who relays it had begun, and lets it run.
void Controller::State::run_on_if_begun(Index index, Ledger::Index entry) {
  RequestRecord& r = requests[index];
  if (r.aborting != action::AbortWhy::evicted || ledger[entry].ended || can_evict(r, ledger[entry])) return;
  r.aborting.reset();
  ledger.set_state(entry, LedgerEntry::State::running);
  if (r.cancelled) ask_abort(index, action::AbortWhy::cancelled);
}

void Controller::State::on(const event::ResumeFell& e) {
  const auto entry = ledger.find(e.key);
  if (!entry || ledger[*entry].ended) return;
  ledger[*entry].resume = std::min(ledger[*entry].resume, e.to);
  const auto index = find(e.key.request);
  if (!index || requests[*index].attempt != e.key.attempt) return;
  requests[*index].request.resume = std::min(requests[*index].request.resume, e.to);
  run_on_if_begun(*index, *entry);
}

void Controller::State::on(const event::FirstToken& e) {
  const auto found = ledger.find(e.key);
  if (!found) return;
  LedgerEntry& entry = ledger[*found];
  InstanceRecord* i = instance(entry.instance);
  if (entry.state == LedgerEntry::State::queued_at_engine) {
    ledger.set_state(*found, LedgerEntry::State::running);
    saw_tokens(entry, Tokens{1}, false);
    if (i) {
      const Duration took = now - entry.dispatched;
      // The slowest seen, forgotten slowly: one long prefill must not look like a stall the next time.
      i->first_token_max = std::max(took, i->first_token_max - i->first_token_max / 64);
      const Duration per_token = took / std::max<std::int64_t>(64, entry.prompt.count);
      i->prefill_per_token_max = std::max(per_token, i->prefill_per_token_max - i->prefill_per_token_max / 64);
    }
  }
  entry.last_progress = now;
  if (i) progressed(*i);

  const auto index = find(e.key.request);
  if (!index) return;
  RequestRecord& r = requests[*index];
  if (r.attempt != e.key.attempt || r.state != RequestState::dispatched) return;
  r.state = RequestState::streaming;
  if (r.first_token == never) r.first_token = now;
  run_on_if_begun(*index, *found);
  record({.decision = Decision::first_token, .request = r.request.id, .instance = entry.instance, .attempt = r.attempt});
  if (!i) return;
  taken(*i, e.key.attempt);
  close_breaker(*i);
  if (const int in_flight = ledger.account(entry.instance).slots; i->governor.starting(in_flight, configuration->dispatch)) {
    limit_changed(*i, i->governor.on_first_token(oldest_unstarted(*i), in_flight, configuration->dispatch));
  }
}

Duration Controller::State::oldest_unstarted(const InstanceRecord& i) const {
  Duration oldest{};
  for (auto at = ledger.account(i.description.id).first; at != Ledger::none; at = ledger[at].next) {
    const LedgerEntry& entry = ledger[at];
    const bool unstarted = entry.streamed && entry.state == LedgerEntry::State::queued_at_engine;
    if (unstarted) oldest = std::max(oldest, now - entry.dispatched);
  }
  return oldest;
}

void Controller::State::on(const event::Progress& e) {
  const auto found = ledger.find(e.key);
  if (!found) return;
  LedgerEntry& entry = ledger[*found];
  const Tokens fresh = e.generated - entry.generated;
  if (fresh.count <= 0) return;
  if (entry.state == LedgerEntry::State::queued_at_engine) on(event::FirstToken{e.key});  // it was not told
  InstanceRecord* i = instance(entry.instance);
  if (i && entry.generated.count > 0) {
    const Duration gap = (now - entry.last_progress) / fresh.count;
    i->step = i->step == Duration{} ? gap : i->step + (gap - i->step) / 16;
  }
  saw_tokens(entry, e.generated, false);
  entry.generated = e.generated;
  entry.last_progress = now;
  const InstanceId where = entry.instance;
  hold_memory(*found, soon_generated(entry.model, e.generated, entry.longest));
  if (!i) return;
  progressed(*i);
  limit_changed(*i, i->governor.on_tokens(fresh, now, ledger.account(where).slots, configuration->dispatch));
}

// More by the tokens it has generated, less where others turned out to be shorter than was thought.
void Controller::State::hold_memory(Ledger::Index index, Tokens generated) {
  const LedgerEntry& entry = ledger[index];
  const Tokens kv = entry.prompt + generated;
  const bool freed = entry.slot_held && kv < entry.kv;
  ledger.set_kv(index, kv);
  if (freed) serve(entry.instance);
}

void Controller::State::on(const event::SlotReleased& e) {
  const auto found = ledger.find(e.key);
  if (found && ledger[*found].slot_held) free_slot(*found);
}

void Controller::State::free_slot(Ledger::Index entry) {
  const InstanceId id = ledger[entry].instance;
  const int before = ledger.account(id).slots;
  ledger.release_slot(entry);
  if (id.index() < instances.size()) {
    account_busy(instances[id.index()], before);
    slot_closed(instances[id.index()]);
  }
  serve(id);
}

void Controller::State::settle_tokens(RequestRecord& r, const event::Ended& e) {
  if (r.charged.count == 0) return;
  // The bucket was charged by a guess; what was really used is known now. Without figures the guess stands.
  if (e.prompt.count > 0) {
    tenant(r.request.tenant).tokens.left += static_cast<double>((r.charged - e.prompt - e.generated).count);
  }
  r.charged = Tokens{0};
}

void Controller::State::learn(const RequestRecord& r, const event::Ended& e) {
  ModelRecord& m = model(r.request.model);
  if (e.prompt.count <= 0 && e.generated.count <= 0) return;  // an error of the request's own teaches nothing
  const Tokens before = soon_generated(r.request.model, Tokens{0}, unbounded);
  account_busy(m, 0);
  ++m.completions;
  const auto output = static_cast<double>((e.generated + r.kept).count);
  m.outputs += output;
  m.squared_outputs += output * output;
  m.prompts += static_cast<double>((e.prompt - r.kept).count);
  m.outputs_weight += 1;
  if (m.busy_seconds > 60) {
    m.busy_seconds /= 2;
    m.work /= 2;
  }
  if (m.outputs_weight > 500) {
    m.outputs /= 2;
    m.squared_outputs /= 2;
    m.prompts /= 2;
    m.outputs_weight /= 2;
  }
  m.output = delivered.mean(r.request.model);
  m.drifts = lengths.drifts(r.request.model);
  refresh_estimates(r.request.model);
  // What waits for memory may find it enough now.
  if (!m.queue.empty() && soon_generated(r.request.model, Tokens{0}, unbounded) < before) look_again(r.request.model);
}

void Controller::State::ask_abort(Index index, action::AbortWhy why) {
  RequestRecord& r = requests[index];
  if (r.aborting) return;
  r.aborting = why;
  const AttemptKey key{r.request.id, r.attempt};
  if (const auto entry = ledger.find(key); entry && !ledger[*entry].ended) {
    ledger.set_state(*entry, LedgerEntry::State::aborting);
  }
  record({.decision = Decision::abort_asked,
          .request = r.request.id,
          .instance = r.instance,
          .attempt = r.attempt,
          .reason = why == action::AbortWhy::cancelled ? r.cancelled.value_or(Reason::client_gone)
                    : why == action::AbortWhy::evicted ? Reason::none
                                                       : Reason::engine_failed});
  emit(action::Abort{key, *r.instance, why});
}

void Controller::State::on(const event::Ended& e) {
  const auto entry = ledger.find(e.key);
  const Tokens expected_cached = entry ? ledger[*entry].cached : Tokens{0};
  std::optional<InstanceId> where;
  ResumeLevel resume = ResumeLevel::none;
  if (entry) {
    LedgerEntry& open = ledger[*entry];
    where = open.instance;
    resume = open.resume;
    if (open.ended) return;
    const bool whole = e.end == event::AttemptEnd::complete && (e.prompt.count > 0 || e.generated.count > 0);
    attempt_over(open, e.generated, whole);
    settle(open, used(open, e));
    if (InstanceRecord* i = instance(*where)) {
      if (e.end == event::AttemptEnd::complete) {
        progressed(*i);
        ++i->completions;
        const Tokens fresh = e.generated - open.generated;
        if (fresh.count > 0) {
          limit_changed(*i, i->governor.on_tokens(fresh, now, ledger.account(*where).slots, configuration->dispatch));
        }
      }
    }
    const DispatchParameters& d = configuration->dispatch;
    open.release_by = add(now, e.end == event::AttemptEnd::complete ? d.whole_release_timeout : d.release_timeout);
    if (InstanceRecord* i = instance(*where); i && open.slot_held) wake(*i, open.release_by);
    const bool closed = !open.slot_held;
    ledger.end(*entry);
    if (InstanceRecord* i = instance(*where); i && closed) slot_closed(*i);
    else if (i) hurry_releases(*i);
  }

  const auto index = find(e.key.request);
  if (!index) return;
  RequestRecord& r = requests[*index];
  if (r.attempt != e.key.attempt) return;
  if (r.state != RequestState::dispatched && r.state != RequestState::streaming) return;
  r.received = r.kept + e.generated;
  InstanceRecord* i = r.instance ? instance(*r.instance) : nullptr;
  if (i) prefix_done(r, *i, e, expected_cached);
  const bool is_evicted = e.end == event::AttemptEnd::aborted && r.aborting == action::AbortWhy::evicted && !r.cancelled;
  if (r.reads_again) totals.wasted += std::max(Tokens{0}, e.prompt - e.cached.value_or(Tokens{0}));
  if (!is_evicted) settle_tokens(r, e);  // it goes on: what it uses is known when it is whole

  using End = event::AttemptEnd;
  if (i && e.end == End::complete) {
    taken(*i, e.key.attempt);
    instance_worked(*i);
  }
  const Duration refusal_lasts = std::clamp(e.retry_after.value_or(refused_rest), refused_rest, hold_max);
  if (i && e.end == End::refused) instance_refused(*i, r, refusal_lasts);
  if (i && (e.end == End::failed_before_byte || e.end == End::failed_after_byte || e.end == End::unknown) &&
      !r.aborting) {
    instance_failed(*i, r.request.id);
  }

  if (e.end == End::complete) learn(r, e);
  if (r.cancelled) {
    finish(*index, Outcome::cancelled, *r.cancelled, Decision::cancelled);
    return;
  }
  switch (e.end) {
    case End::complete:
      if (configuration->classes[r.request.service_class.index()].durable) {
        leave_flight(*index);
        r.state = RequestState::publishing;
        emit(action::Publish{r.request.id, r.token});
        return;
      }
      finish(*index, Outcome::completed, Reason::none, Decision::completed);
      return;
    case End::refused:
      r.failures = static_cast<std::uint8_t>(r.failures + (r.attempt.value >= attempts_ceiling ? 100 : 0));
      requeue_or_fail(*index, refusal_lasts, lost_to(e, r.aborting));
      return;
    case End::aborted:
      if (is_evicted) {
        evicted(*index, resume, e.generated);
        return;
      }
      if (r.state == RequestState::streaming) {
        finish(*index, Outcome::failed, Reason::engine_cut, Decision::failed);
        return;
      }
      [[fallthrough]];
    case End::failed_before_byte:
      ++r.failures;
      requeue_or_fail(*index, failed_rest, lost_to(e, r.aborting));
      return;
    case End::failed_after_byte:
    case End::unknown:
      finish(*index, Outcome::failed, Reason::engine_cut, Decision::failed);
      return;
  }
}

// One request refused again and again may have itself to blame, and rests alone. Two of them refused the first time they
// were tried, with nothing taken in between, are an engine that is full. The refusal of one tried before holds all of its
// like until one of them is taken, and nobody else: however many they are, they cost the engine and the others little.
void Controller::State::instance_refused(InstanceRecord& i, const RequestRecord& r, Duration hold) {
  const bool another = i.refused && *i.refused != r.request.id;
  if (!std::exchange(i.refused, r.request.id)) look_again(i);
  const Instant until = add(now, hold);
  if (r.attempt != first_attempt) {
    i.hold_tried_until = until;
  } else if (another) {
    i.hold_until = until;
    limit_changed(i, i.governor.on_refused(ledger.account(i.description.id).slots - 1));
  } else {
    return;
  }
  wake(i, until);
}

// What was generated is kept; the rest of it has its own deadline, and waits like any other. Or it begins again, from its
// place in the order, and what was generated is lost.
void Controller::State::evicted(Index index, ResumeLevel level, Tokens generated) {
  RequestRecord& r = requests[index];
  leave_flight(index);
  ++totals.evictions;
  record({.decision = Decision::evicted, .request = r.request.id, .instance = r.instance, .attempt = r.attempt, .count = generated.count});
  r.reads_again = r.reads_again || r.state == RequestState::streaming || generated.count > 0;
  const bool keeps = level >= ResumeLevel::text;
  if (!keeps) {
    totals.wasted += generated + r.kept;
    generated = Tokens{0} - r.kept;
    r.first_token = never;
  } else if (generated.count > 0 && r.first_token == never) {
    r.first_token = now;  // it was not told
  }
  if (generated.count != 0 || r.first_token != never) {
    r.kept += generated;
    r.request.prompt += generated;
    if (r.request.max_output) r.request.max_output = std::max(Tokens{1}, *r.request.max_output - generated);
    set_times(r);
    describe_work(r);
  }
  enqueue(index);
  serve(r.request.model);
}

// Another instance is tried at once; where each has been tried and the last one goes on taking work, the request rests,
// longer every time: were it the one thing its engines cannot serve, it would otherwise be all they are asked.
Duration Controller::State::rest_after(const RequestRecord& r, Duration base) const {
  if (!available(instances[r.instance->index()])) return Duration{};
  const ModelRecord& m = models[r.request.model.index()];
  const auto others = std::ranges::count_if(m.instances, [&](InstanceId i) { return available(instances[i.index()]); });
  const auto doublings = r.attempt.value - others;
  if (doublings < 0) return Duration{};
  const Duration most = std::max({base, rest_max, rest_max_each * r.attempt.value});
  return std::min(most, base * (std::int64_t{1} << std::min<std::int64_t>(doublings, 10)));
}

// Back to its place: the order key and the deadline are the original ones.
void Controller::State::requeue_or_fail(Index index, Duration base_rest, Lost lost) {
  RequestRecord& r = requests[index];
  if (r.failures >= configuration->dispatch.attempts_max) {
    reject(index, Outcome::failed, Reason::engine_failed, Decision::failed, lost);
    return;
  }
  r.avoid = r.instance;
  leave_flight(index);
  const Duration rest = rest_after(r, base_rest);
  record({.decision = Decision::requeued,
          .request = r.request.id,
          .instance = r.instance,
          .attempt = r.attempt,
          .count = r.failures,
          .rest = rest,
          .lost = lost});
  enqueue(index);
  if (rest > Duration{}) {
    r.rests_until = add(now, rest);
    rests.set(index, r.rests_until);
  }
  serve(r.request.model);
}

void Controller::State::end_rests() {
  while (!rests.empty() && rests.earliest() <= now) {
    const Index index = rests.top();
    rests.clear(index);
    serve(requests[index].request.model);
  }
}

}  // namespace qlm

#include "core/domain/names.hpp"

namespace qlm {

std::string_view name(Component component) {
  switch (component) {
    case Component::price: return "price";
    case Component::on_time_set: return "on-time-set";
    case Component::length_model: return "length-model";
    case Component::calibration: return "calibration";
    case Component::gathering: return "gathering";
    case Component::plan: return "plan";
    case Component::affinity: return "affinity";
    case Component::late_binding: return "late-binding";
  }
  return "unknown";
}

std::string_view name(Policy policy) {
  switch (policy) {
    case Policy::fcfs: return "fcfs";
    case Policy::priority: return "priority";
    case Policy::edf: return "edf";
    case Policy::edf_expire: return "edf-expire";
    case Policy::greedy: return "greedy";
    case Policy::sjf: return "sjf";
    case Policy::shepherd: return "shepherd";
    case Policy::qlm_lp: return "qlm-lp";
    case Policy::qlm_lp_expire: return "qlm-lp-expire";
    case Policy::qlm_sp: return "qlm-sp";
    case Policy::qlm: return "qlm";
  }
  return "unknown";
}

std::string_view name(RequestState state) {
  switch (state) {
    case RequestState::persisting: return "persisting";
    case RequestState::queued: return "queued";
    case RequestState::dispatched: return "dispatched";
    case RequestState::streaming: return "streaming";
    case RequestState::publishing: return "publishing";
    case RequestState::finished: return "finished";
  }
  return "unknown";
}

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed: return "completed";
    case Outcome::rejected: return "rejected";
    case Outcome::cancelled: return "cancelled";
    case Outcome::expired: return "expired";
    case Outcome::failed: return "failed";
  }
  return "unknown";
}

std::string_view name(Reason reason) {
  switch (reason) {
    case Reason::none: return "none";
    case Reason::draining: return "draining";
    case Reason::queue_full: return "queue_full";
    case Reason::queue_bytes_full: return "queue_bytes_full";
    case Reason::tenant_queue_share: return "tenant_queue_share";
    case Reason::tenant_in_flight: return "tenant_in_flight";
    case Reason::tenant_queued: return "tenant_queued";
    case Reason::tenant_tokens: return "tenant_tokens";
    case Reason::tenant_requests: return "tenant_requests";
    case Reason::slo_unreachable: return "slo_unreachable";
    case Reason::wait_too_long: return "wait_too_long";
    case Reason::no_instance: return "no_instance";
    case Reason::deadline_passed: return "deadline_passed";
    case Reason::max_wait_passed: return "max_wait_passed";
    case Reason::client_timed_out: return "client_timed_out";
    case Reason::client_gone: return "client_gone";
    case Reason::engine_failed: return "engine_failed";
    case Reason::engine_cut: return "engine_cut";
    case Reason::store_failed: return "store_failed";
    case Reason::cancelled: return "cancelled";
  }
  return "unknown";
}

std::string_view name(Decision decision) {
  switch (decision) {
    case Decision::admitted: return "admitted";
    case Decision::rejected: return "rejected";
    case Decision::dispatched: return "dispatched";
    case Decision::requeued: return "requeued";
    case Decision::first_token: return "first_token";
    case Decision::completed: return "completed";
    case Decision::failed: return "failed";
    case Decision::cancelled: return "cancelled";
    case Decision::expired: return "expired";
    case Decision::abort_asked: return "abort_asked";
    case Decision::slot_reclaimed: return "slot_reclaimed";
    case Decision::breaker_opened: return "breaker_opened";
    case Decision::breaker_half_opened: return "breaker_half_opened";
    case Decision::breaker_closed: return "breaker_closed";
    case Decision::stalled: return "stalled";
    case Decision::limit_raised: return "limit_raised";
    case Decision::limit_lowered: return "limit_lowered";
    case Decision::plan_dropped: return "plan_dropped";
    case Decision::swap_decided: return "swap_decided";
    case Decision::swapped: return "swapped";
    case Decision::swap_failed: return "swap_failed";
    case Decision::resident_lost: return "resident_lost";
    case Decision::evicted: return "evicted";
    case Decision::cordoned: return "cordoned";
    case Decision::uncordoned: return "uncordoned";
    case Decision::drained: return "drained";
    case Decision::pinned: return "pinned";
    case Decision::swap_called_off: return "swap_called_off";
    case Decision::swaps_forbidden: return "swaps_forbidden";
  }
  return "unknown";
}

std::string_view name(BreakerState state) {
  switch (state) {
    case BreakerState::closed: return "closed";
    case BreakerState::open: return "open";
    case BreakerState::half_open: return "half_open";
  }
  return "unknown";
}

std::string_view name(BreakerCause cause) {
  switch (cause) {
    case BreakerCause::attempts_failed: return "attempts_failed";
    case BreakerCause::health_check_failed: return "health_check_failed";
    case BreakerCause::stalled: return "stalled";
  }
  return "unknown";
}

std::string_view name(Loss loss) {
  switch (loss) {
    case Loss::none: return "none";
    case Loss::refused: return "refused";
    case Loss::not_sent: return "not_sent";
    case Loss::failed: return "failed";
    case Loss::stalled: return "stalled";
    case Loss::instance_down: return "instance_down";
  }
  return "unknown";
}

std::string_view name(ChosenFor why) {
  switch (why) {
    case ChosenFor::asked: return "asked";
    case ChosenFor::only_one: return "only_one";
    case ChosenFor::canary: return "canary";
    case ChosenFor::prefix: return "prefix";
    case ChosenFor::least_cost: return "least_cost";
    case ChosenFor::least_loaded: return "least_loaded";
    case ChosenFor::slower_suffices: return "slower_suffices";
    case ChosenFor::soonest: return "soonest";
  }
  return "unknown";
}

std::string_view name(QueuePhase phase) {
  switch (phase) {
    case QueuePhase::kept: return "kept";
    case QueuePhase::given_up: return "given_up";
    case QueuePhase::late: return "late";
  }
  return "unknown";
}

std::string_view name(Binding binding) {
  switch (binding) {
    case Binding::none: return "none";
    case Binding::slots: return "slots";
    case Binding::memory: return "memory";
    case Binding::refused: return "refused";
    case Binding::gathering: return "gathering";
    case Binding::unavailable: return "unavailable";
    case Binding::absent: return "model_absent";
    case Binding::swapping: return "swapping";
    case Binding::cordoned: return "cordoned";
  }
  return "unknown";
}

}  // namespace qlm

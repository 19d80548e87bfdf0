#include "core/controller/controller.hpp"

#include <algorithm>
#include <utility>

#include "core/controller/state.hpp"

namespace qlm {

Controller::State::State(std::shared_ptr<const ControllerConfiguration> c, std::size_t explain_capacity)
    : configuration(std::move(c)) {
  ring.resize(std::max<std::size_t>(explain_capacity, 1));
}

Controller::Controller(std::shared_ptr<const ControllerConfiguration> configuration, std::size_t explain_capacity)
    : state_(std::make_unique<State>(std::move(configuration), explain_capacity)) {}
Controller::~Controller() = default;
Controller::Controller(Controller&&) noexcept = default;
Controller& Controller::operator=(Controller&&) noexcept = default;

void Controller::handle(const Event& event, Instant now, std::vector<Action>& actions) {
  State& s = *state_;
  s.now = std::max(s.now, now);
  s.out = &actions;
  s.expire_due();
  s.end_rests();
  s.run_instance_timers();
  std::visit([&s](const auto& e) { s.on(e); }, event);
  s.select_on_time();
  s.decide_residency();
  s.serve_changed_queues();
  s.out = nullptr;
}

Instant Controller::next_wake() const {
  const State& s = *state_;
  const Instant look = s.holders > 0 && s.totals.queued > 0 ? s.residency_at : never;
  return std::min({s.expiries.earliest(), s.rests.earliest(), s.instance_timers.earliest(), look});
}

ModelRecord& Controller::State::model(ModelId id) {
  while (id.index() >= models.size()) {
    models.emplace_back();
    models.back().unserved_since = now;  // until an instance says that it serves it
    models.back().overtaking = Overtaking(overtaking_kind(configuration->policy));
  }
  return models[id.index()];
}

TenantRecord& Controller::State::tenant(TenantId id) {
  if (id.index() >= tenants.size()) tenants.resize(id.index() + 1);
  return tenants[id.index()];
}

InstanceRecord* Controller::State::instance(InstanceId id) {
  if (id.index() >= instances.size() || !instances[id.index()].present) return nullptr;
  return &instances[id.index()];
}

void Controller::State::emit(Action action) {
  mix(action.index());
  struct {
    State& s;
    void key(AttemptKey k) { s.mix(Ledger::packed(k)); }
    void operator()(const action::Admitted& a) { s.mix(a.request.value); }
    void operator()(const action::Dispatch& a) { key(a.key); s.mix(a.instance.value); }
    void operator()(const action::Abort& a) { key(a.key); }
    void operator()(const action::Reject& a) {
      s.mix(a.request.value);
      s.mix(static_cast<std::uint64_t>(a.reason));
      s.mix(static_cast<std::uint64_t>(a.retry_after.value_or(Duration{}).count()));
    }
    void operator()(const action::Finish& a) { s.mix(a.request.value); s.mix(static_cast<std::uint64_t>(a.outcome)); }
    void operator()(const action::Persist& a) { s.mix(a.request.value); }
    void operator()(const action::Publish& a) { s.mix(a.request.value); }
    void operator()(const action::ReleaseClaim& a) { s.mix(a.request.value); }
    void operator()(const action::Probe& a) { s.mix(a.instance.value); }
    void operator()(const action::StartPlanning& a) { s.mix(a.snapshot.value); }
    void operator()(const action::BreakerChanged& a) { s.mix(a.instance.value); }
    void operator()(const action::Swap& a) { s.mix(std::uint64_t{a.instance.value} << 32 | a.to.value); }
  } mixer{*this};
  std::visit(mixer, action);
  out->push_back(action);
}

void Controller::State::record(ExplainRecord entry) {
  entry.at = now;
  entry.policy = configuration->policy;
  if (const auto index = find(entry.request)) entry.tenant = requests[*index].request.tenant;
  mix(static_cast<std::uint64_t>(entry.decision) << 32 ^ static_cast<std::uint64_t>(entry.count) ^
      static_cast<std::uint64_t>(now.time_since_epoch().count()));
  ring[ring_next] = entry;
  if (++ring_next == ring.size()) {
    ring_next = 0;
    ring_wrapped = true;
  }
}

}  // namespace qlm

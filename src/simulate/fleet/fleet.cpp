#include "simulate/fleet/fleet.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "core/controller/controller.hpp"

namespace qlm::fleet {
namespace {

// What happens next. Ties go by the order in which things were scheduled, so a run has one course only.
struct Scheduled {
  enum class Kind : std::uint8_t { arrival, step_end, stats, wake };
  Instant at;
  std::uint64_t sequence = 0;
  Kind kind{};
  std::size_t index = 0;

  bool operator>(const Scheduled& other) const { return at != other.at ? at > other.at : sequence > other.sequence; }
};

struct SimulatedInstance {
  explicit SimulatedInstance(const InstanceSpec& spec) : engine(spec.step, spec.limits) {}
  EngineModel engine;
  // Attempts it works on, by the engine's `user`: the arrival's index. Kept for progress reports and aborts.
  struct Running {
    std::size_t arrival = 0;
    SequenceId sequence;
    AttemptKey key;
    bool started = false;
  };
  std::vector<Running> running;
  Instant reported = Instant::min();
  double slowness = 1;
};

class Simulation {
 public:
  Simulation(const FleetSpec& fleet, const std::vector<Arrival>& arrivals, std::int64_t check_every)
      : fleet_(fleet), arrivals_(arrivals), controller_(fleet.configuration, explain_capacity), check_every_(check_every) {
    result_.requests.resize(arrivals.size());
    result_.told.resize(arrivals.size());
    place_.resize(arrivals.size());
    for (std::size_t i = 0; i < arrivals.size(); ++i) {
      const Arrival& from = arrivals[i];
      report::RequestRecord& to = result_.requests[i];
      to.slo_class = from.service_class.value;
      to.model = from.model.value;
      to.arrival = from.at;
      to.prompt = from.prompt;
      to.asked = from.output;
    }
    for (const InstanceSpec& spec : fleet.instances) instances_.emplace_back(spec);
  }

  FleetResult run() {
    for (std::size_t i = 0; i < instances_.size(); ++i) join(i);
    schedule_arrival(0);
    const Instant stop = fleet_.stop_at ? Instant{} + *fleet_.stop_at : never;
    while (!heap_.empty() && heap_.top().at <= stop && result_.broken_invariant.empty()) {
      const Scheduled next = heap_.top();
      heap_.pop();
      now_ = next.at;
      switch (next.kind) {
        case Scheduled::Kind::arrival: arrive(next.index); break;
        case Scheduled::Kind::step_end: end_step(next.index); break;
        case Scheduled::Kind::stats: read_stats(next.index); break;
        case Scheduled::Kind::wake:
          if (next.at == wake_at_) {
            wake_at_ = never;
            feed(event::Tick{});
          }
          break;
      }
      // Statistics and wake-ups alone keep nobody waiting.
      if (open_ == 0 && next_arrival_ >= arrivals_.size()) break;
    }
    return finish();
  }

 private:
  static constexpr std::size_t explain_capacity = 64;

  void schedule(Instant at, Scheduled::Kind kind, std::size_t index) { heap_.push({at, ++sequence_, kind, index}); }

  void join(std::size_t i) {
    const InstanceSpec& spec = fleet_.instances[i];
    InstanceDescription description;
    description.id = InstanceId{static_cast<std::uint32_t>(i)};
    description.name = spec.name;
    description.models = spec.models;
    if (fleet_.tells_slots) description.slots = static_cast<int>(spec.limits.max_num_seqs);
    description.kv_capacity = spec.limits.kv_tokens;
    description.speed = spec.step;
    description.reports_waiting = true;
    feed(event::InstanceJoined{description});
    schedule(now_ + fleet_.stats_interval, Scheduled::Kind::stats, i);
  }

  void schedule_arrival(std::size_t index) {
    next_arrival_ = index;
    if (index < arrivals_.size()) schedule(Instant{} + arrivals_[index].at, Scheduled::Kind::arrival, index);
  }

  void arrive(std::size_t index) {
    const Arrival& arrival = arrivals_[index];
    ++open_;
    schedule_arrival(index + 1);
    RequestDescription request;
    request.id = id_of(index);
    request.model = arrival.model;
    request.service_class = arrival.service_class;
    request.tenant = arrival.tenant;
    const Slo& of_class = fleet_.configuration->classes[arrival.service_class.index()].slo;
    request.slo.ttft = arrival.slo.ttft ? arrival.slo.ttft : of_class.ttft;
    request.slo.tpot = arrival.slo.tpot ? arrival.slo.tpot : of_class.tpot;
    request.slo.e2e = arrival.slo.e2e ? arrival.slo.e2e : of_class.e2e;
    request.prompt = arrival.prompt;
    request.max_output = arrival.max_output;
    request.streaming = true;
    feed(event::Arrived{request});
  }

  // -- the controller

  static RequestId id_of(std::size_t index) { return RequestId{index + 1}; }
  static std::size_t index_of(RequestId id) { return static_cast<std::size_t>(id.value - 1); }

  void feed(Event event) {
    pending_.push(std::move(event));
    if (feeding_) return;  // events made while actions are carried out come after them
    feeding_ = true;
    while (!pending_.empty()) {
      const Event next = std::move(pending_.front());
      pending_.pop();
      actions_.clear();
      controller_.handle(next, now_, actions_);
      ++result_.events;
      if (check_every_ > 0 && result_.events % check_every_ == 0 && result_.broken_invariant.empty()) {
        result_.broken_invariant = controller_.check_invariants();
      }
      for (const Action& action : actions_) std::visit([this](const auto& each) { perform(each); }, action);
    }
    feeding_ = false;
    const Instant wanted = controller_.next_wake();
    if (wanted != never && wanted < wake_at_) {
      wake_at_ = wanted;
      schedule(std::max(wanted, now_), Scheduled::Kind::wake, 0);
    }
  }

  void perform(const action::Dispatch& action) {
    const std::size_t index = index_of(action.key.request);
    const std::size_t at = action.instance.index();
    SimulatedInstance& instance = instances_[at];
    feed(event::Sent{action.key});
    const auto sequence = instance.engine.submit(arrivals_[index].prompt, arrivals_[index].output, index);
    if (!sequence) {  // the engine's own 400: too long for it
      result_.requests[index].status = 400;
      return end_attempt(action.key, event::AttemptEnd::complete, Tokens{0});
    }
    result_.requests[index].sent = now_ - Instant{};
    place_[index] = instance.running.size();
    instance.running.push_back({index, *sequence, action.key});
    begin_step(at);
  }

  void perform(const action::Abort& action) {
    const std::size_t index = index_of(action.key.request);
    SimulatedInstance& instance = instances_[action.instance.index()];
    const std::size_t at = place_[index];
    if (at >= instance.running.size() || instance.running[at].key != action.key) return;
    const Tokens generated = instance.engine.generated(instance.running[at].sequence);
    instance.engine.abort(instance.running[at].sequence);
    forget(instance, at);
    end_attempt(action.key, event::AttemptEnd::aborted, generated);
  }

  void perform(const action::Reject& action) {
    report::RequestRecord& record = result_.requests[index_of(action.request)];
    record.outcome = report::Outcome::refused;
    record.status = 429;
    record.ended = now_ - Instant{};
    --open_;
  }

  void perform(const action::Finish& action) {
    report::RequestRecord& record = result_.requests[index_of(action.request)];
    const bool whole = action.outcome == Outcome::completed && record.status != 400;
    record.outcome = whole ? report::Outcome::completed : report::Outcome::failed;
    record.ended = now_ - Instant{};
    --open_;
  }

  void perform(const action::Persist& action) { feed(event::Persisted{action.request, FencingToken{1}}); }
  void perform(const action::Publish& action) { feed(event::Published{action.request}); }
  void perform(const action::Probe& action) { feed(event::ProbeAnswered{action.instance, true, {}}); }
  void perform(const action::StartPlanning& action) { feed(event::PlanFailed{action.snapshot}); }
  void perform(const action::Admitted& action) { result_.told[index_of(action.request)] = action.wait; }
  void perform(const action::ReleaseClaim&) {}
  void perform(const action::BreakerChanged&) {}

  void end_attempt(AttemptKey key, event::AttemptEnd how, Tokens generated) {
    event::Ended ended;
    ended.key = key;
    ended.end = how;
    ended.prompt = arrivals_[index_of(key.request)].prompt;
    ended.generated = generated;
    feed(ended);
    feed(event::SlotReleased{key});
  }

  // -- engines

  void begin_step(std::size_t at) {
    EngineModel& engine = instances_[at].engine;
    if (engine.in_step() || stepping_) return;  // whoever comes while a step's end is told joins the next one
    const auto duration = engine.begin_step();
    if (!duration) return;
    for (const SpeedChange& change : fleet_.changes) {
      if (change.instance == at && change.at <= now_ - Instant{}) instances_[at].slowness = change.slowness;
    }
    schedule(now_ + Duration{static_cast<std::int64_t>(static_cast<double>(duration->count()) * instances_[at].slowness)},
             Scheduled::Kind::step_end, at);
  }

  void end_step(std::size_t at) {
    SimulatedInstance& instance = instances_[at];
    const EngineModel::StepResult result = instance.engine.finish_step();
    // The spans die with the next step, which actions of these very events may begin.
    first_.assign(result.first_token.begin(), result.first_token.end());
    finished_.assign(result.finished.begin(), result.finished.end());
    stepping_ = true;
    for (const EngineModel::Event& event : first_) {
      SimulatedInstance::Running& running = instance.running[place_[event.user]];
      running.started = true;
      result_.requests[event.user].first_token = now_ - Instant{};
      feed(event::FirstToken{running.key});
    }
    for (const EngineModel::Event& event : finished_) {
      const std::size_t place = place_[event.user];
      const AttemptKey key = instance.running[place].key;
      result_.requests[event.user].last_token = now_ - Instant{};
      result_.requests[event.user].received = arrivals_[event.user].output;
      forget(instance, place);
      end_attempt(key, event::AttemptEnd::complete, arrivals_[event.user].output);
    }
    report_progress(instance);
    stepping_ = false;
    begin_step(at);
  }

  void report_progress(SimulatedInstance& instance) {
    if (now_ - std::max(instance.reported, Instant{}) < fleet_.progress_interval) return;
    instance.reported = now_;
    for (const SimulatedInstance::Running& running : instance.running) {
      if (running.started) feed(event::Progress{running.key, instance.engine.generated(running.sequence)});
    }
  }

  void forget(SimulatedInstance& instance, std::size_t at) {
    instance.running[at] = instance.running.back();
    place_[instance.running[at].arrival] = at;
    instance.running.pop_back();
  }

  void read_stats(std::size_t at) {
    const EngineModel& engine = instances_[at].engine;
    InstanceStats stats;
    stats.running = static_cast<int>(engine.running());
    stats.waiting = static_cast<int>(engine.waiting());
    stats.kv_usage = static_cast<double>(engine.kv_blocks_used()) / static_cast<double>(engine.kv_blocks_total());
    feed(event::StatsRead{InstanceId{static_cast<std::uint32_t>(at)}, stats});
    schedule(now_ + fleet_.stats_interval, Scheduled::Kind::stats, at);
  }

  FleetResult finish() {
    result_.ended = now_ - Instant{};
    result_.digest = controller_.digest();
    const auto mix = [this](std::optional<Duration> time) {
      result_.digest = (result_.digest ^ static_cast<std::uint64_t>(time.value_or(Duration{-1}).count())) * 0x100000001b3ULL;
      result_.digest ^= result_.digest >> 29;
    };
    for (const report::RequestRecord& record : result_.requests) {
      mix(record.sent);
      mix(record.first_token);
      mix(record.ended);
    }
    for (const SimulatedInstance& instance : instances_) {
      const EngineModel::Totals& totals = instance.engine.totals();
      result_.busy += totals.busy;
      result_.prefilled += totals.prefilled;
      result_.generated += totals.generated;
      result_.preemptions += totals.preemptions;
    }
    return std::move(result_);
  }

  const FleetSpec& fleet_;
  const std::vector<Arrival>& arrivals_;
  Controller controller_;
  std::int64_t check_every_;
  FleetResult result_;

  Instant now_{};
  std::priority_queue<Scheduled, std::vector<Scheduled>, std::greater<>> heap_;
  std::uint64_t sequence_ = 0;
  Instant wake_at_ = never;

  std::vector<SimulatedInstance> instances_;
  std::vector<std::size_t> place_;  // of an arrival's attempt among its instance's running ones
  std::size_t next_arrival_ = 0;
  std::int64_t open_ = 0;  // arrived and not over

  std::queue<Event> pending_;
  bool feeding_ = false;
  bool stepping_ = false;
  std::vector<Action> actions_;
  std::vector<EngineModel::Event> first_, finished_;
};

}  // namespace

FleetResult simulate(const FleetSpec& fleet, const std::vector<Arrival>& arrivals, std::int64_t check_every) {
  return Simulation(fleet, arrivals, check_every).run();
}

}  // namespace qlm::fleet

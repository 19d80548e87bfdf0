#include "app/bench/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "app/bench/answer.hpp"
#include "base/prng.hpp"

namespace qlm::bench {
namespace {

constexpr Duration lead = 50ms;  // between start() and the trace's zero
constexpr int at_a_turn = 16;    // requests sent in one turn of the loop

template <class T>
std::uint32_t index_of(std::vector<T>& items, const std::string& name, auto&& name_of, auto&& make) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (name_of(items[i]) == name) return static_cast<std::uint32_t>(i);
  }
  items.push_back(make(name));
  return static_cast<std::uint32_t>(items.size() - 1);
}

}  // namespace

struct Replay::Impl {
  // One request on its way.
  struct Flight final : net::ClientHandler {
    Flight(Impl& owner, std::size_t index) : impl(owner), i(index) {}

    void on_sent(Instant at) override {
      impl.record(i).sent = impl.since_start(at);
      const Duration lateness = at - impl.due(i);
      impl.run.late_sends += lateness > impl.options.late_after;
      impl.run.worst_lateness = std::max(impl.run.worst_lateness, impl.in_life(lateness));
    }
    void on_head(const http::ResponseHead& head) override {
      answer.on_head(head);
      // QLM names every request; the same name on two answers would be one result given twice.
      if (const auto id = head.fields.find("x-qlm-request-id")) impl.run.duplicates += !impl.ids.emplace(*id).second;
    }
    void on_body(std::string_view bytes) override { answer.on_body(bytes, impl.loop.now()); }
    void on_complete() override {
      answer.on_complete();
      impl.ended(i);
    }
    void on_failed(net::ClientFailure failure, const std::string& detail) override {
      answer.on_failed(fmt::format("{}: {}", net::name(failure), detail));
      impl.ended(i);
    }

    Impl& impl;
    std::size_t i;
    Answer answer;
    std::unique_ptr<net::Call> call;
  };

  Impl(net::Loop& on, net::HttpClient& http, const workload::Trace& requests, ReplayOptions how)
      : loop(on), client(http), trace(requests), options(std::move(how)), next_due(on), limit(on), flights(requests.size()) {
    run.target = options.target.text;
    run.speed = options.speed;
    run.requests.reserve(trace.size());
  }

  Duration in_life(Duration real) const { return duration_from_seconds(seconds(real) * options.speed); }
  Duration in_reality(Duration life) const { return duration_from_seconds(seconds(life) / options.speed); }
  Duration since_start(Instant at) const { return in_life(at - zero); }
  Instant due(std::size_t i) const { return add(zero, in_reality(trace[i].arrival)); }
  report::RequestRecord& record(std::size_t i) { return run.requests[i]; }
  Duration length() const { return trace.empty() ? Duration{} : trace.back().arrival; }

  void start() {
    zero = add(loop.now(), lead);
    limit.at(add(zero, in_reality(length() + options.timeout)), [this] { give_up(); });
    next_due.at(zero, [this] { offer(); });
  }

  void offer() {
    // Of those due at one instant a few a turn: the first bytes of the first must not wait for the connections of the last.
    for (int k = 0; k < at_a_turn && offered < trace.size() && due(offered) <= loop.now(); ++k) send(offered++);
    if (offered < trace.size()) next_due.at(due(offered), [this] { offer(); });
    finish_if_done();
  }

  http::Fields fields_of(const workload::TraceRequest& request) const {
    auto fields = options.fields;
    fields.set("Content-Type", "application/json");
    if (!request.slo_class.empty()) {
      const auto mapped = options.class_map.find(request.slo_class);
      fields.set("x-slo-class", mapped == options.class_map.end() ? request.slo_class : mapped->second);
    }
    const auto slo = options.slos.find(request.slo_class);
    if (!options.slo_headers || slo == options.slos.end()) return fields;
    const auto add_objective = [&](std::string_view name, std::optional<Duration> objective) {
      if (objective) fields.set(name, fmt::format("{:.0f}", milliseconds(in_reality(*objective))));
    };
    add_objective("x-slo-ttft-ms", slo->second.ttft);
    add_objective("x-slo-tpot-ms", slo->second.tpot);
    add_objective("x-slo-e2e-ms", slo->second.e2e);
    return fields;
  }

  void send(std::size_t i) {
    const auto& request = trace[i];
    auto& r = run.requests.emplace_back();
    r.slo_class = index_of(run.classes, request.slo_class, [](const auto& c) { return c.name; }, [&](const auto& name) {
      const auto slo = options.slos.find(name);
      return report::ClassInfo{name, slo == options.slos.end() ? Slo{} : slo->second};
    });
    r.model = index_of(run.models, request.model, [](const auto& m) { return m; }, [](const auto& m) { return m; });
    r.arrival = request.arrival;
    r.prompt = request.prompt;
    r.asked = request.output;
    if (in_flight >= options.most_in_flight) {
      r.outcome = report::Outcome::failed;
      ++problems["not sent: the limit of open descriptors is reached (ulimit -n)"];
      ++ended_count;
      return;
    }
    auto flight = std::make_unique<Flight>(*this, i);
    auto body = std::make_shared<const std::string>(
        request_body(options.style, request.model, request.prompt, request.output, options.seed * 0x9e3779b97f4a7c15ULL + i));
    net::ClientRequest message;
    message.method = "POST";
    message.target = options.target.path(path(options.style.endpoint));
    message.fields = fields_of(request);
    message.body = {*body};
    message.owner = std::move(body);
    ++in_flight;
    flight->call = client.send(options.target.address, std::move(message), *flight);
    flights[i] = std::move(flight);
  }

  void fill(report::RequestRecord& r, const Answer& answer) const {
    r.status = answer.status();
    if (answer.first_text()) r.first_token = since_start(*answer.first_text());
    if (answer.last_text()) r.last_token = since_start(*answer.last_text());
    r.received = answer.tokens();
  }

  void ended(std::size_t i) {
    const auto& answer = flights[i]->answer;
    auto& r = record(i);
    fill(r, answer);
    r.outcome = answer.outcome();
    r.ended = since_start(loop.now());
    run.duplicates += answer.duplicates();
    if (!answer.detail().empty()) ++problems[fmt::format("{}: {}", report::name(r.outcome), answer.detail())];
    --in_flight;
    ++ended_count;
    completed += r.outcome == report::Outcome::completed;
    refused += r.outcome == report::Outcome::refused;
    // Not here: this is called from inside the flight.
    loop.post([this, alive = std::weak_ptr(token), i] {
      if (alive.expired()) return;
      flights[i].reset();
      finish_if_done();
    });
  }

  void finish_if_done() {
    if (offered == trace.size() && ended_count == offered && in_flight == 0) finish();
  }

  void give_up() {
    for (std::size_t i = 0; i < offered; ++i) {
      if (!flights[i]) continue;
      if (record(i).ended) continue;  // ended a moment ago, not yet taken away
      fill(record(i), flights[i]->answer);
      record(i).outcome = report::Outcome::timed_out;
      ++problems["timed_out: unanswered when the run ended"];
      flights[i].reset();
      --in_flight;
      ++ended_count;
    }
    finish();
  }

  void finish() {
    next_due.cancel();
    limit.cancel();
    if (on_end) loop.post(std::exchange(on_end, nullptr));
  }

  net::Loop& loop;
  net::HttpClient& client;
  const workload::Trace& trace;
  ReplayOptions options;
  net::Timer next_due, limit;
  net::Loop::Task on_end;
  Instant zero{};
  report::Run run;
  std::vector<std::unique_ptr<Flight>> flights;
  std::set<std::string, std::less<>> ids;
  std::map<std::string, std::size_t> problems;
  std::size_t offered = 0, in_flight = 0, ended_count = 0, completed = 0, refused = 0;
  std::shared_ptr<int> token = std::make_shared<int>();
};

Replay::Replay(net::Loop& loop, net::HttpClient& client, const workload::Trace& trace, ReplayOptions options)
    : impl_(std::make_unique<Impl>(loop, client, trace, std::move(options))) {}
Replay::~Replay() = default;

void Replay::start(net::Loop::Task on_end) {
  impl_->on_end = std::move(on_end);
  impl_->start();
}

void Replay::stop() { impl_->give_up(); }

Progress Replay::progress() const {
  const auto& i = *impl_;
  return {i.offered, i.trace.size(), i.ended_count, i.completed, i.refused, i.in_flight, i.run.late_sends,
          std::max(Duration{}, i.since_start(i.loop.now())), i.length()};
}

report::Run Replay::take_run() { return std::move(impl_->run); }

const std::map<std::string, std::size_t>& Replay::problems() const { return impl_->problems; }

}  // namespace qlm::bench

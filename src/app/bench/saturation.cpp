#include "app/bench/saturation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <utility>

#include "app/bench/answer.hpp"

namespace qlm::bench {

struct Saturation::Impl {
  // One client that asks again as soon as it is answered.
  struct Client final : net::ClientHandler {
    Client(Impl& owner) : impl(owner) {}

    void ask() {
      answer = {};
      counted = 0;
      const auto lengths = impl.options.lengths.sample(impl.prng);
      auto body = std::make_shared<const std::string>(
          request_body(impl.options.style, impl.options.model, lengths.prompt, lengths.output, impl.prng.next()));
      net::ClientRequest request;
      request.method = "POST";
      request.target = impl.options.target.path(path(impl.options.style.endpoint));
      request.fields = impl.options.fields;
      request.fields.set("Content-Type", "application/json");
      request.body = {*body};
      request.owner = std::move(body);
      call = impl.client.send(impl.options.target.address, std::move(request), *this);
    }
    void on_head(const http::ResponseHead& head) override { answer.on_head(head); }
    void on_body(std::string_view bytes) override {
      answer.on_body(bytes, impl.loop.now());
      impl.deltas += answer.deltas() - std::exchange(counted, answer.deltas());
    }
    void on_complete() override {
      answer.on_complete();
      end();
    }
    void on_failed(net::ClientFailure failure, const std::string& detail) override {
      answer.on_failed(fmt::format("{}: {}", net::name(failure), detail));
      end();
    }
    void end() {
      const bool good = answer.outcome() == report::Outcome::completed;
      if (good && answer.has_usage()) {
        impl.told_tokens += answer.tokens().count;
        impl.told_deltas += answer.deltas();
      }
      if (!good) {
        ++impl.failed;
        impl.problem = answer.detail();
      }
      // A server that fails at once must not be asked a thousand times a second.
      pause.after(good ? 0ms : 200ms, [this] { ask(); });
    }

    Impl& impl;
    Answer answer;
    std::int64_t counted = 0;
    std::unique_ptr<net::Call> call;
    net::Timer pause{impl.loop};
  };

  Impl(net::Loop& on, net::HttpClient& http, SaturationOptions how)
      : loop(on), client(http), options(std::move(how)), prng(options.seed), timer(on) {}

  void begin(int concurrency) {
    while (static_cast<int>(clients.size()) < concurrency) clients.emplace_back(*this).ask();
    timer.after(options.settle, [this] {
      deltas = 0;
      failed = 0;
      began = loop.now();
      timer.after(options.measure, [this] { measured(); });
    });
  }

  void measured() {
    // A chunk may carry several tokens when an engine or the network lags: what completed requests were told by
    // their usage sets the rate.
    const double tokens_per_delta =
        told_deltas > 0 ? static_cast<double>(told_tokens) / static_cast<double>(told_deltas) : 1;
    const double rate = static_cast<double>(deltas) * tokens_per_delta / seconds(loop.now() - began) / options.speed;
    const auto concurrency = static_cast<int>(clients.size());
    steps.push_back({concurrency, rate, failed});
    on_step(steps.back());
    const double former = steps.size() > 1 ? steps[steps.size() - 2].tokens_per_second : 0;
    if (rate <= former * (1 + options.least_growth) || concurrency >= options.most) return finish();
    begin(std::min(options.most, concurrency * 2));
  }

  void finish() {
    timer.cancel();
    clients.clear();
    if (on_end) loop.post(std::exchange(on_end, nullptr));
  }

  net::Loop& loop;
  net::HttpClient& client;
  SaturationOptions options;
  Prng prng;
  net::Timer timer;
  std::list<Client> clients;
  std::vector<SaturationStep> steps;
  std::function<void(const SaturationStep&)> on_step;
  net::Loop::Task on_end;
  Instant began{};
  std::int64_t deltas = 0, told_tokens = 0, told_deltas = 0;
  std::size_t failed = 0;
  std::string problem;
};

Saturation::Saturation(net::Loop& loop, net::HttpClient& client, SaturationOptions options)
    : impl_(std::make_unique<Impl>(loop, client, std::move(options))) {}
Saturation::~Saturation() = default;

void Saturation::start(std::function<void(const SaturationStep&)> on_step, net::Loop::Task on_end) {
  impl_->on_step = std::move(on_step);
  impl_->on_end = std::move(on_end);
  impl_->begin(std::min(impl_->options.first, impl_->options.most));
}
void Saturation::stop() { impl_->finish(); }
const std::vector<SaturationStep>& Saturation::steps() const { return impl_->steps; }
double Saturation::best() const {
  double best = 0;
  for (const auto& step : impl_->steps) best = std::max(best, step.tokens_per_second);
  return best;
}
const std::string& Saturation::problem() const { return impl_->problem; }

}  // namespace qlm::bench

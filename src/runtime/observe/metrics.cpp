#include "runtime/observe/metrics.hpp"

#include <map>
#include <mutex>
#include <set>
#include <sstream>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "core/domain/names.hpp"

namespace qlm::observe {
namespace {

using Labels = std::map<std::string, std::string>;
using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's own bounds, so that its dashboards and ours lie on top of each other.
const Buckets ttft_buckets{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5,
                           7.5, 10, 20, 40, 80, 160, 640, 2560};
const Buckets tpot_buckets{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
const Buckets e2e_buckets{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
// Its queue-time bounds are those of E2E; ours begin lower, since an idle QLM holds a request for microseconds.
const Buckets wait_buckets{0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60,
                           120, 240, 480, 960, 1920, 7680};
const Buckets residence_buckets{0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.002, 0.005, 0.01, 0.1, 1};
const Buckets ratio_buckets{0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10};

// As bounds are calibrated (core/estimate/wait_calibration.hpp).
const char* horizon(Duration expected) {
  if (expected < 5s) return "below 5s";
  if (expected < 30s) return "5s to 30s";
  return expected < 300s ? "30s to 300s" : "300s and more";
}

template <class Metric>
prometheus::Family<Metric>& family(prometheus::Registry& registry, const char* name, const char* help);
template <>
prometheus::Family<prometheus::Counter>& family(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
template <>
prometheus::Family<prometheus::Gauge>& family(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
template <>
prometheus::Family<prometheus::Histogram>& family(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

using Counters = prometheus::Family<prometheus::Counter>;
using Gauges = prometheus::Family<prometheus::Gauge>;
using Histograms = prometheus::Family<prometheus::Histogram>;

// Builds one family of values that are handed over at the scrape.
class Snapshot {
 public:
  Snapshot(prometheus::MetricType type, const char* name, const char* help) {
    family_.type = type;
    family_.name = name;
    family_.help = help;
  }
  void add(std::initializer_list<prometheus::ClientMetric::Label> labels, double value) {
    auto& metric = family_.metric.emplace_back();
    metric.label = labels;
    metric.gauge.value = value;
    metric.counter.value = value;
  }
  void into(std::vector<prometheus::MetricFamily>& all) && {
    if (!family_.metric.empty()) all.push_back(std::move(family_));
  }

 private:
  prometheus::MetricFamily family_;
};

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  Counters& requests = family<prometheus::Counter>(registry, "qlm_requests_total", "Requests that ended, by how.");
  Counters& slo_requests = family<prometheus::Counter>(
      registry, "qlm_slo_requests_total", "Requests with that objective that ended, met or missed; a client that left is neither.");
  Counters& shed = family<prometheus::Counter>(registry, "qlm_shed_total", "Requests refused or given up in the queue, by reason.");
  Counters& tokens = family<prometheus::Counter>(registry, "qlm_tokens_total", "Tokens, prompt and output.");
  Counters& cached_tokens = family<prometheus::Counter>(
      registry, "qlm_prompt_tokens_cached_total",
      "Prompt tokens that engines had cached: expected where the request was sent, and reported by those that tell.");
  Counters& tenant_tokens = family<prometheus::Counter>(registry, "qlm_tenant_tokens_total", "Tokens of a tenant.");
  Counters& wait_bound = family<prometheus::Counter>(
      registry, "qlm_wait_estimate_bound_total",
      "Requests that were told a bound, by how long they were expected to wait and whether the wait stayed within the bound; one "
      "given up in the queue did not, one whose client left first is not counted.");
  Histograms& wait = family<prometheus::Histogram>(registry, "qlm_queue_wait_duration_seconds", "Arrival to dispatch.");
  Histograms& ttft = family<prometheus::Histogram>(registry, "qlm_ttft_duration_seconds", "Arrival to first token.");
  Histograms& tpot = family<prometheus::Histogram>(registry, "qlm_tpot_duration_seconds", "Time per output token after the first.");
  Histograms& e2e = family<prometheus::Histogram>(registry, "qlm_e2e_duration_seconds", "Arrival to end, of completed requests.");
  Histograms& wait_ratio = family<prometheus::Histogram>(registry, "qlm_wait_estimate_ratio", "Actual wait over the expected one.");
  Histograms& residence = family<prometheus::Histogram>(
      registry, "qlm_residence_duration_seconds",
      "What QLM adds: a request's last byte read to its first written upstream, without its wait; a chunk's read to written.");
  prometheus::Histogram& request_residence = residence.Add({{"part", "request"}}, residence_buckets);
  prometheus::Histogram& chunk_residence = residence.Add({{"part", "chunk"}}, residence_buckets);
  Gauges& build_info = family<prometheus::Gauge>(registry, "qlm_build_info", "1; the version is the label.");
  prometheus::Gauge& reload_successful =
      family<prometheus::Gauge>(registry, "qlm_config_last_reload_successful", "1 when the last reload was taken.").Add({});
  prometheus::Gauge& reload_timestamp =
      family<prometheus::Gauge>(registry, "qlm_config_last_reload_timestamp_seconds", "When a reload was last taken.").Add({});

  std::mutex mutex;
  std::set<std::pair<std::string, std::string>> pairs;

  // The label values for a request, within the bound on how many there may be.
  Labels labels(const RequestRecord& record) {
    const std::string model = record.model_known && !record.model.empty() ? record.model : "unknown";
    const std::string& class_name = record.class_name.empty() ? "unknown" : record.class_name;
    const std::scoped_lock lock(mutex);
    const bool fits = pairs.size() < pairs_max || pairs.contains({model, class_name});
    if (fits) pairs.emplace(model, class_name);
    return {{"model", fits ? model : "other"}, {"class", fits ? class_name : "other"}};
  }

  void objectives(const RequestRecord& record, const Labels& labels) {
    if (record.outcome == Outcome::cancelled) return;
    const bool completed = record.outcome == Outcome::completed;
    const auto judge = [&](const char* name, std::optional<Duration> limit, std::optional<Duration> actual) {
      if (!limit) return;
      Labels all = labels;
      all.emplace("slo", name);
      all.emplace("result", completed && actual && *actual <= *limit ? "met" : "missed");
      slo_requests.Add(all).Increment();
    };
    // A reply whose first token nobody saw was there whole at its end; one of a single token kept every gap.
    judge("ttft", record.slo.ttft, record.ttft ? record.ttft : record.e2e);
    judge("tpot", record.slo.tpot, record.tpot.value_or(Duration{0}));
    judge("e2e", record.slo.e2e, record.e2e);
  }
};

Metrics::Metrics(std::string_view version) : impl_(std::make_unique<Impl>()) {
  impl_->build_info.Add({{"version", std::string(version)}}).Set(1);
}
Metrics::~Metrics() = default;

void Metrics::request_finished(const RequestRecord& record) {
  Impl& m = *impl_;
  const Labels labels = m.labels(record);
  const auto with = [&](const char* name, std::string_view value) {
    Labels all = labels;
    all.emplace(name, value);
    return all;
  };
  m.requests.Add(with("outcome", name(record.outcome))).Increment();
  m.objectives(record, labels);
  if (record.outcome == Outcome::rejected || record.outcome == Outcome::expired) {
    // What never came before the controller has no reason of its: the code that was answered says why.
    const bool by_code = record.reason == Reason::none && !record.error.empty();
    m.shed.Add({{"reason", by_code ? record.error : std::string(name(record.reason))}}).Increment();
  }

  const bool dispatched = record.attempts > 0;
  if (dispatched && record.wait) m.wait.Add(labels, wait_buckets).Observe(seconds(*record.wait));
  if (record.ttft) m.ttft.Add(labels, ttft_buckets).Observe(seconds(*record.ttft));
  if (record.tpot) m.tpot.Add(labels, tpot_buckets).Observe(seconds(*record.tpot));
  if (record.outcome == Outcome::completed) m.e2e.Add(labels, e2e_buckets).Observe(seconds(record.e2e));

  if (record.estimate && record.wait && (dispatched || record.outcome == Outcome::expired)) {
    const Labels by_class{{"class", labels.at("class")}};
    Labels result = by_class;
    result.emplace("horizon", horizon(record.estimate->expected));
    result.emplace("result", dispatched && *record.wait <= record.estimate->bound ? "within" : "beyond");
    m.wait_bound.Add(result).Increment();
    if (dispatched && record.estimate->expected > 0s) {
      m.wait_ratio.Add(by_class, ratio_buckets).Observe(seconds(*record.wait) / seconds(record.estimate->expected));
    }
  }

  const auto count = [&](const char* direction, Tokens tokens) {
    if (tokens <= Tokens{0}) return;
    const auto n = static_cast<double>(tokens.count);
    m.tokens.Add(with("direction", direction)).Increment(n);
    if (!record.tenant.empty()) m.tenant_tokens.Add({{"tenant", record.tenant}, {"direction", direction}}).Increment(n);
  };
  if (dispatched) count("prompt", record.prompt_tokens);
  count("output", record.output_tokens);
  const auto count_cached = [&](const char* source, Tokens tokens) {
    if (tokens > Tokens{0}) m.cached_tokens.Add(with("source", source)).Increment(static_cast<double>(tokens.count));
  };
  if (dispatched) count_cached("expected", record.cached_expected);
  count_cached("reported", record.cached.value_or(Tokens{0}));
}

void Metrics::request_resided(Duration residence) { impl_->request_residence.Observe(seconds(residence)); }
void Metrics::chunk_resided(Duration residence) { impl_->chunk_residence.Observe(seconds(residence)); }

void Metrics::config_reloaded(bool successful, UnixTime at) {
  impl_->reload_successful.Set(successful ? 1 : 0);
  if (successful) impl_->reload_timestamp.Set(seconds(at.time_since_epoch()));
}

std::string Metrics::expose(const Now& now) const {
  using prometheus::MetricType;
  auto all = impl_->registry.Collect();
  std::erase_if(all, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });

  Snapshot queue_requests(MetricType::Gauge, "qlm_queue_requests", "Requests waiting.");
  Snapshot queue_tokens(MetricType::Gauge, "qlm_queue_tokens", "Tokens waiting, estimated.");
  for (const QueueNow& queue : now.queue) {
    queue_requests.add({{"model", queue.model}, {"class", queue.class_name}}, static_cast<double>(queue.requests));
    queue_tokens.add({{"model", queue.model}, {"class", queue.class_name}}, static_cast<double>(queue.tokens.count));
  }
  Snapshot up(MetricType::Gauge, "qlm_instance_up", "1 when the instance answers.");
  Snapshot stalled(MetricType::Gauge, "qlm_instance_stalled", "1 when its streams stand still.");
  Snapshot running(MetricType::Gauge, "qlm_instance_running", "Requests at the instance.");
  Snapshot slots(MetricType::Gauge, "qlm_instance_slots", "Requests it may be given at once.");
  Snapshot busy(MetricType::Counter, "qlm_instance_busy_seconds_total", "Time with at least one request.");
  Snapshot stats_age(MetricType::Gauge, "qlm_instance_stats_age_seconds", "Since its own metrics were last read.");
  Snapshot state(MetricType::Gauge, "qlm_instance_state", "1; the state is the label.");
  Snapshot swaps(MetricType::Counter, "qlm_swaps_total", "Models brought in, by the way they come.");
  Snapshot swap_failures(MetricType::Counter, "qlm_swap_failures_total", "Models that did not come.");
  Snapshot swapping(MetricType::Counter, "qlm_swap_seconds_total", "Time without any model: from when nothing ran until the next one served.");
  for (const InstanceNow& instance : now.instances) {
    const auto each = [&](Snapshot& snapshot, double value) { snapshot.add({{"instance_name", instance.name}}, value); };
    each(up, instance.up ? 1 : 0);
    each(stalled, instance.stalled ? 1 : 0);
    each(running, static_cast<double>(instance.running));
    if (instance.slots) each(slots, static_cast<double>(*instance.slots));
    each(busy, seconds(instance.busy));
    if (instance.stats_age) each(stats_age, seconds(*instance.stats_age));
    state.add({{"instance_name", instance.name}, {"state", instance.state}}, 1);
    if (!instance.swaps) continue;
    swaps.add({{"instance_name", instance.name}, {"way", "start"}}, static_cast<double>(instance.swaps->started));
    swaps.add({{"instance_name", instance.name}, {"way", "wake"}}, static_cast<double>(instance.swaps->woken));
    each(swap_failures, static_cast<double>(instance.swaps->failed));
    each(swapping, seconds(instance.swaps->took));
  }
  Snapshot lost(MetricType::Counter, "qlm_access_log_lost_lines_total", "Access log lines that could not be written.");
  lost.add({}, static_cast<double>(now.access_lines_lost));
  Snapshot evictions(MetricType::Counter, "qlm_evictions_total", "Running requests that gave way to others.");
  evictions.add({}, static_cast<double>(now.evictions));
  Snapshot wasted(MetricType::Counter, "qlm_eviction_wasted_tokens_total",
                  "Tokens generated and lost by evictions, and of prompts read again for them that were not cached.");
  wasted.add({}, static_cast<double>(now.wasted.count));
  for (Snapshot* each : {&queue_requests, &queue_tokens, &up, &stalled, &running, &slots, &busy, &stats_age, &state, &swaps, &swap_failures, &swapping, &lost, &evictions, &wasted}) {
    std::move(*each).into(all);
  }
  return prometheus::TextSerializer{}.Serialize(all);
}

}  // namespace qlm::observe

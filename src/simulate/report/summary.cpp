#include "simulate/report/summary.hpp"

#include <algorithm>
#include <cmath>

namespace qlm::report {

std::optional<Duration> ttft(const RequestRecord& r) {
  if (!r.first_token) return std::nullopt;
  return *r.first_token - r.arrival;
}

std::optional<Duration> tpot(const RequestRecord& r) {
  if (!r.first_token || !r.last_token || r.received < Tokens{2}) return std::nullopt;
  return (*r.last_token - *r.first_token) / (r.received.count - 1);
}

std::optional<Duration> e2e(const RequestRecord& r) {
  if (r.outcome != Outcome::completed || !r.ended) return std::nullopt;
  return *r.ended - r.arrival;
}

bool on_time(const RequestRecord& r, const Slo& slo) {
  if (r.outcome != Outcome::completed) return false;
  const auto met = [](std::optional<Duration> objective, std::optional<Duration> measured) {
    return !objective || (measured && *measured <= *objective);
  };
  // A reply of one token has no gap to be late with.
  const bool pace = r.received < Tokens{2} || met(slo.tpot, tpot(r));
  return met(slo.ttft, ttft(r)) && pace && met(slo.e2e, e2e(r));
}

Duration percentile(const std::vector<Duration>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size()) - 1e-9));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

Percentiles percentiles(std::vector<Duration> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.size(), percentile(values, 0.5), percentile(values, 0.9), percentile(values, 0.99)};
}

namespace {

struct Collector {
  ClassSummary out;
  std::vector<Duration> ttfts, tpots, e2es;

  void add(const RequestRecord& r, bool has_slo, bool met) {
    ++out.offered;
    ++out.outcomes[static_cast<std::size_t>(r.outcome)];
    out.on_time += has_slo && met;
    if (const auto t = ttft(r)) ttfts.push_back(*t);
    if (r.outcome != Outcome::completed) return;
    if (const auto t = tpot(r)) tpots.push_back(*t);
    if (const auto t = e2e(r)) e2es.push_back(*t);
  }

  ClassSummary finish(std::size_t with_slo) {
    if (with_slo > 0) out.attainment = static_cast<double>(out.on_time) / static_cast<double>(with_slo);
    out.ttft = percentiles(std::move(ttfts));
    out.tpot = percentiles(std::move(tpots));
    out.e2e = percentiles(std::move(e2es));
    return std::move(out);
  }
};

}  // namespace

Summary summarize(const Run& run) {
  Summary summary;
  std::vector<Collector> classes(run.classes.size());
  Collector all;
  all.out.name = "all";
  std::size_t with_slo = 0;
  std::optional<Duration> first_arrival, last_completion;
  std::int64_t tokens = 0, good_tokens = 0;
  for (const auto& r : run.requests) {
    const Slo& slo = run.classes[r.slo_class].slo;
    const bool has_slo = slo != Slo{};
    const bool met = on_time(r, slo);
    with_slo += has_slo;
    classes[r.slo_class].add(r, has_slo, met);
    all.add(r, has_slo, met);
    if (!first_arrival || r.arrival < *first_arrival) first_arrival = r.arrival;
    if (r.outcome != Outcome::completed) continue;
    if (r.ended && (!last_completion || *r.ended > *last_completion)) last_completion = r.ended;
    tokens += r.received.count;
    summary.wrong_length += r.received != r.asked;
    if (has_slo && met) good_tokens += r.received.count;
  }
  for (std::size_t i = 0; i < classes.size(); ++i) {
    classes[i].out.name = run.classes[i].name;
    classes[i].out.slo = run.classes[i].slo;
    const bool has_slo = run.classes[i].slo != Slo{};
    summary.classes.push_back(classes[i].finish(has_slo ? classes[i].out.offered : 0));
    const auto& attainment = summary.classes[i].attainment;
    if (attainment && (!summary.worst_class || *attainment < *summary.classes[*summary.worst_class].attainment)) {
      summary.worst_class = i;
    }
  }
  summary.all = all.finish(with_slo);
  if (first_arrival && last_completion && *last_completion > *first_arrival) {
    summary.span = *last_completion - *first_arrival;
    const double s = seconds(summary.span);
    summary.throughput_tokens = static_cast<double>(tokens) / s;
    summary.goodput_tokens = static_cast<double>(good_tokens) / s;
    summary.goodput_requests = static_cast<double>(summary.all.on_time) / s;
  }
  return summary;
}

}  // namespace qlm::report

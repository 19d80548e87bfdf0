// Who was served how much: the shares of classes, minute by minute, and of tenants.
#include <algorithm>

#include "simulate/suite/cell.hpp"

namespace qlm::suite {
namespace {

constexpr Duration minute = 60s;

// Of one model: tokens by minute and class, and the minutes in which a class had requests waiting all the time.
class Minutes {
 public:
  Minutes(std::size_t classes, std::size_t minutes) : all_(minutes), of_(classes, std::vector<double>(minutes)) {}

  void serve(std::size_t of_class, Duration from, Duration until, double tokens) {
    const double lasts = std::max(1e-9, seconds(until - from));
    for (auto k = static_cast<std::size_t>(from / minute); k < all_.size() && minute * static_cast<std::int64_t>(k) <= until; ++k) {
      const Duration begins = std::max(from, minute * static_cast<std::int64_t>(k)), ends = std::min(until, minute * static_cast<std::int64_t>(k + 1));
      const double part = from == until ? tokens : tokens * seconds(ends - begins) / lasts;
      all_[k] += part;
      of_[of_class][k] += part;
    }
  }

  // `changes`: +1 when a request of the class comes, -1 when it is started; by time.
  std::optional<double> least(std::size_t of_class, std::vector<std::pair<Duration, int>> changes) const {
    std::ranges::sort(changes);
    std::optional<double> least;
    std::size_t next = 0;
    int waiting = 0;
    for (std::size_t k = 0; k < all_.size(); ++k) {
      bool throughout = waiting > 0;
      for (; next < changes.size() && changes[next].first < minute * static_cast<std::int64_t>(k + 1); ++next) {
        waiting += changes[next].second;
        throughout = throughout && waiting > 0;
      }
      if (throughout && all_[k] > 0) least = std::min(least.value_or(1), of_[of_class][k] / all_[k]);
    }
    return least;
  }

  double sum() const { return total(all_); }
  double sum(std::size_t of_class) const { return total(of_[of_class]); }

 private:
  static double total(const std::vector<double>& of) {
    double sum = 0;
    for (const double each : of) sum += each;
    return sum;
  }

  std::vector<double> all_;
  std::vector<std::vector<double>> of_;
};

}  // namespace

void add_service(Figures& f, const Case& of, const fleet::FleetResult& result) {
  if (result.requests.empty()) return;
  const Duration last = result.requests.back().arrival;
  const Duration begins = result.requests.front().arrival;  // minutes count from here
  const auto minutes = static_cast<std::size_t>((last - begins) / minute);
  std::vector<Minutes> models(of.models.size(), Minutes(of.classes.size(), minutes));
  std::vector<std::vector<std::vector<std::pair<Duration, int>>>> changes(of.models.size(), std::vector<std::vector<std::pair<Duration, int>>>(of.classes.size()));
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    const report::RequestRecord& r = result.requests[i];
    auto& change = changes[r.model][r.slo_class];
    change.emplace_back(r.arrival - begins, 1);
    if (r.sent || r.ended) change.emplace_back((r.sent ? *r.sent : *r.ended) - begins, -1);
    if (!of.tenants.empty()) {
      auto& [attainment, service] = f.tenants[of.tenants[result.tenants[i].index()].name];
      ++attainment.offered;
      attainment.on_time += counts_as_on_time(r, of.classes[r.slo_class]) ? 1 : 0;
      if (r.sent) service.largest_wait = std::max(service.largest_wait, *r.sent - r.arrival);
      if (r.first_token && *r.first_token <= last) {
        service.tokens += static_cast<double>(r.prompt.count);
        const double whole = seconds(r.last_token.value_or(*r.first_token) - *r.first_token);
        const double until_last = whole > 0 ? std::min(1.0, seconds(last - *r.first_token) / whole) : 1;
        service.tokens += until_last * static_cast<double>(r.received.count);
      }
    }
    if (!r.first_token) continue;
    const Duration from = *r.first_token - begins, until = r.last_token.value_or(*r.first_token) - begins;
    models[r.model].serve(r.slo_class, from, from, static_cast<double>(r.prompt.count));
    models[r.model].serve(r.slo_class, from, until, static_cast<double>(r.received.count));
  }
  double all = 0;
  for (const Minutes& m : models) all += m.sum();
  for (std::size_t c = 0; c < of.classes.size(); ++c) {
    const std::string& name = of.classes[c].name;
    double tokens = 0;
    std::optional<double> least;
    for (std::size_t m = 0; m < models.size(); ++m) {
      tokens += models[m].sum(c);
      if (const auto of_model = models[m].least(c, changes[m][c])) least = std::min(least.value_or(1), *of_model);
    }
    f.token_shares[name] = all > 0 ? tokens / all : 0;
    if (least) f.least_minutes[name] = *least;
  }
}

}  // namespace qlm::suite

#include "simulate/suite/cell.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "simulate/bounds/ceiling.hpp"
#include "simulate/bounds/steady.hpp"

namespace qlm::suite {

Result<std::vector<fleet::Arrival>> to_arrivals(const Case& of, const workload::Trace& trace) {
  std::vector<fleet::Arrival> arrivals;
  arrivals.reserve(trace.size());
  for (std::size_t i = 0; i < trace.size(); ++i) {
    const workload::TraceRequest& from = trace[i];
    const auto index_of = [](const auto& list, const std::string& name, auto&& name_of) {
      return static_cast<std::size_t>(std::ranges::find(list, name, name_of) - list.begin());
    };
    const std::size_t model = from.model.empty() ? 0 : index_of(of.models, from.model, std::identity{});
    const std::size_t of_class = from.slo_class.empty() ? of.default_class : index_of(of.classes, from.slo_class, &ServiceClass::name);
    if (model >= of.models.size()) return fail("request " + std::to_string(i + 1) + " names the model '" + from.model + "', which no instance serves");
    if (of_class >= of.classes.size()) return fail("request " + std::to_string(i + 1) + " names the class '" + from.slo_class + "', which is not configured");
    const std::size_t tenant = from.tenant.empty() ? 0 : index_of(of.tenants, from.tenant, &Tenant::name);
    if (tenant > 0 && tenant >= of.tenants.size()) {
      return fail("request " + std::to_string(i + 1) + " names the tenant '" + from.tenant + "', who is not configured");
    }
    fleet::Arrival to;
    to.at = from.arrival;
    to.tenant = TenantId{static_cast<std::uint32_t>(tenant)};
    to.model = ModelId{static_cast<std::uint32_t>(model)};
    to.service_class = ClassId{static_cast<std::uint32_t>(of_class)};
    to.prompt = from.prompt;
    to.output = from.output;
    if (of.states_lengths) to.max_output = from.output;
    to.prefix = from.prefix;
    arrivals.push_back(to);
  }
  return arrivals;
}

fleet::FleetSpec fleet_spec(const Case& of, Policy policy, std::uint64_t seed) {
  auto configuration = std::make_shared<ControllerConfiguration>();
  configuration->policy = policy;
  configuration->delta = of.delta;
  configuration->classes = of.classes;
  configuration->models = of.models;
  configuration->without = of.without;
  configuration->tenants = of.tenants;
  if (of.tenants.empty()) configuration->tenants.resize(1);
  configuration->limits = of.queue.value_or(QueueLimits{.requests = std::int64_t{1} << 40, .bytes = Bytes{std::int64_t{1} << 60}});
  fleet::FleetSpec spec;
  spec.configuration = configuration;
  spec.instances = of.instances;
  spec.tells_slots = of.tells_slots;
  spec.solve = of.solve;
  spec.changes = of.changes;
  spec.disturbance = of.disturbance;
  spec.disturbance.seed = seed;
  return spec;
}

double measured_capacity(const Case& of, std::int64_t backlog) {
  // At a rate this high so many arrive within the first instants; what is drawn beyond is cut.
  const double rate = 1e5;
  workload::Trace trace = of.arrivals(rate, duration_from_seconds(2 * static_cast<double>(backlog) / rate), 0);
  trace.resize(std::min(trace.size(), static_cast<std::size_t>(backlog)));
  // Model by model, so that swaps are not what is measured.
  std::ranges::stable_sort(trace, {}, [](const workload::TraceRequest& r) { return r.model; });
  for (workload::TraceRequest& r : trace) r.arrival = Duration{};
  const auto arrivals = to_arrivals(of, trace);
  if (!arrivals || arrivals->empty()) return 0;
  fleet::FleetSpec spec = fleet_spec(of, Policy::fcfs);
  std::erase_if(spec.changes, [](const fleet::SpeedChange& c) { return c.at > Duration{}; });
  spec.disturbance = {};
  const fleet::FleetResult result = fleet::simulate(spec, *arrivals);
  return static_cast<double>(arrivals->size()) / seconds(result.ended);
}

namespace {

bool alike(const fleet::InstanceSpec& a, const fleet::InstanceSpec& b) {
  const auto facts = [](const fleet::InstanceSpec& i) {
    return std::tuple(i.step.kind, i.step.base_ms, i.step.decode_base_ms, i.step.per_prefill_token_ms, i.step.per_sequence_ms,
                      i.step.per_context_token_ms, i.limits.kv_tokens, i.limits.max_num_seqs, i.models, i.holds.size());
  };
  const auto held = [](const fleet::HeldModelSpec& x, const fleet::HeldModelSpec& y) {
    return x.model == y.model && x.step.base_ms == y.step.base_ms && x.limits.kv_tokens == y.limits.kv_tokens;
  };
  return facts(a) == facts(b) && std::ranges::is_permutation(a.holds, b.holds, held);
}

constexpr Duration settling = 900s, running_out = 600s;

bool is_steady(Duration arrival, Duration first, Duration last) { return arrival >= first + settling && arrival <= last - running_out; }

// What several models that take turns leave each other in the long run.
double steady_ceiling_of(const Case& of, const std::vector<fleet::Arrival>& arrivals, bool by_value) {
  std::vector<std::vector<workload::Lengths>> lengths(of.models.size());
  std::map<std::pair<ModelId, ClassId>, double> counts;
  for (const fleet::Arrival& a : arrivals) {
    lengths[a.model.index()].push_back({a.prompt, a.output});
    counts[{a.model, a.service_class}] += 1;
  }
  std::vector<bounds::SteadyArrivals> groups;
  for (const auto& [group, count] : counts) groups.push_back({group.first, count, by_value ? of.classes[group.second.index()].value : 1});
  std::vector<bounds::MultiModelInstance> instances;
  for (const fleet::InstanceSpec& spec : of.instances) {
    bounds::MultiModelInstance i;
    i.work.resize(of.models.size());
    i.setup.resize(of.models.size());
    for (const ModelId m : spec.models) i.work[m.index()] = bounds::mean_work({spec.step, spec.limits}, lengths[m.index()]);
    for (const fleet::HeldModelSpec& h : spec.holds) {
      i.work[h.model.index()] = bounds::mean_work({h.step, h.limits}, lengths[h.model.index()]);
      i.setup[h.model.index()] = h.bring_in;
    }
    if (!spec.holds.empty()) i.loaded = spec.holds.front().model;
    instances.push_back(std::move(i));
  }
  return bounds::steady_ceiling(groups, instances, arrivals.back().at - arrivals.front().at);
}

// What must be computed of each prompt even if all that was ever said is cached wherever it is wanted.
std::vector<Tokens> least_prompts(const Case& of, const std::vector<fleet::Arrival>& arrivals) {
  const bool cached = std::ranges::any_of(of.instances, [](const fleet::InstanceSpec& i) { return i.limits.prefix_cache; });
  std::map<std::pair<std::uint32_t, std::uint64_t>, Tokens> said;  // of a model's texts
  std::vector<Tokens> least;
  for (const fleet::Arrival& a : arrivals) {
    Tokens shared{0};
    for (std::size_t k = 0; cached && k < a.prefix.size(); ++k) {
      const workload::PrefixPart& part = a.prefix[k];
      Tokens& longest = said[{a.model.value, part.text}];
      shared += std::min(part.length, longest);
      longest = std::max(longest, k + 1 == a.prefix.size() ? part.length + a.output : part.length);
    }
    least.push_back(std::max(Tokens{1}, a.prompt - shared));
  }
  return least;
}

std::vector<bounds::InstanceKind> kinds_of(const Case& of) {
  std::vector<bounds::InstanceKind> kinds;
  const fleet::InstanceSpec* last = nullptr;
  for (const fleet::InstanceSpec& i : of.instances) {
    if (last && alike(*last, i)) {
      ++kinds.back().count;
    } else {
      kinds.push_back({1, std::vector<std::optional<bounds::EngineSpec>>(of.models.size())});
      for (const ModelId m : i.models) kinds.back().models[m.index()] = bounds::EngineSpec{i.step, i.limits};
      for (const fleet::HeldModelSpec& h : i.holds) kinds.back().models[h.model.index()] = bounds::EngineSpec{h.step, h.limits};
    }
    last = &i;
  }
  return kinds;
}

// Of the requests' number, or of their value.
struct Shares {
  double bound = 1, ceiling = 1, steady_bound = 1;
};
Shares shares_of(const Case& of, const std::vector<fleet::Arrival>& arrivals, bool turns, bool by_value) {
  const std::vector<Tokens> prompts = least_prompts(of, arrivals);
  std::vector<bounds::Request> requests, steady;
  std::vector<workload::Lengths> lengths;
  for (std::size_t k = 0; k < arrivals.size(); ++k) {
    const fleet::Arrival& a = arrivals[k];
    const ServiceClass& its = of.classes[a.service_class.index()];
    Slo slo = its.slo;
    if (!slo.tpot) slo.tpot = served_tpot;
    requests.push_back({a.at, a.model, prompts[k], a.output, slo, by_value ? its.value : 1});
    lengths.push_back({prompts[k], a.output});
    if (turns && is_steady(a.at, arrivals.front().at, arrivals.back().at)) steady.push_back(requests.back());
  }
  const std::vector<bounds::InstanceKind> kinds = kinds_of(of);
  Shares shares;
  shares.bound = shares.ceiling = bounds::bound(requests, kinds);
  if (turns) {
    shares.steady_bound = bounds::bound(steady, kinds);
    shares.ceiling = std::min(shares.steady_bound, steady_ceiling_of(of, arrivals, by_value));
  } else if (kinds.size() == 1 && of.models.size() == 1) {
    shares.ceiling = std::min(shares.bound, bounds::ceiling(requests, bounds::OutputLengths(lengths), *kinds[0].models[0], kinds[0].count));
  }
  return shares;
}

}  // namespace

Limits limits_of(const Case& of, const std::vector<fleet::Arrival>& arrivals, const Limits* alike) {
  Limits limits;
  if (arrivals.empty()) return limits;
  const bool turns = std::ranges::any_of(of.instances, [](const fleet::InstanceSpec& i) { return !i.holds.empty(); });
  if (alike) {
    limits = *alike;
  } else {
    const Shares shares = shares_of(of, arrivals, turns, false);
    limits.bound.attainment = shares.bound;
    limits.ceiling.attainment = shares.ceiling;
    if (turns) limits.steady_bound = Limit{.attainment = shares.steady_bound};
  }
  const auto same = std::ranges::adjacent_find(of.classes, std::ranges::not_equal_to{}, &ServiceClass::value) == of.classes.end();
  const auto by_number = [&limits] { return Shares{limits.bound.attainment, limits.ceiling.attainment, limits.steady_bound.value_or(Limit{}).attainment}; };
  const Shares shares = same ? by_number() : shares_of(of, arrivals, turns, true);
  limits.bound.value_attainment = shares.bound;
  limits.ceiling.value_attainment = shares.ceiling;
  if (turns) limits.steady_bound->value_attainment = shares.steady_bound;
  return limits;
}

bool counts_as_on_time(const report::RequestRecord& request, const ServiceClass& service_class) {
  Slo slo = service_class.slo;
  if (!slo.tpot) slo.tpot = served_tpot;
  return report::on_time(request, slo);
}

double Figures::worst_class() const {
  double worst = 1;
  for (const auto& [name, attainment] : classes) worst = std::min(worst, attainment.share());
  return worst;
}

Figures figures(const Case& of, const fleet::FleetResult& result) {
  Figures f;
  f.failed = result.failed;
  if (!f.failed.empty()) return f;
  f.exact = result.exact;
  for (const ServiceClass& c : of.classes) f.classes[c.name];
  // What comes before anybody asks for anything is no part of the run.
  const Duration first = result.requests.empty() ? Duration{} : result.requests.front().arrival;
  const Duration last = result.requests.empty() ? Duration{} : result.requests.back().arrival;
  Duration completed = first;  // the last one
  Tokens needed{0};
  double value_offered = 0, value_on_time = 0, steady_value_offered = 0, steady_value_on_time = 0, tokens = 0, useful = 0;
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    const report::RequestRecord& r = result.requests[i];
    const ServiceClass& c = of.classes[r.slo_class];
    const bool on_time = counts_as_on_time(r, c);
    const bool in_window = is_steady(r.arrival, first, last);
    for (Attainment* a : {&f.all, &f.classes[c.name], &f.steady}) {
      if (a == &f.steady && !in_window) continue;
      ++a->offered;
      a->on_time += on_time ? 1 : 0;
    }
    value_offered += c.value;
    if (on_time) value_on_time += c.value;
    if (in_window) steady_value_offered += c.value;
    if (in_window && on_time) steady_value_on_time += c.value;
    if (r.outcome == report::Outcome::completed) {
      tokens += static_cast<double>(r.received.count);
      needed += r.prompt + r.received;
      completed = std::max(completed, r.ended.value_or(first));
    }
    if (on_time) useful += static_cast<double>(r.received.count);
    if (r.sent) f.largest_wait = std::max(f.largest_wait, *r.sent - r.arrival);
    if (i < result.told.size() && r.arrival >= of.waits_from) f.waits.add(r, c, result.told[i]);
  }
  const double serving = std::max(1e-9, seconds(completed - first));
  // Of all instances, until nothing was left to do.
  const double offered = std::max(1e-9, seconds(result.ended - first)) * static_cast<double>(std::max<std::size_t>(1, of.instances.size()));
  f.value_attainment = value_offered > 0 ? value_on_time / value_offered : 1;
  f.steady_value_attainment = steady_value_offered > 0 ? steady_value_on_time / steady_value_offered : 1;
  f.throughput_tokens_per_s = tokens / serving;
  f.useful_tokens_per_s = useful / serving;
  f.busy_share = seconds(result.busy) / offered;
  f.swaps = result.swaps;
  f.evictions = result.evictions;
  f.preemptions = result.preemptions;
  f.computed = result.prefilled + result.generated;
  f.wasted = std::max(Tokens{0}, f.computed + result.cached - needed);
  const auto prompts = static_cast<double>((result.prefilled + result.cached).count);
  f.cached_share = prompts > 0 ? static_cast<double>(result.cached.count) / prompts : 0;
  f.expected_cached_share = prompts > 0 ? static_cast<double>(result.expected_cached.count) / prompts : 0;
  f.swapping_share = seconds(result.swapping) / offered;
  f.draining_share = seconds(result.draining) / offered;
  if (!result.requests.empty() && !of.instances.empty()) {
    const double arriving = std::max(1e-9, seconds(last - first));
    f.set_up_share = seconds(result.swapping_while_arriving) / (arriving * static_cast<double>(of.instances.size()));
  }
  f.digest = result.digest;
  add_service(f, of, result);
  return f;
}

}  // namespace qlm::suite

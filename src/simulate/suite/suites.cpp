// The suites (docs/scheduling.md): W_A, W_C (one model, one GPU), W_B and heterogeneous (several models taking turns).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "core/enginemodel/profiles.hpp"
#include "core/enginemodel/swap_times.hpp"
#include "simulate/suite/cell.hpp"

namespace qlm::suite {
namespace {

constexpr double mega_share = 0.05;

// Interactive, batch-1, batch-2: the paper's classes, whose last one is an hour there.
std::vector<ServiceClass> three_classes(Duration batch_2) {
  std::vector<ServiceClass> classes;
  const std::array<std::pair<const char*, Duration>, 3> of = {{{"interactive", 20s}, {"batch-1", 60s}, {"batch-2", batch_2}}};
  for (const auto& [name, ttft] : of) {
    ServiceClass c;
    c.name = name;
    c.slo.ttft = ttft;
    c.max_wait = 10'000h;
    classes.push_back(std::move(c));
  }
  return classes;
}

Case one_model(std::string_view recipe, std::string_view profile_name, Duration batch_2) {
  const EngineProfile profile = find_profile(profile_name).value();
  const std::string model(profile.model);
  Case made;
  made.name = std::string(recipe) + "/" + profile.name();
  made.classes = three_classes(batch_2);
  made.models = {model};
  made.instances = {{"gpu0", profile.step, limits_of(profile), {ModelId{0}}}};
  made.arrivals = [recipe, model](double per_second, Duration duration, std::uint64_t seed) {
    return workload::generate(workload::recipe(recipe, {{{model, 1}}, per_second, mega_share}).value(), duration, seed);
  };
  return made;
}

std::vector<Case> one_model_cases(Duration batch_2) {
  std::vector<Case> cases;
  for (const char* recipe : {"w_a", "w_c"}) {
    for (const char* profile : {"a100-80/mistral-7b@2026", "a100-80/vicuna-13b@2024"}) {
      cases.push_back(one_model(recipe, profile, batch_2));
    }
  }
  return cases;
}

// -- conversations on several GPUs that keep prefixes

// What a conversation holds is somewhere: at one of four, or of two of which the other has steps twice as long.
Case conversations(const char* name, std::initializer_list<double> slowness, Duration batch_2) {
  const EngineProfile profile = find_profile("a100-80/mistral-7b@2026").value();
  const std::string model(profile.model);
  Case made;
  made.name = fmt::format("sessions/{}", name);
  made.classes = three_classes(batch_2);
  made.models = {model};
  for (const double times : slowness) {
    fleet::InstanceSpec gpu{fmt::format("gpu{}", made.instances.size()), profile.step, limits_of(profile), {ModelId{0}}};
    gpu.limits.prefix_cache = true;
    // Unknown to the controller, which learns it.
    if (times != 1) made.changes.push_back({Duration{}, made.instances.size(), times});
    made.instances.push_back(std::move(gpu));
  }
  double speeds = 0;  // of all, where capacity is measured of as many at full speed
  for (const double times : slowness) speeds += 1 / times / static_cast<double>(slowness.size());
  made.arrivals = [model, speeds](double per_second, Duration duration, std::uint64_t seed) {
    return workload::generate(workload::recipe("sessions", {{{model, 1}}, per_second * speeds, mega_share}).value(), duration, seed);
  };
  return made;
}

std::vector<Case> conversation_cases(Duration batch_2) { return {conversations("four", {1, 1, 1, 1}, batch_2), conversations("one-slow", {1, 2}, batch_2)}; }

// -- one model, and something that nobody said would change

// Busy periods of 600 s at the load and lulls of 600 s at a sixth of it. The change comes in the first lull; one busy period
// later waits are judged by what was told of them. What the load means follows what the engine can do by then.
struct Change {
  const char* name;
  double outputs = 1, slowness = 1, rate = 1;
};
constexpr Duration wave = 1200s, busy = 600s, change_at = 900s, judged_from = 2400s;
constexpr double lull = 1.0 / 6;
constexpr std::array<Change, 3> changes = {{{"longer", 1.5, 1, 1 / 1.49}, {"slower", 1, 2, 0.5}, {"bursts", 1, 1, 3}}};

Case changing(std::string_view profile_name, const Change& change) {
  Case made = one_model("w_a", profile_name, 600s);
  made.name += fmt::format("/{}", change.name);
  made.waits_from = judged_from;
  if (change.slowness != 1) made.changes = {{change_at, 0, change.slowness}};
  made.arrivals = [usual = made.arrivals, change](double per_second, Duration duration, std::uint64_t seed) {
    workload::Trace all;
    const auto add = [&](Duration from, Duration until, double rate) {
      const Duration length = std::min(until, duration) - from;
      if (length <= Duration{}) return;
      for (workload::TraceRequest& r : usual(per_second * rate, length, seed * 1000 + static_cast<std::uint64_t>(from / 1s))) {
        r.arrival += from;
        if (r.arrival >= change_at) r.output = Tokens{static_cast<std::int64_t>(static_cast<double>(r.output.count) * change.outputs + 0.5)};
        all.push_back(std::move(r));
      }
    };
    for (Duration from{}; from < duration; from += wave) {
      const double rate = from < change_at ? 1 : change.rate;
      const Duration most = rate > 1 ? from + duration_from_seconds(seconds(busy) / (2 * rate)) : from + busy;
      add(from, most, rate);
      add(most, from + wave, std::min(rate, 1.0) * lull);
    }
    return all;
  };
  return made;
}

// -- several models, fewer GPUs

struct ServedModel {
  const char* name;
  const char* weights_of;  // the model whose profile it follows
  double popularity = 1;
};
struct Gpu {
  const char* name;
  int era;
};

std::string_view word(SwapPreset preset) { return preset == SwapPreset::warm ? "warm" : preset == SwapPreset::nvme ? "nvme" : "cold2024"; }
constexpr SwapPreset warm = SwapPreset::warm, nvme = SwapPreset::nvme, cold2024 = SwapPreset::cold2024;

Case several_models(std::string_view name, std::string_view recipe, const std::vector<ServedModel>& models, const std::vector<Gpu>& gpus,
                    SwapPreset swapping, Duration batch_2) {
  Case made;
  made.name = fmt::format("{}/{}", name, word(swapping));
  made.classes = three_classes(batch_2);
  made.backlog = 150'000;
  std::vector<workload::WeightedModel> weighted;
  for (const ServedModel& m : models) {
    made.models.emplace_back(m.name);
    weighted.push_back({m.name, m.popularity});
  }
  for (std::size_t g = 0; g < gpus.size(); ++g) {
    fleet::InstanceSpec gpu;
    gpu.name = fmt::format("gpu{}-{}", g, gpus[g].name);
    // Each begins with another model, the most urgent first.
    for (std::size_t k = 0; k < models.size(); ++k) {
      const std::size_t m = (k + g) % models.size();
      const auto profile = find_profile(fmt::format("{}/{}@{}", gpus[g].name, models[m].weights_of, gpus[g].era));
      if (!profile) continue;  // does not fit
      const SwapTimes takes = swap_times(swapping, models[m].weights_of).value();
      gpu.holds.push_back({ModelId{static_cast<std::uint32_t>(m)}, profile->step, limits_of(*profile), takes.bring_in, takes.put_away});
    }
    made.instances.push_back(std::move(gpu));
  }
  made.arrivals = [recipe, weighted](double per_second, Duration duration, std::uint64_t seed) {
    return workload::generate(workload::recipe(recipe, {weighted, per_second, 0}).value(), duration, seed);
  };
  return made;
}

const std::vector<ServedModel> four = {{"mistral-a", "mistral-7b"}, {"mistral-b", "mistral-7b"}, {"vicuna", "vicuna-13b"}, {"llama", "llama-3.1-8b"}};
// Popularity after a production fleet's; classes alternate with it.
const std::vector<ServedModel> six = {{"mistral-a", "mistral-7b", 31}, {"llama-a", "llama-3.1-8b", 9}, {"vicuna-b", "vicuna-13b", 8},
                                      {"vicuna-a", "vicuna-13b", 15},  {"mistral-b", "mistral-7b", 8}, {"llama-b", "llama-3.1-8b", 8}};
const std::vector<Gpu> two_a100 = {{"a100-80", 2026}, {"a100-80", 2026}};
const std::vector<Gpu> three_a100 = {{"a100-80", 2026}, {"a100-80", 2026}, {"a100-80", 2026}};
const std::vector<Gpu> mixed_gpus = {{"a100-80", 2024}, {"a100-80", 2024}, {"a10-24", 2024}, {"a10-24", 2024}};

std::vector<Case> several_models_cases(Duration batch_2, std::initializer_list<SwapPreset> presets) {
  std::vector<Case> cases;
  for (const SwapPreset swapping : presets) {
    for (const char* recipe : {"w_b", "w_b_dumps", "w_b_interactive"}) {
      cases.push_back(several_models(fmt::format("{}/four", recipe), recipe, four, two_a100, swapping, batch_2));
      cases.push_back(several_models(fmt::format("{}/six", recipe), recipe, six, three_a100, swapping, batch_2));
      const std::string heterogeneous = "heterogeneous" + std::string(recipe).substr(3);
      const std::string_view asked = std::string_view(recipe) == "w_b" ? "heterogeneous" : recipe;
      cases.push_back(several_models(heterogeneous, asked, four, mixed_gpus, swapping, batch_2));
    }
  }
  return cases;
}

std::vector<Case> all_cases(Duration batch_2, std::initializer_list<SwapPreset> presets) {
  std::vector<Case> cases = one_model_cases(batch_2);
  for (Case& c : several_models_cases(batch_2, presets)) cases.push_back(std::move(c));
  return cases;
}

// -- the same with something in the way

// What is told or done wrong. The load of an engine that is slow is meant of what the fleet can do then.
struct Trouble {
  const char* name;
  fleet::Disturbance disturbance;
  std::vector<fleet::SpeedChange> changes;
  bool needs_others = false;   // another instance that goes on
  bool states_lengths = false; // both it and its twin
  bool untold_slots = false;   // the same
};
constexpr Duration half_way = 1200s;
constexpr double left_of_two = 0.75;  // of what two alike engines can do, once one is at half speed

std::vector<Trouble> troubles() {
  const auto with = [](auto&& set) {
    fleet::Disturbance d;
    set(d);
    return d;
  };
  return {
      {.name = "counts", .disturbance = with([](auto& d) { d.counted = {0.4, 1.6}; })},
      {.name = "wrong", .disturbance = with([](auto& d) { d.stated = {0.4, 1.6}; }), .states_lengths = true},
      {.name = "prior-130", .disturbance = with([](auto& d) { d.believed_speed = 1.3; })},
      {.name = "prior-70", .disturbance = with([](auto& d) { d.believed_speed = 0.7; })},
      {.name = "stale", .disturbance = with([](auto& d) { d.stats_age = 5s; }), .untold_slots = true},
      {.name = "lost-events", .disturbance = with([](auto& d) { d.lost = 0.1; })},
      {.name = "half-speed", .changes = {{Duration{}, 0, 2}}, .needs_others = true},
      {.name = "half-speed-later", .changes = {{half_way, 0, 2}}, .needs_others = true},
      {.name = "away", .disturbance = with([](auto& d) { d.outages = {{half_way, half_way + 120s, 0}}; }), .needs_others = true},
  };
}

// Twins come before what is done to them.
std::vector<Case> troubled(const Case& usual) {
  std::vector<Case> cases = {usual};
  const auto twin_of = [&](const Trouble& t) {
    Case twin = usual;
    if (t.states_lengths) twin.name += "/stated";
    if (t.untold_slots) twin.name += "/untold";
    twin.states_lengths = t.states_lengths;
    if (t.untold_slots) twin.tells_slots = false;
    if (std::ranges::find(cases, twin.name, &Case::name) == cases.end()) cases.push_back(twin);
    return twin;
  };
  const bool alike = usual.instances.size() == 2;
  for (const Trouble& t : troubles()) {
    const bool changes_later = !t.changes.empty() && t.changes.front().at > Duration{};
    if ((t.needs_others && usual.instances.size() < 2) || (changes_later && !alike)) continue;
    Case made = twin_of(t);
    made.undisturbed = made.name;
    made.name += fmt::format("/{}", t.name);
    made.disturbance = t.disturbance;
    made.changes = t.changes;
    if (changes_later) {
      made.arrivals = [arrivals = usual.arrivals](double per_second, Duration duration, std::uint64_t seed) {
        const Duration before = std::min(half_way, duration);
        workload::Trace all = arrivals(per_second, before, seed);
        for (workload::TraceRequest& r : arrivals(per_second * left_of_two, duration - before, seed * 1000 + 1)) {
          r.arrival += before;
          all.push_back(std::move(r));
        }
        return all;
      };
    }
    cases.push_back(std::move(made));
  }
  return cases;
}

const std::vector<Policy> quick_policies = {Policy::fcfs, Policy::edf, Policy::edf_expire, Policy::sjf, Policy::greedy, Policy::qlm};
const std::vector<Policy> compared_policies = {Policy::fcfs,     Policy::edf,    Policy::edf_expire,    Policy::sjf,    Policy::greedy,
                                               Policy::shepherd, Policy::qlm_lp, Policy::qlm_lp_expire, Policy::qlm_sp, Policy::qlm};
const std::vector<double> load_grid = {0.5, 0.8, 0.95, 1.1, 1.2, 1.5};

Suite smoke() {
  Suite s{.name = "smoke", .loads = {0.8, 1.2, 1.5}};
  s.cases = {one_model("w_a", "a100-80/mistral-7b@2026", 600s), one_model("w_c", "a100-80/vicuna-13b@2024", 600s),
             several_models("w_b/four", "w_b", four, two_a100, warm, 600s)};
  s.seeds = 1;
  s.duration = 2400s;  // a quarter of an hour of it is steady; longer would not be done within a minute on two cores
  s.backlog = 10'000;
  s.cases.back().backlog = 30'000;
  s.policies = quick_policies;
  return s;
}

Suite paper() {
  Suite s{.name = "paper",
          .cases = all_cases(3600s, {warm, nvme, cold2024}), .loads = load_grid};
  s.requests = 3'500;
  s.policies = compared_policies;
  return s;
}

Suite steady() {
  Suite s{.name = "steady",
          .cases = all_cases(600s, {warm, nvme}), .loads = load_grid};
  s.duration = 10'800s;
  s.values = {{1, 1, 1}, {10, 3, 1}};
  s.policies.assign(all_policies.begin(), all_policies.end());
  return s;
}

Suite change() {
  Suite s{.name = "changes", .loads = {1.2, 1.5}};
  for (const char* profile : {"a100-80/mistral-7b@2026", "a100-80/vicuna-13b@2024"}) {
    for (const Change& each : changes) s.cases.push_back(changing(profile, each));
  }
  s.duration = 4800s;
  s.policies = {Policy::fcfs, Policy::edf, Policy::qlm};
  return s;
}

Suite robust() {
  Suite s{.name = "robust", .loads = {0.95, 1.2, 1.5}};
  Case one = one_model("w_a", "a100-80/mistral-7b@2026", 600s);
  one.name = "w_a/one";
  Case two = one;
  two.name = "w_a/two";
  two.instances.push_back(two.instances.front());
  two.instances.back().name = "gpu1";
  for (const Case& usual : {one, two, several_models("w_b/four", "w_b", four, two_a100, warm, 600s),
                            several_models("heterogeneous", "w_b", four, mixed_gpus, warm, 600s)}) {
    for (Case& c : troubled(usual)) s.cases.push_back(std::move(c));
  }
  s.seeds = 1;
  s.duration = 2400s;
  s.policies = {Policy::edf_expire, Policy::qlm};
  return s;
}

Suite session() {
  Suite s{.name = "sessions", .cases = conversation_cases(600s), .loads = {0.5, 0.8, 0.95, 1.2}};
  s.duration = 3600s;
  s.policies = {Policy::fcfs, Policy::edf_expire, Policy::qlm};
  return s;
}

struct Named {
  SuiteName name;
  Suite (*make)();
};
const std::array<Named, 6> named = {{{{"smoke", "forty minutes of one model, and of four by turns, at three loads, one seed: under a minute"}, smoke},
                                     {{"paper", "the paper's own set-up: 3,500 requests a trace"}, paper},
                                     {{"steady", "three hours of arrivals at six loads, three seeds, class values 1/1/1 and 10/3/1"}, steady},
                                     {{"changes", "busy periods after outputs grew longer, the engine slower, or in bursts: what is told of waits"}, change},
                                     {{"robust", "lengths, speeds and statistics told wrong or late, events lost, an engine slow or away: what each costs"}, robust},
                                     {{"sessions", "conversations on four GPUs that keep prefixes, and on two of which one is slow"}, session}}};

}  // namespace

Result<Case> with_values(const Case& of, const std::vector<double>& values) {
  Case made = of;
  if (values.empty()) return made;
  if (values.size() != of.classes.size()) {
    return fail(fmt::format("{} has {} classes, not {}", of.name, of.classes.size(), values.size()));
  }
  for (std::size_t c = 0; c < values.size(); ++c) made.classes[c].value = values[c];
  if (std::ranges::any_of(values, [](double v) { return v != 1; })) {
    const std::string told = fmt::format("/values-{}", fmt::join(values, "-"));
    made.name += told;
    if (!made.undisturbed.empty()) made.undisturbed += told;
  }
  return made;
}

std::vector<SuiteName> suite_names() {
  std::vector<SuiteName> names;
  for (const Named& each : named) names.push_back(each.name);
  return names;
}

Result<Suite> suite(std::string_view name) {
  std::string known;
  for (const Named& each : named) {
    if (each.name.name == name) return each.make();
    known += (known.empty() ? "" : ", ") + std::string(each.name.name);
  }
  return fail("there is no suite '" + std::string(name) + "'; there are " + known);
}

}  // namespace qlm::suite

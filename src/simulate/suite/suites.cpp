// The suites, after `The evaluation` in docs/scheduling.md: W_A, W_C (one model, one GPU).
#include <array>

#include "core/enginemodel/profiles.hpp"
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

const std::vector<Policy> all_policies = {Policy::fcfs, Policy::edf, Policy::edf_expire, Policy::sjf, Policy::qlm};
const std::vector<double> load_grid = {0.5, 0.8, 0.95, 1.1, 1.2, 1.5};

Suite smoke() {
  Suite s{.name = "smoke", .loads = {0.8, 1.2, 1.5}};
  s.cases = {one_model("w_a", "a100-80/mistral-7b@2026", 600s), one_model("w_c", "a100-80/vicuna-13b@2024", 600s)};
  s.seeds = 1;
  s.duration = 3600s;
  s.backlog = 10'000;
  s.policies = all_policies;
  return s;
}

Suite paper() {
  Suite s{.name = "paper",
          .cases = one_model_cases(3600s), .loads = load_grid};
  s.requests = 3'500;
  s.policies = all_policies;
  return s;
}

Suite steady() {
  Suite s{.name = "steady",
          .cases = one_model_cases(600s), .loads = load_grid};
  s.duration = 10'800s;
  s.policies = all_policies;
  return s;
}

struct Named {
  SuiteName name;
  Suite (*make)();
};
const std::array<Named, 3> named = {{{{"smoke", "an hour of one model at three loads, one seed: under a minute"}, smoke},
                                     {{"paper", "the paper's own set-up: 3,500 requests a trace"}, paper},
                                     {{"steady", "three hours of arrivals at six loads, three seeds"}, steady}}};

}  // namespace

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

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/domain/names.hpp"
#include "simulate/suite/cell.hpp"
#include "simulate/suite/suite_report.hpp"

namespace qlm::suite {
namespace {

Case small_case() {
  Case c = suite("smoke")->cases.front();
  c.instances.front().limits.max_num_seqs = 32;
  return c;
}

report::RequestRecord served(Duration first_token, Duration gap) {
  report::RequestRecord r;
  r.outcome = report::Outcome::completed;
  r.arrival = 100s;
  r.sent = 100s;
  r.first_token = r.arrival + first_token;
  r.received = Tokens{11};
  r.last_token = *r.first_token + gap * 10;
  r.ended = r.last_token;
  return r;
}

TEST(Suite, OnTimeMeansATokenInTimeAndThenAPaceThatServes) {
  ServiceClass c;
  c.slo.ttft = 20s;
  EXPECT_TRUE(counts_as_on_time(served(20s, 200ms), c));
  EXPECT_FALSE(counts_as_on_time(served(20s + 1ns, 200ms), c));
  EXPECT_FALSE(counts_as_on_time(served(20s, 201ms), c)) << "started in time and then starved";
  c.slo.tpot = 300ms;
  EXPECT_TRUE(counts_as_on_time(served(20s, 250ms), c)) << "the class's own pace counts where it has one";
  report::RequestRecord cut = served(1s, 10ms);
  cut.outcome = report::Outcome::failed;
  EXPECT_FALSE(counts_as_on_time(cut, c));
}

TEST(Suite, EveryArrivalIsInTheDenominatorAndValuesWeigh) {
  Case c = small_case();
  c.classes[0].value = 9;
  fleet::FleetResult result;
  result.requests = {served(1s, 1ms), served(25s, 1ms), report::RequestRecord{.slo_class = 1, .outcome = report::Outcome::refused, .arrival = 100s}};
  result.ended = 200s;
  const Figures f = figures(c, result);
  EXPECT_EQ(f.all.offered, 3);
  EXPECT_EQ(f.all.on_time, 1);
  EXPECT_DOUBLE_EQ(f.value_attainment, 9.0 / 19);
  EXPECT_DOUBLE_EQ(f.classes.at("interactive").share(), 0.5);
  EXPECT_EQ(f.worst_class(), 0);
  EXPECT_DOUBLE_EQ(f.throughput_tokens_per_s, 22.0 / 25.01) << "from the first arrival to the last completion";
  EXPECT_DOUBLE_EQ(f.useful_tokens_per_s, 11.0 / 25.01);
}

TEST(Suite, NothingCountsBeforeTheFirstArrival) {
  const Case c = suite("smoke")->cases.back();  // several models by turns
  const auto arrivals = to_arrivals(c, c.arrivals(40, 1700s, 7)).value();
  fleet::FleetResult early = fleet::simulate(fleet_spec(c, Policy::fcfs), arrivals);
  fleet::FleetResult late = early;
  late.ended += 1000s;
  for (report::RequestRecord& r : late.requests) {
    r.arrival += 1000s;
    for (auto* at : {&r.sent, &r.first_token, &r.last_token, &r.ended}) {
      if (*at) **at += 1000s;
    }
  }
  const Figures a = figures(c, early), b = figures(c, late);
  ASSERT_GT(a.steady.offered, 1000);
  ASSERT_GT(a.set_up_share, 0);
  ASSERT_FALSE(a.least_minutes.empty());
  EXPECT_EQ(a.steady.offered, b.steady.offered);
  EXPECT_EQ(a.steady.on_time, b.steady.on_time);
  EXPECT_EQ(std::tie(a.throughput_tokens_per_s, a.useful_tokens_per_s, a.busy_share, a.swapping_share, a.draining_share, a.set_up_share),
            std::tie(b.throughput_tokens_per_s, b.useful_tokens_per_s, b.busy_share, b.swapping_share, b.draining_share, b.set_up_share));
  EXPECT_EQ(a.token_shares, b.token_shares);
  EXPECT_EQ(a.least_minutes, b.least_minutes);
  const std::vector<fleet::Arrival> few(arrivals.begin(), arrivals.begin() + 500);
  auto later = few;
  for (fleet::Arrival& each : later) each.at += 1000s;
  EXPECT_EQ(limits_of(c, few).ceiling.attainment, limits_of(c, later).ceiling.attainment);
}

TEST(Suite, CapacityIsTheRateABacklogIsServedAt) {
  const Case c = small_case();
  const double capacity = measured_capacity(c, 1500);
  // What arrives a little slower is served as it comes, a little faster piles up.
  const auto ended = [&](double rate) {
    const auto arrivals = to_arrivals(c, c.arrivals(rate, 100s, 7)).value();
    return seconds(fleet::simulate(fleet_spec(c, Policy::fcfs), arrivals).ended);
  };
  EXPECT_LT(ended(0.8 * capacity), 110);
  EXPECT_GT(ended(1.5 * capacity), 135);
}

TEST(Suite, ATraceThatNamesWhatIsNotThereIsRefused) {
  const Case c = small_case();
  EXPECT_FALSE(to_arrivals(c, {{.arrival = 0s, .model = "unheard-of", .slo_class = "interactive"}}));
  EXPECT_FALSE(to_arrivals(c, {{.arrival = 0s, .model = c.models[0], .slo_class = "unheard-of"}}));
  EXPECT_TRUE(to_arrivals(c, {{.arrival = 0s, .model = "", .slo_class = ""}}));
}

TEST(Suite, OtherValuesMakeAnotherCaseOfTheSameArrivals) {
  const Case c = small_case();
  const Case valued = with_values(c, {10, 3, 1}).value();
  EXPECT_EQ(valued.name, c.name + "/values-10-3-1");
  EXPECT_EQ(valued.classes[1].value, 3);
  EXPECT_EQ(valued.arrivals(10, 60s, 7), c.arrivals(10, 60s, 7));
  EXPECT_EQ(with_values(c, {1, 1, 1})->name, c.name);
  EXPECT_FALSE(with_values(c, {10, 3})) << "three classes, two values";
}

TEST(Suite, AComponentLeftOutIsMissedAndTheCapacityIsMeasuredWithIt) {
  Case of = suite("steady")->cases.front();
  const double capacity = measured_capacity(of, 2000);
  const auto arrivals = to_arrivals(of, of.arrivals(1.5 * capacity, 10min, 1)).value();
  const std::uint64_t whole = fleet::simulate(fleet_spec(of, Policy::qlm), arrivals).digest;
  for (const Component component : {Component::price, Component::on_time_set, Component::length_model, Component::late_binding}) {
    of.without = {component};
    EXPECT_NE(fleet::simulate(fleet_spec(of, Policy::qlm), arrivals).digest, whole) << name(component);
  }
  of.without = {Component::gathering, Component::plan};  // this engine has no steps of their own for prefill, and one model
  EXPECT_EQ(fleet::simulate(fleet_spec(of, Policy::qlm), arrivals).digest, whole);
}

TEST(Suite, NamesAreKnownAndSoAreWrongOnes) {
  for (const SuiteName& each : suite_names()) EXPECT_EQ(suite(each.name)->name, each.name);
  EXPECT_NE(suite("smoky").error().message.find("smoke"), std::string::npos);
}

TEST(Suite, WhatChangesIsSilentAndTheLoadFollowsWhatTheEngineCanDo) {
  const Suite changes = *suite("changes");
  const auto arrivals = [](const Case& c, Duration from, Duration until) {
    std::int64_t count = 0, tokens = 0;
    for (const workload::TraceRequest& r : c.arrivals(10, 4800s, 1)) {
      if (r.arrival >= from && r.arrival < until) ++count, tokens += r.output.count;
    }
    return std::pair(static_cast<double>(count), static_cast<double>(tokens) / static_cast<double>(count));
  };
  const auto [longer, slower, bursts] = std::tie(changes.cases[0], changes.cases[1], changes.cases[2]);
  EXPECT_NEAR(arrivals(longer, 2400s, 3000s).second / arrivals(longer, 0s, 600s).second, 1.5, 0.1);
  EXPECT_NEAR(arrivals(slower, 2400s, 3000s).first / arrivals(slower, 0s, 600s).first, 0.5, 0.05);
  EXPECT_EQ(slower.changes.front().slowness, 2);
  EXPECT_NEAR(arrivals(bursts, 2400s, 2500s).first, 3000, 200);
  EXPECT_NEAR(arrivals(bursts, 2500s, 3600s).first, 1833, 200);
}

TEST(Suite, WhatIsInTheWayComesAfterTheSameWithoutItAndTheLoadFollowsWhatTheFleetCanDo) {
  const Suite robust = *suite("robust");
  const auto named = [&](std::string_view name) { return *std::ranges::find(robust.cases, name, &Case::name); };
  int disturbed = 0;
  for (std::size_t i = 0; i < robust.cases.size(); ++i) {
    const Case& c = robust.cases[i];
    if (c.undisturbed.empty()) continue;
    ++disturbed;
    const auto twin = std::ranges::find(robust.cases, c.undisturbed, &Case::name);
    ASSERT_NE(twin, robust.cases.end()) << c.name;
    EXPECT_LT(twin - robust.cases.begin(), static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(twin->undisturbed, "");
    EXPECT_EQ(c.tells_slots, twin->tells_slots);
    EXPECT_EQ(c.states_lengths, twin->states_lengths);
    EXPECT_EQ(with_values(c, {10, 3, 1})->undisturbed, with_values(*twin, {10, 3, 1})->name);
  }
  EXPECT_EQ(disturbed, 6 + 9 + 9 + 8);
  Case usual = named("w_a/two"), slow = named("w_a/two/half-speed");
  for (Case* c : {&usual, &slow}) {
    for (fleet::InstanceSpec& i : c->instances) i.limits.max_num_seqs = 32;
  }
  EXPECT_NEAR(measured_capacity(slow, 3000) / measured_capacity(usual, 3000), 0.75, 0.03);
  const auto later = named("w_a/two/half-speed-later").arrivals(10, 2400s, 1);
  const auto before = std::ranges::count_if(later, [](const workload::TraceRequest& r) { return r.arrival < 1200s; });
  EXPECT_NEAR(static_cast<double>(std::ssize(later) - before) / static_cast<double>(before), 0.75, 0.04);
}

TEST(Suite, ADisturbanceIsOfTheFleetAndItsSeedOfTheCellAndItsCapacityIsMeasuredWithout) {
  Case c = small_case();
  const double usual = measured_capacity(c, 1500);
  c.disturbance.outages = {{1s, 10h, 0}};
  c.disturbance.lost = 0.5;
  EXPECT_EQ(measured_capacity(c, 1500), usual);
  const fleet::FleetSpec spec = fleet_spec(c, Policy::qlm, 7);
  EXPECT_EQ(spec.disturbance.lost, 0.5);
  EXPECT_EQ(spec.disturbance.seed, 7u);
  c.states_lengths = true;
  const auto stated = to_arrivals(c, c.arrivals(10, 10s, 1)).value();
  for (const fleet::Arrival& a : stated) EXPECT_EQ(a.max_output, a.output);
}

report::RequestRecord waited(Duration wait) {
  report::RequestRecord r;
  r.arrival = 100s;
  r.sent = 100s + wait;
  r.outcome = report::Outcome::completed;
  return r;
}
constexpr WaitEstimate told(Duration expected, Duration bound) { return {expected, bound, false}; }

TEST(Waits, WhoWasGivenUpAfterItWasToldIsAMissAndWhoRanAtOnceWasToldNothing) {
  ServiceClass c;
  c.name = "chat";
  Waits waits;
  waits.add(waited(0s), c, std::nullopt);
  waits.add(waited(7s), c, std::nullopt);
  waits.add(waited(7s), c, told(6s, 8s));
  waits.add(waited(9s), c, told(6s, 8s));
  waits.add(report::RequestRecord{.outcome = report::Outcome::refused}, c, told(6s, 8s));
  waits.add(report::RequestRecord{.outcome = report::Outcome::timed_out}, c, told(6s, 8s));  // the run ended: nobody knows
  EXPECT_EQ(waits.at_once, 1);
  EXPECT_EQ(waits.untold, 1);
  EXPECT_EQ(waits.all.told, 3);
  EXPECT_EQ(waits.all.within, 1);
  EXPECT_EQ(waits.classes.at("chat")[1].told, 3) << "between 5 and 30 s";
}

TEST(Waits, WhatIsExpectedIsJudgedAgainstTheMeanOfLongWaitsAndTheBoundByItsWidth) {
  ServiceClass c;
  c.slo.ttft = 60s;
  Waits waits, other;
  for (int i = 0; i < 250; ++i) {
    waits.add(waited(40s), c, told(41s, 50s));
    other.add(waited(80s), c, told(82s, 130s));
    waits.add(waited(29s), c, told(500s, 900s));  // short: counts for the coverage alone
  }
  EXPECT_EQ(waits.all.r2(), std::nullopt) << "too few to say";
  waits += other;
  EXPECT_NEAR(*waits.all.r2(), 1 - (1.0 + 4.0) / 2 / 400, 1e-9);
  EXPECT_NEAR(*waits.all.bound_over_wait(), 90.0 / 60, 1e-9);
  EXPECT_EQ(waits.in_time.count, 250) << "the others were dispatched after their deadline";
}

TEST(Waits, ACellIsNamedWhereItsBoundIsNotKeptOrWideOrKeptTooWell) {
  const auto cell = [](int told_within, int told_all, int zero, double width) {
    WaitSums s{.told = told_all, .within = told_within, .waited_zero = zero};
    s.count = told_all;
    s.waits = 100;
    s.bounds = 100 * width;
    return complaint(s);
  };
  EXPECT_EQ(cell(950, 1000, 0, 1.2), "");
  EXPECT_EQ(cell(92, 100, 0, 2), "") << "too few to say";
  EXPECT_NE(cell(929, 1000, 0, 1), "");
  EXPECT_NE(cell(971, 1000, 0, 1), "");
  EXPECT_EQ(cell(1000, 1000, 10, 1), "") << "who waits for nothing is within any bound";
  EXPECT_NE(cell(950, 1000, 0, 1.26), "");
}

CellResult cell(double load, std::uint64_t seed, double qlm, double sjf) {
  Figures ours, other;
  ours.value_attainment = qlm;
  other.value_attainment = sjf;
  return {.name = "w_a/x", .undisturbed = {}, .load = load, .seed = seed, .capacity = 10, .values = {}, .limits = {}, .policies = {{Policy::sjf, other}, {Policy::qlm, ours}}};
}

TEST(SuiteReport, ALosingCellIsNamedAndNoiseIsNot) {
  EXPECT_NE(to_table({cell(1.2, 1, 0.80, 0.90), cell(1.2, 2, 0.82, 0.92)}).find("w_a/x at 1.2: 81.0 under qlm, 91.0 under sjf"),
            std::string::npos);
  EXPECT_NE(to_table({cell(1.2, 1, 0.900, 0.904)}).find("No cell"), std::string::npos);
}

TEST(SuiteReport, TheGapToTheBoundIsSplitIntoWhatNobodySeesWhatSwapsTakeAndTheRestOfTheSameArrivals) {
  Figures f;
  f.all = {.offered = 100, .on_time = 90};
  f.steady = {.offered = 50, .on_time = 40};
  f.value_attainment = 0.91;
  f.steady_value_attainment = 0.85;
  f.set_up_share = 0.1;
  CellResult cell{.name = "x", .undisturbed = {}, .load = 1.2, .seed = 1, .capacity = 10, .values = {{"a", 10}, {"b", 10}},
                  .limits = {.bound = {0.98, 0.99}, .ceiling = {0.95, 0.96}, .steady_bound = {}}, .policies = {{Policy::qlm, f}}};
  const auto told = [&](const char* what) { return to_table({cell}).find(what) != std::string::npos; };
  EXPECT_TRUE(told("gap of qlm to the bound, of all arrivals, 8.0: information 3.0, set-ups 0.0, drains and the rest 5.0"));
  EXPECT_FALSE(told("to the bound by value")) << "where all classes are worth the same";
  cell.values.front().second = 1;
  EXPECT_TRUE(told("gap of qlm to the bound by value, of all arrivals, 8.0: information 3.0, set-ups 0.0, drains and the rest 5.0"));
  cell.limits.ceiling = {0.9, 0.95};
  cell.limits.steady_bound = Limit{0.97, 0.98};
  EXPECT_TRUE(told("gap of qlm to the bound, of steady arrivals, 17.0: information 7.0, set-ups 9.0, drains and the rest 1.0"));
  EXPECT_TRUE(told("gap of qlm to the bound by value, of steady arrivals, 13.0: information 3.0, set-ups 9.5, drains and the rest 0.5"));
  EXPECT_TRUE(told(" 80.0 ")) << "of the steady ones";
  cell.policies.front().second.steady = {};
  EXPECT_TRUE(told("no arrival is steady in so short a run"));
  EXPECT_FALSE(told("nan"));
  EXPECT_TRUE(told(" - ")) << "in the row's place for them";
}

TEST(SuiteReport, EveryCellHasABoundAndACeilingAndSaysOfWhichArrivals) {
  CellResult cell{.name = "x", .undisturbed = {}, .load = 1.2, .seed = 1, .capacity = 10, .values = {},
                  .limits = {.bound = {0.98, 0.99}, .ceiling = {0.9, 0.95}, .steady_bound = {}}, .policies = {}};
  EXPECT_NE(to_json("s", {cell}).find(R"("bound":{"attainment":0.980000,"value_attainment":0.990000,"of":"all arrivals"},)"
                                      R"("ceiling":{"attainment":0.900000,"value_attainment":0.950000,"of":"all arrivals"})"), std::string::npos);
  cell.limits.steady_bound = Limit{0.97, 0.98};
  EXPECT_NE(to_json("s", {cell}).find(R"("ceiling":{"attainment":0.900000,"value_attainment":0.950000,"of":"steady arrivals"},)"
                                      R"("steady_bound":{"attainment":0.970000,"value_attainment":0.980000,"of":"steady arrivals"})"), std::string::npos);
}

TEST(Suite, LimitsAreOfTheNumberAndOfTheValueAndTheSameWhereAllAreWorthTheSame) {
  for (const std::size_t which : {0, 2}) {  // one model, and several that take turns
    const Case c = suite("smoke")->cases[which];
    auto arrivals = to_arrivals(c, c.arrivals(10, 1700s, 7)).value();
    for (fleet::Arrival& each : arrivals) each.output = each.output * 8;  // more than there is time for
    const Limits plain = limits_of(c, arrivals);
    ASSERT_LT(plain.bound.attainment, 1) << which;
    EXPECT_EQ(plain.of_steady(), which == 2);
    EXPECT_LE(plain.ceiling.attainment, plain.steady_bound.value_or(plain.bound).attainment);
    EXPECT_EQ(plain.bound.value_attainment, plain.bound.attainment);
    EXPECT_EQ(plain.ceiling.value_attainment, plain.ceiling.attainment);
    const Case valued = with_values(c, {10, 3, 1}).value();
    const Limits by_value = limits_of(valued, arrivals, &plain), anew = limits_of(valued, arrivals);
    EXPECT_EQ(by_value.bound.attainment, plain.bound.attainment);
    EXPECT_GT(by_value.bound.value_attainment, plain.bound.attainment + 0.02) << "what is worth more is served first";
    EXPECT_GT(by_value.ceiling.value_attainment, plain.ceiling.attainment + 0.02);
    EXPECT_EQ(anew.bound.attainment, plain.bound.attainment);
    EXPECT_EQ(anew.ceiling.value_attainment, by_value.ceiling.value_attainment);
  }
}

TEST(SuiteReport, SeedsOfOnePointAreMeanAndInterval) {
  // Two values 0.8 and 0.9: mean 0.85, t(1) = 12.706, so 12.706 * 0.0707 / sqrt 2 = 0.635.
  EXPECT_NE(to_table({cell(1, 1, 0.8, 0.5), cell(1, 2, 0.9, 0.5)}).find("85.0 ±63.5"), std::string::npos);
}

TEST(SuiteReport, BesideEachOtherPolicyStandsHowFarItIsFromQlmOnTheSameArrivals) {
  // Seed by seed sjf is 0.02 and 0.04 behind, though the seeds differ by much more.
  const std::vector<CellResult> cells = {cell(1.2, 1, 0.80, 0.78), cell(1.2, 2, 0.60, 0.56)};
  EXPECT_NE(to_table(cells).find("-3.0 ±12.7"), std::string::npos);
  EXPECT_NE(to_json("s", cells).find(R"("seeds":2,"less_qlm":{"sjf":{"attainment":{"mean":0.000000,"half_width":0.000000},)"
                                     R"("value_attainment":{"mean":-0.030000,"half_width":0.127060}}})"), std::string::npos);
  EXPECT_NE(to_json("s", {cells.front()}).find(R"("paired":[])"), std::string::npos) << "one seed has no interval";
}

TEST(Suite, WhatIsComputedAgainOrForNobodyIsWasted) {
  const Case c = small_case();
  fleet::FleetResult result;
  report::RequestRecord whole = served(1s, 1ms), lost = whole;
  whole.prompt = lost.prompt = Tokens{100};
  lost.outcome = report::Outcome::failed;
  result.requests = {whole, lost};
  result.ended = 200s;
  result.prefilled = Tokens{100};
  result.generated = Tokens{11};
  result.requests.pop_back();
  EXPECT_EQ(figures(c, result).wasted, Tokens{0});
  result.prefilled = Tokens{60};
  result.cached = Tokens{40};
  EXPECT_EQ(figures(c, result).wasted, Tokens{0}) << "what was cached need not be computed";
  result.cached = Tokens{0};
  result.prefilled = Tokens{210};  // its prompt and ten tokens again
  EXPECT_EQ(figures(c, result).wasted, Tokens{110});
  EXPECT_DOUBLE_EQ(figures(c, result).wasted_share(), 110.0 / 221);
  result.requests.push_back(lost);
  result.prefilled += Tokens{100};
  EXPECT_EQ(figures(c, result).wasted, Tokens{210}) << "nobody had the other's";
}

TEST(SuiteReport, ThePageDrawsEveryCaseWithItsLimitsAndHoldsTheTables) {
  std::vector<CellResult> cells = {cell(0.8, 1, 0.99, 0.98), cell(1.2, 1, 0.80, 0.90)};
  cells.push_back(cells.front());
  cells.back().name = "w_b/<y>";
  cells.back().load = std::nullopt;
  const auto told_waits = [](Figures& f) {
    ServiceClass c;
    for (int i = 0; i < 20; ++i) f.waits.add(waited(40s), c, told(41s, 50s));
  };
  told_waits(cells[1].policies[1].second);
  const std::string page = to_html("s", cells);
  EXPECT_NE(page.find("\n\ncase "), std::string::npos) << "the table below has its lines";
  const auto count = [&](std::string_view what) {
    int found = 0;
    for (std::size_t at = page.find(what); at != std::string::npos; at = page.find(what, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<h2>"), 2);
  EXPECT_EQ(count("<svg"), 2 * 2 + 1) << "on time and worst class of each, and the waits that there are";
  EXPECT_EQ(count("stroke-dasharray=\"5 4\""), 2 * 2) << "bound and ceiling";
  EXPECT_EQ(page.find("<y>"), std::string::npos) << "names are text";
  EXPECT_NE(page.find("90.0 under sjf"), std::string::npos) << "losing cells too";
  for (CellResult& each : cells) each.values = {{"a", 2}, {"b", 1}};
  EXPECT_NE(to_html("s", cells).find("On time by value"), std::string::npos);
  for (CellResult& each : cells) {
    each.limits.steady_bound = Limit{};
    for (auto& policy : each.policies) policy.second.steady = {.offered = 10, .on_time = 9};
  }
  EXPECT_NE(to_html("s", cells).find("On time of the steady arrivals"), std::string::npos);
}

CellResult robust_cell(std::string name, std::string undisturbed, double qlm, double expire) {
  Figures ours, other;
  ours.value_attainment = qlm;
  other.value_attainment = expire;
  return {.name = std::move(name), .undisturbed = std::move(undisturbed), .load = 1.2, .seed = 1, .capacity = 10, .values = {}, .limits = {}, .policies = {{Policy::edf_expire, other}, {Policy::qlm, ours}}};
}

TEST(SuiteReport, WhatIsInTheWayIsHeldAgainstTheSameWithoutItAndCellsThatMissTheAimAreNamed) {
  const CellResult usual = robust_cell("x", "", 0.95, 0.90);
  const auto told = [&](double qlm, double expire) { return losses_table({usual, robust_cell("x/slow", "x", qlm, expire)}); };
  EXPECT_EQ(losses_table({usual}), "") << "nothing is in the way";
  EXPECT_NE(told(0.901, 0.9).find("No cell"), std::string::npos);
  EXPECT_NE(told(0.899, 0.8).find("x/slow at 1.2: 5.1 points lost under qlm"), std::string::npos);
  EXPECT_NE(told(0.92, 0.93).find("x/slow at 1.2: 92.0 under qlm, 93.0 under edf-expire"), std::string::npos);
  EXPECT_NE(told(0.92, 0.924).find("No cell"), std::string::npos) << "within the noise";
  const std::string json = to_json("robust", {usual, robust_cell("x/slow", "x", 0.9, 0.8)});
  EXPECT_NE(json.find(R"("undisturbed":"x","lost":{"edf-expire":0.100000,"qlm":0.050000})"), std::string::npos);
  EXPECT_EQ(json.find("undisturbed", json.find("undisturbed") + 1), std::string::npos) << "only where something is";
}

TEST(SuiteReport, ACellWhoseSolverFailedHasNoFiguresAndSaysSo) {
  Case turns = suite("smoke")->cases.back();
  turns.solve = [](const lp::Program&) -> Result<lp::Solution> { return fail("killed after 60 ms"); };
  const auto arrivals = to_arrivals(turns, turns.arrivals(30, 60s, 1)).value();
  CellResult cell{.name = turns.name, .undisturbed = {}, .load = 1, .seed = 1, .capacity = 30, .values = {}, .limits = {}, .policies = {}};
  for (const Policy policy : {Policy::edf, Policy::qlm_lp}) {
    cell.policies.emplace_back(policy, figures(turns, fleet::simulate(fleet_spec(turns, policy), arrivals)));
  }
  EXPECT_EQ(cell.policies[0].second.failed, "");
  EXPECT_EQ(cell.policies[1].second.failed, "killed after 60 ms");
  EXPECT_EQ(failures({cell}), "failed: " + turns.name + ", load 1, seed 1, qlm-lp: killed after 60 ms\n");
  EXPECT_NE(to_json("t", {cell}).find(R"("qlm-lp":{"failed":"killed after 60 ms"})"), std::string::npos);
  EXPECT_NE(to_table({cell}).find("qlm-lp              failed\n"), std::string::npos) << to_table({cell});
}

TEST(SuiteReport, WhatTheSolverDidAndTheSearchLeavesStandBesideTheResults) {
  CellResult cell{.name = "c", .undisturbed = {}, .load = 1.2, .seed = 101, .capacity = 30, .values = {}, .limits = {}, .policies = {}};
  EXPECT_EQ(exact_table({cell}), "");
  Figures f;
  f.exact = {.programs = 200, .asked = 100, .exact = 40, .impossible = 50, .missed = 1, .exact_waits = 1000, .searched_waits = 1005};
  cell.policies.emplace_back(Policy::qlm_lp, f);
  for (const char* word : {"200", "100  50.0%", "40  20.0%", "50  25.0%", "0.500 %"}) EXPECT_NE(exact_table({cell}).find(word), std::string::npos) << word;
  EXPECT_NE(to_json("t", {cell}).find(R"("exact":{"programs":200,"asked":100,"exact":40,"impossible":50,"missed":1,"gap":0.005000})"), std::string::npos);
}

}  // namespace
}  // namespace qlm::suite

#include "simulate/suite/suite_report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/domain/names.hpp"
#include "simulate/report/escape.hpp"
#include "simulate/suite/points.hpp"

namespace qlm::suite {
namespace {

constexpr double noise = 0.005;  // of attainment: what is within it is no loss
constexpr double tolerated = 0.05;  // of attainment, for something in the way

std::uint64_t digest_of(const CellResult& cell) {
  std::uint64_t digest = 0xcbf29ce484222325ULL;
  for (const auto& [policy, f] : cell.policies) digest = (digest ^ f.digest) * 0x100000001b3ULL;
  return digest;
}

std::string figures_json(const Figures& f) {
  if (!f.failed.empty()) return fmt::format(R"({{"failed":{}}})", report::json_quoted(f.failed));
  std::string classes;
  for (const auto& [name, a] : f.classes) {
    const auto share = f.token_shares.find(name);
    const auto least = f.least_minutes.find(name);
    classes += fmt::format(R"({}{}:{{"offered":{},"attainment":{:.6f},"token_share":{:.6f},"least_minute_token_share":{}}})", classes.empty() ? "" : ",",
                           report::json_quoted(name), a.offered, a.share(), share == f.token_shares.end() ? 0 : share->second,
                           least == f.least_minutes.end() ? "null" : fmt::format("{:.6f}", least->second));
  }
  std::string tenants;
  for (const auto& [name, of] : f.tenants) {
    tenants += fmt::format(R"({}{}:{{"offered":{},"attainment":{:.6f},"tokens":{:.0f},"largest_wait_s":{:.3f}}})", tenants.empty() ? "" : ",",
                           report::json_quoted(name), of.first.offered, of.first.share(), of.second.tokens, seconds(of.second.largest_wait));
  }
  return fmt::format(
      R"({{"offered":{},"attainment":{:.6f},"value_attainment":{:.6f},"worst_class_attainment":{:.6f},"steady_attainment":{},"steady_value_attainment":{},"classes":{{{}}},"tenants":{{{}}},)"
      R"("throughput_tokens_per_s":{:.2f},"useful_tokens_per_s":{:.2f},"swaps":{},"evictions":{},"preemptions":{},"computed_tokens":{},"wasted_tokens":{},"wasted_share":{:.6f},"cached_share":{:.6f},"expected_cached_share":{:.6f},"busy_share":{:.6f},)"
      R"("swapping_share":{:.6f},"draining_share":{:.6f},"set_up_share":{:.6f},"largest_wait_s":{:.3f},"waits":{}{},"digest":"{:016x}"}})",
      f.all.offered, f.all.share(), f.value_attainment, f.worst_class(),
      f.steady.offered > 0 ? fmt::format("{:.6f}", f.steady.share()) : "null",
      f.steady.offered > 0 ? fmt::format("{:.6f}", f.steady_value_attainment) : "null", classes, tenants, f.throughput_tokens_per_s, f.useful_tokens_per_s,
      f.swaps, f.evictions, f.preemptions, f.computed.count, f.wasted.count, f.wasted_share(), f.cached_share, f.expected_cached_share, f.busy_share, f.swapping_share, f.draining_share, f.set_up_share, seconds(f.largest_wait), to_json(f.waits),
      f.exact.programs > 0 ? ",\"exact\":" + exact_json(f.exact) : "", f.digest);
}

// How far each other policy is from qlm on the same arrivals, for cases and loads with several seeds.
std::string paired_json(const std::vector<CellResult>& cells) {
  std::string out;
  for (const Point& point : points(cells)) {
    const auto ours = place_of(Policy::qlm, *point.seeds.front());
    if (!ours || point.seeds.size() < 2) continue;
    std::string policies;
    for (std::size_t p = 0; p < point.seeds.front()->policies.size(); ++p) {
      if (p == *ours) continue;
      const auto figure = [&](const Figure& of) {
        const Estimate e = difference(point, p, *ours, of);
        return fmt::format(R"({{"mean":{:.6f},"half_width":{:.6f}}})", e.mean, e.half_width);
      };
      policies += fmt::format(R"({}{}:{{"attainment":{},"value_attainment":{}}})", policies.empty() ? "" : ",", report::json_quoted(name(point.seeds.front()->policies[p].first)),
                              figure([](const Figures& f) { return f.all.share(); }), figure([](const Figures& f) { return f.value_attainment; }));
    }
    out += fmt::format("{}\n{{\"name\":{},\"load\":{},\"seeds\":{},\"less_qlm\":{{{}}}}}", out.empty() ? "" : ",", report::json_quoted(point.name),
                       point.load ? fmt::format("{}", *point.load) : "null", point.seeds.size(), policies);
  }
  return out;
}

std::string limit_json(const Limit& limit) {
  return fmt::format(R"("attainment":{:.6f},"value_attainment":{:.6f})", limit.attainment, limit.value_attainment);
}

// What a policy misses of the bound, and what for: nobody sees output lengths beforehand; bringing models in takes time; drains
// and the rest. All of the same arrivals: where models take turns of the steady ones, and what swaps took is taken off the ceiling.
std::string gap(const Point& point, std::size_t policy, double Limit::*share) {
  double bound = 0, ceiling = 0, set_ups = 0, reached = 0;
  const bool by_value = share == &Limit::value_attainment, steady = point.seeds.front()->limits.of_steady();
  const std::string whose = fmt::format("gap of {} to the bound{}", name(point.seeds.front()->policies[policy].first), by_value ? " by value" : "");
  for (const CellResult* cell : point.seeds) {
    const Figures& f = cell->policies[policy].second;
    const Limits& limits = cell->limits;
    if (steady && f.steady.offered == 0) return whose + ": none, no arrival is steady in so short a run";
    const double one = 1.0 / static_cast<double>(point.seeds.size());
    bound += one * (steady ? *limits.steady_bound : limits.bound).*share;
    ceiling += one * limits.ceiling.*share;
    set_ups += one * (steady ? limits.ceiling.*share * f.set_up_share : 0);
    if (steady) reached += one * (by_value ? f.steady_value_attainment : f.steady.share());
    else reached += one * (by_value ? f.value_attainment : f.all.share());
  }
  return fmt::format("{}, of {} arrivals, {:.1f}: information {:.1f}, set-ups {:.1f}, drains and the rest {:.1f}", whose, steady ? "steady" : "all",
                     100 * (bound - reached), 100 * (bound - ceiling), 100 * set_ups, 100 * (ceiling - set_ups - reached));
}

const CellResult* twin_of(const CellResult& cell, const std::vector<CellResult>& cells) {
  if (cell.undisturbed.empty()) return nullptr;
  const auto at = std::ranges::find_if(cells, [&](const CellResult& c) { return c.name == cell.undisturbed && c.load == cell.load && c.seed == cell.seed; });
  return at == cells.end() ? nullptr : &*at;
}

std::string shown(const Estimate& e) {
  return e.half_width > 0 ? fmt::format("{:.1f} ±{:.1f}", 100 * e.mean, 100 * e.half_width) : fmt::format("{:.1f}", 100 * e.mean);
}

}  // namespace

std::string to_json(const std::string& suite_name, const std::vector<CellResult>& cells) {
  std::string out = fmt::format(
      R"({{"suite":{},"definitions":{{"attainment":"requests completed with the first token within the class's TTFT and a mean gap within its TPOT (200 ms without one), over all offered",)"
      R"("value_attainment":"the same, weighted by class value","load":"offered rate over measured capacity","throughput_tokens_per_s":"output tokens of completed requests over the time from the first arrival to the last completion",)"
      R"("useful_tokens_per_s":"those of requests on time","bound":"no scheduler passes it, whatever it knows","ceiling":"none passes it on average that does not see output lengths beforehand; of: which arrivals both count, )"
      R"(the steady ones (from 900 s after the first to 600 s before the last, beside steady_attainment) where models take turns; the bound where no lower one is known",)"
      R"("busy_share":"of the instances' time from the first arrival until nothing was left to do",)"
      R"("waits":"as told at admission against those until the dispatch: r2 of the expected wait and bound_over_wait (means) over waits above 30 s (at least 500 of them), r2_in_time of those that ended by the deadline,)"
      R"( coverage of the bound over all that were told one, by class and expected wait; given up after it was told is a miss",)"
      R"("wasted_share":"of the tokens computed: again after a preemption, an eviction or a retry, or for requests never completed",)"
      R"("paired":"each policy less qlm on the same arrivals: mean over seeds and half the 95 % confidence interval by Student's t",)"
      R"("lost":"value attainment of the same case without what is in its way, less this one's"}},)"
      "\n\"cells\":[",
      report::json_quoted(suite_name));
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const CellResult& cell = cells[i];
    std::string values;
    for (const auto& [of_class, value] : cell.values) values += fmt::format("{}{}:{}", values.empty() ? "" : ",", report::json_quoted(of_class), value);
    out += fmt::format("{}\n{{\"name\":{},\"load\":{},\"seed\":{},\"capacity_requests_per_s\":{:.4f},\"values\":{{{}}},\"policies\":{{", i == 0 ? "" : ",",
                       report::json_quoted(cell.name), cell.load ? fmt::format("{}", *cell.load) : "null", cell.seed, cell.capacity, values);
    for (std::size_t p = 0; p < cell.policies.size(); ++p) {
      out += fmt::format("{}{}:{}", p == 0 ? "" : ",", report::json_quoted(name(cell.policies[p].first)), figures_json(cell.policies[p].second));
    }
    out += fmt::format(R"(}},"bound":{{{},"of":"all arrivals"}},"ceiling":{{{},"of":"{}"}})", limit_json(cell.limits.bound), limit_json(cell.limits.ceiling),
                       cell.limits.of_steady() ? "steady arrivals" : "all arrivals");
    if (cell.limits.of_steady()) out += fmt::format(R"(,"steady_bound":{{{},"of":"steady arrivals"}})", limit_json(*cell.limits.steady_bound));
    if (const CellResult* twin = twin_of(cell, cells)) {
      std::string lost;
      for (std::size_t p = 0; p < cell.policies.size(); ++p) {
        lost += fmt::format("{}{}:{:.6f}", p == 0 ? "" : ",", report::json_quoted(name(cell.policies[p].first)),
                            twin->policies[p].second.value_attainment - cell.policies[p].second.value_attainment);
      }
      out += fmt::format(",\"undisturbed\":{},\"lost\":{{{}}}", report::json_quoted(cell.undisturbed), lost);
    }
    out += fmt::format(",\"digest\":\"{:016x}\"}}", digest_of(cell));
  }
  return out + "\n],\n\"paired\":[" + paired_json(cells) + "]}\n";
}

std::string waits_table(const std::vector<CellResult>& cells) {
  std::string out = fmt::format(
      "Waits told at admission against waits until the dispatch, all seeds together. R2 of the expected wait, over waits above 30 s (- where\n"
      "there are fewer than {0}), and over those of them that ended by the request's deadline: under a policy that serves late ones last, who is\n"
      "given up after it was told waits until the overload is over. Covered: % of those told a bound that waited no longer (95 are meant to);\n"
      "width: mean bound over mean wait, above 30 s. At once: % that had nothing to wait for; told nothing: too little was seen yet, or the load\n"
      "leaves no room. Classes and expected waits with at least {0} samples are named where less than 93 % are covered, more than 97 % though\n"
      "nearly all waited, or the width is over 1.25.\n\n",
      waits_to_judge);
  out += fmt::format("{:<30} {:>5}  {:<13} {:>7} {:>8} {:>8} {:>6} {:>9} {:>8} {:>12}\n", "case", "load", "policy", "R2", "in time", "covered", "width",
                     "over 30 s", "at once", "told nothing");
  for (const Point& point : points(cells)) {
    for (std::size_t p = 0; p < point.seeds.front()->policies.size(); ++p) {
      Waits waits;
      for (const CellResult* cell : point.seeds) waits += cell->policies[p].second.waits;
      const double all = static_cast<double>(waits.at_once + waits.untold + waits.all.told);
      const auto share = [all](std::int64_t count) { return all > 0 ? 100 * static_cast<double>(count) / all : 0; };
      const auto shown = [](const std::optional<double>& figure, int digits) { return figure ? fmt::format("{:.{}f}", *figure, digits) : "-"; };
      out += fmt::format("{:<30} {:>5}  {:<13} {:>7} {:>8} {:>7.1f}% {:>6} {:>9} {:>7.1f}% {:>11.1f}%\n", p == 0 ? point.name : "",
                         p == 0 ? load_of(point) : "", name(point.seeds.front()->policies[p].first), shown(waits.all.r2(), 4),
                         shown(waits.in_time.r2(), 4), 100 * waits.all.coverage(), shown(waits.all.bound_over_wait(), 2), waits.all.count,
                         share(waits.at_once), share(waits.untold));
      for (const auto& [class_name, by_horizon] : waits.classes) {
        for (std::size_t h = 0; h < by_horizon.size(); ++h) {
          const std::string wrong = complaint(by_horizon[h]);
          if (!wrong.empty()) out += fmt::format("{:>40}{} expected {}, {} told: {}\n", "", class_name, horizon_names[h], by_horizon[h].told, wrong);
        }
      }
    }
  }
  return out;
}

std::string losses_table(const std::vector<CellResult>& cells) {
  std::string out, missed;
  std::size_t wide = 30;
  for (const CellResult& cell : cells) wide = std::max(wide, cell.name.size());
  for (const Point& point : points(cells)) {
    if (!twin_of(*point.seeds.front(), cells)) continue;
    const auto& policies = point.seeds.front()->policies;
    if (out.empty()) {
      out = "What is in the way costs: on time by value without it, with it, and points lost; mean over seeds.\n\n";
      out += fmt::format("{:<{}} {:>5}", "case", wide, "load");
      for (const auto& each : policies) out += fmt::format("  {:>22}", name(each.first));
      out += '\n';
    }
    out += fmt::format("{:<{}} {:>5}", point.name, wide, load_of(point));
    double ours = -1, our_loss = 0, expire = -1;
    for (std::size_t p = 0; p < policies.size(); ++p) {
      std::vector<double> usual;
      for (const CellResult* cell : point.seeds) {
        const CellResult* twin = twin_of(*cell, cells);
        if (twin) usual.push_back(twin->policies[p].second.value_attainment);
      }
      const double without = estimate(usual).mean;
      const double with = over_seeds(point, p, [](const Figures& f) { return f.value_attainment; }).mean;
      out += fmt::format("  {:>7.1f} {:>6.1f} {:>7.1f}", 100 * without, 100 * with, 100 * (without - with));
      if (policies[p].first == Policy::qlm) ours = with, our_loss = without - with;
      if (policies[p].first == Policy::edf_expire) expire = with;
    }
    out += '\n';
    if (ours >= 0 && our_loss > tolerated) missed += fmt::format("  {} at {}: {:.1f} points lost under qlm\n", point.name, load_of(point), 100 * our_loss);
    if (ours >= 0 && ours < expire - noise) missed += fmt::format("  {} at {}: {:.1f} under qlm, {:.1f} under edf-expire\n", point.name, load_of(point), 100 * ours, 100 * expire);
  }
  if (out.empty()) return out;
  return out + (missed.empty() ? "\nNo cell in which qlm loses more than 5 points to what is in the way, or is more than 0.5 behind edf-expire beside it.\n"
                               : "\nCells in which qlm loses more than 5 points to what is in the way, or is more than 0.5 behind edf-expire beside it:\n" + missed);
}

std::string to_table(const std::vector<CellResult>& cells) {
  std::string out =
      "On time: % of all offered requests completed with TTFT within their class's and a mean gap of at most 200 ms (or the class's TPOT);\n"
      "no scheduler passes the bound, and none that does not see output lengths beforehand the ceiling, on average.\n"
      "Steady: of arrivals from 900 s after the first to 600 s before the last; where models take turns the ceiling is of these.\n"
      "± half the 95 % confidence interval over seeds. Gap: what is missed of the bound because nobody sees output lengths beforehand, what of the\n"
      "ceiling swaps took, by their share of the instances' time (below capacity there is time to spare: drains and the rest may be less\n"
      "than nothing), and the rest; each of the same arrivals, as it says: where models take turns, of the steady ones. By value where classes differ in it.\n"
      "To qlm: by value, less qlm's on the same arrivals. Classes: on time of each, in the order of their names. Tokens and useful: output tokens a\n"
      "second of completed requests and of those on time. Busy, swapping, draining: of the instances' time. Wasted: of the tokens computed, those\n"
      "computed again after a preemption, an eviction or a retry, or for nobody. Waited: the longest that anybody did before it was started.\n";
  const auto paper = [](const auto& of) { return of.first == Policy::qlm_lp || of.first == Policy::qlm_lp_expire; };
  if (std::ranges::any_of(cells, [&](const CellResult& cell) { return std::ranges::any_of(cell.policies, paper); }))
    out += "qlm-lp: by local search on the paper's objective, exactly where --solver is given and the program small; tools/paper-gap prints what\n"
           "the search leaves to the exact solution (docs/paper.md).\n";
  out += '\n';
  std::size_t wide = 30;
  for (const CellResult& cell : cells) wide = std::max(wide, cell.name.size());
  constexpr std::string_view row = "{:<{}} {:>5}  {:<13} {:>12} {:>12} {:>12} {:>12} {:>20} {:>7} {:>9} {:>9} {:>7} {:>6} {:>9} {:>9} {:>8} {:>7} {:>8}\n";
  out += fmt::format(row, "case", wide, "load", "policy", "on time", "by value", "to qlm", "worst class", "classes", "steady", "tokens/s", "useful/s", "busy", "swaps",
                     "swapping", "draining", "evicted", "wasted", "waited");
  std::string losing;
  bool compared = false;  // qlm with others
  for (const Point& point : points(cells)) {
    const auto& policies = point.seeds.front()->policies;
    const auto place = place_of(Policy::qlm, *point.seeds.front());
    double best = 0, ours = -1;
    std::string best_name;
    for (std::size_t p = 0; p < policies.size(); ++p) {
      const Policy policy = policies[p].first;
      if (std::ranges::any_of(point.seeds, [&](const CellResult* cell) { return !cell->policies[p].second.failed.empty(); })) {
        out += fmt::format("{:<{}} {:>5}  {:<13} {:>12}\n", p == 0 ? point.name : "", wide, p == 0 ? load_of(point) : "", name(policy), "failed");
        continue;
      }
      const auto mean = [&](auto&& of) { return over_seeds(point, p, [&of](const Figures& f) { return static_cast<double>(of(f)); }).mean; };
      std::string by_class;
      for (const auto& each : policies[p].second.classes) {
        by_class += fmt::format("{}{:.1f}", by_class.empty() ? "" : "/", 100 * mean([&](const Figures& f) { return f.classes.at(each.first).share(); }));
      }
      const bool against = place && *place != p;
      const Estimate by_value = over_seeds(point, p, [](const Figures& f) { return f.value_attainment; });
      if (policy == Policy::qlm) {
        ours = by_value.mean;
      } else if (by_value.mean > best) {
        best = by_value.mean;
        best_name = name(policy);
      }
      const auto percent = [](double share) { return fmt::format("{:.1f}%", 100 * share); };
      const auto number = [](double of) { return fmt::format("{:.0f}", of); };
      out += fmt::format(row, p == 0 ? point.name : "", wide, p == 0 ? load_of(point) : "", name(policy),
                         shown(over_seeds(point, p, [](const Figures& f) { return f.all.share(); })), shown(by_value),
                         against ? shown(difference(point, p, *place, [](const Figures& f) { return f.value_attainment; })) : "",
                         shown(over_seeds(point, p, [](const Figures& f) { return f.worst_class(); })), by_class,
                         policies[p].second.steady.offered == 0 ? "-" : fmt::format("{:.1f}", 100 * mean([](const Figures& f) { return f.steady.share(); })),
                         number(mean([](const Figures& f) { return f.throughput_tokens_per_s; })), number(mean([](const Figures& f) { return f.useful_tokens_per_s; })),
                         percent(mean([](const Figures& f) { return f.busy_share; })), number(mean([](const Figures& f) { return f.swaps; })),
                         percent(mean([](const Figures& f) { return f.swapping_share; })), percent(mean([](const Figures& f) { return f.draining_share; })),
                         number(mean([](const Figures& f) { return f.evictions; })), percent(mean([](const Figures& f) { return f.wasted_share(); })),
                         number(mean([](const Figures& f) { return seconds(f.largest_wait); })) + " s");
    }
    const auto limit = [&](const char* name, bool steady, auto&& of) {
      const auto share = [&](double Limit::*which) { return shown(over_seeds(point, [&](const Limits& l) { return of(l).*which; })); };
      const std::string by_number = share(&Limit::attainment), by_value = share(&Limit::value_attainment);
      out += fmt::format("{:<{}} {:>5}  {:<13} {:>12} {:>12}{}\n", "", wide, "", name, by_number, by_value, steady ? "  of steady arrivals" : "");
    };
    const bool steady = point.seeds.front()->limits.of_steady();
    limit("(ceiling)", steady, [](const Limits& l) { return l.ceiling; });
    if (steady) limit("(bound)", true, [](const Limits& l) { return *l.steady_bound; });
    limit("(bound)", false, [](const Limits& l) { return l.bound; });
    for (std::size_t p = 0; p < policies.size(); ++p) {
      if (policies[p].first != Policy::qlm) continue;
      out += fmt::format("{:<{}} {:>5}  {}\n", "", wide, "", gap(point, p, &Limit::attainment));
      if (values_differ(*point.seeds.front())) out += fmt::format("{:<{}} {:>5}  {}\n", "", wide, "", gap(point, p, &Limit::value_attainment));
    }
    for (std::size_t p = 0; p < policies.size(); ++p) {
      const double cached = over_seeds(point, p, [](const Figures& f) { return f.cached_share; }).mean;
      const double expected = over_seeds(point, p, [](const Figures& f) { return f.expected_cached_share; }).mean;
      if (cached > 0) out += fmt::format("{:<{}} {:>5}  {}: {:.1f} % of prompt tokens were cached, {:.1f} expected\n", "", wide, "", name(policies[p].first), 100 * cached, 100 * expected);
    }
    compared = compared || (ours >= 0 && policies.size() > 1);
    if (ours >= 0 && ours < best - noise) {
      losing += fmt::format("  {} at {}: {:.1f} under qlm, {:.1f} under {}\n", point.name, load_of(point), 100 * ours, 100 * best, best_name);
    }
  }
  if (!compared) return out;
  out += losing.empty() ? "\nNo cell in which another policy is more than 0.5 points better by value than qlm.\n"
                        : "\nCells in which another policy is better by value:\n" + losing;
  return out;
}

}  // namespace qlm::suite

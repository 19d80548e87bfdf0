#include <fmt/format.h>

#include <iterator>

#include "core/domain/names.hpp"
#include "simulate/suite/suite_report.hpp"

namespace qlm::suite {
namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

std::string exact(std::optional<Duration> time) {
  if (!time) return "";
  return fmt::format("{}.{:09}", time->count() / 1'000'000'000, time->count() % 1'000'000'000);
}

}  // namespace

std::string requests_header() {
  return "cell,load,seed,policy,class,value,model,tenant,arrival_s,sent_s,first_token_s,last_token_s,end_s,outcome,prompt_tokens,output_tokens,"
         "expected_wait_s,wait_bound_s,on_time\n";
}

std::string requests_csv(const CellResult& cell, Policy policy, const Case& of, const fleet::FleetResult& result) {
  std::string out;
  const std::string begins = fmt::format("{},{},{},{},", quoted(cell.name), cell.load ? fmt::format("{}", *cell.load) : "", cell.seed, name(policy));
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    const report::RequestRecord& r = result.requests[i];
    const ServiceClass& its = of.classes[r.slo_class];
    const std::string tenant = of.tenants.empty() ? "" : of.tenants[result.tenants[i].index()].name;
    const auto told = [&](Duration WaitEstimate::*which) { return result.told[i] ? exact(*result.told[i].*which) : std::string{}; };
    fmt::format_to(std::back_inserter(out), "{}{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", begins, quoted(its.name), its.value, quoted(of.models[r.model]),
                   quoted(tenant), exact(r.arrival), exact(r.sent), exact(r.first_token), exact(r.last_token), exact(r.ended), name(r.outcome),
                   r.prompt.count, r.received.count, told(&WaitEstimate::expected), told(&WaitEstimate::bound), counts_as_on_time(r, its) ? 1 : 0);
  }
  return out;
}

}  // namespace qlm::suite

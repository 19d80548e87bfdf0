#include "app/emulator/replay_log.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <string_view>

namespace qlm::emulator {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> cells;
  while (true) {
    const std::size_t comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == line.npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// zlib reads plain files as they are and gzipped ones unpacked.
Result<std::string> read_whole(const std::string& path) {
  const gzFile opened = path == "-" ? gzdopen(0, "rb") : gzopen(path.c_str(), "rb");
  if (opened == nullptr) return fail(fmt::format("cannot open {}", path));
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(opened, gzclose);
  std::string text;
  std::array<char, 65536> buffer;
  int got = 0;
  while ((got = gzread(file.get(), buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  if (got < 0) return fail(fmt::format("cannot read {}: not a whole gzip file", path));
  return text;
}

Duration mean(const std::vector<Duration>& values) {
  Duration sum{0};
  for (const Duration value : values) sum += value;
  return values.empty() ? sum : sum / static_cast<std::int64_t>(values.size());
}

Duration p99(std::vector<Duration> values) {
  if (values.empty()) return Duration{0};
  std::ranges::sort(values);
  return values[(values.size() * 99 + 99) / 100 - 1];
}

}  // namespace

Result<std::vector<LoggedRequest>> read_request_log(const std::string& path) {
  auto text = read_whole(path);
  if (!text) return std::unexpected(text.error());
  constexpr std::array<std::string_view, 5> names = {"arrival_s", "prompt_tokens", "output_tokens",
                                                     "first_token_s", "last_token_s"};
  std::array<std::size_t, 5> column{};
  std::vector<LoggedRequest> log;
  std::string_view rest = *text;
  for (std::size_t line_number = 1; !rest.empty(); ++line_number) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto cells = split(line);
    if (line_number == 1) {
      for (std::size_t i = 0; i < names.size(); ++i) {
        const auto found = std::ranges::find(cells, names[i]);
        if (found == cells.end())
          return fail(fmt::format("{}: no column {} in its first line", path, names[i]));
        column[i] = static_cast<std::size_t>(found - cells.begin());
      }
      continue;
    }
    std::array<double, 5> value{};
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto parsed = column[i] < cells.size() ? number(cells[column[i]]) : std::nullopt;
      if (!parsed || *parsed < 0)
        return fail(fmt::format("{}:{}: {} is no number", path, line_number, names[i]));
      value[i] = *parsed;
    }
    log.push_back({.arrival = duration_from_seconds(value[0]),
                   .prompt = Tokens{std::llround(value[1])},
                   .output = Tokens{std::llround(value[2])},
                   .first_token = duration_from_seconds(value[3]),
                   .last_token = duration_from_seconds(value[4])});
    if (log.size() > 1 && log.back().arrival < log[log.size() - 2].arrival) {
      return fail(fmt::format("{}:{}: arrivals are not in order", path, line_number));
    }
  }
  if (log.empty()) return fail(fmt::format("{}: holds no request", path));
  return log;
}

Result<ReplayReport> replay(const std::vector<LoggedRequest>& log, const StepTimeModel& step,
                            const EngineLimits& limits) {
  EngineModel engine(step, limits);
  std::vector<Duration> first(log.size()), last(log.size());
  Duration now{0};
  std::size_t next = 0, done = 0;
  while (done < log.size()) {
    if (engine.running() + engine.waiting() == 0 && next < log.size()) now = std::max(now, log[next].arrival);
    for (; next < log.size() && log[next].arrival <= now; ++next) {
      if (auto id = engine.submit(log[next].prompt, log[next].output, next); !id) {
        return fail(fmt::format("request {}: {}", next + 1, id.error().message));
      }
    }
    const auto took = engine.begin_step();
    if (!took) return fail("the model stands still with work left");
    now += *took;
    const auto result = engine.finish_step();
    for (const auto& event : result.first_token) first[event.user] = now - log[event.user].arrival;
    for (const auto& event : result.finished) last[event.user] = now - log[event.user].arrival;
    done += result.finished.size();
  }

  ReplayReport report{.requests = log.size()};
  std::vector<Duration> first_real(log.size()), last_real(log.size());
  for (std::size_t i = 0; i < log.size(); ++i) {
    first_real[i] = log[i].first_token - log[i].arrival;
    last_real[i] = log[i].last_token - log[i].arrival;
    report.e2e_error += std::abs(seconds(last[i] - last_real[i])) / seconds(last_real[i]);
  }
  report.e2e_error /= static_cast<double>(log.size());
  report.ttft_real = mean(first_real);
  report.ttft_model = mean(first);
  report.e2e_real = mean(last_real);
  report.e2e_model = mean(last);
  report.e2e_p99_real = p99(last_real);
  report.e2e_p99_model = p99(last);
  report.preemptions = engine.totals().preemptions;
  return report;
}

std::string ReplayReport::text() const {
  return fmt::format(
      "requests          {}\n"
      "E2E error (MAPE)  {:.1f} %\n"
      "mean TTFT         real {:.2f} s, model {:.2f} s\n"
      "mean E2E          real {:.2f} s, model {:.2f} s\n"
      "p99 E2E           real {:.2f} s, model {:.2f} s\n"
      "preemptions       model {}\n",
      requests, e2e_error * 100, seconds(ttft_real), seconds(ttft_model), seconds(e2e_real),
      seconds(e2e_model), seconds(e2e_p99_real), seconds(e2e_p99_model), preemptions);
}

}  // namespace qlm::emulator

#include "simulate/bounds/ceiling.hpp"

#include <algorithm>
#include <map>

#include "base/exact_math.hpp"
#include "simulate/bounds/objectives.hpp"
#include "simulate/bounds/search.hpp"

namespace qlm::bounds {

OutputLengths::OutputLengths(std::span<const workload::Lengths> pairs, std::size_t buckets) {
  std::vector<workload::Lengths> sorted(pairs.begin(), pairs.end());
  std::ranges::stable_sort(sorted, {}, [](const workload::Lengths& of) { return of.prompt; });
  const std::size_t size = sorted.size() / std::max<std::size_t>(buckets, 1) + 1;
  for (std::size_t from = 0; from < sorted.size();) {
    std::size_t to = std::min(from + size, sorted.size());
    while (to < sorted.size() && sorted[to].prompt == sorted[to - 1].prompt) ++to;
    std::vector<Tokens> outputs;
    for (std::size_t i = from; i < to; ++i) outputs.push_back(sorted[i].output);
    std::ranges::sort(outputs);
    Bucket bucket{sorted[from].prompt, {}};
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (i + 1 < outputs.size() && outputs[i + 1] == outputs[i]) continue;
      bucket.points.push_back({outputs[i], static_cast<double>(i + 1) / static_cast<double>(outputs.size())});
    }
    buckets_.push_back(std::move(bucket));
    from = to;
  }
}

std::span<const OutputLengths::Point> OutputLengths::given(Tokens prompt) const {
  if (buckets_.empty()) return {};
  const auto above = std::ranges::upper_bound(buckets_, prompt, {}, &Bucket::first_prompt);
  return (above == buckets_.begin() ? above : above - 1)->points;
}

namespace {

class Priced {
 public:
  Priced(std::span<const Request> requests, const OutputLengths& lengths, const EngineSpec& engine, int instances)
      : lengths_(lengths), engine_(engine), instances_(instances) {
    for (const Request& request : requests) {
      begin_ = std::min(begin_, request.arrival);
      consider(request);
    }
  }

  double value() const {
    if (asked_.empty()) return free_;
    std::vector<double> start = default_split();
    std::vector<Move> moves{{start.size()}, {start.size() + 1}};
    add_moves(engine_.step.kind, 0, moves);
    start.insert(start.end(), {0.5, 0.75});
    return free_ +
           lowest(start, moves, [this](const auto& parameters) { return gain(parameters); }, 0.25, 1.0 / 1024).value;
  }

 private:
  struct Asked {
    const Request* request;
    std::size_t prompt;  // of prompts_
    Duration first, last;  // deadlines, the last one for the longest output
  };
  struct Prompt {
    Tokens tokens;
    double value;
    double count = 0;
    std::span<const OutputLengths::Point> lengths;
  };
  // With the first so many of a prompt's lengths paid for.
  struct Worth {
    double gain;       // the best that stopping within them brings, at least the prompt computed
    double no_longer;  // the probability to be among them
  };

  void consider(const Request& request) {
    auto points = lengths_.given(request.prompt);
    while (!points.empty() && !fits(engine_, request.prompt, points.back().output))
      points = points.first(points.size() - 1);
    if (points.empty()) return;
    const Deadlines due = deadlines(request, points.back().output);
    if (due.first == no_deadline) {
      free_ += request.value;
      return;
    }
    const AloneTime alone = time_alone(engine_, request.prompt, Tokens{1});
    if (alone.first_token > EngineTime(due.first - request.arrival) + EngineTime(1ns)) return;
    const auto [at, fresh] = index_.try_emplace({request.prompt, request.value}, prompts_.size());
    if (fresh) prompts_.push_back({request.prompt, request.value, 0, points});
    ++prompts_[at->second].count;
    asked_.push_back({&request, at->second, due.first, due.last});
    end_ = std::max(end_, due.last == no_deadline ? due.first : due.last);
  }

  // Paying for what is due by `end` and no longer: the outputs due later are finished for nothing, if only the prompt
  // was computed in time. One entry for no output beyond the first token, then one for each length.
  std::vector<Worth> worths(const Prompt& prompt, const LeastWork& work, double price) const {
    double spent = price * work.prefill(prompt.tokens).count();
    std::vector<Worth> found{{-spent, 0}};
    EngineTime paid{};
    for (const OutputLengths::Point& point : prompt.lengths) {
      // Who is not among the lengths before goes on to this one.
      const EngineTime whole = work.decode(prompt.tokens, point.output);
      spent += price * (1 - found.back().no_longer) * (whole - paid).count();
      paid = whole;
      found.push_back({std::max(found.back().gain, prompt.value * point.no_longer - spent), point.no_longer});
    }
    return found;
  }

  // How many of its prompt's lengths are due by `end`.
  std::size_t due_by(Duration end, const Asked& asked) const {
    const auto lengths = prompts_[asked.prompt].lengths;
    if (asked.last <= end) return lengths.size();
    const auto later = std::ranges::partition_point(lengths, [&](const OutputLengths::Point& point) {
      return deadlines(*asked.request, point.output).last <= end;
    });
    return static_cast<std::size_t>(later - lengths.begin());
  }

  double gain(const std::vector<double>& parameters) const {
    const LeastWork work(engine_, split_at(parameters, 0));
    double whole = 0, at_stake = 0;
    for (const Prompt& prompt : prompts_) {
      whole += prompt.count * work.whole(prompt.tokens, prompt.lengths.back().output).count();
      at_stake += prompt.count * prompt.value;
    }
    // Between e^-6 and e^6 times the mean value for the work of the longest output.
    const double price = exact::exp(12 * (parameters[split_parameters] - 0.5)) * at_stake / std::max(whole, 1e-9);
    const Duration end = begin_ + duration_from_seconds(parameters[split_parameters + 1] * seconds(end_ - begin_));
    std::vector<std::vector<Worth>> worth;
    worth.reserve(prompts_.size());
    for (const Prompt& prompt : prompts_) worth.push_back(worths(prompt, work, price));
    double gained = price * instances_ * seconds(end - begin_);
    for (const Asked& asked : asked_) {
      if (asked.first > end) {
        gained += asked.request->value;
        continue;
      }
      const Worth& paid = worth[asked.prompt][due_by(end, asked)];
      gained += std::max(0.0, paid.gain + asked.request->value * (1 - paid.no_longer));
    }
    return gained;
  }

  const OutputLengths& lengths_;
  const EngineSpec& engine_;
  int instances_;
  Duration begin_ = no_deadline, end_{};
  std::map<std::pair<Tokens, double>, std::size_t> index_;
  std::vector<Prompt> prompts_;
  std::vector<Asked> asked_;
  double free_ = 0;  // value
};

}  // namespace

double ceiling(std::span<const Request> requests, const OutputLengths& lengths, const EngineSpec& engine,
               int instances) {
  double all = 0;
  for (const Request& request : requests) all += request.value;
  return all > 0 ? Priced(requests, lengths, engine, instances).value() / all : 1;
}

}  // namespace qlm::bounds

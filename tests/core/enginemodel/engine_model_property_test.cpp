// The model keeps sums; here is the same scheduler written the long way, sequence by sequence and block by
// block, and both must agree on every step of random histories.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "base/prng.hpp"
#include "core/enginemodel/engine_model.hpp"

namespace qlm {
namespace {

class NaiveEngine {
 public:
  NaiveEngine(const StepTimeModel& time, const EngineLimits& limits)
      : time_(time), limits_(limits), free_(limits.kv_tokens.count / 16), total_(free_) {}

  struct Sequence {
    std::uint64_t user;
    std::int64_t prompt, output;
    std::int64_t generated = 0, computed = 0, blocks = 0, scheduled = 0;
    bool decoding = false;
    std::int64_t known() const { return prompt + generated; }
  };

  void submit(std::uint64_t user, std::int64_t prompt, std::int64_t output) {
    waiting_.push_back({user, prompt, output});
  }

  void abort(std::uint64_t user) {
    std::erase_if(waiting_, [&](const Sequence& s) { return s.user == user; });
    std::erase_if(running_, [&](const Sequence& s) {
      if (s.user == user) free_ += s.blocks;
      return s.user == user;
    });
  }

  std::optional<Duration> begin_step() {
    load = {};
    preempted.clear();
    for (auto& s : running_) s.scheduled = 0;
    if (time_.kind == StepTimeModel::Kind::separate) {
      admit_whole();
      if (load.prefill_tokens == 0) run_running(1 << 30);
    } else {
      const std::int64_t budget = run_running(limits_.max_num_batched_tokens.count);
      if (preempted.empty()) admit_chunked(budget);
    }
    if (load.prefill_tokens + load.decoding == 0) return std::nullopt;
    return time_(load);
  }

  void finish_step() {
    first.clear();
    finished.clear();
    for (auto& s : running_) {
      s.computed += s.scheduled;
      if (s.scheduled > 0 && s.computed == s.known()) {
        s.decoding = true;
        ++s.generated;
        if (s.generated == 1) first.push_back(s.user);
        if (s.generated == s.output) finished.push_back(s.user);
      }
    }
    std::erase_if(running_, [&](const Sequence& s) {
      if (s.generated == s.output) free_ += s.blocks;
      return s.generated == s.output;
    });
    std::ranges::sort(finished);
  }

  std::int64_t used() const { return total_ - free_; }
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }

  StepLoad load;
  std::vector<std::uint64_t> first, finished, preempted;

 private:
  bool allocate(Sequence& s, std::int64_t upto) {
    const std::int64_t more = (upto + 15) / 16 - s.blocks;
    if (more > free_) return false;
    free_ -= more;
    s.blocks += more;
    return true;
  }

  void schedule(Sequence& s, std::int64_t tokens) {
    s.scheduled = tokens;
    if (s.decoding) {
      ++load.decoding;
      load.context_tokens += s.known();
    } else {
      load.prefill_tokens += tokens;
      const auto length = static_cast<double>(tokens);
      load.attention += length * static_cast<double>(s.computed) + length * length / 2;
    }
  }

  std::int64_t run_running(std::int64_t budget) {
    for (std::size_t i = 0; i < running_.size(); ++i) {
      const std::int64_t tokens = std::min(running_[i].known() - running_[i].computed, budget);
      if (tokens == 0) continue;
      bool fits = false;
      while (i < running_.size() && !(fits = allocate(running_[i], running_[i].computed + tokens))) preempt();
      if (!fits) break;
      schedule(running_[i], tokens);
      budget -= tokens;
    }
    return budget;
  }

  void preempt() {
    Sequence victim = running_.back();
    running_.pop_back();
    free_ += victim.blocks;
    victim.blocks = victim.computed = 0;
    victim.decoding = false;
    preempted.push_back(victim.user);
    waiting_.push_front(victim);
  }

  void admit_chunked(std::int64_t budget) {
    while (budget > 0 && !waiting_.empty() &&
           static_cast<std::int64_t>(running_.size()) < limits_.max_num_seqs) {
      Sequence s = waiting_.front();
      if ((s.known() + 15) / 16 > free_) return;
      waiting_.pop_front();
      const std::int64_t tokens = std::min(s.known(), budget);
      EXPECT_TRUE(allocate(s, tokens));
      schedule(s, tokens);
      running_.push_back(s);
      budget -= tokens;
    }
  }

  void admit_whole() {
    std::int64_t budget = limits_.max_num_batched_tokens.count;
    while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < limits_.max_num_seqs) {
      Sequence s = waiting_.front();
      if (load.prefill_tokens > 0 && s.known() > budget) return;
      if ((s.known() + 15) / 16 > free_ - (running_.empty() ? 0 : total_ / 100)) return;
      waiting_.pop_front();
      EXPECT_TRUE(allocate(s, s.known()));
      schedule(s, s.known());
      running_.push_back(s);
      budget -= s.known();
    }
  }

  StepTimeModel time_;
  EngineLimits limits_;
  std::int64_t free_, total_;
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;
};

std::vector<std::uint64_t> sorted_users(std::span<const EngineModel::Event> events) {
  std::vector<std::uint64_t> list;
  for (const auto& event : events) list.push_back(event.user);
  std::ranges::sort(list);
  return list;
}
std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> list) {
  std::ranges::sort(list);
  return list;
}

struct Scenario {
  const char* name;
  StepTimeModel::Kind kind;
  std::int64_t kv, seqs, batched;
  std::uint64_t prompt, output;  // the longest
  double arrivals;               // a step
};

class AgainstTheLongWay : public testing::TestWithParam<Scenario> {};

// Returns a digest of everything that was observed.
std::uint64_t run_history(const Scenario& scenario, std::uint64_t seed) {
  const StepTimeModel time{scenario.kind, 5, 9, 0.05, 70, 0.1, 0.0003, 0.000002};
  const EngineLimits limits{Tokens{scenario.kv}, scenario.seqs, Tokens{scenario.batched}};
  EngineModel model(time, limits);
  NaiveEngine naive(time, limits);
  Prng random(seed);
  struct Alive {
    SequenceId id;
    std::int64_t output;
  };
  std::map<std::uint64_t, Alive> alive;
  std::int64_t delivered = 0;
  std::uint64_t digest = 1469598103934665603ULL, next_user = 0;
  const auto observe = [&](std::uint64_t value) { digest = (digest ^ value) * 1099511628211ULL; };

  for (int i = 0;; ++i) {
    const bool draining = i > 1500;
    while (!draining && random.chance(scenario.arrivals)) {
      const auto prompt = static_cast<std::int64_t>(1 + random.below(scenario.prompt));
      const auto output = static_cast<std::int64_t>(1 + random.below(scenario.output));
      const auto id = model.submit(Tokens{prompt}, Tokens{output}, next_user);
      if (id) {
        naive.submit(next_user, prompt, output);
        alive.emplace(next_user, Alive{*id, output});
      }
      ++next_user;
    }
    const auto took = model.begin_step();
    EXPECT_EQ(took, naive.begin_step());
    if (!took) {
      EXPECT_TRUE(alive.empty()) << "idle with work left";
      if (draining) break;
      continue;
    }
    // An abort that falls into a step takes effect at its end: the naive engine hears of it then.
    std::vector<std::uint64_t> aborted;
    if (!alive.empty() && random.chance(0.02)) {
      auto victim = std::next(alive.begin(), static_cast<std::ptrdiff_t>(random.below(alive.size())));
      delivered += model.generated(victim->second.id).count;
      EXPECT_TRUE(model.abort(victim->second.id));
      aborted.push_back(victim->first);
    }
    const auto result = model.finish_step();
    naive.finish_step();
    const auto without_aborted = [&](std::vector<std::uint64_t> list) {
      std::erase_if(list, [&](std::uint64_t user) { return std::ranges::count(aborted, user) > 0; });
      return sorted(list);
    };
    for (const auto user : aborted) {
      naive.abort(user);
      alive.erase(user);
    }
    EXPECT_EQ(sorted_users(result.first_token), without_aborted(naive.first));
    EXPECT_EQ(sorted_users(result.finished), without_aborted(naive.finished));
    EXPECT_EQ(sorted_users(result.preempted), sorted(naive.preempted));
    for (const auto& event : result.finished) {
      if (const auto found = alive.find(event.user); found != alive.end()) delivered += found->second.output;
      EXPECT_EQ(alive.erase(event.user), 1U);
    }
    EXPECT_EQ(model.kv_blocks_used(), naive.used());
    EXPECT_EQ(model.running(), static_cast<std::int64_t>(naive.running()));
    EXPECT_EQ(model.waiting(), static_cast<std::int64_t>(naive.waiting()));
    EXPECT_GE(model.kv_blocks_used(), 0);
    EXPECT_LE(model.kv_blocks_used(), model.kv_blocks_total());
    EXPECT_LE(model.running(), scenario.seqs);
    observe(static_cast<std::uint64_t>(took->count()));
    for (const auto& event : result.finished) observe(event.user);
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "seed " << seed << ", step " << i;
      break;
    }
  }
  EXPECT_TRUE(alive.empty());
  EXPECT_EQ(model.kv_blocks_used(), 0);
  EXPECT_EQ(model.totals().generated, Tokens{delivered});  // none lost, none twice, preempted or not
  return digest;
}

TEST_P(AgainstTheLongWay, AgreesOnEveryStep) {
  for (std::uint64_t seed = 1; seed <= 20 && !HasFailure(); ++seed) run_history(GetParam(), seed);
}

TEST_P(AgainstTheLongWay, TheSameHistoryTwiceIsTheSame) {
  EXPECT_EQ(run_history(GetParam(), 5), run_history(GetParam(), 5));
  EXPECT_NE(run_history(GetParam(), 5), run_history(GetParam(), 6));
}

using Kind = StepTimeModel::Kind;
INSTANTIATE_TEST_SUITE_P(Scenarios, AgainstTheLongWay,
                         testing::Values(Scenario{"roomy", Kind::knee, 100'000, 32, 256, 400, 60, 0.4},
                                         Scenario{"tight_kv", Kind::linear, 1'600, 32, 128, 200, 200, 0.3},
                                         Scenario{"tiny_budget", Kind::knee, 4'000, 16, 16, 100, 50, 0.2},
                                         Scenario{"one_sequence", Kind::linear, 1'000, 1, 64, 300, 20, 0.05},
                                         Scenario{"separate", Kind::separate, 100'000, 32, 256, 400, 60, 0.4},
                                         Scenario{"separate_tight_kv", Kind::separate, 1'600, 32, 128, 200,
                                                  200, 0.3}),
                         [](const auto& each) { return std::string(each.param.name); });

// Prompts of a few families that begin alike, in an engine that keeps prefixes: whatever is shared, preempted, aborted or
// pushed out, every block comes back and nobody's token is lost.
TEST(PrefixCache, SharesBlocksAndLosesNone) {
  for (const auto kind : {StepTimeModel::Kind::knee, StepTimeModel::Kind::separate}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const StepTimeModel time{kind, 5, 9, 0.05, 70, 0.1, 0.0003, 0.000002};
      EngineModel model(time, {.kv_tokens = Tokens{4000}, .max_num_seqs = 24, .max_num_batched_tokens = Tokens{300}, .prefix_cache = true});
      Prng random(seed);
      std::map<std::uint64_t, SequenceId> alive;
      std::int64_t asked = 0, found = 0;
      for (std::uint64_t step = 0;; ++step) {
        const bool draining = step > 1500;
        if (!draining && random.chance(0.3)) {
          const auto family = random.below(6), same = random.below(20) * 16;  // tokens that are its family's
          const auto prompt = static_cast<std::int64_t>(1 + same + random.below(200)), output = static_cast<std::int64_t>(1 + random.below(150));
          std::vector<std::uint64_t> keys;
          for (std::uint64_t k = 1; k <= static_cast<std::uint64_t>(prompt + output) / 16; ++k) keys.push_back(k * 16 <= same ? family << 32 | k : (step + 100) << 32 | k);
          const auto id = model.submit(Tokens{prompt}, Tokens{output}, step, keys);
          if (id) alive.emplace(step, *id);
          asked += prompt;
        }
        if (!model.begin_step()) {
          if (draining) break;
          continue;
        }
        if (!alive.empty() && random.chance(0.02)) {
          const auto victim = std::next(alive.begin(), static_cast<std::ptrdiff_t>(random.below(alive.size())));
          EXPECT_TRUE(model.abort(victim->second));
          alive.erase(victim);
        }
        const auto result = model.finish_step();
        for (const auto& event : result.first_token) found += event.cached.count;
        for (const auto& event : result.finished) alive.erase(event.user);
        ASSERT_GE(model.kv_blocks_used(), 0);
        ASSERT_LE(model.kv_blocks_used(), model.kv_blocks_total());
      }
      EXPECT_TRUE(alive.empty());
      EXPECT_EQ(model.kv_blocks_used(), 0);
      EXPECT_GT(found, asked / 10);
      EXPECT_LT(found, asked);
      EXPECT_LE(found, model.totals().cached.count);
    }
  }
}

TEST(PrefixCache, WithoutAnyKeyItIsAnEngineLikeAnyOther) {
  const StepTimeModel time{StepTimeModel::Kind::knee, 5, 9, 0.05, 70, 0.1, 0.0003, 0.000002};
  EngineLimits limits{.kv_tokens = Tokens{2000}, .max_num_seqs = 16, .max_num_batched_tokens = Tokens{300}};
  EngineModel plain(time, limits);
  limits.prefix_cache = true;
  EngineModel caching(time, limits);
  Prng random(1);
  for (int step = 0; step < 2000; ++step) {
    if (random.chance(0.4)) {
      const Tokens prompt{static_cast<std::int64_t>(1 + random.below(300))}, output{static_cast<std::int64_t>(1 + random.below(150))};
      ASSERT_EQ(plain.submit(prompt, output).has_value(), caching.submit(prompt, output).has_value());
    }
    const auto took = plain.begin_step();
    ASSERT_EQ(took, caching.begin_step());
    if (!took) continue;
    plain.finish_step();
    caching.finish_step();
    ASSERT_EQ(plain.kv_blocks_used(), caching.kv_blocks_used());
  }
}

TEST(PrefixCache, AConversationsNextTurnComputesOnlyWhatIsNew) {
  const StepTimeModel time{.base_ms = 5, .per_prefill_token_ms = 0.1};
  EngineModel model(time, {.kv_tokens = Tokens{1600}, .max_num_seqs = 8, .prefix_cache = true});
  const auto keys = [](std::uint64_t who, int blocks) {
    std::vector<std::uint64_t> made;
    for (int k = 1; k <= blocks; ++k) made.push_back(who << 32 | static_cast<std::uint64_t>(k));
    return made;
  };
  const auto run = [&](std::uint64_t who, std::int64_t prompt, std::int64_t output) {
    EXPECT_TRUE(model.submit(Tokens{prompt}, Tokens{output}, 0, keys(who, static_cast<int>(prompt + output) / 16)));
    Tokens cached{0};
    while (model.begin_step()) {
      for (const auto& event : model.finish_step().first_token) cached = event.cached;
    }
    return cached;
  };
  EXPECT_EQ(run(1, 160, 32), Tokens{0});
  EXPECT_EQ(run(1, 320, 32), Tokens{176});  // with the answer, all but its last token, whose block was not filled
  EXPECT_EQ(run(1, 320, 32), Tokens{304}) << "the last token is always computed";
  EXPECT_EQ(run(2, 320, 32), Tokens{0});
  EXPECT_EQ(run(3, 1500, 32), Tokens{0});  // needs nearly all memory
  EXPECT_EQ(run(1, 320, 32), Tokens{0}) << "pushed out";
}

}  // namespace
}  // namespace qlm

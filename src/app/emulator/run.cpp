#include "app/emulator/run.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "app/emulator/emulated_engine.hpp"
#include "app/emulator/replay_log.hpp"
#include "runtime/config/units.hpp"

namespace qlm::emulator {
namespace {

constexpr int failed = 1, wrong_usage = 2;

struct Arguments {
  std::vector<std::string> listen{"127.0.0.1:8000"};
  int instances = 1;
  std::string gpu = "a100-80", model = "mistral-7b", profile;
  std::vector<std::string> served_as, api_keys;
  std::int64_t max_num_seqs = 0, max_num_batched_tokens = 0, max_model_len = 0, kv_tokens = 0,
               mean_output = 228;
  double speed = 1;
  std::uint64_t seed = 0;
  std::string fault = "none";
  std::int64_t fault_after = 0, fault_count = 0;
  double fault_factor = 10;
  bool bare = false, prefix_cache = false, enable_sleep_mode = false, enable_lora = false;
  std::string scheduling_policy = "fcfs";
  std::string sleep_time, wake_time, load_time;
  bool print_profiles = false;
  std::string replay_log;
};

constexpr const char* description =
    "An emulated engine: vLLM's HTTP contract in front of a model of continuous batching that keeps a GPU's "
    "time.\n"
    "It generates words that mean nothing, at the pace the named GPU would.\n";

constexpr const char* footer = R"(
Examples:
  qlm emulate --gpu a100-80 --model mistral-7b
  qlm emulate --listen 127.0.0.1:8001 --instances 3 --speed 10
  qlm emulate --print-profiles
  qlm emulate --replay-log requests.csv.gz --profile rtxpro6000-96/llama-3.1-8b --max-num-seqs 128

Serves /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings, /v1/models, /tokenize, /detokenize,
/health, /ping, /version, /metrics, /load; with --enable-sleep-mode and the environment's VLLM_SERVER_DEV_MODE=1 also
POST /sleep?level=1|2, /wake_up?tags=weights|kv_cache, /collective_rpc {"method": "reload_weights"}, /reset_prefix_cache
and GET /is_sleeping; with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 also POST /v1/load_lora_adapter and
/v1/unload_lora_adapter {"lora_name": "a", "lora_path": "/a"}; and POST /emulator/fault {"kind": "cut", "after_tokens": 5, "count": 1}.
Faults: refuse, http_500, http_503, stall, cut, garbage, slow (with "factor"), die, none; and only as --fault load_fail
(out of memory after half of --load-time, exit code 1) and load_hang (never listens). Where a file is named by the
environment's EMULATE_LOAD_FAULT_FILE and is there, it is removed and that load fails.

A prompt has one token for each four bytes of text. An output ends by itself after --mean-output tokens on average,
and at max_tokens exactly when the request says "ignore_eos": true.

Exit codes: 0 ended by SIGTERM or SIGINT, 1 failed (load_fail too), 2 wrong usage, 70 the fault "die".
)";

void print_profiles() {
  fmt::print("{:<36}{:<10}{:>11}  {}\n", "PROFILE", "STEPS", "KV TOKENS", "FIGURES");
  for (const auto& profile : builtin_profiles()) {
    constexpr const char* kinds[] = {"linear", "knee", "separate"};
    fmt::print("{:<36}{:<10}{:>11}  {}\n", profile.name(), kinds[static_cast<int>(profile.step.kind)],
               profile.kv_tokens.count, profile.origin);
  }
}

Result<EngineProfile> chosen_profile(const Arguments& arguments) {
  auto profile = arguments.profile.empty() ? find_profile(arguments.gpu, arguments.model)
                                           : find_profile(arguments.profile);
  if (!profile) return fail(profile.error().message + "; --print-profiles lists all");
  if (arguments.max_num_seqs > 0) profile->max_num_seqs = arguments.max_num_seqs;
  if (arguments.max_num_batched_tokens > 0)
    profile->max_num_batched_tokens = Tokens{arguments.max_num_batched_tokens};
  if (arguments.max_model_len > 0) profile->max_model_len = Tokens{arguments.max_model_len};
  if (arguments.kv_tokens > 0) profile->kv_tokens = Tokens{arguments.kv_tokens};
  return profile;
}

enum class LoadFault { none, fail, hang };

// A file that is there is taken away, and that start fails: the next one of the same command does not.
LoadFault chosen_load_fault(const Arguments& arguments) {
  if (arguments.fault == "load_hang") return LoadFault::hang;
  if (arguments.fault == "load_fail") return LoadFault::fail;
  const char* once = std::getenv("EMULATE_LOAD_FAULT_FILE");
  std::error_code error;
  return once != nullptr && std::filesystem::remove(once, error) ? LoadFault::fail : LoadFault::none;
}

Result<Duration> chosen_load_time(const Arguments& arguments) {
  if (arguments.load_time.empty()) return Duration{0};
  const auto stated = config::parse_duration(arguments.load_time);
  if (!stated) return fail("--load-time: " + stated.error().message);
  return duration_from_seconds(seconds(*stated) / arguments.speed);
}

Result<Fault> chosen_fault(const Arguments& arguments) {
  if (arguments.fault == "load_fail" || arguments.fault == "load_hang") return Fault{};
  const auto kind = fault_kind(arguments.fault);
  if (!kind) return fail(fmt::format("--fault: no fault \"{}\"", arguments.fault));
  Fault fault{.kind = *kind, .after_tokens = arguments.fault_after, .factor = arguments.fault_factor};
  if (arguments.fault_count > 0) fault.count = arguments.fault_count;
  return fault;
}

bool set_to_one(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::string_view(value) == "1";
}

// Nothing where it may not sleep.
Result<std::optional<SleepTimes>> chosen_sleep(const Arguments& arguments, const EngineProfile& profile) {
  if (!arguments.enable_sleep_mode) return std::nullopt;
  auto times = sleep_times(profile.model);
  if (!times && (arguments.sleep_time.empty() || arguments.wake_time.empty())) {
    return fail("--enable-sleep-mode: " + times.error().message + "; --sleep-time and --wake-time say it");
  }
  SleepTimes chosen = times.value_or(SleepTimes{});
  if (!arguments.sleep_time.empty()) {
    const auto stated = config::parse_duration(arguments.sleep_time);
    if (!stated) return fail("--sleep-time: " + stated.error().message);
    chosen.put_away = *stated;
  }
  if (!arguments.wake_time.empty()) {
    const auto stated = config::parse_duration(arguments.wake_time);
    if (!stated) return fail("--wake-time: " + stated.error().message);
    chosen.bring_back = chosen.reload = *stated;
    chosen.make_room = Duration{0};
  }
  // As vLLM, which leaves these endpoints away unless it is told to be in development.
  if (!set_to_one("VLLM_SERVER_DEV_MODE")) return std::nullopt;
  return chosen;
}

// With several instances each --listen is taken as it is, and the last one counted on from.
Result<std::vector<net::Address>> addresses(const Arguments& arguments) {
  std::vector<net::Address> list;
  for (const auto& text : arguments.listen) {
    auto address = net::parse_address(text);
    if (!address) return std::unexpected(address.error());
    list.push_back(std::move(*address));
  }
  while (list.size() < static_cast<std::size_t>(arguments.instances)) {
    list.push_back(list.back());
    if (list.back().port != 0) ++list.back().port;
  }
  return list;
}

int complain(const Error& error, int code) {
  fmt::print(stderr, "qlm emulate: {}\n", error.message);
  return code;
}

int replay_command(const Arguments& arguments, const EngineProfile& profile) {
  const auto log = read_request_log(arguments.replay_log);
  if (!log) return complain(log.error(), failed);
  const auto report = replay(*log, profile.step, limits_of(profile));
  if (!report) return complain(report.error(), failed);
  fmt::print("profile           {}, max_num_seqs {}, max_num_batched_tokens {}\n{}", profile.name(),
             profile.max_num_seqs, profile.max_num_batched_tokens.count, report->text());
  return 0;
}

int start_all(net::Loop& loop, const Arguments& arguments, const EngineProfile& profile,
              const std::vector<net::Address>& listen, const Fault& fault, const std::optional<SleepTimes>& sleep,
              std::vector<std::unique_ptr<EmulatedEngine>>& engines) {
  for (const auto& address : listen) {
    auto engine = EmulatedEngine::start(loop, {.listen = address,
                                               .profile = profile,
                                               .served_as = arguments.served_as,
                                               .api_keys = arguments.api_keys,
                                               .speed = arguments.speed,
                                               .seed = arguments.seed,
                                               .mean_output = Tokens{arguments.mean_output},
                                               .prefix_cache = arguments.prefix_cache,
                                               .bare = arguments.bare,
                                               .sleep = sleep,
                                               .by_priority = arguments.scheduling_policy == "priority",
                                               .lora = arguments.enable_lora && set_to_one("VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
                                               .fault = fault,
                                               .on_die = [] { std::_Exit(70); }});
    if (!engine) return complain(engine.error(), failed);
    net::Address actual = address;
    actual.port = (*engine)->port();
    fmt::print("listening on http://{} ({}, speed {:g})\n", actual.text(), profile.name(), arguments.speed);
    engines.push_back(std::move(*engine));
  }
  std::fflush(stdout);
  return 0;
}

int serve(const Arguments& arguments, const EngineProfile& profile) {
  const auto fault = chosen_fault(arguments);
  if (!fault) return complain(fault.error(), wrong_usage);
  const auto sleep = chosen_sleep(arguments, profile);
  if (!sleep) return complain(sleep.error(), wrong_usage);
  const auto listen = addresses(arguments);
  if (!listen) return complain(listen.error(), wrong_usage);
  const auto load_time = chosen_load_time(arguments);
  if (!load_time) return complain(load_time.error(), wrong_usage);
  net::raise_descriptor_limit();
  net::Loop loop;
  // As vLLM does by default: what runs is cut, not drained.
  loop.on_signals({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  std::vector<std::unique_ptr<EmulatedEngine>> engines;
  int code = 0;
  const auto listen_all = [&] {
    code = start_all(loop, arguments, profile, *listen, *fault, *sleep, engines);
    if (code != 0) loop.stop();
  };
  net::Timer loaded(loop);
  switch (chosen_load_fault(arguments)) {
    case LoadFault::none:
      loaded.after(*load_time, listen_all);
      break;
    case LoadFault::fail:
      loaded.after(*load_time / 2, [&] {
        fmt::print(stderr, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has no room for it.\n");
        code = failed;
        loop.stop();
      });
      break;
    case LoadFault::hang:
      break;
  }
  loop.run();
  return code;
}

}  // namespace

int run(int argc, char** argv) {
  Arguments a;
  CLI::App app(description, "qlm emulate");
  app.footer(footer);
  app.option_defaults()->always_capture_default();
  app.add_option("--listen", a.listen,
                 "host:port to serve on; port 0 takes a free one, which is printed; may be repeated");
  app.add_option("--instances", a.instances, "engines in this process, on ports counted on from --listen")
      ->check(CLI::Range(1, 1000));
  app.add_option("--gpu", a.gpu, "the GPU to be")->group("Engine");
  app.add_option("--model", a.model, "the model to be; model@era asks for an older engine")->group("Engine");
  app.add_option("--profile", a.profile, "a profile by its whole name, instead of --gpu and --model")
      ->group("Engine");
  app.add_option("--served-as", a.served_as,
                 "names clients may use, the first one shown (default: the model's)")
      ->group("Engine");
  const auto number = [&](const char* name, std::int64_t& value, const char* text) {
    app.add_option(name, value, text)
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
        ->group("Engine")
        ->default_str("");
  };
  number("--max-num-seqs", a.max_num_seqs, "sequences that run at once (default: the profile's)");
  number("--max-num-batched-tokens", a.max_num_batched_tokens,
         "tokens a step may compute (default: the profile's)");
  number("--max-model-len", a.max_model_len, "context length (default: the profile's)");
  number("--kv-tokens", a.kv_tokens, "size of the KV cache (default: the profile's)");
  app.add_flag("--prefix-cache", a.prefix_cache, "keep the KV blocks of prompts, and say in `usage` how many tokens were cached")->group("Engine");
  app.add_option("--scheduling-policy", a.scheduling_policy, "fcfs, or priority: requests' \"priority\", a lower one sooner")
      ->check(CLI::IsMember({"fcfs", "priority"}))
      ->group("Engine");
  app.add_flag("--enable-lora", a.enable_lora, "takes LoRA adapters, where the environment says VLLM_ALLOW_RUNTIME_LORA_UPDATING=1")
      ->group("Engine");
  number("--mean-output", a.mean_output, "mean length of an output that ends by itself (default: 228)");
  app.add_option("--speed", a.speed, "times faster than life")
      ->check(CLI::Range(1e-3, 1e6))
      ->group("Behaviour");
  app.add_option("--seed", a.seed, "of the words it says")->group("Behaviour");
  app.add_flag("--bare", a.bare, "tell nothing but the models, as an unknown engine: no metrics, no health, no version")
      ->group("Behaviour");
  app.add_option("--load-time", a.load_time, "before it listens, divided by --speed (default: none)")
      ->default_str("")
      ->group("Behaviour");
  app.add_option("--api-key", a.api_keys, "keys it asks for under /v1; may be repeated")->group("Behaviour");
  app.add_flag("--enable-sleep-mode", a.enable_sleep_mode, "can be put to sleep, where the environment says VLLM_SERVER_DEV_MODE=1")
      ->group("Sleep");
  app.add_option("--sleep-time", a.sleep_time, "to put the weights away at level 1, divided by --speed (default: as their size over 21 GB/s)")
      ->default_str("")
      ->group("Sleep");
  app.add_option("--wake-time", a.wake_time,
                 "to bring the weights back, from the host at level 1 or reloaded at level 2, divided by --speed (default: their "
                 "size over 21 GB/s and 0.3 s, or over 3.4 GB/s)")
      ->default_str("")
      ->group("Sleep");
  app.add_option("--fault", a.fault, "a way to fail from the start; see below")->group("Faults");
  app.add_option("--fault-after-tokens", a.fault_after, "tokens of a request before it strikes")
      ->check(CLI::NonNegativeNumber)
      ->group("Faults");
  app.add_option("--fault-count", a.fault_count, "requests it befalls (default: all)")
      ->check(CLI::NonNegativeNumber)
      ->default_str("")
      ->group("Faults");
  app.add_option("--fault-factor", a.fault_factor, "how much slower \"slow\" is")
      ->check(CLI::Range(1e-3, 1e6))
      ->group("Faults");
  app.add_flag("--print-profiles", a.print_profiles, "list the profiles and end")
      ->group("Instead of serving");
  app.add_option(
         "--replay-log", a.replay_log,
         "replay a real engine's request log (CSV, gzipped or not, - is standard input) on the profile, "
         "say how far off the model is, and end")
      ->default_str("")
      ->group("Instead of serving");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : wrong_usage;
  }
  if (a.print_profiles) {
    print_profiles();
    return 0;
  }
  const auto profile = chosen_profile(a);
  if (!profile) return complain(profile.error(), wrong_usage);
  if (!a.replay_log.empty()) return replay_command(a, *profile);
  return serve(a, *profile);
}

}  // namespace qlm::emulator

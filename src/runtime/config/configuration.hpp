// What an operator asked for, as typed values: one YAML file, checked whole before anything uses it. yaml-cpp stays
// behind this header. Every key, its default and its meaning stand in one table (schema.hpp), from which the
// reader, the published JSON Schema and docs/configuration.md all come.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "core/domain/configuration.hpp"
#include "core/domain/swap_preset.hpp"

namespace qlm::config {

// An amount over a period as it was written, so that a token bucket can be as deep as the operator meant:
// 2M/min is 2,000,000 in a minute, not 33,333 in a second.
template <class Unit>
struct Rate {
  Quantity<Unit> amount;
  Duration per = 1s;

  constexpr bool operator==(const Rate&) const = default;
  constexpr double per_second() const { return static_cast<double>(amount.count) * 1e9 / static_cast<double>(per.count()); }
};
using TokenRate = Rate<TokenUnit>;
using RequestRate = Rate<struct RequestUnit>;

struct ListenAddress {
  std::string host;  // a name or an address; IPv6 without its brackets
  std::uint16_t port = 0;

  bool operator==(const ListenAddress&) const = default;
};
bool is_loopback(const ListenAddress& address);
std::string to_string(const ListenAddress& address);

// keys: a request needs a tenant's key. none: anybody is served, as the tenant `anonymous`; a known key still counts.
enum class Auth { keys, none };
using qlm::Policy;
using qlm::WhenLate;
enum class Engine { detect, vllm, llamacpp, sglang, ollama, openai };
enum class LogLevel { debug, info, warn, error };

struct Limits {
  Bytes body{32LL << 20};
  std::int64_t queued = 100'000;        // requests waiting, of all tenants
  Bytes queued_bytes{4LL << 30};        // their bodies
  double tenant_share = 0.25;           // of both, for any one tenant; 1 while the file names no tenant
  std::int64_t connections = 20'000;
  Bytes stream_buffer{1LL << 20};       // read from an engine, not yet taken by one client
  Bytes stream_buffers{1LL << 30};      // the same, of all streams
  Duration head_timeout = 30s;          // from the first byte of a request's head to its end
  Duration body_timeout = 60s;          // for every 64 KiB of a request's body
  Duration client_stall = 30s;          // a client that takes nothing this long is cancelled

  bool operator==(const Limits&) const = default;
};

struct Class {
  std::string name;
  std::optional<Duration> ttft;
  std::optional<Duration> tpot;
  std::optional<Duration> e2e;
  double objective = 0.99;  // the part of its requests that must meet the SLO
  double value = 1;         // worth of one request on time
  double min_share = 0;     // of a model's token rate over a minute, lent when idle
  std::optional<Duration> max_wait;
  WhenLate when_late = WhenLate::serve;
  std::string downgrade_to;  // a class; when_late: downgrade only

  bool operator==(const Class&) const = default;
};

// As the controller knows it, but for downgrade_to: ids are given out by others.
ServiceClass service_class(const Class& from);

struct TenantLimits {
  std::optional<std::int64_t> in_flight;
  std::optional<std::int64_t> queued;
  std::optional<TokenRate> tokens;
  std::optional<RequestRate> requests;

  bool operator==(const TenantLimits&) const = default;
};

struct Tenant {
  std::string name;
  std::string keys_file;
  std::vector<std::string> keys;   // what keys_file held; never printed, logged or compared in a message
  std::string default_class;       // always set
  std::vector<std::string> allow;  // classes it may ask for; always set, holds default_class
  double weight = 1;
  bool trusted = false;            // may use fields that steer an engine past the queue
  TenantLimits limits;

  bool operator==(const Tenant&) const = default;
};

// What is known of a model's speed before anything was measured: one of the two, or none.
struct Prior {
  std::optional<TokenRate> token_throughput;
  std::string profile;  // "a100-80/vicuna-13b"

  bool operator==(const Prior&) const = default;
};

struct Model {
  std::string name;       // as clients say it
  std::string served_as;  // as engines say it; always set
  std::optional<Tokens> max_output_tokens;
  Prior prior;

  bool operator==(const Model&) const = default;
};

struct Url {
  std::string host;
  std::uint16_t port = 80;
  std::string prefix;  // path before "/v1/...": empty, or "/gpu1" without a slash at its end

  bool operator==(const Url&) const = default;
};
std::string to_string(const Url& url);

struct Instance {
  std::string name;  // always set: the URL's host:port where the file gives none
  Url url;
  Engine engine = Engine::detect;
  std::optional<std::int64_t> max_in_flight;
  std::string api_key_file;
  std::string api_key;              // what api_key_file held, never printed
  std::vector<std::string> models;  // names of `models`; empty: all that the engine says it serves
  bool prefix_cache = false;        // in a simulation; a live engine's answers tell

  bool operator==(const Instance&) const = default;
};

// GPUs of one host, each an instance that serves the pool's models by turns, one at a time.
using qlm::SwapPreset;
struct PoolModel {
  std::string name;  // as clients say it; need not be among `models`
  std::string command;  // starts its engine; empty: it cannot be served, only simulated
  std::optional<Bytes> memory;  // of the host, that its weights take while it sleeps
  Duration load_timeout = 10min;  // from its start until it answers
  Duration stop_timeout = 30s;    // from SIGTERM until it is gone; then SIGKILL
  std::string profile;  // its prior on this pool's GPUs; empty: that of `models`
  std::optional<Duration> bring_in, put_away;  // its prior

  bool operator==(const PoolModel&) const = default;
};
struct Pool {
  std::string name;
  std::vector<std::string> gpus;
  std::vector<PoolModel> models;
  std::optional<Bytes> host_memory;  // for models that sleep, of all its GPUs together; nothing: none is put to sleep
  std::optional<SwapPreset> swap;  // the prior of what its models take to come and go
  std::optional<std::int64_t> max_in_flight;  // of each instance
  bool prefix_cache = false;                  // the same, in a simulation

  bool operator==(const Pool&) const = default;
};
// The instance of one of its GPUs: "here/0".
std::string instance_name(const Pool& pool, std::string_view gpu);

struct Log {
  LogLevel level = LogLevel::info;
  std::string access = "-";  // a path; "-" is standard output, empty is off

  bool operator==(const Log&) const = default;
};

// A program that solves linear programs with integers, killed by the clock.
struct Solver {
  std::string command;  // `cbc`, or words with {lp} and {solution} in them; empty: there is none
  Duration timeout = 60s;
  bool operator==(const Solver&) const = default;
};

struct Planning {
  double delta = 0.95;  // of qlm-sp: how probably each group shall be on time
  Solver solver;        // of qlm-lp and qlm-lp-expire
  bool operator==(const Planning&) const = default;
};

struct Configuration {
  ListenAddress listen{"127.0.0.1", 8080};
  ListenAddress admin{"127.0.0.1", 8081};
  Auth auth = Auth::none;  // decided: keys as soon as a tenant has keys, unless the file says none
  Limits limits;
  Duration stream_keepalive = 10s;
  Duration drain_timeout = 60s;
  std::vector<Class> classes;    // the built-in `standard` first, then the file's order
  std::string default_class = "standard";
  std::vector<Tenant> tenants;   // `anonymous` first, who has no key, then the file's order
  std::vector<Model> models;
  std::vector<Instance> instances;
  std::vector<Pool> pools;
  std::string state;             // a folder; empty: where the system keeps such things (state_folder)
  Policy policy = Policy::edf;
  Planning planning;
  Log log;

  bool operator==(const Configuration&) const = default;
};

struct Problem {
  std::string file;
  int line = 0;  // from 1; 0 where no line is to blame
  int column = 0;
  std::string key;      // "classes.interactive.ttft", "instances[2].url", or empty
  std::string message;  // what was found, what was expected, what to do

  bool operator==(const Problem&) const = default;
};
// file:line:column: key: message
std::string to_string(const Problem& problem);

using Loaded = std::expected<Configuration, std::vector<Problem>>;  // every problem found, in the file's order

// What this room cannot know: looks at the configuration, as far as it could be read, and complains of its keys. Its
// problems stand among the others, each where its key is.
using Complain = std::function<void(const std::string& key, std::string message)>;
using FurtherCheck = std::function<void(const Configuration& configuration, const Complain& complain)>;

// What the command line said over the file, as it was written there; checked like the file's own.
struct Overrides {
  std::optional<std::string> listen;
  std::optional<std::string> admin;
  std::optional<std::string> policy;
};

// Files that the configuration names (keys, an engine's API key) are read through this, relative to its own folder.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;
Result<std::string> read_small_file(const std::string& path);  // refuses above 1 MiB and what is no plain file

Loaded load(const std::string& path, const Overrides& overrides = {}, const FurtherCheck& check = {});
Loaded parse(std::string_view yaml, const std::string& name, const Overrides& overrides = {},
             const ReadFile& read_file = read_small_file, const FurtherCheck& check = {});
// `qlm serve http://gpu1:8000 ...`: no file at all.
Loaded defaults_for_urls(std::span<const std::string> urls, const Overrides& overrides = {});

// One key a line; blank lines and lines that begin with '#' do not count. Errors never repeat a key.
Result<std::vector<std::string>> read_keys(const std::string& path);

// What a configuration that is no mistake may still do other than was meant, a sentence each. Looks at the files it names.
std::vector<std::string> warnings(const Configuration& configuration);

// What a reload would do.
struct Changes {
  std::vector<std::string> changed;        // "classes.interactive", "instances.chat-b (added)": for the log
  std::vector<std::string> need_restart;   // keys whose new value only a restart brings, each with the sentence to say

  bool refused() const { return !need_restart.empty(); }
};
Changes compare(const Configuration& now, const Configuration& next);

std::string_view to_string(Auth auth);
std::string_view to_string(Policy policy);
std::string_view to_string(WhenLate when_late);
std::string_view to_string(Engine engine);
std::string_view to_string(LogLevel level);
std::string_view to_string(SwapPreset preset);

}  // namespace qlm::config

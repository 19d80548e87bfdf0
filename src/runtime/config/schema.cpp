#include "runtime/config/schema.hpp"

#include <array>
#include <type_traits>

namespace qlm::config {
namespace {

using std::string_view;

constexpr std::array<string_view, 2> auth_words{"keys", "none"};
// In the order of qlm::Policy.
constexpr std::array<string_view, 11> policy_words{"fcfs",     "priority", "edf",           "edf-expire", "sjf", "greedy",
                                                    "shepherd", "qlm-lp",   "qlm-lp-expire", "qlm-sp",     "qlm"};
static_assert(policy_words.size() == all_policies.size());
constexpr std::array<string_view, 3> when_late_words{"serve", "reject", "downgrade"};
constexpr std::array<string_view, 6> engine_words{"auto", "vllm", "llamacpp", "sglang", "ollama", "openai"};
constexpr std::array<string_view, 3> swap_words{"warm", "nvme", "cold2024"};  // in the order of qlm::SwapPreset
constexpr std::array<string_view, 4> log_level_words{"debug", "info", "warn", "error"};

// What a member pointer points from and to.
template <auto Member> struct MemberOf;
template <class OwnerType, class FieldType, FieldType OwnerType::*Member>
struct MemberOf<Member> {
  using Owner = OwnerType;
  using Field = FieldType;
};
template <class T> struct Bare { using Type = T; };
template <class T> struct Bare<std::optional<T>> { using Type = T; };

// Puts a checked value into its member. The kind in the table and the member's type must agree: std::get throws
// where they do not, and the test that writes every key shows it.
template <auto Member>
void into(void* owner, const Value& value) {
  using Field = typename MemberOf<Member>::Field;
  using Type = typename Bare<Field>::Type;
  auto& field = static_cast<typename MemberOf<Member>::Owner*>(owner)->*Member;
  if constexpr (std::is_enum_v<Type>) {
    field = static_cast<Type>(std::get<Choice>(value).index);
  } else if constexpr (std::is_same_v<Type, Tokens>) {
    field = Tokens{std::get<std::int64_t>(value)};
  } else if constexpr (std::is_same_v<Type, RequestRate>) {
    const TokenRate& rate = std::get<TokenRate>(value);  // read before anybody knows what is counted
    field = RequestRate{Quantity<RequestUnit>{rate.amount.count}, rate.per};
  } else {
    field = std::get<Type>(value);
  }
}

template <auto Member>
void* within(void* owner, string_view) {
  return &(static_cast<typename MemberOf<Member>::Owner*>(owner)->*Member);
}

// A section of keys whose values stand in the object around it.
void* same(void* owner, string_view) { return owner; }

template <auto Member>
void* appended(void* owner, string_view name) {
  auto& made = (static_cast<typename MemberOf<Member>::Owner*>(owner)->*Member).emplace_back();
  if (!name.empty()) made.name = name;
  return &made;
}

// The built-in class and tenant stand first; the file may give them values, never a second of the same name.
template <auto Member>
void* found_or_appended(void* owner, string_view name) {
  for (auto& each : static_cast<typename MemberOf<Member>::Owner*>(owner)->*Member) {
    if (each.name == name) return &each;
  }
  return appended<Member>(owner, name);
}

Key choice(string_view name, string_view fallback, string_view meaning, void (*store)(void*, const Value&),
           std::span<const string_view> choices) {
  Key key{name, Kind::choice, fallback, meaning, store};
  key.choices = choices;
  return key;
}
Key nested(string_view name, Kind kind, string_view meaning, void* (*enter)(void*, string_view), const Section& section) {
  Key key{name, kind, {}, meaning};
  key.enter = enter;
  key.section = &section;
  return key;
}
Key ranged(Key key, std::int64_t least, std::int64_t most = 1'000'000'000) {
  key.least = least;
  key.most = most;
  return key;
}
Key or_word(string_view word, Key key) {
  key.word = word;
  return key;
}
Key required(Key key) {
  key.required = true;
  return key;
}

const Key limits_keys[] = {
    {"body", Kind::size, "32MiB", "largest request body", into<&Limits::body>},
    ranged({"queued", Kind::count, "100k", "requests waiting, of all tenants", into<&Limits::queued>}, 1),
    {"queued_bytes", Kind::size, "4GiB", "their bodies", into<&Limits::queued_bytes>},
    {"tenant_share", Kind::share, "25%",
     "of `queued` and `queued_bytes`, for any one tenant; 100% while the file names no tenant",
     into<&Limits::tenant_share>},
    ranged({"connections", Kind::count, "20k", "client connections, as far as the limit of open files allows", into<&Limits::connections>}, 1, 1'000'000),
    {"stream_buffer", Kind::size, "1MiB", "read from an engine and not yet taken by one client", into<&Limits::stream_buffer>},
    {"stream_buffers", Kind::size, "1GiB", "the same, of all streams", into<&Limits::stream_buffers>},
    {"head_timeout", Kind::duration, "30s", "for the whole head of a request; then it is answered with 408", into<&Limits::head_timeout>},
    {"body_timeout", Kind::duration, "60s", "for every 64 KiB of a request's body; then it is answered with 408",
     into<&Limits::body_timeout>},
    {"client_stall", Kind::duration, "30s", "a client that takes nothing for this long is cancelled",
     into<&Limits::client_stall>},
};
const Section limits_section{"Limits", limits_keys};

const Key class_keys[] = {
    {"ttft", Kind::duration, "", "SLO: time to first token", into<&Class::ttft>},
    {"tpot", Kind::duration, "", "SLO: time per output token, mean over a reply", into<&Class::tpot>},
    {"e2e", Kind::duration, "", "SLO: arrival to last byte", into<&Class::e2e>},
    {"objective", Kind::share, "99%", "the part of requests that must meet the SLO; not acted on yet", into<&Class::objective>},
    {"value", Kind::number, "1", "worth of one request on time", into<&Class::value>},
    {"min_share", Kind::share, "0%", "of a model's token rate over a minute while others go before it, lent when idle; not under fcfs, edf, qlm-lp and qlm-sp, which pass nobody over, and under sjf only for those it finds late", into<&Class::min_share>},
    {"max_wait", Kind::duration, "", "longest wait in the queue, 10 min where none is stated; later the request is answered with 504", into<&Class::max_wait>},
    choice("when_late", "serve",
     "a request that cannot meet its ttft or e2e any more: serve it after the others, reject it, or downgrade it; by tpot alone none is late",
     into<&Class::when_late>, when_late_words),
    {"downgrade_to", Kind::name, "", "the class that `when_late: downgrade` moves it to", into<&Class::downgrade_to>},
    {"durable", Kind::later, "", "accepted only once it is on disk"},
};
const Section class_section{"A class", class_keys};

const Key tenant_limits_keys[] = {
    ranged({"in_flight", Kind::count, "", "requests queued and running together", into<&TenantLimits::in_flight>}, 1),
    ranged({"queued", Kind::count, "", "requests waiting", into<&TenantLimits::queued>}, 1),
    {"tokens", Kind::rate, "", "tokens, prompt and generated", into<&TenantLimits::tokens>},
    {"requests", Kind::rate, "", "requests", into<&TenantLimits::requests>},
};
const Section tenant_limits_section{"A tenant's limits", tenant_limits_keys};

const Key tenant_keys[] = {
    {"keys_file", Kind::path, "", "API keys, one a line; relative to the configuration's folder", into<&Tenant::keys_file>},
    {"class", Kind::name, "", "class of a request that asks for none; otherwise `default_class`", into<&Tenant::default_class>},
    {"allow", Kind::names, "", "classes it may ask for; otherwise all", into<&Tenant::allow>},
    {"weight", Kind::number, "1", "its part of a model's tokens against other tenants', under qlm where there is too little for all", into<&Tenant::weight>},
    {"trusted", Kind::flag, "false", "may send fields that steer an engine past the queue", into<&Tenant::trusted>},
    nested("limits", Kind::section, "", within<&Tenant::limits>, tenant_limits_section),
};
const Section tenant_section{"A tenant", tenant_keys};

const Key prior_keys[] = {
    {"token_throughput", Kind::rate, "", "output tokens of one instance; `qlm bench URL` prints it",
     into<&Prior::token_throughput>},
    {"profile", Kind::text, "", "a named profile, such as a100-80/mistral-7b (`qlm emulate --print-profiles` lists them)", into<&Prior::profile>},
};
const Section prior_section{"What is known of its speed", prior_keys};

const Key model_keys[] = {
    {"served_as", Kind::text, "", "its name at the engines; otherwise the same", into<&Model::served_as>},
    ranged({"max_output_tokens", Kind::count, "", "longest reply a client may ask for", into<&Model::max_output_tokens>}, 1),
    nested("prior", Kind::section, "", within<&Model::prior>, prior_section),
};
const Section model_section{"A model", model_keys};

const Key instance_keys[] = {
    {"name", Kind::name, "", "in logs and metrics; otherwise the URL's host:port", into<&Instance::name>},
    required({"url", Kind::url, "", "where its engine listens", into<&Instance::url>}),
    choice("engine", "auto", "its program; auto asks it", into<&Instance::engine>, engine_words),
    ranged({"max_in_flight", Kind::count, "", "requests at once; otherwise found out", into<&Instance::max_in_flight>}, 1, 100'000),
    {"api_key_file", Kind::path, "", "the key that QLM shows the engine; relative to the configuration's folder",
     into<&Instance::api_key_file>},
    {"models", Kind::names, "", "what it may be asked for, of what it serves; otherwise all", into<&Instance::models>},
    {"prefix_cache", Kind::flag, "false", "in `qlm sim`: it keeps prefixes that a trace names; of a live engine its answers tell", into<&Instance::prefix_cache>},
};
const Section instance_section{"An instance", instance_keys};

// The members that a prior stands in are the model's and the pool's own.
const Key pool_model_prior_keys[] = {
    {"profile", Kind::text, "", "as that of `models`, which it goes before: what the model is on these GPUs", into<&PoolModel::profile>},
    {"bring_in", Kind::duration, "", "from an empty GPU until it serves; otherwise by the pool's `swap`", into<&PoolModel::bring_in>},
    {"put_away", Kind::duration, "", "until it has left the GPU; otherwise by the pool's `swap`, or no time", into<&PoolModel::put_away>},
};
const Section pool_model_prior_section{"What is known of it here", pool_model_prior_keys};

const Key pool_model_keys[] = {
    nested("prior", Kind::section, "", same, pool_model_prior_section),
    {"command", Kind::text, "", "starts its engine, without a shell; QLM adds address, port and served name, or puts them where {host}, {port}, {model} and {gpu} stand",
     into<&PoolModel::command>},
    {"memory", Kind::size, "", "of the host, that its weights take while it sleeps", into<&PoolModel::memory>},
    {"load_timeout", Kind::duration, "10min", "from its start until it answers; then it is stopped and has failed", into<&PoolModel::load_timeout>},
    {"stop_timeout", Kind::duration, "30s", "from SIGTERM until it is gone; then it is killed", into<&PoolModel::stop_timeout>},
};
const Section pool_model_section{"A pool's model", pool_model_keys};

const Key pool_prior_keys[] = {
    choice("swap", "",
     "how long its models take to come and go, by the size of their weights: from the host's memory and back (warm), from a fast disk "
     "with the engine started anew (nvme), or 80 s as in the paper (cold2024)",
     into<&Pool::swap>, swap_words),
};
const Section pool_prior_section{"What is known of its swaps", pool_prior_keys};

const Key pool_keys[] = {
    required({"name", Kind::name, "", "its instances are NAME/GPU in logs and metrics", into<&Pool::name>}),
    required({"gpus", Kind::names, "", "each is an instance that serves one of the models at a time; its engines see it as CUDA_VISIBLE_DEVICES", into<&Pool::gpus>}),
    required(nested("models", Kind::named, "the models that take turns", appended<&Pool::models>, pool_model_section)),
    ranged({"max_in_flight", Kind::count, "", "requests at once on each; otherwise found out", into<&Pool::max_in_flight>}, 1, 100'000),
    {"prefix_cache", Kind::flag, "false", "in `qlm sim`: each keeps prefixes that a trace names", into<&Pool::prefix_cache>},
    nested("prior", Kind::section, "", same, pool_prior_section),
    {"host_memory", Kind::size, "", "for models that sleep instead of being stopped (vLLM's --enable-sleep-mode), of all its GPUs together; otherwise none does", into<&Pool::host_memory>},
    {"agent", Kind::later, "", "GPUs of another host"},
};
const Section pool_section{"A pool", pool_keys};

const Key solver_keys[] = {
    {"command", Kind::text, "", "under qlm-lp and qlm-lp-expire, for programs of at most 192 binary variables: `cbc`, or a command that reads the LP file {lp} and writes "
     "the file {solution}; `qlm sim` only, so far", into<&Solver::command>},
    {"timeout", Kind::duration, "60s", "then it is killed, and what it was run for has failed", into<&Solver::timeout>},
};
const Section solver_section{"An exact solver", solver_keys};

const Key planning_keys[] = {
    {"delta", Kind::share, "95%", "under qlm-sp: how probably each request group shall be on time", into<&Planning::delta>},
    nested("solver", Kind::section, "", within<&Planning::solver>, solver_section),
};
const Section planning_section{"Planning", planning_keys};

const Key log_keys[] = {
    choice("level", "info", "of the text log on standard error", into<&Log::level>, log_level_words),
    {"access", Kind::path, "-", "one JSON line a request: a file, `-` for standard output, or `off`", into<&Log::access>},
};
const Section log_section{"Logs", log_keys};

const Key root_keys[] = {
    {"listen", Kind::listen, "127.0.0.1:8080", "clients; a public address needs tenants with keys, or `auth: none`",
     into<&Configuration::listen>},
    {"admin", Kind::listen, "127.0.0.1:8081", "health and metrics", into<&Configuration::admin>},
    choice("auth", "", "keys: every request needs a tenant's key. none: anybody is served, as the tenant `anonymous`. "
     "Otherwise keys as soon as a tenant has keys", into<&Configuration::auth>, auth_words),
    nested("limits", Kind::section, "", within<&Configuration::limits>, limits_section),
    {"stream_keepalive", Kind::duration, "10s", "between the comment lines a waiting stream is sent",
     into<&Configuration::stream_keepalive>},
    {"drain_timeout", Kind::duration, "60s", "for running requests, after SIGTERM", into<&Configuration::drain_timeout>},
    or_word(paper_classes, nested("classes", Kind::named, "`paper` stands for the QLM paper's three",
                                  found_or_appended<&Configuration::classes>, class_section)),
    {"default_class", Kind::name, "standard", "of a request that no other source gives a class; `standard` has no numeric SLO",
     into<&Configuration::default_class>},
    nested("tenants", Kind::named, "who may call", found_or_appended<&Configuration::tenants>, tenant_section),
    nested("models", Kind::named, "models that need more said than their engines tell", appended<&Configuration::models>, model_section),
    nested("instances", Kind::list, "the engines", appended<&Configuration::instances>, instance_section),
    nested("pools", Kind::list, "GPUs whose engines QLM starts, stops and swaps", appended<&Configuration::pools>, pool_section),
    choice("policy", "edf",
           "order of the queue: arrival, class value, deadline, deadline with late ones last, expected work, models by turns "
           "(two), the paper's scheduler (three), or QLM's own",
           into<&Configuration::policy>, policy_words),
    {"state", Kind::path, "", "a folder for what must outlive QLM: which engines it started, and their output. Otherwise systemd's STATE_DIRECTORY, "
     "or qlm in XDG_STATE_HOME, or ~/.local/state/qlm", into<&Configuration::state>},
    nested("planning", Kind::section, "", within<&Configuration::planning>, planning_section),
    nested("log", Kind::section, "", within<&Configuration::log>, log_section),
    {"tls", Kind::later, "", "TLS for clients"},
    {"store", Kind::later, "", "the durable queue"},
};
const Section root{"The file", root_keys};

}  // namespace

const Section& root_section() { return root; }

template <> std::span<const string_view> words<Auth>() { return auth_words; }
template <> std::span<const string_view> words<Policy>() { return policy_words; }
template <> std::span<const string_view> words<WhenLate>() { return when_late_words; }
template <> std::span<const string_view> words<Engine>() { return engine_words; }
template <> std::span<const string_view> words<LogLevel>() { return log_level_words; }
template <> std::span<const string_view> words<SwapPreset>() { return swap_words; }

namespace {
template <class Enum>
string_view word(Enum value) { return words<Enum>()[static_cast<std::size_t>(value)]; }
}  // namespace

string_view to_string(Auth auth) { return word(auth); }
string_view to_string(Policy policy) { return word(policy); }
string_view to_string(WhenLate when_late) { return word(when_late); }
string_view to_string(Engine engine) { return word(engine); }
string_view to_string(LogLevel level) { return word(level); }
string_view to_string(SwapPreset preset) { return word(preset); }

}  // namespace qlm::config

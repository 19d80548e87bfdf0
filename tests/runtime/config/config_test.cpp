#include "runtime/config/configuration.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "runtime/config/schema.hpp"
#include "runtime/config/units.hpp"

namespace qlm::config {
namespace {

using Files = std::map<std::string, std::string>;

Loaded read(std::string_view yaml, const Files& files = {}, const Overrides& overrides = {}, const std::string& name = "qlm.yaml") {
  return parse(yaml, name, overrides, [&](const std::string& path) -> Result<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return fail(path + ": no such file");
    return found->second;
  });
}

std::string problems(const Loaded& loaded) {
  std::string out;
  if (!loaded) {
    for (const Problem& problem : loaded.error()) out += to_string(problem) + "\n";
  }
  return out;
}

constexpr std::string_view typical = R"(listen: 0.0.0.0:8080
admin: "[::1]:9000"
auth: keys
limits: {body: 16MiB, queued: 200k, queued_bytes: 2GiB, tenant_share: 20%, connections: 5k, stream_buffer: 64KiB, stream_buffers: 2MiB, head_timeout: 3s, body_timeout: 4s, client_stall: 5s}
stream_keepalive: 15s
drain_timeout: 2min
classes:
  interactive: {ttft: 2s, tpot: 60ms, objective: 99.5%, value: 10, min_share: 20%, max_wait: 60s, when_late: downgrade, downgrade_to: batch}
  batch: {e2e: 1h, when_late: reject}
  plain:
default_class: interactive
tenants:
  search: {keys_file: search.keys, class: interactive, allow: [interactive, batch], weight: 2, trusted: true, limits: {in_flight: 200, queued: 1k, tokens: 2M/min, requests: 50/s}}
  nightly: {keys_file: /etc/nightly.keys}
models:
  mistral-7b: {served_as: mistralai/Mistral-7B-v0.1, max_output_tokens: 4k, prior: {token_throughput: 2900/s}}
  vicuna-13b: {prior: {profile: a100-80/vicuna-13b}}
instances:
  - {name: a, url: "http://gpu1:8000/v1"}
  - {url: "http://[fe80::1]:8001/gpu/", engine: llamacpp, max_in_flight: 64, api_key_file: gpu2.key, models: [mistral-7b], prefix_cache: true}
pools:
  - {name: here, gpus: [0, 1], max_in_flight: 32, prefix_cache: true, prior: {swap: nvme}, host_memory: 64GiB, models: {mistral-7b: {command: vllm serve m, memory: 14GiB, load_timeout: 5min, stop_timeout: 20s}, tiny: {prior: {profile: a10-24/llama-2-7b, bring_in: 2s, put_away: 500ms}}}}
state: engines
policy: priority
planning: {delta: 90%, solver: {command: "cbc2 {lp} {solution}", timeout: 5s}}
log: {level: warn, access: access.log}
)";
const Files typical_files{{"conf/search.keys", "# the team's\nsk-1\n\n  sk-2  \r\n"}, {"/etc/nightly.keys", "sk-3"}, {"conf/gpu2.key", "e-1\n"}};

TEST(Configuration, OneUrlIsEnough) {
  const auto loaded = read("instances:\n  - url: http://gpu1:8000\n");
  ASSERT_TRUE(loaded) << problems(loaded);
  ASSERT_EQ(loaded->instances.size(), 1U);
  EXPECT_EQ(loaded->instances[0].name, "gpu1:8000");
  EXPECT_EQ(loaded->listen, (ListenAddress{"127.0.0.1", 8080}));
  EXPECT_EQ(loaded->auth, Auth::none);
  ASSERT_EQ(loaded->classes.size(), 1U);
  EXPECT_EQ(loaded->classes[0].name, "standard");
  EXPECT_EQ(loaded->tenants[0].name, "anonymous");
  EXPECT_EQ(loaded->tenants[0].default_class, "standard");
  EXPECT_EQ(loaded->limits.tenant_share, 1);  // there is nobody to share with
}

TEST(Configuration, UrlsOnTheCommandLineAreTheSameAsAFileThatNamesThem) {
  const std::vector<std::string> urls{"http://gpu1:8000", "http://gpu2:8000/v1/"};
  const auto direct = defaults_for_urls(urls);
  ASSERT_TRUE(direct) << problems(direct);
  const auto filed = read("instances: [{url: 'http://gpu1:8000'}, {url: 'http://gpu2:8000'}]");
  ASSERT_TRUE(filed) << problems(filed);
  EXPECT_EQ(*direct, *filed);
}

TEST(Configuration, EveryKeyReachesItsValue) {
  const auto loaded = read(typical, typical_files, {}, "conf/qlm.yaml");
  ASSERT_TRUE(loaded) << problems(loaded);
  const Configuration& c = *loaded;
  EXPECT_EQ(c.listen, (ListenAddress{"0.0.0.0", 8080}));
  EXPECT_EQ(c.admin, (ListenAddress{"::1", 9000}));
  EXPECT_EQ(c.auth, Auth::keys);
  EXPECT_EQ(c.limits, (Limits{Bytes{16 << 20}, 200'000, Bytes{2LL << 30}, 0.2, 5000, Bytes{64 << 10}, Bytes{2 << 20}, 3s, 4s, 5s}));
  EXPECT_EQ(c.stream_keepalive, 15s);
  EXPECT_EQ(c.drain_timeout, 2min);
  ASSERT_EQ(c.classes.size(), 4U);
  EXPECT_EQ(c.classes[1], (Class{"interactive", 2s, 60ms, {}, 0.995, 10, 0.2, 60s, WhenLate::downgrade, "batch"}));
  EXPECT_EQ(c.classes[2], (Class{"batch", {}, {}, 1h, 0.99, 1, 0, {}, WhenLate::reject, ""}));
  EXPECT_EQ(c.classes[3].name, "plain");
  EXPECT_EQ(c.default_class, "interactive");
  ASSERT_EQ(c.tenants.size(), 3U);
  EXPECT_EQ(c.tenants[1], (Tenant{"search", "conf/search.keys", {"sk-1", "sk-2"}, "interactive", {"interactive", "batch"}, 2, true,
                                  {200, 1000, TokenRate{Tokens{2'000'000}, 1min}, RequestRate{Quantity<RequestUnit>{50}, 1s}}}));
  EXPECT_EQ(c.tenants[2].default_class, "interactive");
  EXPECT_EQ(c.tenants[2].allow, (std::vector<std::string>{"standard", "interactive", "batch", "plain"}));
  ASSERT_EQ(c.models.size(), 2U);
  EXPECT_EQ(c.models[0], (Model{"mistral-7b", "mistralai/Mistral-7B-v0.1", Tokens{4000}, {TokenRate{Tokens{2900}, 1s}, ""}}));
  EXPECT_EQ(c.models[1], (Model{"vicuna-13b", "vicuna-13b", {}, {{}, "a100-80/vicuna-13b"}}));
  ASSERT_EQ(c.instances.size(), 2U);
  EXPECT_EQ(c.instances[0], (Instance{"a", {"gpu1", 8000, ""}, Engine::detect, {}, "", "", {}, false}));
  EXPECT_EQ(c.instances[1], (Instance{"[fe80::1]:8001/gpu", {"fe80::1", 8001, "/gpu"}, Engine::llamacpp, 64, "conf/gpu2.key",
                                      "e-1", {"mistral-7b"}, true}));
  ASSERT_EQ(c.pools.size(), 1U);
  EXPECT_EQ(c.pools[0], (Pool{"here", {"0", "1"}, {{.name = "mistral-7b", .command = "vllm serve m", .memory = Bytes{14LL << 30}, .load_timeout = 5min, .stop_timeout = 20s}, {.name = "tiny", .profile = "a10-24/llama-2-7b", .bring_in = 2s, .put_away = 500ms}}, Bytes{64LL << 30}, SwapPreset::nvme, 32, true}));
  EXPECT_EQ(instance_name(c.pools[0], c.pools[0].gpus[1]), "here/1");
  EXPECT_EQ(c.state, "conf/engines");
  EXPECT_EQ(c.policy, Policy::priority);
  EXPECT_EQ(c.planning, (Planning{0.9, {"cbc2 {lp} {solution}", 5s}}));
  EXPECT_EQ(c.log, (Log{LogLevel::warn, "conf/access.log"}));
}

TEST(Configuration, PoolsAloneAreAFleet) {
  const auto loaded = read("pools: [{name: p, gpus: [0], models: {m: , n: }}]");
  ASSERT_TRUE(loaded) << problems(loaded);
  EXPECT_TRUE(loaded->instances.empty());
  EXPECT_FALSE(loaded->pools[0].swap);
}

// The defaults in the table are what the structs begin with: a file that writes each of them out changes nothing.
void write_defaults(const Section& section, const std::string& indent, std::string& yaml) {
  for (const Key& key : section.keys) {
    if (key.kind == Kind::section) {
      yaml += indent + std::string(key.name) + ":\n";
      write_defaults(*key.section, indent + "  ", yaml);
    } else if (key.name == "tenant_share") {
      yaml += indent + "tenant_share: 100%\n";  // with one tenant
    } else if (!key.fallback.empty()) {
      yaml += indent + std::string(key.name) + ": '" + std::string(key.fallback) + "'\n";
    }
  }
}
const Section& section_of(std::string_view name) {
  for (const Key& key : root_section().keys) {
    if (key.name == name) return *key.section;
  }
  throw std::logic_error("no such section");
}

TEST(Configuration, WritingADefaultOutChangesNothing) {
  std::string yaml = "classes:\n  standard:\n";
  write_defaults(section_of("classes"), "    ", yaml);
  yaml += "tenants:\n  anonymous:\n";
  for (const Key& key : section_of("tenants").keys) {
    if (!key.fallback.empty()) yaml += "    " + std::string(key.name) + ": '" + std::string(key.fallback) + "'\n";
  }
  yaml += "instances:\n  - url: http://gpu1:8000\n";
  write_defaults(section_of("instances"), "    ", yaml);
  write_defaults(root_section(), "", yaml);
  const auto written = read(yaml);
  ASSERT_TRUE(written) << problems(written) << yaml;
  EXPECT_EQ(*written, *read("instances: [{url: 'http://gpu1:8000'}]")) << yaml;
}

TEST(Configuration, ThePapersClassesComeByOneWord) {
  const auto loaded = read("classes: paper\ndefault_class: batch-1\ninstances: [{url: 'http://a:1'}]");
  ASSERT_TRUE(loaded) << problems(loaded);
  ASSERT_EQ(loaded->classes.size(), 4U);
  EXPECT_EQ(loaded->classes[1].name, "interactive");
  EXPECT_EQ(loaded->classes[1].ttft, 20s);
  EXPECT_EQ(loaded->classes[2].ttft, 1min);
  EXPECT_EQ(loaded->classes[3].ttft, 1h);
}

TEST(Configuration, TheCommandLineGoesOverTheFileAndIsCheckedLikeIt) {
  const std::string_view yaml = "listen: 127.0.0.1:1\ninstances: [{url: 'http://a:1'}]\n";
  const auto loaded = read(yaml, {}, {"localhost:9", "127.0.0.1:10", "fcfs"});
  ASSERT_TRUE(loaded) << problems(loaded);
  EXPECT_EQ(loaded->listen, (ListenAddress{"localhost", 9}));
  EXPECT_EQ(loaded->admin.port, 10);
  EXPECT_EQ(loaded->policy, Policy::fcfs);
  EXPECT_EQ(problems(read(yaml, {}, {"0.0.0.0:9", {}, "edff"})),
            "--listen: 0.0.0.0:9 can be reached from outside and no tenant has keys; give tenants a keys_file, "
            "listen on 127.0.0.1, or write auth: none\n"
            "--policy: found 'edff', expected fcfs, priority, edf, edf-expire, sjf, greedy, shepherd, qlm-lp, qlm-lp-expire, qlm-sp or qlm; did you mean 'edf'?\n");
}

TEST(Configuration, KeysTurnAuthenticationOnUnlessTheFileSaysNone) {
  const Files files{{"k", "sk-1"}};
  const std::string tenant = "tenants: {t: {keys_file: k}}\ninstances: [{url: 'http://a:1'}]\n";
  EXPECT_EQ(read(tenant, files)->auth, Auth::keys);
  EXPECT_EQ(read("auth: none\nlisten: 0.0.0.0:80\n" + tenant, files)->auth, Auth::none);
  EXPECT_TRUE(read("listen: 0.0.0.0:80\n" + tenant, files));
}

TEST(Configuration, KnowsWhatIsLoopback) {
  for (const char* host : {"127.0.0.1", "127.8.9.1", "::1", "localhost"}) EXPECT_TRUE(is_loopback({host, 1})) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.example.org", "example.org"}) EXPECT_FALSE(is_loopback({host, 1})) << host;
}

TEST(Configuration, AClassIsTheControllersWithItsDefaults) {
  const auto loaded = read("classes: {a: {ttft: 1s, tpot: 2ms, e2e: 3s, objective: 90%, value: 4, min_share: 5%, max_wait: 6s, when_late: reject}, b: }\n"
                           "instances: [{url: 'http://a:1'}]\n");
  ASSERT_TRUE(loaded) << problems(loaded);
  const ServiceClass a = service_class(loaded->classes[1]), b = service_class(loaded->classes[2]);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.slo, (Slo{1s, 2ms, 3s}));
  EXPECT_EQ(a.objective, 0.9);
  EXPECT_EQ(a.value, 4);
  EXPECT_EQ(a.min_share, 0.05);
  EXPECT_EQ(a.max_wait, 6s);
  EXPECT_EQ(a.when_late, WhenLate::reject);
  EXPECT_EQ(b.slo, Slo{});
  EXPECT_EQ(b.max_wait, 10min) << "as the table of keys says";
}

TEST(Configuration, WarnsOfWhatIsNoMistakeAndMayNotBeMeant) {
  const auto path = std::filesystem::temp_directory_path() / ("qlm-warnings-" + std::to_string(::getpid()));
  std::ofstream(path) << "sk-1\n";
  auto loaded = read("classes:\n  a: {tpot: 50ms, when_late: reject}\n  b: {tpot: 50ms, ttft: 1s, when_late: reject}\n"
                     "instances: [{name: x, url: 'http://a:1'}]\n");
  ASSERT_TRUE(loaded) << problems(loaded);
  const std::string late = "classes.a.when_late: reject never happens by tpot alone, because that says nothing of how long a request may "
                           "wait; give the class a ttft or an e2e too";
  EXPECT_EQ(warnings(*loaded), std::vector{late});
  loaded->instances[0].api_key_file = path.string();
  using std::filesystem::perms;
  std::filesystem::permissions(path, perms::owner_read | perms::owner_write | perms::others_read);
  EXPECT_EQ(warnings(*loaded), (std::vector{late, "instances.x.api_key_file: " + path.string() +
                                                      " is open to every user of this machine (mode 0604); give it the mode 0600"}));
  std::filesystem::permissions(path, perms::owner_read | perms::owner_write | perms::group_read);  // a group may be meant to
  EXPECT_EQ(warnings(*loaded), std::vector{late});
  std::filesystem::remove(path);
}

std::vector<std::string> warnings_of(std::string_view yaml) {
  const auto loaded = read(yaml);
  EXPECT_TRUE(loaded) << problems(loaded);
  return loaded ? warnings(*loaded) : std::vector<std::string>{};
}

constexpr std::string_view one_engine = "instances: [{name: x, url: 'http://a:1'}]\n";

TEST(Warnings, OfRequestsGivenUpBeforeTheirSloIsOver) {
  const auto with = [](std::string_view of_class) { return warnings_of(fmt::format("classes: {{a: {}}}\n{}", of_class, one_engine)); };
  EXPECT_EQ(with("{ttft: 2s, max_wait: 1500ms}"),
            std::vector<std::string>{"classes.a.max_wait: gives requests up after 1500ms in the queue, before their ttft of 2s is over"});
  EXPECT_EQ(with("{e2e: 1h}"),
            std::vector<std::string>{"classes.a: gives requests up after 10min in the queue, because it states no max_wait, while its SLO allows 1h"});
  EXPECT_TRUE(with("{ttft: 2s, max_wait: 2s}").empty());
  EXPECT_TRUE(with("{ttft: 2s, e2e: 60s, max_wait: 30s}").empty()) << "the rest is for its answer";
  EXPECT_TRUE(with("{e2e: 1h, max_wait: 10min}").empty()) << "it was stated";
  EXPECT_TRUE(with("{ttft: 2s}").empty());
  EXPECT_TRUE(warnings_of(fmt::format("classes: paper\n{}", one_engine)).empty());
}

TEST(Warnings, OfModelsThatCannotBeServedAsTheFileStands) {
  EXPECT_EQ(warnings_of("models: {m: , n: }\ninstances: [{name: x, url: 'http://a:1', models: [m]}]\n"),
            std::vector<std::string>{"models.n: no instance may serve it: it is in none of their lists of models"});
  EXPECT_EQ(warnings_of(fmt::format("models: {{m: {{served_as: org/m}}, n: {{served_as: org/m}}}}\n{}", one_engine)),
            std::vector<std::string>{"models.n: is never served: every engine's 'org/m' is taken for models.m, which is served as that too"});
  EXPECT_EQ(warnings_of("models: {m: {served_as: org/vicuna}}\n"
                        "instances: [{name: x, url: 'http://a:1', models: [m, org/vicuna]}, {name: y, url: 'http://a:2', models: [m, other]}]\n"),
            (std::vector<std::string>{"instances.x.models: 'org/vicuna' is what engines call models.m, and names no model here; write m",
                                      "instances.y.models: 'other' is no key of models; it is served if the engine itself calls a model that"}));
  EXPECT_TRUE(warnings_of("models: {m: , n: }\ninstances: [{name: x, url: 'http://a:1', models: [m]}]\n"
                          "pools: [{name: p, gpus: [0], models: {n: , o: }}]\n").empty()) << "a pool serves what no instance does";
  EXPECT_TRUE(warnings_of("instances: [{name: x, url: 'http://a:1', models: [any]}]\n").empty()) << "no section, nothing to be in";
}

TEST(Warnings, OfKeepAlivesThatAreTrafficAndOfAPolicyThatHasNothingToPlanWith) {
  EXPECT_EQ(warnings_of(fmt::format("stream_keepalive: 50ms\n{}", one_engine)),
            std::vector<std::string>{"stream_keepalive: a comment line every 50ms to each stream that waits is traffic of its own; some seconds "
                                     "keep a connection open"});
  const auto of_policy = warnings_of(fmt::format("policy: qlm\nmodels: {{m: }}\n{}", one_engine));
  ASSERT_EQ(of_policy.size(), 1U);
  EXPECT_TRUE(of_policy[0].starts_with("policy: qlm does not know how fast any engine is")) << of_policy[0];
  EXPECT_TRUE(warnings_of(fmt::format("policy: qlm\nmodels: {{m: {{prior: {{token_throughput: 9/s}}}}}}\n{}", one_engine)).empty());
}

TEST(Units, AreReadExactly) {
  EXPECT_EQ(*parse_duration("0.1s"), 100ms);
  EXPECT_EQ(*parse_duration("1.5h"), 90min);
  EXPECT_EQ(*parse_duration("2m"), 2min);
  EXPECT_EQ(*parse_size("1.5GiB"), Bytes{1536LL << 20});
  EXPECT_EQ(*parse_size("3kB"), Bytes{3000});
  EXPECT_EQ(*parse_count("2.5k"), 2500);
  EXPECT_EQ(*parse_share("12.5%"), 0.125);
  EXPECT_EQ(parse_rate("2.5M/min")->amount, 2'500'000);
  EXPECT_EQ((TokenRate{Tokens{120}, 1min}).per_second(), 2);
  for (const char* bad : {"", "s", "-1s", "1 s", "1S", "1e3s", "inf", "nan", "0s", "0.0000000001ns", ".5s", "5.s", "99999999999d", "1s1"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  for (const char* bad : {"", "2.5", "-1", "1K", "1kk", "99999999999G"}) EXPECT_FALSE(parse_count(bad)) << bad;
  for (const char* bad : {"101%", "%", "20", "-1%"}) EXPECT_FALSE(parse_share(bad)) << bad;
  for (const char* bad : {"2M", "/s", "1/d", "0/s", "1/s/s"}) EXPECT_FALSE(parse_rate(bad)) << bad;
  for (const char* bad : {"", "8080", "a:", "a:65536", "a b:1", "::1:80", "[::1:80", "[x]:1"}) EXPECT_FALSE(parse_listen(bad)) << bad;
  for (const char* bad : {"http://", "http://:80", "http://a:0", "http://a:x", "http://a?b", "ftp://a", "http://a /b", "http://a/\n"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
  EXPECT_EQ(parse_listen(":80")->host, "0.0.0.0");
}

TEST(Reload, TellsWhatChanged) {
  const auto now = read("classes: {a: {ttft: 1s}, b: }\ninstances: [{name: x, url: 'http://x:1'}, {name: y, url: 'http://y:1'}]");
  const auto next = read("classes: {a: {ttft: 2s}, b: }\npolicy: fcfs\nplanning: {delta: 90%}\ninstances: [{name: x, url: 'http://x:1'}, {name: z, url: 'http://z:1'}]");
  ASSERT_TRUE(now && next) << problems(now) << problems(next);
  const Changes changes = compare(*now, *next);
  EXPECT_EQ(changes.changed, (std::vector<std::string>{"classes.a", "instances.y (removed)", "instances.z (added)", "policy", "planning"}));
  EXPECT_FALSE(changes.refused());
  EXPECT_TRUE(compare(*now, *now).changed.empty());
}

TEST(Reload, CannotMoveAListener) {
  const auto now = read("instances: [{url: 'http://x:1'}]");
  const auto next = read("listen: 127.0.0.1:9090\ninstances: [{url: 'http://x:1'}]");
  ASSERT_TRUE(now && next);
  const Changes changes = compare(*now, *next);
  ASSERT_TRUE(changes.refused());
  EXPECT_EQ(changes.need_restart[0], "listen: cannot change from 127.0.0.1:8080 to 127.0.0.1:9090 while running; restart to apply it");
}

}  // namespace
}  // namespace qlm::config

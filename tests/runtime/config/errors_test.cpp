// What each mistake is answered with, word for word: the sentence is the feature.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "runtime/config/configuration.hpp"

namespace qlm::config {
namespace {

std::string answer(const std::string& yaml) {
  const auto loaded = parse(yaml, "qlm.yaml", {}, [](const std::string& path) -> Result<std::string> {
    if (path == "k1") return "sk-secret\n";
    if (path == "k2") return "# none\n";
    if (path == "k3") return "sk-other\nsk secret\n";
    return fail(path + ": no such file");
  });
  std::string out;
  if (!loaded) {
    for (const Problem& problem : loaded.error()) out += to_string(problem) + "\n";
  }
  EXPECT_EQ(out.find("secret\n"), std::string::npos);
  return out;
}

const std::string engine = "instances: [{url: 'http://a:1'}]\n";

struct Case {
  std::string name;
  std::string yaml;
  std::string expected;

  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
};

class Mistake : public testing::TestWithParam<Case> {};
TEST_P(Mistake, IsNamedWithItsPlaceAndWhatWasExpected) { EXPECT_EQ(answer(GetParam().yaml), GetParam().expected); }

std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Syntax, Mistake,
    testing::Values(
        Case{"Empty", "", "qlm.yaml: instances: is missing: the engines\n"},
        Case{"NotYaml", "listen: [1,\n", "qlm.yaml:2:1: not YAML: end of sequence flow not found\n"},
        Case{"NoMap", "- a\n", "qlm.yaml:1:1: found a list, expected a map of keys\n"},
        Case{"TwoDocuments", engine + "---\n" + engine, "qlm.yaml: more than one document (---) in the file\n"},
        Case{"NotUtf8", "# \xC3\xA4\nlisten: \xFF\n", "qlm.yaml:2:9: not UTF-8\n"},
        Case{"ControlCharacter", "listen: \x01\n", "qlm.yaml:1:9: a control character\n"},
        Case{"Anchor", "limits: &a {}\n", "qlm.yaml:1:9: anchors (&name) are not allowed in this file; write the value out\n"},
        Case{"Alias", "limits: *a\n", "qlm.yaml:1:9: not YAML: the referenced anchor is not defined\n"},
        Case{"Tag", "limits: !!set {}\n", "qlm.yaml:1:9: tags (!name) are not allowed in this file\n"},
        Case{"KeyNoName", "[a]: 1\n", "qlm.yaml:1:1: a key must be a plain name\n"},
        Case{"TooDeep", std::string(500, '[') + std::string(500, ']'), "qlm.yaml:1:17: nested deeper than 16 levels\n"},
        Case{"TooLarge", std::string((1 << 20) + 1, ' '), "qlm.yaml: the file is larger than 1048576 bytes\n"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Keys, Mistake,
    testing::Values(
        Case{"Unknown", "polcy: edf\n" + engine, "qlm.yaml:1:1: polcy: no such key; did you mean 'policy'?\n"},
        Case{"UnknownWithHyphen", "drain-timeout: 1s\n" + engine, "qlm.yaml:1:1: drain-timeout: no such key; did you mean 'drain_timeout'?\n"},
        Case{"UnknownFarFromAll", "log: {colour: true}\n" + engine, "qlm.yaml:1:7: log.colour: no such key; known here: level or access\n"},
        Case{"UnknownInAnInstance", "instances:\n  - {ulr: 'http://a:1'}\n",
             "qlm.yaml:2:5: instances[0].url: is missing: where its engine listens\n"
             "qlm.yaml:2:6: instances[0].ulr: no such key; did you mean 'url'?\n"},
        Case{"Twice", "policy: edf\n" + engine + "policy: fcfs\n", "qlm.yaml:3:1: policy: a second time; the first is on line 1\n"},
        Case{"ClassTwice", "classes:\n  a: {}\n  a: {}\n" + engine, "qlm.yaml:3:3: classes.a: a second time; the first is on line 2\n"},
        Case{"BadClassName", "classes: {'a b': {}}\n" + engine,
             "qlm.yaml:1:11: classes: found 'a b', expected a name of letters, digits and . _ - / : @ +, at most 128\n"},
        Case{"Later", "store: {}\ntls: {}\n" + engine,
             "qlm.yaml:1:8: store: not in this version (the durable queue)\n"
             "qlm.yaml:2:6: tls: not in this version (TLS for clients)\n"},
        Case{"LaterKeyOfAClass", "classes: {a: {durable: true}}\n" + engine,
             "qlm.yaml:1:24: classes.a.durable: not in this version (accepted only once it is on disk)\n"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Values, Mistake,
    testing::Values(
        Case{"UnitMissing", "drain_timeout: 60\n" + engine,
             "qlm.yaml:1:16: drain_timeout: found '60', expected a duration such as 250ms, 2s, 5min or 1h; did you mean '60s'?\n"},
        Case{"NoDuration", "drain_timeout: soon\n" + engine,
             "qlm.yaml:1:16: drain_timeout: found 'soon', expected a duration such as 250ms, 2s, 5min or 1h\n"},
        Case{"ZeroDuration", "drain_timeout: 0s\n" + engine, "qlm.yaml:1:16: drain_timeout: found '0s', expected a duration above zero\n"},
        Case{"DurationTooLong", "drain_timeout: 104167d\n" + engine,
             "qlm.yaml:1:16: drain_timeout: found '104167d', expected a duration of at most 104166d\n"},
        Case{"DurationOfTooManyDigits", "drain_timeout: 99999999999999999999s\n" + engine,
             "qlm.yaml:1:16: drain_timeout: found '99999999999999999999s', expected a duration of at most 104166d\n"},
        Case{"SizeTooLarge", "limits: {body: 9000000TiB}\n" + engine,
             "qlm.yaml:1:16: limits.body: found '9000000TiB', expected a size of at most 8185452TiB\n"},
        Case{"NoSize", "limits: {body: 32}\n" + engine,
             "qlm.yaml:1:16: limits.body: found '32', expected a size such as 64KiB, 32MiB or 4GiB; did you mean '32B'?\n"},
        Case{"NoCount", "limits: {queued: many}\n" + engine,
             "qlm.yaml:1:18: limits.queued: found 'many', expected a whole number such as 200, 100k or 2M\n"},
        Case{"CountOutOfRange", "limits: {connections: 0}\n" + engine,
             "qlm.yaml:1:23: limits.connections: found '0', expected a number from 1 to 1000000\n"},
        Case{"NoShare", "limits: {tenant_share: 0.2}\n" + engine,
             "qlm.yaml:1:24: limits.tenant_share: found '0.2', expected a share such as 20%, from 0% to 100%; did you mean '20%'?\n"},
        Case{"NoRate", "tenants: {anonymous: {limits: {tokens: 2M}}}\n" + engine,
             "qlm.yaml:1:40: tenants.anonymous.limits.tokens: found '2M', expected a rate such as 2900/s, 2M/min or 10k/h; did you mean '2M/s'?\n"},
        Case{"NoNumber", "classes: {a: {value: high}}\n" + engine,
             "qlm.yaml:1:22: classes.a.value: found 'high', expected a number such as 1, 10 or 0.5\n"},
        Case{"NoFlag", "tenants: {anonymous: {trusted: yes}}\n" + engine,
             "qlm.yaml:1:32: tenants.anonymous.trusted: found 'yes', expected true or false\n"},
        Case{"NoAddress", "listen: 8080\n" + engine,
             "qlm.yaml:1:9: listen: found '8080', expected an address such as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080; the port is missing or not 0 to 65535\n"},
        Case{"NoScheme", "instances: [{url: 'gpu1:8000'}]\n",
             "qlm.yaml:1:19: instances[0].url: found 'gpu1:8000', expected an engine's address such as http://gpu1:8000; did you mean 'http://gpu1:8000'?\n"},
        Case{"Https", "instances: [{url: 'https://gpu1'}]\n",
             "qlm.yaml:1:19: instances[0].url: found 'https://gpu1', expected http://: https to engines is not in this version\n"},
        Case{"NoChoice", "classes: {a: {ttft: 1s, when_late: rejct}}\n" + engine,
             "qlm.yaml:1:36: classes.a.when_late: found 'rejct', expected serve, reject or downgrade; did you mean 'reject'?\n"},
        Case{"MapForAValue", "policy: {a: b}\n" + engine, "qlm.yaml:1:9: policy: found a map, expected a single value\n"},
        Case{"ValueForAMap", "limits: none\n" + engine, "qlm.yaml:1:9: limits: found a single value, expected a map of keys\n"},
        Case{"NothingForAMap", "limits:\n" + engine, "qlm.yaml:1:1: limits: found nothing, expected a map of keys\n"},
        Case{"MapForAList", "instances: {url: 'http://a:1'}\n", "qlm.yaml:1:12: instances: found a map, expected a list\n"},
        Case{"ListForNames", "tenants: [a]\n" + engine, "qlm.yaml:1:10: tenants: found a list, expected a map from names to settings\n"},
        Case{"WrongWordForClasses", "classes: papers\n" + engine,
             "qlm.yaml:1:10: classes: found 'papers', expected a map from names to settings, or paper\n"},
        Case{"EmptyListOfNames", "instances: [{url: 'http://a:1', models: []}]\n",
             "qlm.yaml:1:41: instances[0].models: found an empty list, expected names; leave the key out for all\n"},
        Case{"EmptyListOfWhatMustBeThere", "pools: [{name: a, gpus: [], models: {m: }}]\n",
             "qlm.yaml:1:25: pools[0].gpus: found an empty list, expected names\n"},
        Case{"NameTwice", "tenants: {anonymous: {allow: [standard, standard]}}\n" + engine,
             "qlm.yaml:1:41: tenants.anonymous.allow[1]: 'standard' a second time\n"},
        Case{"LongValue", "policy: " + std::string(100, 'x') + "\n" + engine,
             "qlm.yaml:1:9: policy: found '" + std::string(60, 'x') + "...', expected fcfs, priority, edf, edf-expire, sjf, greedy, shepherd, qlm-lp, qlm-lp-expire, qlm-sp or qlm\n"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Together, Mistake,
    testing::Values(
        Case{"UnknownClass", "default_class: interactiv\nclasses: {interactive: {}}\n" + engine,
             "qlm.yaml:1:16: default_class: found 'interactiv', expected the name of a class; did you mean 'interactive'?\n"},
        Case{"UnknownClassOfATenant", "tenants: {anonymous: {class: nope}}\n" + engine,
             "qlm.yaml:1:30: tenants.anonymous.class: found 'nope', expected the name of a class\n"},
        Case{"OwnClassNotAllowed", "classes: {a: {}}\ntenants: {anonymous: {class: a, allow: [standard]}}\n" + engine,
             "qlm.yaml:2:30: tenants.anonymous.class: allow does not hold its own class 'a'\n"},
        Case{"DowngradeToNowhere", "classes: {a: {ttft: 1s, when_late: downgrade}}\n" + engine,
             "qlm.yaml:1:36: classes.a.when_late: downgrade needs downgrade_to: the name of a class\n"},
        Case{"DowngradeInACircle",
             "classes:\n  a: {ttft: 1s, when_late: downgrade, downgrade_to: b}\n  b: {ttft: 1s, when_late: downgrade, downgrade_to: a}\n" + engine,
             "qlm.yaml:2:53: classes.a.downgrade_to: leads back to the class itself\n"},
        Case{"DowngradeUnused", "classes: {a: {downgrade_to: standard}}\n" + engine,
             "qlm.yaml:1:29: classes.a.downgrade_to: has no effect without when_late: downgrade\n"},
        Case{"LateForNothing", "classes: {a: {when_late: reject}}\n" + engine,
             "qlm.yaml:1:26: classes.a.when_late: reject needs an SLO to be late for: ttft, tpot or e2e\n"},
        Case{"TtftBeyondE2e", "classes: {a: {ttft: 2s, e2e: 1s}}\n" + engine, "qlm.yaml:1:21: classes.a.ttft: is longer than e2e, which includes it\n"},
        Case{"SharesBeyondTheWhole", "classes: {a: {min_share: 60%}, b: {min_share: 50%}}\n" + engine,
             "qlm.yaml:1:10: classes: min_share sums to 110% over all classes, expected at most 100%\n"},
        Case{"PublicWithoutKeys", "listen: 0.0.0.0:80\n" + engine,
             "qlm.yaml:1:9: listen: 0.0.0.0:80 can be reached from outside and no tenant has keys; give tenants a keys_file, listen on "
             "127.0.0.1, or write auth: none\n"},
        Case{"KeysWithoutTenants", "auth: keys\n" + engine, "qlm.yaml:1:7: auth: keys needs a tenant with a keys_file, or nobody could call\n"},
        Case{"OneAddressTwice", "admin: 127.0.0.1:8080\n" + engine,
             "qlm.yaml:1:8: admin: listen and admin are both 127.0.0.1:8080, expected two addresses\n"},
        Case{"AnEngineThatIsQlm", "instances: [{url: 'http://localhost:8080/v1'}]\n",
             "qlm.yaml:1:19: instances[0].url: is QLM's own listen address, expected an engine's\n"},
        Case{"AnEngineThatIsQlmsAdmin", "admin: 0.0.0.0:9\ninstances: [{url: 'http://127.0.0.1:9'}]\n",
             "qlm.yaml:2:19: instances[0].url: is QLM's own admin address, expected an engine's\n"},
        Case{"AnEngineBesideQlm", "instances: [{url: 'http://127.0.0.2:8080'}]\n", ""},
        Case{"NoInstances", "instances: []\n", "qlm.yaml:1:12: instances: is empty, expected at least one\n"},
        Case{"NoPools", "pools: []\n", "qlm.yaml:1:8: pools: is empty, expected at least one\n"},
        Case{"APoolOfNothing", "pools: [{models: {}}]\n",
             "qlm.yaml:1:9: pools[0].gpus: is missing: each is an instance that serves one of the models at a time; its engines see it as CUDA_VISIBLE_DEVICES\n"
             "qlm.yaml:1:9: pools[0].name: is missing: its instances are NAME/GPU in logs and metrics\n"
             "qlm.yaml:1:18: pools[0].models: is empty, expected the models that take turns\n"},
        Case{"OnePoolTwice", "pools: [{name: x, gpus: [0], models: {a: }}, {name: x, gpus: [1], models: {a: }}]\n",
             "qlm.yaml:1:53: pools[1].name: the name 'x' is that of pools[0] too\n"},
        Case{"APoolWithTheNameOfAnInstance", "instances: [{name: x/0, url: 'http://a:1'}]\npools: [{name: x, gpus: [0], models: {a: }}]\n",
             "qlm.yaml:2:16: pools[0].name: its 'x/0' is the name of an instance too\n"},
        Case{"TwoPoolsWithOneInstance", "pools: [{name: x/y, gpus: [0], models: {a: }}, {name: x, gpus: [y/0], models: {a: }}]\n",
             "qlm.yaml:1:55: pools[1].name: its 'x/y/0' is an instance of pools[0] too\n"},
        Case{"AModelOfAPoolUnderAnothersName", "models: {b: {served_as: a}}\npools: [{name: x, gpus: [0], models: {a: }}]\n",
             "qlm.yaml:1:25: models.b.served_as: 'a' is a model of pools[0]\n"},
        Case{"OnlyHalfOfASwap", "pools: [{name: x, gpus: [0], models: {a: {prior: {put_away: 1s}}}}]\n",
             "qlm.yaml:1:61: pools[0].models.a.prior.put_away: needs bring_in beside it, or the pool's prior.swap\n"},
        Case{"OneEngineTwice", "instances: [{url: 'http://a:1'}, {url: 'http://a:1/v1'}]\n",
             "qlm.yaml:1:40: instances[1].url: is the engine of instances[0] too\n"},
        Case{"OneNameTwice", "instances: [{name: x, url: 'http://a:1'}, {name: x, url: 'http://b:1'}]\n",
             "qlm.yaml:1:50: instances[1].name: the name 'x' is that of instances[0] too\n"},
        Case{"UnlikelyModel", "models: {mistral-7b: {}}\ninstances: [{url: 'http://a:1', models: [mistral-7]}]\n",
             "qlm.yaml:2:42: instances[0].models[0]: found 'mistral-7', which is no key of models; did you mean 'mistral-7b'?\n"},
        Case{"TwoPriors", "models: {m: {prior: {profile: p, token_throughput: 1/s}}}\n" + engine,
             "qlm.yaml:1:21: models.m.prior: has both token_throughput and profile, expected one of them\n"},
        Case{"BodyBeyondQueue", "limits: {body: 8GiB}\n" + engine,
             "qlm.yaml:1:16: limits.body: is larger than queued_bytes, so the largest body could never wait\n"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Secrets, Mistake,
    testing::Values(
        Case{"KeyInTheFile", "tenants: {t: {keys: [sk-secret], keys_file: k1}}\n" + engine,
             "qlm.yaml:1:15: tenants.t.keys: no such key: secrets are never in this file; put it in a file of its own and name that "
             "(keys_file, api_key_file)\n"},
        Case{"PasswordInAUrl", "instances: [{url: 'http://me:secret@a:1'}]\n",
             "qlm.yaml:1:19: instances[0].url: has a user or password in it: secrets are never in this file; use api_key_file\n"},
        Case{"NoKeysFile", "tenants: {t: {weight: 2}}\n" + engine, "qlm.yaml:1:11: tenants.t: keys_file is missing: nobody could be this tenant\n"},
        Case{"MissingKeysFile", "tenants: {t: {keys_file: nowhere}}\n" + engine, "qlm.yaml:1:26: tenants.t.keys_file: nowhere: no such file\n"},
        Case{"EmptyKeysFile", "tenants: {t: {keys_file: k2}}\n" + engine, "qlm.yaml:1:26: tenants.t.keys_file: k2: holds no key, expected one a line\n"},
        Case{"KeyWithABlank", "tenants: {t: {keys_file: k3}}\n" + engine,
             "qlm.yaml:1:26: tenants.t.keys_file: k3: line 2: a key has a character that no HTTP header can carry\n"},
        Case{"KeyOfTwoTenants", "tenants: {t: {keys_file: k1}, u: {keys_file: k1}}\n" + engine,
             "qlm.yaml:1:46: tenants.u.keys_file: holds a key that tenant 't' has too\n"},
        Case{"KeyOfAnonymous", "tenants: {anonymous: {keys_file: k1}}\n" + engine,
             "qlm.yaml:1:34: tenants.anonymous.keys_file: anonymous is the tenant of requests without a key\n"}),
    case_name);

TEST(Mistakes, AreAllToldAtOnceInTheFilesOrder) {
  EXPECT_EQ(answer("listen: here\nfoo_bar_baz: 1\nclasses:\n  a: {ttft: 5, tpot: x}\npolicy: sheperd\n" + engine),
            "qlm.yaml:1:9: listen: found 'here', expected an address such as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080; the port is "
            "missing or not 0 to 65535\n"
            "qlm.yaml:2:1: foo_bar_baz: no such key; known here: listen, admin, auth, limits, stream_keepalive, drain_timeout, classes, "
            "default_class, tenants, models, instances, pools, policy, state, planning or log\n"
            "qlm.yaml:4:13: classes.a.ttft: found '5', expected a duration such as 250ms, 2s, 5min or 1h; did you mean '5s'?\n"
            "qlm.yaml:4:22: classes.a.tpot: found 'x', expected a duration such as 250ms, 2s, 5min or 1h\n"
            "qlm.yaml:5:9: policy: found 'sheperd', expected fcfs, priority, edf, edf-expire, sjf, greedy, shepherd, qlm-lp, qlm-lp-expire, qlm-sp or qlm; did you mean 'shepherd'?\n");
}

TEST(Mistakes, ThatOthersFindStandAmongTheRest) {
  const auto loaded = parse("models:\n  m: {prior: {profile: none}}\npolcy: edf\nlog: {access: x}\n" + engine, "qlm.yaml", {}, read_small_file,
                            [](const Configuration& configuration, const Complain& complain) {
                              complain("log.access", "cannot be written");
                              for (const Model& model : configuration.models) complain("models." + model.name + ".prior.profile", "is not there");
                            });
  ASSERT_FALSE(loaded);
  std::string out;
  for (const Problem& problem : loaded.error()) out += to_string(problem) + "\n";
  EXPECT_EQ(out,
            "qlm.yaml:2:24: models.m.prior.profile: is not there\n"
            "qlm.yaml:3:1: polcy: no such key; did you mean 'policy'?\n"
            "qlm.yaml:4:15: log.access: cannot be written\n");
}

TEST(Mistakes, StayOnOneLineWhateverTheKeyHolds) {
  EXPECT_EQ(answer("log: {\"a\\nb\": 1}\n" + engine), "qlm.yaml:1:7: log.a b: no such key; known here: level or access\n");
}

TEST(Mistakes, ManyAliasesCostNothing) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 20; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) bomb += "*a" + std::to_string(i - 1) + ",";
    bomb += "]\n";
  }
  EXPECT_EQ(answer(bomb), "qlm.yaml:1:5: anchors (&name) are not allowed in this file; write the value out\n");
}

TEST(Mistakes, OnTheCommandLineAreNamedToo) {
  const std::vector<std::string> urls{"http://me:secret@a", "gpu1:8000"};
  const auto loaded = defaults_for_urls(urls);
  ASSERT_FALSE(loaded);
  ASSERT_EQ(loaded.error().size(), 2U);
  EXPECT_EQ(to_string(loaded.error()[1]),
            "the command line: found 'gpu1:8000', expected an engine's address such as http://gpu1:8000; did you mean 'http://gpu1:8000'?");
  EXPECT_EQ(to_string(loaded.error()[0]), "the command line: an engine's address has a user or password in it; use a file and its api_key_file");
  EXPECT_EQ(to_string(defaults_for_urls({}).error()[0]), "the command line: names no engine, expected an address such as http://gpu1:8000");
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("qlm-config-" + std::to_string(::getpid()))) { std::filesystem::create_directories(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(Files, KeysAreFoundBesideTheConfiguration) {
  const Folder folder;
  folder.write("team.keys", "sk-1\n");
  const auto loaded = load(folder.write("qlm.yaml", "tenants: {t: {keys_file: team.keys}}\n" + engine));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->tenants[1].keys, std::vector<std::string>{"sk-1"});
  EXPECT_EQ(*read_keys(folder.path() + "/team.keys"), std::vector<std::string>{"sk-1"});
}

TEST(Files, ThatCannotBeReadAreNamed) {
  const Folder folder;
  EXPECT_EQ(to_string(load(folder.path() + "/no.yaml").error()[0]), folder.path() + "/no.yaml: no such file");
  EXPECT_EQ(to_string(load(folder.path()).error()[0]), folder.path() + ": is no plain file");
  EXPECT_EQ(read_keys(folder.path()).error().message, folder.path() + ": is no plain file");
  EXPECT_EQ(read_keys("/dev/zero").error().message, "/dev/zero: is no plain file");
  EXPECT_EQ(read_keys(folder.write("big", std::string(2 << 20, 'x'))).error().message, folder.path() + "/big: larger than 1048576 bytes");
}

}  // namespace
}  // namespace qlm::config

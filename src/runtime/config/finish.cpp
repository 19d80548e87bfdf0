// What no single key can answer for: references between sections, addresses, unique names, and secrets from files.
#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "runtime/config/reader.hpp"
#include "runtime/config/units.hpp"

namespace qlm::config {
namespace {

class Finisher {
 public:
  Finisher(Configuration& configuration, Report& report, const std::string& folder, const ReadFile& read_file)
      : c_(configuration), report_(report), folder_(folder), read_file_(read_file) {}

  void run() {
    classes();
    tenants();
    models();
    instances();
    pools();
    addresses();
    limits();
    if (c_.log.access == "off") c_.log.access.clear();
    else if (c_.log.access != "-") c_.log.access = in_folder(c_.log.access);
    if (!c_.state.empty()) c_.state = in_folder(c_.state);
  }

 private:
  template <class Named>
  std::vector<std::string_view> names(const std::vector<Named>& all) const {
    std::vector<std::string_view> out;
    for (const Named& each : all) out.push_back(each.name);
    return out;
  }

  void check_class(const std::string& key, const std::string& name) {
    const auto known = names(c_.classes);
    if (std::ranges::find(known, name) != known.end()) return;
    const auto near = nearest(name, known);
    report_.problem(key, fmt::format("found {}, expected the name of a class{}", in_quotes(name),
                                     near.empty() ? std::string{} : fmt::format("; did you mean '{}'?", near)));
  }

  void classes() {
    double shares = 0;
    for (const Class& each : c_.classes) {
      const std::string at = "classes." + each.name;
      shares += each.min_share;
      if (each.when_late == WhenLate::downgrade) {
        if (each.downgrade_to.empty()) report_.problem(at + ".when_late", "downgrade needs downgrade_to: the name of a class");
        else if (each.downgrade_to == each.name) report_.problem(at + ".downgrade_to", "is the class itself, expected another");
        else check_class(at + ".downgrade_to", each.downgrade_to);
      } else if (!each.downgrade_to.empty()) {
        report_.problem(at + ".downgrade_to", "has no effect without when_late: downgrade");
      }
      if (each.when_late != WhenLate::serve && !each.ttft && !each.tpot && !each.e2e) {
        report_.problem(at + ".when_late", fmt::format("{} needs an SLO to be late for: ttft, tpot or e2e", to_string(each.when_late)));
      }
      if (each.ttft && each.e2e && *each.ttft > *each.e2e) report_.problem(at + ".ttft", "is longer than e2e, which includes it");
      if (each.objective <= 0) report_.problem(at + ".objective", "expected a share above 0%");
    }
    // A hair above one is rounding, not a mistake.
    if (shares > 1 + 1e-9) report_.problem("classes", fmt::format("min_share sums to {:.4g}% over all classes, expected at most 100%", shares * 100));
    downgrade_cycles();
    check_class("default_class", c_.default_class);
  }

  void downgrade_cycles() {
    const auto next = [&](const Class* from) -> const Class* {
      const auto found = std::ranges::find(c_.classes, from->downgrade_to, &Class::name);
      return found == c_.classes.end() || from->downgrade_to == from->name ? nullptr : &*found;
    };
    for (const Class& start : c_.classes) {
      const Class* at = &start;
      for (std::size_t step = 0; at != nullptr && step <= c_.classes.size(); ++step) {
        at = next(at);
        if (at == &start) {
          report_.problem("classes." + start.name + ".downgrade_to", "leads back to the class itself");
          return;  // one sentence for the whole circle
        }
      }
    }
  }

  void tenants() {
    std::map<std::string, std::string> owners;  // of keys
    for (Tenant& each : c_.tenants) {
      const std::string at = "tenants." + each.name;
      const bool has_class = !each.default_class.empty();
      if (!has_class) each.default_class = c_.default_class;
      if (has_class) check_class(at + ".class", each.default_class);
      for (std::size_t i = 0; i < each.allow.size(); ++i) check_class(fmt::format("{}.allow[{}]", at, i), each.allow[i]);
      if (each.allow.empty()) {
        for (const Class& known : c_.classes) each.allow.push_back(known.name);
      } else if (std::ranges::find(each.allow, each.default_class) == each.allow.end()) {
        report_.problem(has_class ? at + ".class" : at + ".allow",
                        fmt::format("allow does not hold its own class '{}'", each.default_class));
      }
      if (each.weight <= 0) report_.problem(at + ".weight", "expected a number above 0");
      if (each.name == "anonymous") {
        if (!each.keys_file.empty()) report_.problem(at + ".keys_file", "anonymous is the tenant of requests without a key");
        continue;
      }
      if (each.keys_file.empty()) {
        report_.problem(at, "keys_file is missing: nobody could be this tenant");
        continue;
      }
      if (auto keys = secrets(at + ".keys_file", each.keys_file)) each.keys = std::move(*keys);
      for (const std::string& key : each.keys) {
        const auto [owner, is_new] = owners.emplace(key, each.name);
        if (!is_new && owner->second != each.name) {
          report_.problem(at + ".keys_file", fmt::format("holds a key that tenant '{}' has too", owner->second));
          break;
        }
      }
    }
  }

  // The lines of a file of secrets, or a problem. Sets `path` to where it was found.
  std::optional<std::vector<std::string>> secrets(const std::string& key, std::string& path) {
    path = in_folder(path);
    const auto content = read_file_(path);
    if (!content) {
      report_.problem(key, content.error().message);
      return {};
    }
    auto lines = secret_lines(*content);
    if (!lines) {
      report_.problem(key, fmt::format("{}: {}", path, lines.error().message));
      return {};
    }
    return std::move(*lines);
  }

  void models() {
    for (Model& each : c_.models) {
      if (each.served_as.empty()) each.served_as = each.name;
      if (each.prior.token_throughput && !each.prior.profile.empty()) {
        report_.problem("models." + each.name + ".prior", "has both token_throughput and profile, expected one of them");
      }
    }
  }

  void instances() {
    std::map<std::string, std::size_t> by_name, by_url;
    for (std::size_t i = 0; i < c_.instances.size(); ++i) {
      Instance& each = c_.instances[i];
      const std::string at = fmt::format("instances[{}]", i);
      if (each.url.host.empty()) continue;  // already reported
      const bool has_name = !each.name.empty();
      const std::string authority = to_string(ListenAddress{each.url.host, each.url.port}) + each.url.prefix;
      if (!has_name) each.name = authority;
      own_addresses(at + ".url", each.url);
      if (const auto [first, is_new] = by_url.emplace(authority, i); !is_new) {
        report_.problem(at + ".url", fmt::format("is the engine of instances[{}] too", first->second));
      } else if (const auto [other, unused] = by_name.emplace(each.name, i); !unused) {
        report_.problem(at + (has_name ? ".name" : ".url"), fmt::format("the name '{}' is that of instances[{}] too", each.name, other->second));
      }
      if (!each.api_key_file.empty()) {
        if (auto keys = secrets(at + ".api_key_file", each.api_key_file)) {
          if (keys->size() > 1) report_.problem(at + ".api_key_file", "holds more than one key");
          else each.api_key = std::move(keys->front());
        }
      }
      for (std::size_t m = 0; m < each.models.size(); ++m) {
        // Without a `models` section any name may be one that the engine serves.
        const auto known = names(c_.models);
        const auto near = nearest(each.models[m], known);
        if (!near.empty() && near != each.models[m] && std::ranges::find(known, each.models[m]) == known.end()) {
          report_.problem(fmt::format("{}.models[{}]", at, m), fmt::format("found {}, which is no key of models; did you mean '{}'?",
                                                                           in_quotes(each.models[m]), near));
        }
      }
    }
  }

  void pools() {
    std::map<std::string, std::size_t> by_name;
    for (std::size_t i = 0; i < c_.pools.size(); ++i) {
      const Pool& each = c_.pools[i];
      const std::string at = fmt::format("pools[{}]", i);
      if (each.models.empty() && report_.has(at + ".models")) report_.problem(at + ".models", "is empty, expected the models that take turns");
      if (each.name.empty()) continue;  // already reported
      if (const auto [first, is_new] = by_name.emplace(each.name, i); !is_new) {
        report_.problem(at + ".name", fmt::format("the name '{}' is that of pools[{}] too", each.name, first->second));
      }
      for (const std::string& gpu : each.gpus) {
        const auto same = std::ranges::find(c_.instances, instance_name(each, gpu), &Instance::name);
        if (same != c_.instances.end()) report_.problem(at + ".name", fmt::format("its '{}' is the name of an instance too", same->name));
      }
      for (std::size_t other = 0; other < i; ++other) {
        for (const std::string& gpu : c_.pools[other].gpus) {
          for (const std::string& here : each.gpus) {
            if (instance_name(each, here) == instance_name(c_.pools[other], gpu)) {
              report_.problem(at + ".name", fmt::format("its '{}' is an instance of pools[{}] too", instance_name(each, here), other));
            }
          }
        }
      }
      for (const PoolModel& model : each.models) {
        const auto taken = std::ranges::find_if(c_.models, [&](const Model& m) { return m.served_as == model.name && m.name != model.name; });
        if (taken != c_.models.end()) {
          report_.problem("models." + taken->name + ".served_as", fmt::format("'{}' is a model of pools[{}]", model.name, i));
        }
        if (model.put_away && !model.bring_in && !each.swap) {
          report_.problem(fmt::format("{}.models.{}.prior.put_away", at, model.name), "needs bring_in beside it, or the pool's prior.swap");
        }
      }
    }
  }

  void addresses() {
    if (c_.listen == c_.admin && c_.listen.port != 0) {
      report_.problem(report_.has("admin") ? "admin" : "listen", fmt::format("listen and admin are both {}, expected two addresses", to_string(c_.listen)));
    }
    const bool has_keys = std::ranges::any_of(c_.tenants, [](const Tenant& t) { return !t.keys_file.empty(); });
    if (!report_.has("auth")) {
      c_.auth = has_keys ? Auth::keys : Auth::none;
      if (!has_keys && !is_loopback(c_.listen)) {
        report_.problem("listen", fmt::format("{} can be reached from outside and no tenant has keys; give tenants a keys_file, "
                                              "listen on 127.0.0.1, or write auth: none",
                                              to_string(c_.listen)));
      }
    } else if (c_.auth == Auth::keys && !has_keys) {
      report_.problem("auth", "keys needs a tenant with a keys_file, or nobody could call");
    }
  }

  // An engine's address that is QLM's own would have it send its requests to itself, round and round.
  void own_addresses(const std::string& key, const Url& url) {
    const auto meets = [&](const ListenAddress& own) {
      if (own.port == 0 || own.port != url.port) return false;
      const bool everywhere = own.host.empty() || own.host == "0.0.0.0" || own.host == "::";
      const bool by_name = (url.host == "localhost" && (own.host == "127.0.0.1" || own.host == "::1")) ||
                           (own.host == "localhost" && (url.host == "127.0.0.1" || url.host == "::1"));
      return url.host == own.host || by_name || (everywhere && is_loopback({url.host, url.port}));
    };
    for (const auto& [name, own] : {std::pair("listen", &c_.listen), std::pair("admin", &c_.admin)}) {
      if (meets(*own)) report_.problem(key, fmt::format("is QLM's own {} address, expected an engine's", name));
    }
  }

  void limits() {
    if (c_.limits.body.count == 0) report_.problem("limits.body", "expected a size above zero");
    if (c_.limits.stream_buffer.count == 0) report_.problem("limits.stream_buffer", "expected a size above zero");
    if (c_.limits.body > c_.limits.queued_bytes) report_.problem("limits.body", "is larger than queued_bytes, so the largest body could never wait");
    if (c_.limits.stream_buffer > c_.limits.stream_buffers) report_.problem("limits.stream_buffer", "is larger than stream_buffers, which is for all");
    if (c_.limits.tenant_share <= 0) report_.problem("limits.tenant_share", "expected a share above 0%");
    if (!report_.has("limits.tenant_share") && c_.tenants.size() == 1) c_.limits.tenant_share = 1;
  }

  std::string in_folder(const std::string& path) const {
    return (std::filesystem::path(folder_) / path).lexically_normal().string();
  }

  Configuration& c_;
  Report& report_;
  const std::string& folder_;
  const ReadFile& read_file_;
};

}  // namespace

void finish(Configuration& configuration, Report& report, const std::string& folder, const ReadFile& read_file) {
  Finisher(configuration, report, folder, read_file).run();
}

}  // namespace qlm::config

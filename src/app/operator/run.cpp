#include "app/operator/run.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include <chrono>
#include <string>

#include "app/operator/ask.hpp"
#include "app/operator/print.hpp"
#include "protocol/openai/json_write.hpp"
#include "runtime/net/socket.hpp"

namespace qlm::operators {
namespace {

enum Exit { done = 0, failed = 1, wrong_usage = 2, out_of_time = 3 };

constexpr Duration drain_look = 200ms;

struct Arguments {
  std::string admin = "127.0.0.1:8081", what, model, output, pin;
  double at_most_s = 0;
};

int complain(const std::string& what, Exit exit = failed) {
  fmt::print(stderr, "qlm: {}\n", what);
  return exit;
}

int print(const Result<std::string>& text) {
  if (!text) return complain(text.error().message);
  fmt::print("{}{}", *text, text->ends_with('\n') ? "" : "\n");
  return done;
}

int show(const Arguments& a, const Result<std::string>& answer) {
  return !answer || a.output == "json" ? print(answer) : print(lines(*answer));
}

std::string instance(const Arguments& a) { return "/admin/instances/" + escaped(a.what); }

int get(Admin& admin, const Arguments& a) {
  const auto answer = admin.get("/admin/" + a.what);
  return !answer || a.output == "json" ? print(answer) : print(table(a.what, *answer, a.output == "wide"));
}

int describe(Admin& admin, const Arguments& a) {
  return show(a, admin.get(a.what.starts_with("req_") ? "/admin/requests/" + escaped(a.what) : instance(a)));
}

std::int64_t in_flight(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::int64_t count = -1;
  if (parser.parse(json).get(root) != simdjson::SUCCESS || root["in_flight"].get(count) != simdjson::SUCCESS) return -1;
  return count;
}

// Until nothing runs there any more.
int drain(Admin& admin, const Arguments& a) {
  auto answer = admin.post(instance(a) + "/drain");
  const auto begun = std::chrono::steady_clock::now();
  for (std::int64_t told = -1; answer;) {
    const std::int64_t count = in_flight(*answer);
    if (count < 0) return complain("what came is not what was asked for: is this QLM's admin listener?");
    if (count == 0) {
      fmt::print(stderr, "{} is drained\n", a.what);
      return done;
    }
    if (count != told) fmt::print(stderr, "{} still runs {}\n", a.what, count);
    told = count;
    if (a.at_most_s > 0 && std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() > a.at_most_s) return out_of_time;
    admin.wait(drain_look);
    answer = admin.get(instance(a));
  }
  return complain(answer.error().message);
}

int swap(Admin& admin, const Arguments& a) {
  std::string body;
  openai::JsonWriter json(body);
  json.begin_object().member("model", a.model);
  if (!a.pin.empty()) json.member("pin", a.pin);
  json.end_object();
  return show(a, admin.post(instance(a) + "/swap", body));
}

}  // namespace

int run(int argc, char** argv) {
  const std::string command = argv[0];
  Arguments a;
  CLI::App app;
  app.name("qlm " + command);
  app.add_option("--admin", a.admin, "QLM's admin listener")->capture_default_str();
  app.footer("Exit codes: 0 done, 1 it was refused or nobody answered, 2 wrong usage" + std::string(command == "drain" ? ", 3 out of time with requests still running." : "."));
  int (*act)(Admin&, const Arguments&) = nullptr;
  const auto output = [&](std::vector<std::string> forms) {
    app.add_option("-o,--output", a.output, "for programs: json")->check(CLI::IsMember(std::move(forms)));
  };
  if (command == "get") {
    app.description("Lists what a running QLM has.");
    app.add_option("what", a.what, "instances, queue, requests or tenants")->required()->check(CLI::IsMember({"instances", "queue", "requests", "tenants"}));
    output({"json", "wide"});
    act = get;
  } else if (command == "describe") {
    app.description("Says all that is known of a request (req_...) or an instance, and why.");
    app.add_option("what", a.what, "a request or an instance")->required();
    output({"json"});
    act = describe;
  } else if (command == "cancel") {
    app.description("Ends a request, whosever it is; its client is told 409 cancelled.");
    app.add_option("request", a.what, "req_...")->required();
    output({"json"});
    act = [](Admin& admin, const Arguments& with) { return show(with, admin.post("/admin/requests/" + escaped(with.what) + "/cancel")); };
  } else if (command == "reload") {
    app.description("Has the configuration read again, as SIGHUP does.");
    output({"json"});
    act = [](Admin& admin, const Arguments& with) { return show(with, admin.post("/admin/reload")); };
  } else {
    app.add_option("instance", a.what, "as qlm get instances names it")->required();
    if (command == "drain") {
      app.description("Gives an instance no new work, and waits until nothing runs there.");
      app.add_option("--at-most", a.at_most_s, "seconds to wait")->check(CLI::PositiveNumber);
      act = drain;
    } else if (command == "swap") {
      app.description("Brings a model in on an instance of a pool, when what runs there is done.");
      app.add_option("model", a.model, "one of those it holds")->required();
      app.add_option("--pin", a.pin, "it stays for so long, whoever waits for others: 30min, 1h");
      output({"json"});
      act = swap;
    } else {
      const bool cordons = command == "cordon";
      app.description(cordons ? "Gives an instance no new work; what runs there goes on." : "Gives an instance work again.");
      output({"json"});
      act = cordons ? +[](Admin& admin, const Arguments& with) { return show(with, admin.post(instance(with) + "/cordon")); }
                    : +[](Admin& admin, const Arguments& with) { return show(with, admin.post(instance(with) + "/uncordon")); };
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? done : wrong_usage;
  }
  const auto address = net::parse_address(a.admin);
  if (!address) return complain("--admin: " + address.error().message, wrong_usage);
  Admin admin(*address);
  return act(admin, a);
}

}  // namespace qlm::operators

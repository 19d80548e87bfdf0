#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "app/bench/run.hpp"
#include "simulate/workload/recipe.hpp"

namespace qlm::bench {
namespace {

constexpr int failed = 1, wrong_usage = 2;

struct Arguments {
  std::string recipe = "demo";
  std::vector<std::string> streams;
  std::string models = "mistral-7b";
  std::string duration = "5m";
  double rate = 0, load = 0, capacity = 0, mega_share = 0.02;
  int gpus = 1;
  std::uint64_t seed = 1;
  std::string out = "-";
};

std::string footer() {
  std::string text = "Recipes (--recipe):\n";
  for (const auto& r : workload::recipe_names()) text += fmt::format("  {:<15} {}\n", r.name, r.description);
  text += "  mix             the streams given by --stream\n\n"
          "Lengths (of a stream): PROMPT/OUTPUT in tokens, or one of\n ";
  for (const auto& table : workload::length_tables()) text += fmt::format(" {}", table.name);
  return text +
         "\n\nA stream is a list of class=, model=, tenant=, lengths=, and either rate= (a second; with cv= for bursts, 1 is Poisson)\n"
         "or count= and every= (dumps; the first after first=).\n\n"
         "Load is the offered work over what the fleet can do. Without --capacity it is estimated for emulated A100-80\n"
         "serving 7B models, --gpus of them.\n\n"
         "Examples:\n"
         "  qlm workload --recipe w_a --load 0.9 --duration 5m --seed 1 -o trace.csv\n"
         "  qlm workload --recipe hol --rate 10 --duration 1m --models a,b\n"
         "  qlm workload --recipe mix --stream class=interactive,lengths=sharegpt,rate=4 \\\n"
         "               --stream class=batch,lengths=arxiv,count=40,every=30s -o -\n\n"
         "The same arguments give the same trace on every machine.\n"
         "Exit codes: 0 written, 1 could not write, 2 wrong usage.";
}

Result<std::vector<workload::Stream>> streams_of(const Arguments& a) {
  const auto models = workload::parse_models(a.models);
  if (!models) return std::unexpected(models.error());
  if (a.recipe == "mix") {
    if (a.streams.empty()) return fail("--recipe mix needs at least one --stream");
    std::vector<workload::Stream> streams;
    for (const auto& text : a.streams) {
      auto stream = workload::parse_stream(text, *models);
      if (!stream) return std::unexpected(stream.error());
      streams.push_back(std::move(*stream));
    }
    return streams;
  }
  if (!a.streams.empty()) return fail("--stream belongs to --recipe mix");
  if ((a.rate > 0) == (a.load > 0)) return fail("give either --rate or --load");
  // Streams keep their proportions, so their mean work tells the rate that makes a load.
  auto streams = workload::recipe(a.recipe, {*models, a.rate > 0 ? a.rate : 10, a.mega_share});
  if (!streams || a.rate > 0) return streams;
  const double capacity = a.capacity > 0 ? a.capacity : a.gpus / seconds(workload::mean_gpu_time(*streams));
  const double rate = a.load * capacity;
  fmt::print(stderr, "qlm workload: {:.2f} requests/s, load {} of a capacity of {:.2f} requests/s{}\n", rate, a.load, capacity,
             a.capacity > 0 ? "" : fmt::format(" (estimated, {} GPU{})", a.gpus, a.gpus == 1 ? "" : "s"));
  return workload::recipe(a.recipe, {*models, rate, a.mega_share});
}

int write(const Arguments& a) {
  const auto complain = [](const Error& error) {
    fmt::print(stderr, "qlm workload: {}\n", error.message);
    return wrong_usage;
  };
  const auto duration = workload::parse_duration(a.duration);
  if (!duration) return complain(duration.error());
  const auto streams = streams_of(a);
  if (!streams) return complain(streams.error());
  const auto trace = workload::generate(*streams, *duration, a.seed);
  const auto text = workload::write_trace(trace);
  if (a.out == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return std::fflush(stdout) == 0 ? 0 : failed;
  }
  std::ofstream file(a.out, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    fmt::print(stderr, "qlm workload: cannot write {}\n", a.out);
    return failed;
  }
  fmt::print(stderr, "qlm workload: {} requests in {}\n", trace.size(), a.out);
  return 0;
}

}  // namespace

int workload_run(int argc, char** argv) {
  Arguments a;
  CLI::App app("Writes a trace of requests (CSV: arrival_s,prompt_tokens,output_tokens,model,class).", "qlm workload");
  app.add_option("--recipe", a.recipe, "what to write, see below")->capture_default_str();
  app.add_option("--stream", a.streams, "one stream of --recipe mix; may be repeated");
  app.add_option("--models", a.models, "model names, with weights if not alike: a,b:2")->capture_default_str();
  app.add_option("--rate", a.rate, "requests a second, all streams together")->check(CLI::PositiveNumber);
  app.add_option("--load", a.load, "the rate as a share of the fleet's capacity")->check(CLI::PositiveNumber);
  app.add_option("--capacity", a.capacity, "requests of this mix a second that the fleet can serve")->check(CLI::PositiveNumber);
  app.add_option("--gpus", a.gpus, "GPUs for the estimated capacity")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--mega-share", a.mega_share, "share of very long prompts, where a recipe has them")
      ->check(CLI::Range(0.001, 0.4))->capture_default_str();
  app.add_option("--duration", a.duration, "how long requests arrive (90s, 5m, 1h)")->capture_default_str();
  app.add_option("--seed", a.seed, "another seed, another trace")->capture_default_str();
  app.add_option("-o,--output", a.out, "the file to write, - for standard output")->capture_default_str();
  app.footer(footer());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : wrong_usage;
  }
  return write(a);
}

}  // namespace qlm::bench

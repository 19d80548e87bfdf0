"""`qlm sim` as it is used: a suite, a trace of one's own, and the mistakes a person makes."""
import csv
import json
import os
import subprocess
import tempfile
import unittest

from fleet import QLM

CONFIG = """
classes:
  chat: {ttft: 2s, value: 5}
  bulk: {e2e: 10min}
default_class: chat
models:
  mistral-7b: {prior: {profile: a100-80/mistral-7b}}
instances:
  - {name: a, url: http://127.0.0.1:1}
  - {name: b, url: http://127.0.0.1:2, max_in_flight: 8}
policy: fcfs
"""
TRACE = "arrival_s,prompt_tokens,output_tokens,model,class\n" + "".join(
    f"{k * 0.01:.2f},200,100,mistral-7b,{'chat' if k % 3 else 'bulk'}\n" for k in range(400))


def sim(*arguments):
    return subprocess.run([QLM, "sim", *arguments], capture_output=True, text=True, timeout=300, check=False)


class Sim(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_a_suite_prints_a_table_and_writes_every_cell(self):
        path = os.path.join(self.folder.name, "out.json")
        ran = sim("--suite", "smoke", "--duration", "2m", "--load", "0.5,2", "--json", path)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("worst class", ran.stdout)
        self.assertIn("told nothing", ran.stdout)
        with open(path, encoding="utf-8") as f:
            written = json.load(f)
        cells = {(c["name"], c["load"]): c for c in written["cells"]}
        self.assertEqual(len(cells), 6)
        for (name, load), cell in cells.items():
            self.assertEqual(set(cell["policies"]), {"fcfs", "edf", "edf-expire", "sjf", "greedy", "qlm"})
            for figures in cell["policies"].values():
                self.assertTrue(0 <= figures["attainment"] <= 1 and 0 < figures["busy_share"] <= 1)
                self.assertEqual(sum(c["offered"] for c in figures["classes"].values()), figures["offered"])
                self.assertEqual(figures["swaps"] > 0, name.startswith("w_b"))
                waits = figures["waits"]
                self.assertEqual(waits["at_once"] + waits["untold"] + waits["told"], figures["offered"])
                self.assertEqual(sum(c["told"] for c in waits["cells"]), waits["told"])
                if load == 0.5 and not name.startswith("w_b"):
                    self.assertGreater(figures["attainment"], 0.99)

    def test_every_figure_can_be_computed_again_from_the_requests(self):
        requests, page = os.path.join(self.folder.name, "r.csv"), os.path.join(self.folder.name, "p.html")
        arguments = ["--suite", "smoke", "--case", "w_a", "--duration", "5m", "--load", "2", "--policy", "fcfs,qlm", "--values", "1,1,1", "--values", "10,3,1",
                     "--seeds", "2", "--json", "-", "--requests", requests]
        ran = sim(*arguments, "--html", page)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        written = json.loads(ran.stdout)
        with open(requests, encoding="utf-8", newline="") as f:
            lines = list(csv.DictReader(f))
        ttft = {"interactive": 20, "batch-1": 60, "batch-2": 600}
        self.assertEqual(len(written["cells"]), 4)
        for cell in written["cells"]:
            for policy, figures in cell["policies"].items():
                mine = [r for r in lines if (r["cell"], int(r["seed"]), r["policy"]) == (cell["name"], cell["seed"], policy)]
                self.assertEqual(len(mine), figures["offered"])

                def on_time(r):
                    if r["outcome"] != "completed" or float(r["first_token_s"]) - float(r["arrival_s"]) > ttft[r["class"]] + 1e-9:
                        return False
                    return float(r["last_token_s"]) - float(r["first_token_s"]) <= 0.2 * (int(r["output_tokens"]) - 1) + 1e-9

                share = lambda rows: sum(map(on_time, rows)) / len(rows)
                self.assertAlmostEqual(share(mine), figures["attainment"], delta=1e-6)
                self.assertEqual([r for r in mine if on_time(r) != (r["on_time"] == "1")], [])
                for name, of_class in figures["classes"].items():
                    self.assertAlmostEqual(share([r for r in mine if r["class"] == name]), of_class["attainment"], delta=1e-6)
                worth = lambda rows: sum(float(r["value"]) for r in rows)
                self.assertAlmostEqual(worth(r for r in mine if on_time(r)) / worth(mine), figures["value_attainment"], delta=1e-6)
                done = [r for r in mine if r["outcome"] == "completed"]
                lasted = max(float(r["end_s"]) for r in done) - float(mine[0]["arrival_s"])
                self.assertAlmostEqual(sum(int(r["output_tokens"]) for r in done) / lasted, figures["throughput_tokens_per_s"], delta=0.01)
                told = [r for r in mine if r["wait_bound_s"]]
                self.assertEqual(len(told), figures["waits"]["told"])
                within = sum(r["sent_s"] != "" and float(r["sent_s"]) - float(r["arrival_s"]) <= float(r["wait_bound_s"]) + 1e-9 for r in told)
                self.assertAlmostEqual(within / max(1, len(told)), figures["waits"]["coverage"], delta=1e-3)
        for limits in (cell[of] for cell in written["cells"] for of in ("bound", "ceiling")):
            self.assertTrue(0 < limits["attainment"] <= 1 and 0 < limits["value_attainment"] <= 1 and limits["of"] == "all arrivals")
        self.assertEqual([len(p["less_qlm"]) for p in written["paired"]], [1, 1])
        with open(page, encoding="utf-8") as f:
            drawn = f.read()
        self.assertEqual(drawn.count("<h2>"), 2)
        self.assertNotIn("<script", drawn)
        self.assertNotIn("href", drawn)
        with open(requests, encoding="utf-8") as f:
            before = f.read()
        self.assertEqual(sim(*arguments, "--jobs", "1").returncode, 0)
        with open(requests, encoding="utf-8") as f:
            self.assertEqual(f.read(), before, "whatever ends first")
        self.assertEqual(sim(*arguments[:-1], os.path.join(self.folder.name, "none", "r.csv")).returncode, 1)

    def test_the_plan_of_any_moment_is_printed_for_every_simulation(self):
        ran = sim("--trace", self.file("t.csv", TRACE), "--config", self.file("q.yaml", CONFIG), "--policy", "fcfs,qlm", "--print-plan", "4s")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        for policy in ("fcfs", "qlm"):
            self.assertRegex(ran.stdout, f"-- .*, {policy}, at 4 s\npolicy {policy}\n\ninstance a: mistral-7b; \\d+ of")
        self.assertEqual(sim("--suite", "smoke", "--print-plan", "soon").returncode, 2)

    def test_the_same_arguments_give_the_same_digests_and_other_seeds_others(self):
        def digests(seed):
            ran = sim("--suite", "smoke", "--duration", "1m", "--load", "1.2", "--first-seed", seed, "--json", "-")
            return [c["digest"] for c in json.loads(ran.stdout)["cells"]]
        self.assertEqual(digests("1"), digests("1"))
        self.assertNotEqual(digests("1"), digests("2"))

    def test_class_values_are_told_apart_and_change_what_policies_do_that_heed_them(self):
        ran = sim("--suite", "smoke", "--case", "w_a", "--duration", "10m", "--load", "2", "--policy", "edf-expire,priority,qlm",
                  "--values", "1,1,1", "--values", "10,3,1", "--json", "-")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        plain, valued = json.loads(ran.stdout)["cells"]
        self.assertEqual(valued["name"], plain["name"] + "/values-10-3-1")
        self.assertEqual(valued["values"], {"interactive": 10, "batch-1": 3, "batch-2": 1})
        for policy, same in [("edf-expire", True), ("priority", False), ("qlm", False)]:
            a, b = plain["policies"][policy], valued["policies"][policy]
            self.assertEqual(a["digest"] == b["digest"], same, policy)
            self.assertAlmostEqual(a["value_attainment"], a["attainment"])
        interactive = lambda cell: cell["policies"]["qlm"]["classes"]["interactive"]["attainment"]
        self.assertGreater(interactive(valued), interactive(plain))

    def test_ones_own_trace_over_ones_own_fleet(self):
        ran = sim("--trace", self.file("t.csv", TRACE), "--config", self.file("q.yaml", CONFIG), "--policy", "fcfs,edf", "--json", "-")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        cell, = json.loads(ran.stdout)["cells"]
        self.assertEqual(set(cell["policies"]), {"fcfs", "edf"})
        self.assertEqual(cell["policies"]["edf"]["offered"], 400)
        self.assertEqual(cell["policies"]["edf"]["classes"]["chat"]["offered"], 266)

    def test_requests_that_all_come_at_once_are_no_load(self):
        for requests in (1, 3):
            trace = "arrival_s,prompt_tokens,output_tokens,model,class\n" + "5,200,100,mistral-7b,chat\n" * requests
            ran = sim("--trace", self.file("t.csv", trace), "--config", self.file("q.yaml", CONFIG), "--json", os.path.join(self.folder.name, "o.json"))
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertRegex(ran.stdout, "t.csv +- +fcfs +100.0 ")
            with open(os.path.join(self.folder.name, "o.json"), encoding="utf-8") as f:
                cell, = json.load(f)["cells"]
            self.assertIsNone(cell["load"])
            self.assertTrue(0 < cell["policies"]["fcfs"]["busy_share"] <= 1)

    # Three minutes of two models for one GPU, which arrive by turns too fast to be left for later.
    TURNS = "arrival_s,prompt_tokens,output_tokens,model,class\n" + "".join(
        f"{k * 0.1:.1f},200,100,{'mistral-7b' if k % 2 else 'vicuna'},{'chat' if k % 3 else 'bulk'}\n" for k in range(1800))
    POOL = """
classes:
  chat: {ttft: 20s}
  bulk: {e2e: 10min}
default_class: chat
models:
  mistral-7b: {prior: {profile: a100-80/mistral-7b}}
pools:
  - name: here
    gpus: [0]
    models:
      mistral-7b:
      vicuna: {prior: {profile: a100-80/vicuna-13b}}
    prior: {swap: warm}
"""

    def turns(self, config, *policies):
        ran = sim("--trace", self.file("t.csv", self.TURNS), "--config", self.file("q.yaml", config), "--policy", ",".join(policies), "--json", "-")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout)["cells"][0]["policies"]

    def test_models_of_a_pool_take_turns_under_every_policy(self):
        served = self.turns(self.POOL, "qlm", "greedy", "qlm-lp-expire")
        for policy, figures in served.items():
            with self.subTest(policy=policy):
                self.assertGreater(figures["swaps"], 0)
                self.assertEqual(figures["offered"], 1800)
        self.assertGreater(served["qlm"]["attainment"], 0.9)

    def test_a_gpu_for_each_model_needs_no_swap_and_slow_swaps_cost_more(self):
        alone = self.turns(self.POOL.replace("gpus: [0]", "gpus: [0, 1]"), "qlm")["qlm"]
        self.assertEqual(alone["swaps"], 0, "each GPU begins with another model")
        own = self.POOL.replace("prior: {swap: warm}", "").replace("mistral-7b:\n      vicuna: {prior: {", "mistral-7b: {prior: {bring_in: 1min}}\n"
                                                                   "      vicuna: {prior: {bring_in: 1min, put_away: 1s, ")
        slow, quick = self.turns(own, "greedy")["greedy"], self.turns(self.POOL, "greedy")["greedy"]
        self.assertGreater(slow["swaps"], 0)
        self.assertGreater(slow["swapping_share"] / slow["swaps"], 5 * quick["swapping_share"] / quick["swaps"])
        self.assertLess(slow["attainment"], quick["attainment"])

    def test_a_pool_without_commands_is_simulated_and_not_served(self):
        config = self.file("q.yaml", self.POOL)
        for command in (["serve", "--config", config], ["check", "--offline", config]):
            ran = subprocess.run([QLM, *command], capture_output=True, text=True, timeout=30, check=False)
            self.assertIn(ran.returncode, (1, 2))
            self.assertIn("has no command, so its engine cannot be started", ran.stdout + ran.stderr)

    def test_small_programs_of_the_papers_policies_are_solved_exactly_where_a_solver_is_given(self):
        case = ("--suite", "smoke", "--case", "w_b", "--load", "0.5", "--duration", "2m", "--policy", "edf,qlm-lp")
        ran = sim(*case, "--solver", "cbc")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertRegex(ran.stdout, r"\nw_b/four/warm +0.5 +101 +qlm-lp +\d+ +\d+ +\d")
        without = json.loads(sim(*case, "--json", "-").stdout)["cells"][0]["policies"]
        with_one = json.loads(sim(*case, "--solver", "cbc", "--json", "-").stdout)["cells"][0]["policies"]
        self.assertNotIn("exact", without["qlm-lp"])
        self.assertEqual(without["edf"], with_one["edf"])
        exact = with_one["qlm-lp"]["exact"]
        self.assertGreater(exact["exact"], 0)
        self.assertGreaterEqual(exact["asked"], exact["exact"] + exact["impossible"])
        self.assertGreaterEqual(exact["gap"], 0)

    def test_a_solver_that_the_clock_kills_fails_its_cells_and_no_others(self):
        # It solves what it is tried on, and hangs at anything larger.
        slow = "sh -c 'if grep -q x1 {lp}; then sleep 100; fi; printf \"optimal\\nx0 1\\n\" > {solution}'"
        config = self.POOL + "planning: {solver: {timeout: 3s, command: " + json.dumps(slow) + "}}\n"
        ran = sim("--trace", self.file("t.csv", self.TURNS), "--config", self.file("q.yaml", config), "--policy", "edf,qlm-lp", "--json", "-")
        self.assertEqual(ran.returncode, 1, ran.stderr)
        self.assertRegex(ran.stderr, "failed: .*, qlm-lp: the solver 'sh' was killed after 3000 ms")
        policies = json.loads(ran.stdout)["cells"][0]["policies"]
        self.assertEqual(list(policies["qlm-lp"]), ["failed"])
        self.assertEqual(policies["edf"]["offered"], 1800)

    def test_engines_keep_the_prefixes_of_a_trace_where_they_are_said_to(self):
        trace = os.path.join(self.folder.name, "t.csv")
        made = subprocess.run([QLM, "workload", "--recipe", "sessions", "--models", "mistral-7b", "--rate", "5", "--duration", "5m", "--seed", "1", "-o", trace],
                              capture_output=True, text=True, check=False)
        self.assertEqual(made.returncode, 0, made.stderr)
        pool = self.POOL.replace("      vicuna: {prior: {profile: a100-80/vicuna-13b}}\n", "").replace("bulk", "batch-1").replace("chat", "interactive")
        pool = pool.replace("default_class", "  batch-2: {e2e: 1h}\ndefault_class")

        def cached(cache):
            ran = sim("--trace", trace, "--config", self.file("q.yaml", pool.replace("gpus: [0]\n", "gpus: [0]\n" + cache)), "--policy", "qlm", "--json", "-")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            return json.loads(ran.stdout)["cells"][0]["policies"]["qlm"]["cached_share"]
        self.assertEqual(cached(""), 0)
        self.assertGreater(cached("    prefix_cache: true\n"), 0.2)

    def overloaded(self, streams, classes, tenants=""):
        trace = os.path.join(self.folder.name, "t.csv")
        made = subprocess.run([QLM, "workload", "--recipe", "mix", "--duration", "10m", "--seed", "1", "-o", trace,
                               *(word for stream in streams for word in ("--stream", "model=mistral-7b,lengths=sharegpt," + stream))],
                              capture_output=True, text=True, check=False)
        self.assertEqual(made.returncode, 0, made.stderr)
        config = CONFIG.replace("  chat: {ttft: 2s, value: 5}\n  bulk: {e2e: 10min}\n", classes).replace("chat", "first") + tenants
        config = config.replace("  - {name: b, url: http://127.0.0.1:2, max_in_flight: 8}\n", "")
        ran = sim("--trace", trace, "--config", self.file("q.yaml", config), "--policy", "qlm", "--json", "-")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        cell, = json.loads(ran.stdout)["cells"]
        return cell["policies"]["qlm"]

    def test_tenants_share_by_weight_what_is_too_little_for_both(self):
        for name in ("a", "b"):
            os.chmod(self.file(name + ".keys", name * 20 + "\n"), 0o600)
        for weight in (1, 2):
            tenants = f"tenants: {{a: {{keys_file: a.keys}}, b: {{keys_file: b.keys, weight: {weight}}}}}\n"
            figures = self.overloaded(["class=first,tenant=a,rate=60", "class=first,tenant=b,rate=40"], "  first: {ttft: 20s}\n", tenants)
            a, b = figures["tenants"]["a"], figures["tenants"]["b"]
            self.assertAlmostEqual(b["tokens"] / a["tokens"], weight, delta=0.1 * weight)
            self.assertEqual(a["offered"] + b["offered"], figures["offered"])

    def test_a_class_has_its_minimum_share_minute_by_minute(self):
        def cheap(share):
            figures = self.overloaded(["class=first,rate=60", "class=cheap,rate=30"],
                                      f"  first: {{ttft: 20s, value: 10, max_wait: 1h}}\n  cheap: {{ttft: 60s, min_share: {share}, max_wait: 1h}}\n")
            return figures["classes"]["cheap"]
        self.assertLess(cheap("0%")["token_share"], 0.05)
        shared = cheap("30%")
        self.assertGreater(shared["token_share"], 0.28)
        self.assertGreater(shared["least_minute_token_share"], 0.2)
        self.assertGreater(shared["attainment"], 0.3, "and what it is served is on time")

    def test_who_waits_as_long_as_its_class_allows_is_given_up_as_it_is_live(self):
        fleet = CONFIG.replace("  - {name: a, url: http://127.0.0.1:1}\n", "").replace("max_in_flight: 8", "max_in_flight: 1")
        slow = TRACE.replace(",200,100,", ",200,300,")  # 400 times over three seconds, one after the other

        def longest(config):
            ran = sim("--trace", self.file("t.csv", slow), "--config", self.file("q.yaml", config), "--policy", "fcfs", "--json", "-")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            cell, = json.loads(ran.stdout)["cells"]
            self.assertEqual(cell["policies"]["fcfs"]["offered"], 400)
            return cell["policies"]["fcfs"]["largest_wait_s"], cell["capacity_requests_per_s"]

        ten_minutes, capacity = longest(fleet)
        self.assertTrue(590 < ten_minutes <= 600, ten_minutes)
        an_hour, same_capacity = longest(fleet.replace("ttft: 2s", "ttft: 2s, max_wait: 1h").replace("e2e: 10min", "e2e: 10min, max_wait: 1h"))
        self.assertGreater(an_hour, 1000)
        self.assertEqual(capacity, same_capacity, "which is what the fleet could do for all of them")

    def test_limits_of_the_configuration_refuse_as_they_do_live_and_who_is_refused_is_a_miss(self):
        trace = "arrival_s,prompt_tokens,output_tokens,model,class,tenant\n" + "".join(
            f"{k * 0.01:.2f},200,{100 + k},mistral-7b,bulk,{'ab'[k % 2]}\n" for k in range(400))
        for name in ("a", "b"):
            os.chmod(self.file(name + ".keys", name * 20 + "\n"), 0o600)

        def cell(limits="", more="", config=CONFIG, arguments=()):
            tenants = f"tenants: {{a: {{keys_file: a.keys{limits}}}, b: {{keys_file: b.keys}}}}\n"
            ran = sim("--trace", self.file("t.csv", trace), "--config", self.file("q.yaml", config + tenants + more), "--json", "-", *arguments)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            made, = json.loads(ran.stdout)["cells"]
            self.assertEqual(made["policies"]["fcfs"]["offered"], 400)
            return made, made["policies"]["fcfs"]["tenants"], ran.stderr

        unlimited, shares, said = cell()
        self.assertEqual((shares["a"]["attainment"], shares["b"]["attainment"]), (1, 1))
        self.assertNotIn("not simulated", said)
        for limits in ("in_flight: 5", "requests: 10/min", "tokens: 2k/min"):
            made, shares, _ = cell(f", limits: {{{limits}}}")
            self.assertLess(shares["a"]["attainment"], 0.5, limits)
            self.assertEqual(shares["b"]["attainment"], 1, limits)
            self.assertEqual(made["capacity_requests_per_s"], unlimited["capacity_requests_per_s"], "which is what the fleet could do without limits")
        small = CONFIG.replace("  - {name: a, url: http://127.0.0.1:1}\n", "")
        held, *_ = cell(config=small)
        refused, *_ = cell(config=small, more="limits: {queued: 20}\n")
        self.assertLess(refused["policies"]["fcfs"]["attainment"], held["policies"]["fcfs"]["attainment"])
        self.assertLess(refused["policies"]["fcfs"]["largest_wait_s"], held["policies"]["fcfs"]["largest_wait_s"])
        *_, said = cell(more="limits: {queued_bytes: 1GiB}\n")
        self.assertIn("not simulated: limits.queued_bytes", said)
        short = CONFIG.replace("{prior:", "{max_output_tokens: 299, prior:")
        stated, *_ = cell(config=short, arguments=["--state-lengths"])
        self.assertEqual(stated["policies"]["fcfs"]["attainment"], 0.5, "whoever states 300 or more")
        self.assertEqual(cell(config=short)[0]["policies"]["fcfs"]["attainment"], 1)

    def test_mistakes_are_named(self):
        trace, config = self.file("t.csv", TRACE), self.file("q.yaml", CONFIG)
        for arguments, word in [
            ([], "--suite"),
            (["--suite", "smoky"], "smoke"),
            (["--suite", "smoke", "--trace", trace], "--suite"),
            (["--trace", trace], "--config"),
            (["--trace", trace, "--config", config, "--policy", "fifo"], "fifo"),
            (["--suite", "smoke", "--policy", "qlm,edf,qlm"], "'qlm' is named twice"),
            (["--trace", self.file("y.csv", TRACE.replace("0.00,", "1700000000,", 1)), "--config", config], "at most 1e9 seconds: of times since 1970 subtract the first"),
            (["--suite", "smoke", "--load", "0.5,often"], "often"),
            (["--trace", trace, "--config", config, "--load", "0.5"], "--suite"),
            (["--suite", "smoke", "--case", "w_z"], "w_z"),
            (["--suite", "smoke", "--values", "10,3"], "3 classes"),
            (["--suite", "smoke", "--values", "10,3,none"], "none"),
            (["--suite", "smoke", "--duration", "60"], "duration"),
            (["--suite", "smoke", "--solver", "nobodys-solver {lp} {solution}"], "was not found"),
            (["--suite", "smoke", "--solver", "cbc {lp}"], "{solution}"),
            (["--suite", "smoke", "--solver", "true {lp} {solution}"], "wrote no solution"),
            (["--trace", trace, "--config", self.file("no.yaml", CONFIG.replace("prior: {profile: a100-80/mistral-7b}", "served_as: x"))], "prior.profile"),
            (["--trace", trace, "--config", self.file("w.yaml", CONFIG.replace("a100-80/mistral-7b", "a100/mistral"))], "a100-80/mistral-7b"),
            (["--trace", trace, "--config", self.file("two.yaml", CONFIG.replace("models:\n", "models:\n  vicuna: {prior: {profile: a100-80/vicuna-13b}}\n"))],
             "pools: [{name: NAME, gpus: [0], models: {vicuna: , mistral-7b: }"),
            (["--trace", trace, "--config", self.file("p.yaml", self.POOL.replace("prior: {swap: warm}", ""))], "prior: {swap: warm}"),
            (["--trace", trace, "--config", self.file("s.yaml", self.POOL.replace("a100-80/vicuna-13b", "4xa100-80/llama-2-70b"))], "bring_in"),
            (["--trace", trace, "--config", self.file("n.yaml", self.POOL.replace("      vicuna: {prior: {profile: a100-80/vicuna-13b}}", "      vicuna:"))],
             "prior.profile"),
            (["--trace", self.file("e.csv", TRACE.splitlines()[0] + "\n"), "--config", config], "no request"),
            (["--trace", self.file("m.csv", TRACE.replace(",mistral-7b,", ",gpt,", 1)), "--config", config], "gpt"),
        ]:
            with self.subTest(arguments=arguments):
                ran = sim(*arguments)
                self.assertEqual(ran.returncode, 2, ran.stderr)
                self.assertIn(word, ran.stderr)


if __name__ == "__main__":
    unittest.main()

"""Recorded-like arrivals through emulated GPUs below and above capacity: no request lost, none answered twice, and the
bench, the access log and the metrics agree on every one. `tools/azure` does the same with ten minutes of the real trace."""
import collections
import json
import os
import subprocess
import tempfile
import unittest

from fleet import QLM, Emulator, Qlm, total, wait_until


def replay(trace, speed, engines=2, extra_bench=()):
    """Result of qlm bench, the access log's lines, and QLM's metrics after it."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = [Emulator("--speed", str(speed)) for _ in range(engines)]
        log, out = os.path.join(folder, "access.log"), os.path.join(folder, "out.json")
        config = (f"log: {{access: {log}}}\nclasses:\n  interactive: {{ttft: 20s, max_wait: 30m}}\n"
                  "default_class: interactive\ninstances:\n" + "".join(f"  - url: {e.url}\n" for e in fleet))
        try:
            with Qlm(config=config) as qlm:
                qlm.wait_ready("mistral-7b")
                subprocess.run([QLM, "bench", "--trace", trace, "--speed", str(speed), "--models", "mistral-7b",
                                "--class", "interactive", "--slo", "interactive=ttft:2s", "--quiet", "--json", out,
                                *extra_bench, qlm.url], check=True, timeout=1800)
                with open(out, encoding="utf-8") as f:
                    result = json.load(f)
                wait_until(lambda: total(qlm.metrics(), "qlm_requests_total") == result["offered"], "all are counted")
                metrics = qlm.metrics()
            with open(log, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
        finally:
            for engine in fleet:
                engine.__exit__()
    return result, lines, metrics


class Arrivals(unittest.TestCase):
    def account(self, result, lines, metrics):
        self.assertGreater(result["offered"], 0)
        self.assertEqual(result["offered"], sum(result[k] for k in ("completed", "refused", "failed", "cut", "timed_out")))
        self.assertEqual(result["completed"], result["offered"], "nothing is lost")
        self.assertEqual((result["duplicates"], result["wrong_length"]), (0, 0))
        self.assertEqual(len(lines), result["offered"])
        self.assertEqual(len({line["id"] for line in lines}), result["offered"], "one line a request")
        self.assertEqual(collections.Counter(line["outcome"] for line in lines), {"completed": result["offered"]})
        self.assertEqual(total(metrics, "qlm_requests_total", 'outcome="completed"'), result["offered"])
        tokens = sum(line["output_tokens"] for line in lines)
        self.assertEqual(total(metrics, "qlm_tokens_total", 'direction="output"'), tokens)

    def run_at(self, load):
        with tempfile.NamedTemporaryFile(suffix=".csv") as trace:
            subprocess.run([QLM, "workload", "--recipe", "azure", "--load", str(load), "--gpus", "2", "--duration", "30s",
                            "--seed", "5", "-o", trace.name], check=True, capture_output=True)
            self.account(*replay(trace.name, speed=2))

    def test_below_capacity(self):
        self.run_at(0.9)

    def test_above_capacity(self):
        self.run_at(1.3)


class NobodyServed(unittest.TestCase):
    def test_a_run_in_which_nothing_was_completed_is_no_success(self):
        with tempfile.TemporaryDirectory() as folder, Emulator() as engine:
            trace = os.path.join(folder, "trace.csv")
            with open(trace, "w", encoding="utf-8") as f:
                f.write("arrival_s,prompt_tokens,output_tokens,model,class\n0,4,2,,\n0,4,2,,\n")

            def bench(*flags):
                done = subprocess.run([QLM, "bench", "--quiet", "--trace", trace, *flags, engine.url], capture_output=True, text=True, timeout=60)
                return done.returncode, done.stderr

            self.assertEqual(bench("--models", "mistral-7b")[0], 0)
            code, said = bench("--models", "not-there")
            self.assertEqual((code, said), (1, "qlm bench: no request was completed\n"))
            self.assertEqual(bench("--models", "not-there", "--strict")[0], 3)
            self.assertEqual(bench("--models", "mistral-7b", "--slo", "interactive=ttft:2s")[0], 0, "the URL behind it is the URL")


class Usage(unittest.TestCase):
    def test_mistakes_end_with_two_and_are_named(self):
        for arguments, said in [
            (["--slo", "http://127.0.0.1:1"],
             "--slo 'http://127.0.0.1:1': no '='; expected something like interactive=ttft:2s,tpot:200ms"),
            (["--trace", "no.csv", "http://127.0.0.1:1"], "cannot read no.csv"),
            (["--compare", "no.json"], "cannot read no.json"),
            (["--timeout", "20000h", "http://127.0.0.1:1"], "'20000h' is too long: expected at most 10000h"),
        ]:
            with self.subTest(arguments=arguments):
                done = subprocess.run([QLM, "bench", *arguments], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stderr), (2, f"qlm bench: {said}\n"))


if __name__ == "__main__":
    unittest.main()

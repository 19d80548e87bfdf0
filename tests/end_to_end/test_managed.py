"""Engines that QLM starts, watches, swaps and stops: real processes of emulated engines, and of llama.cpp, in pools."""
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from fleet import QLM, ROOT, Qlm, get, post, total, wait_until

EMULATE = f"{QLM} emulate --speed 20"


def pool(state, gpus=1, models=None, top="", commands=None):
    """Two models that take turns on each GPU, unless told otherwise."""
    commands = commands or {m: f"{EMULATE} --model {m}" for m in models or ("mistral-7b", "vicuna-13b")}
    lines = [f"      {m}: {{command: {json.dumps(c)}, stop_timeout: 5s, prior: {{profile: a100-80/{m}, bring_in: 300ms, put_away: 50ms}}}}\n"
             for m, c in commands.items()]
    return (f"state: {state}\n{top}pools:\n  - name: here\n    gpus: {list(range(gpus))}\n    models:\n" + "".join(lines))


def ask(qlm, model="mistral-7b", text="hello", headers=None, **more):
    body = {"model": model, "prompt": text, "max_tokens": 8, "ignore_eos": True, **more}
    return post(qlm.url + "/v1/completions", body, headers)


def processes(state):
    """Of engines that this state folder speaks of, still running."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            where = {os.readlink(f"/proc/{entry.name}/fd/{k}") for k in (1, 2)}
            status = pathlib.Path(f"/proc/{entry.name}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if status != "Z" and any(w.startswith(str(state)) for w in where):
            found.append(int(entry.name))
    return sorted(found)


def resident(qlm):
    return re.findall(r"^instance (\S+): (\S+);", get(qlm.admin + "/plan")[1], re.M)


def engine_of(qlm, model):
    """The process that QLM says it started, or found, for the model last."""
    said = [re.search(rf"(?:starting {model} on port \d+|{model} runs already), process (\d+)", line) for line in qlm.lines]
    return [int(m.group(1)) for m in said if m][-1]


class Managed(unittest.TestCase):
    def setUp(self):
        began = time.monotonic()
        self.addCleanup(lambda: print(f"{self.id()}: {time.monotonic() - began:.1f} s", flush=True))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        self.addCleanup(self.nothing_left)

    def nothing_left(self):
        for pid in processes(self.state):
            os.kill(pid, signal.SIGKILL)

    def end(self, qlm):
        """As Ctrl-C does: engines and all."""
        qlm.signal(signal.SIGINT)
        self.assertEqual(qlm.popen.wait(timeout=60), 0)
        self.assertEqual(processes(self.state), [], "no engine outlives Ctrl-C")

    def test_models_take_turns_on_one_gpu(self):
        with Qlm(config=pool(self.state)) as qlm:
            qlm.wait_ready("mistral-7b", "vicuna-13b")
            for model in ("vicuna-13b", "mistral-7b", "vicuna-13b"):
                status, headers, body = ask(qlm, model)
                self.assertEqual(status, 200, body)
                self.assertEqual(json.loads(body)["model"], model)
                self.assertEqual(headers["x-qlm-instance"], "here/0")
                self.assertEqual(len(processes(self.state)), 1, "one at a time")
            self.end(qlm)

    def test_an_idle_gpu_is_given_a_model_before_anybody_asks(self):
        with Qlm(config=pool(self.state, gpus=2)) as qlm:
            wait_until(lambda: sorted(model for _, model in resident(qlm)) == ["mistral-7b", "vicuna-13b"], "each has one, and not the same")
            self.end(qlm)

    def test_swaps_under_load_with_cancels_lose_nothing(self):
        """Clients of both models ask on and on, some leave: everybody else is answered, in the model that was asked for."""
        with Qlm(config=pool(self.state, top="policy: fcfs\n")) as qlm, ThreadPoolExecutor(8) as clients:
            qlm.wait_ready("mistral-7b", "vicuna-13b")
            swaps = lambda: total(qlm.metrics(), "qlm_swaps_total")  # noqa: E731
            wanted, answers, enough = int(os.environ.get("QLM_TEST_SWAPS", "40")), collections.Counter(), threading.Event()

            def client(seed):
                chance = random.Random(seed)
                while not enough.is_set():
                    model, tokens = chance.choice(("mistral-7b", "vicuna-13b")), chance.randint(5, 45)
                    if chance.random() < 0.2:  # leaves while it waits, or in the middle
                        with contextlib.suppress(OSError):
                            post(qlm.url + "/v1/completions", {"model": model, "prompt": "x", "max_tokens": 200, "ignore_eos": True, "stream": True},
                                 timeout=chance.random() / 2)
                        answers["left"] += 1
                        continue
                    status, _, body = ask(qlm, model, max_tokens=tokens)
                    self.assertEqual(status, 200, body)
                    told = json.loads(body)
                    self.assertEqual((told["model"], told["usage"]["completion_tokens"]), (model, tokens))
                    answers[model] += 1

            working = [clients.submit(client, seed) for seed in range(8)]
            while swaps() < wanted and not any(w.done() for w in working):
                self.assertLessEqual(len(processes(self.state)), 1, "one engine on a GPU")
                enough.wait(0.1)
            enough.set()
            for each in working:
                each.result()
            wait_until(lambda: json.loads(get(qlm.url + "/v1/queue")[1])["queued"] == 0, "nothing waits")
            metrics = qlm.metrics()
            self.assertEqual(total(metrics, "qlm_requests_total", 'outcome="failed"'), 0)
            self.assertEqual(total(metrics, "qlm_swap_failures_total"), 0)
            print(f"{self.id()}: {dict(answers)}, {swaps():.0f} swaps", flush=True)
            self.assertGreaterEqual(swaps(), wanted)
            self.end(qlm)

    def test_killed_and_started_again_it_finds_its_engines(self):
        with Qlm(config=pool(self.state, gpus=2)) as qlm:
            wait_until(lambda: len(resident(qlm)) == 2, "both serve")
            for model in ("mistral-7b", "vicuna-13b"):
                self.assertEqual(ask(qlm, model)[0], 200)
            before = processes(self.state)
            qlm.kill()
        self.assertEqual(processes(self.state), before, "engines go on")
        with Qlm(config=pool(self.state, gpus=2)) as qlm:
            wait_until(lambda: len(resident(qlm)) == 2, "both serve")
            for model in ("mistral-7b", "vicuna-13b"):
                self.assertEqual(ask(qlm, model)[0], 200)
            self.assertEqual(processes(self.state), before, "none was started, none ended")
            self.assertEqual(qlm.stop(), 0)
        self.assertEqual(processes(self.state), before, "SIGTERM leaves them to the next")
        with Qlm(config=pool(self.state, gpus=2)) as qlm:
            self.end(qlm)

    def test_an_engine_of_another_command_is_not_taken_over(self):
        with Qlm(config=pool(self.state, models=["mistral-7b"])) as qlm:
            qlm.wait_ready("mistral-7b")
            before = processes(self.state)
        with Qlm(config=pool(self.state, commands={"mistral-7b": f"{EMULATE} --model mistral-7b --seed 3"})) as qlm:
            self.assertEqual(ask(qlm)[0], 200)
            self.assertNotEqual(processes(self.state), before)
            self.assertEqual(len(processes(self.state)), 1)
            self.end(qlm)

    def test_a_second_qlm_on_the_same_state_is_refused(self):
        with Qlm(config=pool(self.state)) as qlm:
            with self.assertRaisesRegex(AssertionError, f"{qlm.popen.pid}"):
                Qlm(config=pool(self.state))
            self.end(qlm)

    def test_an_engine_killed_while_it_serves_is_started_again_and_nobody_waiting_is_lost(self):
        with Qlm(config=pool(self.state, models=["mistral-7b"])) as qlm, ThreadPoolExecutor(16) as clients:
            qlm.wait_ready("mistral-7b")
            answers = [clients.submit(ask, qlm, max_tokens=400) for _ in range(16)]
            wait_until(lambda: json.loads(get(qlm.url + "/v1/queue")[1])["in_flight"] > 0, "they run")
            os.kill(engine_of(qlm, "mistral-7b"), signal.SIGKILL)
            self.assertEqual([a.result()[0] for a in answers], [200] * 16, "unstreamed: nothing was delivered, so all run again")
            self.end(qlm)

    def test_an_idle_engine_that_is_killed_is_started_again(self):
        with Qlm(config=pool(self.state, models=["mistral-7b"])) as qlm:
            qlm.wait_ready("mistral-7b")
            pid = engine_of(qlm, "mistral-7b")
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: engine_of(qlm, "mistral-7b") != pid and resident(qlm), "another serves, though nobody asked")
            self.end(qlm)

    def test_an_engine_that_answers_errors_while_it_looks_well_is_started_anew(self):
        with Qlm(config=pool(self.state, models=["mistral-7b"])) as qlm, ThreadPoolExecutor(4) as clients:
            qlm.wait_ready("mistral-7b")
            before = engine_of(qlm, "mistral-7b")
            port = [re.search(r"starting mistral-7b on port (\d+)", line) for line in qlm.lines]
            post("http://127.0.0.1:%s/emulator/fault" % [m.group(1) for m in port if m][-1], {"kind": "http_500"})
            answers = [clients.submit(ask, qlm) for _ in range(4)]
            wait_until(lambda: engine_of(qlm, "mistral-7b") != before, "another is started")
            self.assertTrue(any("generates no token any more" in line for line in qlm.lines))
            for answer in answers:
                answer.result()
            self.assertEqual(ask(qlm)[0], 200)
            self.end(qlm)

    def test_a_reload_cannot_take_a_pools_model_away(self):
        with Qlm(config=pool(self.state)) as qlm:
            qlm.wait_ready("mistral-7b")
            qlm.config_file.write_text(qlm.config_file.read_text() + "models: {other: {served_as: mistral-7b}}\n")
            qlm.signal(signal.SIGHUP)
            wait_until(lambda: any("is not used" in line for line in qlm.lines), "it is refused")
            self.assertEqual([ask(qlm, m)[0] for m in ("vicuna-13b", "mistral-7b")], [200, 200])
            self.end(qlm)

    def test_ctrl_c_twice_ends_engines_that_will_not(self):
        stubborn = {"mistral-7b": f"sh -c 'trap \"\" TERM; {EMULATE} --model mistral-7b --listen {{host}}:{{port}}; sleep 1000'"}
        with Qlm(config=pool(self.state, commands=stubborn).replace("stop_timeout: 5s", "stop_timeout: 10min")) as qlm:
            qlm.wait_ready("mistral-7b")
            qlm.signal(signal.SIGINT)
            wait_until(lambda: any("stopping 1 engine" in line for line in qlm.lines), "it waits for its engine")
            self.end(qlm)

    def test_an_engine_that_is_silent_is_started_anew(self):
        with Qlm(config=pool(self.state, models=["mistral-7b"])) as qlm, ThreadPoolExecutor(1) as client:
            qlm.wait_ready("mistral-7b")
            os.kill(engine_of(qlm, "mistral-7b"), signal.SIGSTOP)
            waits = client.submit(ask, qlm)
            self.assertEqual(waits.result()[0], 200)
            self.assertTrue(any("has not answered for" in line for line in qlm.lines))
            self.end(qlm)

    def test_an_engine_killed_while_it_loads_is_started_again(self):
        slow = {"mistral-7b": f"sh -c 'sleep 3; exec {EMULATE} --model mistral-7b --listen {{host}}:{{port}}'"}
        with Qlm(config=pool(self.state, commands=slow)) as qlm, ThreadPoolExecutor(1) as client:
            wait_until(lambda: any("starting mistral-7b" in line for line in qlm.lines), "it starts")
            answer = client.submit(ask, qlm)
            os.kill(engine_of(qlm, "mistral-7b"), signal.SIGKILL)
            self.assertEqual(answer.result()[0], 200)
            self.assertTrue(any("before it served" in line for line in qlm.lines))
            self.end(qlm)

    def test_a_model_that_cannot_be_started_is_refused_and_the_others_are_served(self):
        commands = {"mistral-7b": f"{EMULATE} --model mistral-7b", "broken": "sh -c 'echo out of memory; exit 3' {port}"}
        text = pool(self.state, commands=commands, top="classes: {standard: {max_wait: 12s}}\n")
        with Qlm(config=text.replace("profile: a100-80/broken, ", "")) as qlm, ThreadPoolExecutor(4) as clients:
            qlm.wait_ready("mistral-7b")
            broken = clients.submit(ask, qlm, "broken")
            good = [clients.submit(ask, qlm) for _ in range(3)]
            self.assertEqual([g.result()[0] for g in good], [200] * 3)
            status, headers, body = broken.result()
            self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "no_instance"), body)
            self.assertIn("retry-after", headers)
            self.assertTrue(any("broken says: out of memory" in line for line in qlm.lines), "its own words are in the log")
            self.assertTrue(any("broken ended with status 3" in line for line in qlm.lines))
            self.end(qlm)

    def test_one_that_hangs_instead_of_loading_is_given_up_after_its_load_timeout(self):
        commands = {"mistral-7b": f"{EMULATE} --model mistral-7b", "hangs": "sh -c 'sleep 1000' {port}"}
        text = pool(self.state, commands=commands, top="classes: {standard: {max_wait: 12s}}\n")
        text = text.replace("profile: a100-80/hangs, ", "").replace("stop_timeout: 5s", "stop_timeout: 5s, load_timeout: 1s")
        with Qlm(config=text) as qlm, ThreadPoolExecutor(1) as client:
            hangs = client.submit(ask, qlm, "hangs")
            wait_until(lambda: any("hangs did not answer within its load_timeout" in line for line in qlm.lines), "it is given up")
            self.assertEqual(ask(qlm)[0], 200)
            self.assertEqual(hangs.result()[0], 503)
            self.end(qlm)

    def sleepers(self, memory):
        """Two models whose engines may sleep, 14 GiB each, and so much of the host's memory for that."""
        text = pool(self.state, commands={m: f"{EMULATE} --model {m} --enable-sleep-mode" for m in ("mistral-7b", "vicuna-13b")})
        return text.replace("    models:\n", f"    host_memory: {memory}\n    models:\n").replace("stop_timeout: 5s", "stop_timeout: 5s, memory: 14GiB")

    def test_engines_that_may_sleep_are_woken_and_not_started_again(self):
        with Qlm(config=self.sleepers("100GiB")) as qlm:
            qlm.wait_ready("mistral-7b", "vicuna-13b")
            for model in ("vicuna-13b", "mistral-7b") * 3:
                self.assertEqual(ask(qlm, model)[0], 200)
            metrics = qlm.metrics()
            self.assertEqual(total(metrics, "qlm_swaps_total", 'way="start"'), 2)
            self.assertGreaterEqual(total(metrics, "qlm_swaps_total", 'way="wake"'), 4)
            self.assertEqual(len(processes(self.state)), 2)
            self.end(qlm)

    def test_where_the_hosts_memory_is_full_an_engine_is_stopped_instead(self):
        with Qlm(config=self.sleepers("20GiB")) as qlm:
            qlm.wait_ready("mistral-7b", "vicuna-13b")
            for model in ("vicuna-13b", "mistral-7b") * 2:
                self.assertEqual(ask(qlm, model)[0], 200)
            said = [line for line in qlm.lines if "sleeps," in line or "ended" in line]
            self.assertIn("sleeps,", said[0], "there is room for one")
            self.assertIn("ended", said[1], "and not for another beside the one that is about to be woken")
            self.end(qlm)

    def test_an_engine_killed_in_its_sleep_is_started_when_it_is_wanted(self):
        with Qlm(config=self.sleepers("100GiB")) as qlm:
            qlm.wait_ready("mistral-7b", "vicuna-13b")
            self.assertEqual(ask(qlm, "mistral-7b")[0], 200)
            self.assertEqual(ask(qlm, "vicuna-13b")[0], 200)
            os.kill(engine_of(qlm, "mistral-7b"), signal.SIGKILL)
            wait_until(lambda: any("in its sleep" in line for line in qlm.lines), "it is noticed")
            self.assertEqual(ask(qlm, "vicuna-13b")[0], 200, "the other goes on")
            self.assertEqual(ask(qlm, "mistral-7b")[0], 200)
            self.end(qlm)

    def test_sleeping_engines_are_found_asleep_by_the_next_qlm(self):
        with Qlm(config=self.sleepers("100GiB")) as qlm:
            qlm.wait_ready("mistral-7b", "vicuna-13b")
            self.assertEqual(ask(qlm, "mistral-7b")[0], 200)
            self.assertEqual(ask(qlm, "vicuna-13b")[0], 200)
            before = processes(self.state)
            self.assertEqual(len(before), 2)
            qlm.kill()
        with Qlm(config=self.sleepers("100GiB")) as qlm:
            for model in ("vicuna-13b", "mistral-7b", "vicuna-13b"):
                self.assertEqual(ask(qlm, model)[0], 200)
            self.assertEqual(processes(self.state), before)
            self.end(qlm)

    def test_real_llama_cpp_processes_take_turns(self):
        command = f"{sys.executable} {ROOT}/tests/tools/real_llamacpp.py --detached --port {{port}} --alias {{model}} --slots 2"
        commands = {"tiny-a": command, "tiny-b": command + " --context 4096"}
        text = re.sub(r"profile: a100-80/\S+, ", "", pool(self.state, commands=commands))
        with Qlm(config=text) as qlm, ThreadPoolExecutor(6) as clients:
            for _ in range(2):
                answers = [(m, clients.submit(ask, qlm, m)) for m in ("tiny-a", "tiny-b") * 3]
                for model, answer in answers:
                    status, _, body = answer.result()
                    self.assertEqual(status, 200, body)
                    self.assertEqual(json.loads(body)["model"], model)
            self.end(qlm)


if __name__ == "__main__":
    unittest.main()

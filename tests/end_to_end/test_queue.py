"""Waiting, refusing, failing over, reloading and draining, with real processes."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from fleet import PATIENCE, QLM, Emulator, Qlm, get, metrics, post, sse_events, total, wait_until

BODY = {"model": "mistral-7b", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16, "ignore_eos": True}


def ask(qlm, headers=None, **more):
    return post(qlm.url + "/v1/chat/completions", {**BODY, **more}, headers)


def config(*engines, extra="", options=""):
    lines = [f"  - {{name: gpu{k}, url: {e.url}{options}}}" for k, e in enumerate(engines)]
    return extra + "instances:\n" + "\n".join(lines) + "\n"


class Waiting(unittest.TestCase):
    def test_a_stream_that_waits_is_kept_open_by_comments_and_then_served(self):
        with Emulator("--speed", "4") as engine, \
                Qlm(config=config(engine, extra="stream_keepalive: 200ms\n", options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            with ThreadPoolExecutor(2) as pool:
                first = pool.submit(ask, qlm, stream=True, max_tokens=800)
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
                second = pool.submit(ask, qlm, stream=True)
                wait_until(lambda: '"queued"' in get(qlm.url + "/v1/queue")[1], "one waits")
                status, headers, body = second.result()
                self.assertEqual(first.result()[0], 200)
            self.assertEqual(status, 200)
            self.assertIn(b": queued", body)
            self.assertLess(body.index(b": queued"), body.index(b"data:"))
            self.assertEqual(sse_events(body)[-1], b"data: [DONE]\n\n")
            self.assertIn("x-qlm-request-id", headers)

    def test_a_waiting_request_says_why_it_waits_and_a_finished_one_what_became_of_it(self):
        with Emulator("--speed", "4") as engine, \
                Qlm(config=config(engine, extra="stream_keepalive: 50ms\n", options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            self.assertTrue(any(", max_in_flight 1, serving mistral-7b" in line for line in qlm.lines), qlm.lines)
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(ask, qlm, stream=True, max_tokens=800)
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
                host, port = qlm.address.split(":")
                connection = http.client.HTTPConnection(host, int(port))
                connection.request("POST", "/v1/chat/completions", json.dumps({**BODY, "stream": True}), {"Content-Type": "application/json"})
                waiting = connection.getresponse()  # its head comes with the first comment line
                name = waiting.getheader("x-qlm-request-id")
                view = json.loads(get(f"{qlm.url}/v1/queue/{name}")[1])
                self.assertEqual((view["state"], view["position"], view["why"]), ("queued", 0, "It is next; gpu0 is full (1 of 1)."))
                waiting.read()
                connection.close()
                first.result()
            wait_until(lambda: json.loads(get(f"{qlm.url}/v1/queue/{name}/explain")[1])["state"] == "finished", "it is over")
            explained = json.loads(get(f"{qlm.url}/v1/queue/{name}/explain")[1])
            self.assertEqual([d["decision"] for d in explained["decisions"]], ["admitted", "dispatched", "first_token", "completed"])
            self.assertEqual(explained["decisions"][1]["instance"], "gpu0")
            self.assertGreater(explained["foretold"]["output_tokens"], 0)
            self.assertGreaterEqual(explained["came"]["wait_ms"], 0)
            self.assertEqual(explained["came"]["output_tokens"], BODY["max_tokens"])

    def test_a_waiting_request_says_who_is_ahead_and_which_constraint_binds(self):
        with Emulator("--speed", "4") as engine, \
                Qlm(config=config(engine, extra="policy: edf\nstream_keepalive: 50ms\nclasses: {chat: {ttft: 10s}, bulk: {e2e: 1h}}\n"
                                                "default_class: chat\n", options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            with ThreadPoolExecutor(3) as pool:
                asked = [pool.submit(ask, qlm, stream=True, max_tokens=800)]
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
                asked += [pool.submit(ask, qlm, stream=True) for _ in range(2)]
                wait_until(lambda: json.loads(get(qlm.url + "/v1/queue")[1])["queued"] == 2, "they wait")
                host, port = qlm.address.split(":")
                connection = http.client.HTTPConnection(host, int(port))
                connection.request("POST", "/v1/chat/completions", json.dumps({**BODY, "stream": True}),
                                   {"Content-Type": "application/json", "x-slo-class": "bulk"})
                last = connection.getresponse()
                explained = json.loads(get(f"{qlm.url}/v1/queue/{last.getheader('x-qlm-request-id')}/explain")[1])
                page = get(qlm.admin + "/plan")[1]
                self.assertEqual(explained["why"], "2 requests are before it (2 chat): they are due earlier; gpu0 is full (1 of 1).")
                self.assertEqual([(a["class"], a["requests"], a["standing"]) for a in explained["ahead"]], [("chat", 2, "kept")])
                self.assertEqual([(c["instance"], c["by"]) for c in explained["constraints"]], [("gpu0", "slots")])
                self.assertIn("takes no more: slots", page)
                self.assertRegex(page, r"1\. chat: 2 kept; .*\n  2\. bulk: 1 kept")
                last.read()
                connection.close()
                self.assertEqual([a.result()[0] for a in asked], [200] * 3)

    def test_a_client_that_leaves_the_queue_costs_nothing(self):
        with Emulator("--speed", "4") as engine, Qlm(config=config(engine, options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(ask, qlm, stream=True, max_tokens=600)
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
                raw = json.dumps(BODY).encode()
                host, port = qlm.address.split(":")
                leaver = socket.create_connection((host, int(port)))
                leaver.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: q\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (len(raw), raw))
                wait_until(lambda: total(qlm.metrics(), "qlm_queue_requests") == 1, "it waits")
                leaver.close()
                wait_until(lambda: total(qlm.metrics(), "qlm_queue_requests") == 0, "it is gone")
                self.assertEqual(first.result()[0], 200)
            wait_until(lambda: total(qlm.metrics(), "qlm_requests_total", 'outcome="cancelled"') == 1, "it is counted")

    def test_tenants_are_limited_apart(self):
        with tempfile.TemporaryDirectory() as folder, Emulator("--speed", "20") as engine:
            for name in ("greedy", "modest"):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write(f"sk-{name}\n")
            tenants = (f"tenants:\n  greedy: {{keys_file: {folder}/greedy, limits: {{in_flight: 2}}}}\n"
                       f"  modest: {{keys_file: {folder}/modest}}\n")
            with Qlm(config=config(engine, extra=tenants)) as qlm:
                wait_until(lambda: get(qlm.admin + "/health/ready")[0] == 200, "ready")
                self.assertEqual(ask(qlm)[0], 401)
                own, others = ({"Authorization": f"Bearer sk-{name}"} for name in ("greedy", "modest"))
                request = ask(qlm, own)[1]["x-qlm-request-id"]
                for page, who, expected in ((request, own, (410, "request_ended")), (request, others, (404, "request_not_found")),
                                            (request + "/explain", others, (404, "request_not_found"))):
                    status, body = get(f"{qlm.url}/v1/queue/{page}", who)
                    self.assertEqual((status, json.loads(body)["error"]["code"]), expected)
                with ThreadPoolExecutor(40) as pool:
                    def call(name):
                        return ask(qlm, {"Authorization": f"Bearer sk-{name}"}, max_tokens=200)
                    greedy = [pool.submit(call, "greedy") for _ in range(30)]
                    modest = [pool.submit(call, "modest") for _ in range(5)]
                    refused = [f.result() for f in greedy if f.result()[0] == 429]
                    self.assertGreater(len(refused), 0)
                    self.assertTrue(all(f.result()[0] in (200, 429) for f in greedy))
                    self.assertTrue(all("retry-after" in headers for _, headers, _ in refused))
                    self.assertEqual([f.result()[0] for f in modest], [200] * 5)


class Failing(unittest.TestCase):
    def assert_all_answered(self, break_it, mend=lambda engine: None):
        """40 requests over two engines, one of which breaks before anything streamed from it."""
        with Emulator("--speed", "10") as bad, Emulator("--speed", "10") as good, Qlm(bad.url, good.url) as qlm:
            qlm.wait_ready("mistral-7b")
            self.assertEqual([ask(qlm)[0] for _ in range(8)], [200] * 8)
            break_it(bad)
            with ThreadPoolExecutor(40) as pool:
                answers = list(pool.map(lambda _: ask(qlm), range(40)))
            self.assertEqual([status for status, _, _ in answers], [200] * 40)
            self.assertEqual({len(json.loads(body)["choices"][0]["message"]["content"].split()) for *_, body in answers}, {16})
            mend(bad)
            return qlm.metrics()

    def test_a_killed_engine_loses_nothing_that_had_not_begun(self):
        self.assert_all_answered(lambda engine: engine.kill())

    def test_a_stopped_engine_loses_nothing_that_had_not_begun(self):
        self.assert_all_answered(lambda engine: engine.signal(signal.SIGSTOP),
                                 mend=lambda engine: engine.signal(signal.SIGCONT))

    def test_an_engine_that_answers_500_is_left_alone(self):
        self.assert_all_answered(lambda engine: engine.fault(kind="http_500"))

    def test_an_engine_that_answers_garbage_is_left_alone(self):
        self.assert_all_answered(lambda engine: engine.fault(kind="garbage"))

    def test_a_stream_cut_midway_ends_with_an_error_the_client_can_read_and_is_not_repeated(self):
        with Emulator("--speed", "10") as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("mistral-7b")
            engine.fault(kind="cut", after_tokens=4)
            status, _, body = ask(qlm, stream=True)
            self.assertEqual(status, 200)
            self.assertIn(b'"error"', body)
            self.assertEqual(body.count(b'"role":"assistant"'), 1, "never answered twice")
            engine.fault(kind="none")
            wait_until(lambda: ask(qlm)[0] == 200, "the next is served")


class Operating(unittest.TestCase):
    def test_a_bad_file_changes_nothing_and_a_good_one_changes_the_policy(self):
        with Emulator("--speed", "20") as engine, Qlm(config=config(engine)) as qlm:
            qlm.wait_ready("mistral-7b")
            good = qlm.config_file.read_text()
            qlm.config_file.write_text(good + "polcy: edf\n")
            qlm.signal(signal.SIGHUP)
            wait_until(lambda: any("did you mean" in line or "policy" in line for line in qlm.lines), "the nearest key is named")
            self.assertEqual(ask(qlm)[0], 200)
            self.assertEqual(total(qlm.metrics(), "qlm_config_last_reload_successful"), 0)
            qlm.config_file.write_text(good + "policy: edf\n")
            qlm.signal(signal.SIGHUP)
            wait_until(lambda: total(qlm.metrics(), "qlm_config_last_reload_successful") == 1, "it is in force")
            self.assertEqual(ask(qlm)[0], 200)

    def test_every_policy_can_take_over_under_load_and_none_loses_a_request(self):
        policies = ["priority", "edf", "edf-expire", "sjf", "greedy", "shepherd", "qlm-lp", "qlm-lp-expire", "qlm-sp", "qlm", "fcfs"]
        with Emulator("--speed", "20") as engine, ThreadPoolExecutor(120) as pool:
            fleet = config(engine, extra="models: {mistral-7b: {prior: {profile: a100-80/mistral-7b}}}\n", options=", max_in_flight: 2")
            with Qlm(config=fleet + "policy: fcfs\n") as qlm:
                qlm.wait_ready("mistral-7b")
                engine.signal(signal.SIGSTOP)  # on a busy machine it would have answered some before all have come
                answers = [pool.submit(ask, qlm, stream=bool(k % 2), max_tokens=60) for k in range(120)]
                wait_until(lambda: json.loads(get(qlm.url + "/v1/queue")[1])["queued"] > 100, "they wait")
                engine.signal(signal.SIGCONT)
                for policy in policies:
                    qlm.config_file.write_text(fleet + f"policy: {policy}\n")
                    told = len([line for line in qlm.lines if "reload: policy" in line])
                    qlm.signal(signal.SIGHUP)
                    wait_until(lambda: len([line for line in qlm.lines if "reload: policy" in line]) > told, policy)
                self.assertEqual([a.result()[0] for a in answers], [200] * 120)

    def test_a_profile_that_is_not_there_is_a_mistake_of_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "q.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write("instances: [{url: 'http://127.0.0.1:1'}]\nmodels: {m: {prior: {profile: a100/mistral}}}\n")
            for command in (["check", path], ["serve", "--config", path]):
                ran = subprocess.run([QLM, *command], capture_output=True, text=True, timeout=60, check=False)
                self.assertNotEqual(ran.returncode, 0)
                self.assertIn("models.m.prior.profile", ran.stdout + ran.stderr)
                self.assertIn("a100-80/mistral-7b", ran.stdout + ran.stderr)

    def test_term_under_load_answers_what_was_accepted_and_ends_with_zero(self):
        with Emulator("--speed", "10") as engine:
            qlm = Qlm(config=config(engine, options=", max_in_flight: 4")).wait_ready("mistral-7b")
            with ThreadPoolExecutor(30) as pool:
                answers = [pool.submit(ask, qlm, stream=True, max_tokens=400) for _ in range(30)]

                def accepted():
                    done = total(qlm.metrics(), "qlm_requests_total")
                    queue = json.loads(get(qlm.url + "/v1/queue")[1])
                    return done + queue["queued"] + queue["in_flight"]

                wait_until(lambda: accepted() == 30, "all are accepted")
                code = qlm.stop()
                bodies = [a.result() for a in answers]
            self.assertEqual(code, 0)
            self.assertTrue(all(status == 200 and b"[DONE]" in body for status, _, body in bodies))
            qlm.popen.stdin.close()

    def test_who_is_unanswered_when_the_time_to_drain_is_over_is_told_and_logged(self):
        with tempfile.TemporaryDirectory() as folder, Emulator() as engine:
            log = os.path.join(folder, "access.log")
            qlm = Qlm(config=config(engine, extra=f"drain_timeout: 1s\nlog: {{access: {log}}}\n", options=", max_in_flight: 1"))
            qlm.wait_ready("mistral-7b")
            with ThreadPoolExecutor(3) as pool:
                running = pool.submit(ask, qlm, stream=True, max_tokens=4000)
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "one runs")
                waiting = [pool.submit(ask, qlm) for _ in range(2)]
                wait_until(lambda: total(qlm.metrics(), "qlm_queue_requests") == 2, "two wait")
                self.assertEqual(qlm.stop(), 3)
                for status, _, body in (w.result() for w in waiting):
                    self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "draining"))
                self.assertIn(b'"draining"', running.result()[2])
            with open(log, encoding="utf-8") as f:
                self.assertEqual([json.loads(line)["reason"] for line in f], ["draining"] * 3)
            qlm.popen.stdin.close()

    def test_told_twice_to_stop_it_stops_at_once(self):
        with Emulator() as engine:
            qlm = Qlm(config=config(engine, extra="drain_timeout: 1h\n", options=", max_in_flight: 1")).wait_ready("mistral-7b")
            with ThreadPoolExecutor(2) as pool:
                running = pool.submit(ask, qlm, stream=True, max_tokens=8000)
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "one runs")
                waiting = pool.submit(ask, qlm)
                wait_until(lambda: total(qlm.metrics(), "qlm_queue_requests") == 1, "one waits")
                qlm.signal(signal.SIGTERM)
                wait_until(lambda: any("draining for at most 3600 s" in line for line in qlm.lines), "it drains")
                self.assertFalse(running.done() or waiting.done())
                self.assertEqual(qlm.stop(), 3)
                self.assertEqual((waiting.result()[0], json.loads(waiting.result()[2])["error"]["code"]), (503, "draining"))
                self.assertIn(b'"draining"', running.result()[2])
            self.assertTrue(any("told twice" in line for line in qlm.lines), qlm.lines)
            qlm.popen.stdin.close()

    def test_a_reload_moves_the_access_log_and_opens_it_again(self):
        with tempfile.TemporaryDirectory() as folder, Emulator("--speed", "20") as engine:
            def in_force(path):
                return config(engine, extra=f"log: {{access: {path}}}\n")

            def lines(name):
                with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), encoding="utf-8") as f:
                    return len(f.readlines())
                return None

            def reload(path, said):
                before = sum(said in line for line in qlm.lines)
                qlm.config_file.write_text(in_force(path))
                qlm.signal(signal.SIGHUP)
                wait_until(lambda: sum(said in line for line in qlm.lines) > before, said)

            first, second, nowhere = (os.path.join(folder, name) for name in ("first", "second", "none/where"))
            with Qlm(config=in_force(first)) as qlm:
                qlm.wait_ready("mistral-7b")
                ask(qlm)
                wait_until(lambda: lines("first") == 1, "it is logged")
                reload(second, "is in force")
                ask(qlm)
                wait_until(lambda: lines("second") == 1, "the new file is written")
                os.rename(second, second + ".1")
                reload(second, "is in force")
                ask(qlm)
                wait_until(lambda: lines("second") == 1, "the renamed file is left")
                reload(nowhere, f"access log {nowhere}: No such file or directory; requests are logged where they were")
                ask(qlm)
                wait_until(lambda: lines("second") == 2, "the former file goes on")
                reload("off", "is in force")
                ask(qlm)
                reload(second, "is in force")
                ask(qlm)
                wait_until(lambda: lines("second") == 3, "off, and on again")
            self.assertEqual((lines("first"), lines("second.1")), (1, 1))

    def test_check_tries_what_serving_would_need(self):
        with tempfile.TemporaryDirectory() as folder, Emulator() as engine:
            file, keys = os.path.join(folder, "qlm.yaml"), os.path.join(folder, "keys")
            with open(keys, "w", encoding="utf-8") as f:
                f.write("sk-1\n")

            def check(text):
                with open(file, "w", encoding="utf-8") as f:
                    f.write(config(engine, extra=text))
                done = subprocess.run([QLM, "check", "--offline", file], capture_output=True, text=True, timeout=PATIENCE)
                return done.returncode, done.stdout

            tenants = "tenants: {a: {keys_file: keys}}\n"
            os.chmod(keys, 0o644)
            code, said = check(tenants + f"log: {{access: {folder}/access.log}}\n")
            self.assertEqual(code, 0)
            self.assertIn(f"warning: tenants.a.keys_file: {keys} is open to every user", said)
            os.chmod(keys, 0o600)
            self.assertNotIn("warning", check(tenants)[1])
            self.assertFalse(os.path.exists(f"{folder}/access.log"), "looking creates nothing")
            code, said = check(f"log: {{access: {folder}/none/access.log}}\n")
            self.assertEqual(code, 1)
            self.assertRegex(said, rf"^{file}:\d+:\d+: log\.access: access log {folder}/none/access\.log: No such file or directory\n1 problem\n$")

    def test_check_shows_mistakes_of_every_kind_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "qlm.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write("drain_timeout: soon\nmodels: {m: {prior: {profile: a100/mistral}}}\n"
                        f"log: {{access: {folder}/none/access.log}}\ntenants: {{a: {{keys_file: none.keys}}}}\n"
                        "instances: [{url: 'http://127.0.0.1:1'}]\n")
            ran = subprocess.run([QLM, "check", path], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(ran.returncode, 1)
            *lines, last = ran.stdout.splitlines()
            self.assertEqual([line.split(": ")[1] for line in lines],
                             ["drain_timeout", "models.m.prior.profile", "log.access", "tenants.a.keys_file"])
            self.assertEqual(last, "4 problems")
            ran = subprocess.run([QLM, "check", path + ".no"], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((ran.returncode, ran.stdout), (1, f"{path}.no: no such file\n1 problem\n"))

    def test_new_terms_for_an_instance_touch_nothing_that_runs_there(self):
        with Emulator("--speed", "4") as engine, Qlm(config=config(engine, options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(ask, qlm, max_tokens=800)
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "it runs")
                for most in (2, 3):
                    qlm.config_file.write_text(config(engine, options=f", max_in_flight: {most}"))
                    qlm.signal(signal.SIGHUP)
                    wait_until(lambda m=most: total(qlm.metrics(), "qlm_instance_slots") == m, "the new limit is in force")
                self.assertEqual(answer.result()[0], 200)
            self.assertEqual(total(engine.metrics(), "vllm:request_success_total"), 1, "it was sent once")

    def test_a_reload_gives_models_other_names_at_their_engines(self):
        with Emulator("--served-as", "x") as one, Emulator("--served-as", "y") as other:
            def models(a, b):
                return f"models: {{alpha: {{served_as: {a}}}, beta: {{served_as: {b}}}}}\n" + config(one, other)
            with Qlm(config=models("x", "y")) as qlm:
                qlm.wait_ready("alpha", "beta")
                self.assertEqual(ask(qlm, model="alpha")[1]["x-qlm-instance"], "gpu0")
                qlm.config_file.write_text(models("y", "x"))
                qlm.signal(signal.SIGHUP)
                wait_until(lambda: ask(qlm, model="alpha")[1]["x-qlm-instance"] == "gpu1", "alpha is served as y")

    def test_the_log_says_what_attempts_were_lost_to(self):
        with tempfile.TemporaryDirectory() as folder, Emulator("--speed", "20") as engine:
            log = os.path.join(folder, "access.log")
            with Qlm(config=config(engine, extra=f"log: {{access: {log}}}\n")) as qlm:
                qlm.wait_ready("mistral-7b")
                engine.fault(kind="http_500")
                self.assertEqual(ask(qlm)[0], 502)
            with open(log, encoding="utf-8") as f:
                line = json.loads(f.read())
            self.assertEqual((line["attempts"], line["attempts_lost"]), (4, {"failed_500": 4}))

    def test_a_failed_start_is_an_error_and_the_level_of_the_log_is_obeyed(self):
        with Emulator() as engine, Qlm(engine.url) as first, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "qlm.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(config(engine, extra="log: {level: error}\n"))
            ran = subprocess.run([QLM, "serve", "--config", path, "--listen", first.address, "--admin", "127.0.0.1:0"],
                                 capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(ran.returncode, 1)
            line, = ran.stderr.splitlines()
            self.assertRegex(line, r"Z error .*in use")

    def test_every_request_is_in_the_metrics_and_once_in_the_log(self):
        with tempfile.TemporaryDirectory() as folder, Emulator("--speed", "20") as engine:
            log = os.path.join(folder, "access.log")
            with Qlm(config=config(engine, extra=f"log: {{access: {log}}}\n")) as qlm:
                qlm.wait_ready("mistral-7b")
                names = [ask(qlm, stream=bool(k % 2), messages=[{"role": "user", "content": "a secret word"}])[1]["x-qlm-request-id"]
                         for k in range(20)]
                for name in names:
                    self.assertEqual(json.loads(get(f"{qlm.url}/v1/queue/{name}/explain")[1])["state"], "finished")
                ask(qlm, {"x-slo-ttft-ms": "no"})
                wait_until(lambda: total(qlm.metrics(), "qlm_requests_total") >= 20, "all are counted")
                counted = total(qlm.metrics(), "qlm_requests_total", 'outcome="completed"')
            with open(log, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
            self.assertEqual(counted, 20)
            self.assertEqual(sum(1 for line in lines if line["outcome"] == "completed"), 20)
            self.assertEqual([line["id"] for line in lines if "id" in line], names, "one name everywhere")
            self.assertNotIn("secret", json.dumps(lines))


if __name__ == "__main__":
    unittest.main()

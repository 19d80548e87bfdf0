"""Engines that fail while they are worked, tenants that ask too much, clients that stall or leave, and QLM told to stop:
who must be served is served, nobody holds what is not theirs, and what failed is given work again."""
import json
import os
import re
import resource
import selectors
import signal
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from fleet import Emulator, LlamaCpp, Qlm, get, post, sse_events, total, wait_until
from wire import Engine, Wire

BODY = {"model": "mistral-7b", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16, "ignore_eos": True}
RECOVERY = 10  # seconds from the end of a fault: a promise of the project, not a guess


def ask(qlm, headers=None, **more):
    return post(qlm.url + "/v1/chat/completions", {**BODY, **more}, headers)


def raw_request(**more):
    body = json.dumps({**BODY, **more}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: q\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def config(*engines, top="", options=""):
    lines = [f"  - {{name: gpu{k}, url: {e.url}{options}}}\n" for k, e in enumerate(engines)]
    return top + "instances:\n" + "".join(lines)


def instances(qlm):
    return {each["name"]: each for each in json.loads(get(qlm.admin + "/instances")[1])["instances"]}


def idle(qlm):
    queue = json.loads(get(qlm.url + "/v1/queue")[1])
    return queue["queued"] == queue["in_flight"] == 0 and not any(i["in_flight"] for i in instances(qlm).values())


def memory(process):
    with open(f"/proc/{process.popen.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024


class Load:
    """Clients that ask again as soon as they are answered, half of them streaming, until told to stop."""

    def __init__(self, qlm, clients=12):
        self.qlm, self.stop, self.answers = qlm, threading.Event(), []
        self.threads = [threading.Thread(target=self._run, args=(bool(k % 2),)) for k in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, stream):
        while not self.stop.is_set():
            status, headers, body = ask(self.qlm, stream=stream)
            self.answers.append((status, headers.get("x-qlm-instance"), body, stream))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Recovery(unittest.TestCase):
    def assert_recovers(self, break_it, mend, cut_allowed=False):
        """Two engines under load; one is broken until its breaker opens, then mended."""
        with Emulator("--speed", "20") as bad, Emulator("--speed", "20") as good, Qlm(config=config(bad, good)) as qlm:
            qlm.wait_ready("mistral-7b")
            with Load(qlm) as load:
                wait_until(lambda: {where for _, where, *_ in load.answers} == {"gpu0", "gpu1"}, "both engines are at work")
                wait_until(lambda: total(bad.metrics(), "vllm:request_success_total") > 5, "it has shown how fast it is")
                break_it(bad)
                wait_until(lambda: instances(qlm)["gpu0"]["breaker"] == "open", "the breaker opens")
                state = {key for key, value in qlm.metrics().items() if key.startswith("qlm_instance_state") and value and "gpu0" in key}
                self.assertTrue(any("down" in s or "open" in s or "stalled" in s for s in state), state)
                answered = len(load.answers)
                wait_until(lambda: len(load.answers) > answered + 50, "the other engine goes on")
                replacement = mend(bad)
                mended = time.monotonic()
                answered = len(load.answers)
                wait_until(lambda: any(where == "gpu0" for _, where, *_ in load.answers[answered:]), "it serves again")
                took = time.monotonic() - mended
                wait_until(lambda: instances(qlm)["gpu0"]["breaker"] == "closed", "the breaker closes")
            print(f"{self.id()}: {len(load.answers)} answers, served again {took:.2f} s after the fault ended", flush=True)
            self.assertLess(took, RECOVERY)
            for status, where, body, stream in load.answers:
                self.assertEqual(status, 200, body)
                if stream and b"[DONE]" not in body:
                    self.assertTrue(cut_allowed and b'"engine_error"' in body, body)
                    self.assertIn(b'"content":', body, "only what had begun to stream may break")
            wait_until(lambda: idle(qlm), "nothing is left")
            if replacement:
                replacement.stop()

    def test_an_engine_stopped_and_continued(self):
        self.assert_recovers(lambda e: e.signal(signal.SIGSTOP), lambda e: e.signal(signal.SIGCONT), cut_allowed=True)

    def test_an_engine_killed_and_started_again(self):
        self.assert_recovers(lambda e: e.kill(), lambda e: Emulator("--speed", "20", listen=e.address), cut_allowed=True)

    def test_an_engine_that_answers_garbage(self):
        self.assert_recovers(lambda e: e.fault(kind="garbage"), lambda e: e.fault(kind="none"), cut_allowed=True)

    def test_an_engine_that_says_200_and_then_nothing(self):
        self.assert_recovers(lambda e: e.fault(kind="stall"), lambda e: e.fault(kind="none"), cut_allowed=True)

    def test_an_engine_that_cuts_every_stream_in_its_middle(self):
        self.assert_recovers(lambda e: e.fault(kind="cut", after_tokens=4), lambda e: e.fault(kind="none"), cut_allowed=True)

    def test_one_engine_alone_is_waited_for(self):
        with Emulator("--speed", "20") as engine, Qlm(engine.url) as qlm, ThreadPoolExecutor(20) as pool:
            qlm.wait_ready("mistral-7b")
            self.assertEqual(ask(qlm)[0], 200)
            engine.kill()
            answers = [pool.submit(ask, qlm, stream=bool(k % 2)) for k in range(20)]
            wait_until(lambda: json.loads(get(qlm.url + "/v1/queue")[1])["queued"] == 20, "they wait")
            with Emulator("--speed", "20", listen=engine.address):
                self.assertEqual([a.result()[0] for a in answers], [200] * 20)


class Sharing(unittest.TestCase):
    def test_a_tenant_that_sends_a_hundred_times_its_share_gets_the_429s_alone(self):
        with tempfile.TemporaryDirectory() as folder, Emulator("--speed", "100") as engine:
            for name in ("greedy", "modest"):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    f.write(f"sk-{name}\n")
            top = (f"tenants:\n  greedy: {{keys_file: {folder}/greedy, limits: {{requests: 10/min}}}}\n"
                   f"  modest: {{keys_file: {folder}/modest, limits: {{requests: 10/min}}}}\n")
            with Qlm(config=config(engine, top=top)) as qlm, ThreadPoolExecutor(32) as pool:
                wait_until(lambda: get(qlm.admin + "/health/ready")[0] == 200, "ready")
                begun = time.monotonic()
                greedy = [pool.submit(ask, qlm, {"Authorization": "Bearer sk-greedy"}) for _ in range(1000)]
                modest = [pool.submit(ask, qlm, {"Authorization": "Bearer sk-modest"}) for _ in range(10)]
                self.assertEqual([a.result()[0] for a in modest], [200] * 10)
                answers = [a.result() for a in greedy]
                earned = 10 + 10 * (time.monotonic() - begun) / 60 + 1
            refused = [a for a in answers if a[0] != 200]
            self.assertGreaterEqual(len(answers) - len(refused), 10)
            self.assertLessEqual(len(answers) - len(refused), earned)
            for status, headers, body in refused:
                self.assertEqual((status, json.loads(body)["error"]["type"]), (429, "rate_limit_error"))
                self.assertIn("greedy", json.loads(body)["error"]["message"])
                self.assertGreaterEqual(int(headers["retry-after"]), 1)


class Leaving(unittest.TestCase):
    def test_a_client_that_leaves_its_stream_is_aborted_at_the_engine(self):
        with Emulator() as engine, Qlm(config=config(engine, options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            for stream in (True, False):
                with Wire(qlm.address) as leaver:
                    leaver.send(raw_request(stream=stream, max_tokens=8000))
                    wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "it runs")
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 0, "it is aborted")
                self.assertEqual(ask(qlm, max_tokens=1)[0], 200, "the slot is free")
            wait_until(lambda: total(qlm.metrics(), "qlm_requests_total", 'outcome="cancelled"') == 2, "both are counted")
            self.assertTrue(idle(qlm))

    def test_a_client_that_leaves_a_real_llama_cpp_frees_its_slot(self):
        with LlamaCpp("--slots", "1") as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("tiny")
            took = []
            for _ in range(3):
                with Wire(qlm.address) as leaver:
                    leaver.send(raw_request(model="tiny", stream=True, max_tokens=4000))
                    leaver.until(b"data:")
                    self.assertEqual(engine.busy(), 1)
                left = time.monotonic()
                wait_until(lambda: engine.busy() == 0, "the slot is free")
                took.append(time.monotonic() - left)
            print(f"{self.id()}: slots free after " + ", ".join(f"{1000 * t:.0f} ms" for t in took), flush=True)
            self.assertEqual(ask(qlm, model="tiny", max_tokens=1)[0], 200)

    def test_clients_that_do_not_read_are_cancelled_and_hold_neither_slot_nor_memory(self):
        piece = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * 64000}, "finish_reason": None}]}).encode() + b"\n\n"
        endless = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                   *[b"%x\r\n%s\r\n" % (len(piece), piece)] * 600]  # 38 MB, more than any kernel holds for one connection
        engine, clients = Engine("mistral-7b", *endless), 20
        self.addCleanup(engine.close)
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "log")
            top = f"limits: {{client_stall: 1s}}\nlog: {{access: {log}}}\n"
            with Qlm(config=config(engine, top=top, options=f", engine: openai, max_in_flight: {clients}")) as qlm:
                qlm.wait_ready("mistral-7b")
                before, peak = memory(qlm), 0
                stalled = [Wire(qlm.address).send(raw_request(stream=True)) for _ in range(clients)]

                def all_cancelled():
                    nonlocal peak
                    peak = max(peak, memory(qlm) - before)
                    with open(log, encoding="utf-8") as f:
                        return sum(json.loads(line)["status"] == 499 for line in f.read().split("\n")[:-1]) == clients
                wait_until(all_cancelled, "every one is cancelled")
                print(f"{self.id()}: {peak / clients / 2**20:.2f} MiB at most for each stalled stream", flush=True)
                if "asan" not in os.environ.get("QLM_BINARY", ""):  # which keeps freed memory for a while
                    self.assertLess(peak, clients * 2 * 2**20, "a stream holds its buffer of 1 MiB, and little else")
                wait_until(lambda: idle(qlm), "no slot is held")
                for wire in stalled:
                    wire.close()
                engine.reply = (b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\nContent-Type: application/json\r\n\r\n"
                                b'{"choices":[{"index":0}]} ',)
                self.assertEqual(ask(qlm)[0], 200)

    def test_the_official_client_waits_in_the_queue_longer_than_its_read_timeout(self):
        import openai
        with Emulator() as engine, Qlm(config=config(engine, top="stream_keepalive: 200ms\n", options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            with Wire(qlm.address) as holder, ThreadPoolExecutor(1) as pool:
                holder.send(raw_request(stream=True, max_tokens=8000))
                wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
                client = openai.OpenAI(base_url=qlm.base_url, api_key="x", max_retries=0, timeout=1.5)

                def read():
                    stream = client.chat.completions.create(model="mistral-7b", messages=BODY["messages"], stream=True, max_tokens=5)
                    return [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
                answer = pool.submit(read)
                wait_until(lambda: total(qlm.metrics(), "qlm_queue_requests") == 1, "it waits")
                time.sleep(3)  # twice the client's patience between two bytes: what is tested is that this much may pass
                self.assertFalse(answer.done())
                holder.close()
                self.assertGreater(len("".join(answer.result())), 0)


class Limits(unittest.TestCase):
    def test_no_more_connections_are_taken_than_open_files_allow(self):
        few = 128
        with Emulator() as engine, Qlm(engine.url, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))) as qlm:
            self.assertTrue(any("128 open files are allowed, so at most 32 client connections are taken" in line for line in qlm.lines))
            qlm.wait_ready("mistral-7b")
            wires = [Wire(qlm.address) for _ in range(32)]
            for wire in wires:
                wire.send(b"GET /v1/models HTTP/1.1\r\nHost: q\r\n\r\n")
                self.assertEqual(wire.answer().status, 200)
            with Wire(qlm.address) as one_more:
                answer = one_more.send(b"GET /v1/models HTTP/1.1\r\nHost: q\r\n\r\n").answer()
            self.assertEqual((answer.status, answer.error["code"]), (503, "overloaded"))
            for wire in wires:
                wire.close()


class Stopping(unittest.TestCase):
    def test_two_thousand_waiting_streams_and_a_reload_lose_nothing(self):
        count = 2000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with Emulator("--speed", "100") as engine, \
                Qlm(config=config(engine, top="stream_keepalive: 1s\n", options=", max_in_flight: 1")) as qlm:
            qlm.wait_ready("mistral-7b")
            holder = Wire(qlm.address).send(raw_request(stream=True, max_tokens=30_000))
            wait_until(lambda: total(engine.metrics(), "vllm:num_requests_running") == 1, "the slot is taken")
            before = memory(qlm)
            wires = [Wire(qlm.address).send(raw_request(stream=True, max_tokens=2)) for _ in range(count)]
            wait_until(lambda: json.loads(get(qlm.url + "/v1/queue")[1])["queued"] == count, "all wait")
            print(f"{self.id()}: {(memory(qlm) - before) / count / 1024:.1f} KiB for each waiting stream", flush=True)
            qlm.config_file.write_text(config(engine, top="stream_keepalive: 1s\npolicy: fcfs\n", options=", max_in_flight: 128"))
            qlm.signal(signal.SIGHUP)
            holder.close()
            selector = selectors.DefaultSelector()
            heard = {}
            for wire in wires:
                wire.socket.setblocking(False)
                selector.register(wire.socket, selectors.EVENT_READ)
                heard[wire.socket] = b""
            deadline = time.monotonic() + 60
            while selector.get_map() and time.monotonic() < deadline:
                for key, _ in selector.select(1):
                    heard[key.fileobj] += key.fileobj.recv(65536)
                    if heard[key.fileobj].endswith(b"0\r\n\r\n"):
                        selector.unregister(key.fileobj)
            self.assertEqual(sum(b"data: [DONE]" in h for h in heard.values()), count)
            self.assertEqual({h.count(b"[DONE]") for h in heard.values()}, {1})
            self.assertFalse(any(b'"error"' in h for h in heard.values()))
            self.assertEqual(total(qlm.metrics(), "qlm_config_last_reload_successful"), 1)
            self.assertEqual(total(qlm.metrics(), "qlm_requests_total", 'outcome="completed"'), count)
            for wire in wires:
                wire.close()
            wait_until(lambda: idle(qlm), "nothing is left")

    def test_term_under_load_ends_every_stream_and_refuses_what_is_new(self):
        with Emulator("--speed", "10") as engine, ThreadPoolExecutor(31) as pool:
            with Qlm(config=config(engine, options=", max_in_flight: 4")) as qlm:
                qlm.wait_ready("mistral-7b")
                answers = [pool.submit(ask, qlm, stream=bool(k % 2), max_tokens=100) for k in range(30)]

                def accepted():
                    queue = json.loads(get(qlm.url + "/v1/queue")[1])
                    return total(qlm.metrics(), "qlm_requests_total") + queue["queued"] + queue["in_flight"]

                wait_until(lambda: accepted() == 30, "all are accepted")
                qlm.signal(signal.SIGTERM)
                wait_until(lambda: get(qlm.admin + "/health/ready")[0] == 503, "it drains")
                status, headers, body = ask(qlm)
                self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "draining"))
                self.assertGreaterEqual(int(headers["retry-after"]), 1)
                for status, _, body in (a.result() for a in answers):
                    self.assertEqual(status, 200, body)
                self.assertTrue(all(sse_events(a.result()[2])[-1:] in ([b"data: [DONE]\n\n"], []) for a in answers))
                self.assertEqual(qlm.popen.wait(timeout=60), 0)


if __name__ == "__main__":
    unittest.main()

"""A running request gives way on live engines: the last of a model's that is to leave its GPU, and its client's stream goes on."""
import json
import os
import signal
import tempfile
import threading
import unittest

from fleet import Qlm, post, total, wait_until
from test_managed import QLM, pool, processes

EMULATE = f"{QLM} emulate"


def events(body):
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


class Eviction(unittest.TestCase):
    def test_a_stream_that_gave_way_is_one_stream_and_what_it_would_have_been(self):
        with tempfile.TemporaryDirectory() as state:
            self.addCleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in processes(state)])
            speed = {m: f"{EMULATE} --speed 3 --model {m}" for m in ("mistral-7b", "vicuna-13b")}
            with Qlm(config=pool(state, top="policy: greedy\n", commands=speed)) as qlm:
                qlm.wait_ready("mistral-7b", "vicuna-13b")
                ask = {"model": "mistral-7b", "messages": [{"role": "user", "content": "count"}], "max_tokens": 700, "ignore_eos": True,
                       "stream": True, "stream_options": {"include_usage": True}}
                undisturbed = events(post(qlm.url + "/v1/chat/completions", ask)[2])
                # Its limit is found by many at once: a tenth of it, who may be evicted, is one request then.
                fill = [threading.Thread(target=post, args=(qlm.url + "/v1/completions", {"model": "mistral-7b", "prompt": "x", "max_tokens": 200, "ignore_eos": True}))
                        for _ in range(60)]
                for each in fill:
                    each.start()
                for each in fill:
                    each.join()
                got = []
                stream = threading.Thread(target=lambda: got.append(post(qlm.url + "/v1/chat/completions", ask)))
                stream.start()
                wait_until(lambda: total(qlm.metrics(), "qlm_instance_running") == 1, "it runs")
                crowd = [threading.Thread(target=post, args=(qlm.url + "/v1/completions", {"model": "vicuna-13b", "prompt": "x", "max_tokens": 4})) for _ in range(4)]
                for each in crowd:
                    each.start()
                for each in (*crowd, stream):
                    each.join()
                self.assertEqual(total(qlm.metrics(), "qlm_evictions_total"), 1)
                status, _, body = got[0]
                self.assertEqual(status, 200)
                said = events(body)
                text = lambda all_of: "".join(c["delta"].get("content") or "" for e in all_of for c in e["choices"])  # noqa: E731
                self.assertEqual(text(said), text(undisturbed))
                self.assertEqual(said[-1]["usage"]["completion_tokens"], 700)
                self.assertEqual(len({e["id"] for e in said}), 1)
                qlm.signal(signal.SIGINT)
                self.assertEqual(qlm.popen.wait(timeout=60), 0)


if __name__ == "__main__":
    unittest.main()

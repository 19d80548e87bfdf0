"""Conversations come back to the engine that has their beginning cached, where it has room."""
import json
import unittest
from concurrent.futures import ThreadPoolExecutor

from fleet import Emulator, Qlm, get, post, total, wait_until

MODEL = "mistral-7b"


def said(who, turns):
    messages = [{"role": "system", "content": f"You answer {who}. " + "Be brief and exact. " * 60}]
    for turn in range(turns):
        messages += [{"role": "user", "content": f"{who} asks question {turn}: " + "why is that so? " * 40}]
    return messages


def ask(qlm, who, turns, **more):
    return post(qlm.url + "/v1/chat/completions",
                {"model": MODEL, "messages": said(who, turns), "max_tokens": 8, "ignore_eos": True, **more})


def instance(answer):
    return answer[1]["x-qlm-instance"]


class Affinity(unittest.TestCase):
    def test_a_conversation_returns_to_its_engine_while_that_has_room_and_goes_elsewhere_when_it_is_full(self):
        with Emulator("--prefix-cache", "--speed", "4") as a, Emulator("--prefix-cache", "--speed", "4") as b, \
                Qlm(config="instances:\n" + "".join(f"  - {{name: gpu{k}, url: {e.url}, max_in_flight: 1}}\n" for k, e in enumerate((a, b)))) as qlm:
            qlm.wait_ready(MODEL)
            engines = {"gpu0": a, "gpu1": b}
            with ThreadPoolExecutor(2) as pool:
                # Ann's first turn takes the first engine, so Bob's takes the other.
                ann = pool.submit(ask, qlm, "Ann", 2, max_tokens=400)
                wait_until(lambda: a.busy() + b.busy() == 1, "Ann's first turn runs")
                bob = instance(ask(qlm, "Bob", 2))
                ann = instance(ann.result())
                self.assertNotEqual(ann, bob)
                for turn in (3, 4):
                    answer = ask(qlm, "Bob", turn)
                    self.assertEqual(instance(answer), bob)
                    self.assertGreater(json.loads(answer[2])["usage"]["prompt_tokens_details"]["cached_tokens"], 300)
                    self.assertEqual(instance(ask(qlm, "Ann", turn)), ann)
                explained = json.loads(get(f"{qlm.url}/v1/queue/{answer[1]['x-qlm-request-id']}/explain")[1])
                dispatched = next(d for d in explained["decisions"] if d["decision"] == "dispatched")
                self.assertEqual(dispatched["because"], "prefix")
                self.assertGreater(dispatched["expected_cached_tokens"], 300)
                # Full: nobody waits for it beside an engine that is free.
                long = pool.submit(ask, qlm, "Bob", 5, max_tokens=800)
                wait_until(lambda: engines[bob].busy() == 1, "Bob's engine is taken")
                self.assertEqual(instance(ask(qlm, "Bob", 6)), ann)
                self.assertEqual(instance(long.result()), bob)
            scraped = qlm.metrics()
            expected = total(scraped, "qlm_prompt_tokens_cached_total", 'source="expected"')
            reported = total(scraped, "qlm_prompt_tokens_cached_total", 'source="reported"')
            self.assertGreater(expected, 0)
            self.assertLess(abs(expected - reported), 0.4 * reported)


if __name__ == "__main__":
    unittest.main()

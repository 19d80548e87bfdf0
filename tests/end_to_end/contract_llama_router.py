"""The contract of contract.py with a real llama.cpp router; run by `tools/contract llama-router`."""
import unittest

from contract import MESSAGES, Contract
from fleet import LlamaRouter, Qlm, get, post, wait_until


class RealLlamaRouter(Contract, unittest.TestCase):
    context = 65536
    long_answer = 60000

    @classmethod
    def start_engine(cls, port=0):
        return LlamaRouter(cls.model, "other", slots=cls.slots, context=cls.context * cls.slots, port=port)


class RoutersModels(unittest.TestCase):
    """Which models are loaded is the router's and its clients' business; looking must not change it."""

    def test_looking_loads_nothing_and_asking_loads_what_was_asked_for(self):
        with LlamaRouter("a", "b", "c") as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("a", "b", "c")
            wait_until(lambda: "qlm_instance_up" in get(qlm.admin + "/metrics")[1], "it was looked at")
            self.assertEqual(set(engine.states().values()), {"unloaded"})
            status, _, body = post(qlm.url + "/v1/chat/completions", {"model": "b", "messages": MESSAGES, "max_tokens": 4})
            self.assertEqual(status, 200, body)
            self.assertEqual(engine.states(), {"a": "unloaded", "b": "loaded", "c": "unloaded"})

    def test_more_models_than_fit_take_turns(self):
        with LlamaRouter("a", "b", "c", loaded_at_once=1) as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("a", "b", "c")
            for model in "abcabc":
                status, _, body = post(qlm.url + "/v1/chat/completions",
                                       {"model": model, "messages": MESSAGES, "max_tokens": 4})
                self.assertEqual(status, 200, body)
                self.assertEqual(engine.states()[model], "loaded")


if __name__ == "__main__":
    unittest.main()

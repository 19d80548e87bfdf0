"""The contract of contract.py, with an emulated engine and with a real llama.cpp server; and what only one kind has."""
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

import openai

from contract import MESSAGES, Contract, ToolCalls
from fleet import Emulator, LlamaCpp, Qlm, post, total, wait_until


class EmulatedVllm(Contract, ToolCalls, unittest.TestCase):
    model = "mistral-7b"
    slots = 4
    context = 16384
    long_answer = 16000
    states_slots = False

    @classmethod
    def start_engine(cls, port=0):
        return Emulator("--speed", "20", "--max-num-seqs", str(cls.slots), "--max-model-len", str(cls.context),
                        "--mean-output", "100000", listen=f"127.0.0.1:{port}")

    def test_embeddings(self):
        answer = self.client.embeddings.create(model=self.model, input=["a", "b"], encoding_format="float")
        self.assertEqual(len(answer.data), 2)


class RealLlamaCpp(Contract, unittest.TestCase):
    context = 65536
    long_answer = 60000

    @classmethod
    def start_engine(cls, port=0):
        return LlamaCpp("--port", str(port), "--slots", str(cls.slots), "--context", str(cls.context * cls.slots))


class RealLlamaCppEmbeddings(unittest.TestCase):
    def test_embeddings(self):
        with LlamaCpp("--embeddings") as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("tiny")
            with openai.OpenAI(base_url=qlm.base_url, api_key="unused", max_retries=0) as client:
                answer = client.embeddings.create(model="tiny", input=["a", "b"], encoding_format="float")
            self.assertEqual([len(d.embedding) for d in answer.data], [64, 64])
            self.assertNotEqual(answer.data[0].embedding, answer.data[1].embedding)


class UnknownEngine(unittest.TestCase):
    def test_what_it_runs_at_once_is_found_by_load_and_no_more_is_sent_for_long(self):
        ask = {"model": "mistral-7b", "messages": MESSAGES, "max_tokens": 60, "ignore_eos": True, "stream": True}
        enough = threading.Event()
        with Emulator("--bare", "--max-num-seqs", "8") as engine, Qlm(engine.url) as qlm:
            qlm.wait_ready("mistral-7b")

            def client():
                while not enough.is_set():
                    self.assertEqual(post(qlm.url + "/v1/chat/completions", ask)[0], 200)

            def limit():
                return total(qlm.metrics(), "qlm_instance_slots")

            with ThreadPoolExecutor(40) as pool:
                clients = [pool.submit(client) for _ in range(40)]
                try:
                    # From 4 by half as much again: 7, 11; then 17, which brings nothing, and so 11 again.
                    wait_until(lambda: limit() >= 17, "more was tried")
                    wait_until(lambda: 8 <= limit() <= 11, "what helped was kept, what did not was given up")
                finally:
                    enough.set()
                for each in clients:
                    each.result()


if __name__ == "__main__":
    unittest.main()

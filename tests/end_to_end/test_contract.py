"""The contract of contract.py, with an emulated engine and with a real llama.cpp server."""
import unittest

import openai

from contract import Contract
from fleet import Emulator, LlamaCpp, Qlm


class EmulatedVllm(Contract, unittest.TestCase):
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
    calls_tools = False

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


if __name__ == "__main__":
    unittest.main()

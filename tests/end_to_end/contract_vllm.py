"""The contract of contract.py with a real vLLM; run by `tools/contract vllm`."""
import unittest

from contract import MESSAGES, Contract, ToolCalls
from fleet import Vllm, post


class RealVllm(Contract, ToolCalls, unittest.TestCase):
    slots = 4
    context = 4096
    long_answer = 4000
    states_slots = False
    tool_arguments = None  # this random model's choice

    @classmethod
    def start_engine(cls, port=0):
        return Vllm("--port", str(port), "--slots", str(cls.slots), "--context", str(cls.context))

    @classmethod
    def warm_up(cls):
        # On the CPU the code that finds logprobs is compiled by the first request for them: 23 s were seen.
        post(cls.engine.url + "/v1/chat/completions",
             {"model": cls.model, "messages": MESSAGES, "max_tokens": 1, "logprobs": True, "top_logprobs": 1})


if __name__ == "__main__":
    unittest.main()

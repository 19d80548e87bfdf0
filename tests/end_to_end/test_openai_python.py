"""The official OpenAI Python client through QLM, before an emulated engine and before a real llama.cpp server."""
import json
import unittest

import openai

from fleet import Emulator, LlamaCpp, Qlm, Tee, get, post, sse_events, wait_until

MESSAGES = [{"role": "user", "content": "Say something about queues."}]


class Contract:
    """Run alike for every engine; a subclass says which."""
    model = None

    @classmethod
    def setUpClass(cls):
        cls.engine = cls.start_engine()
        cls.tee = Tee(cls.engine.address)
        cls.qlm = Qlm(cls.tee.url).wait_ready(cls.model)
        cls.client = openai.OpenAI(base_url=cls.qlm.base_url, api_key="unused", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.qlm.__exit__()
        cls.tee.close()
        cls.engine.__exit__()

    def chat(self, **more):
        return self.client.chat.completions.create(
            model=self.model, messages=MESSAGES, **{"max_tokens": 8, "temperature": 0, **more})

    def test_a_whole_answer(self):
        answer = self.chat()
        self.assertTrue(answer.choices[0].message.content)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def test_a_stream_says_what_the_whole_answer_says(self):
        whole = self.chat().choices[0].message.content
        streamed = "".join(c.choices[0].delta.content or "" for c in self.chat(stream=True) if c.choices)
        self.assertEqual(streamed, whole)

    def test_usage_comes_only_to_those_who_asked(self):
        self.assertFalse([c for c in self.chat(stream=True) if c.usage])
        asked = [c for c in self.chat(stream=True, stream_options={"include_usage": True}) if c.usage]
        self.assertEqual(len(asked), 1)
        self.assertEqual(asked[0].usage.completion_tokens, 8)

    def test_events_are_the_engines_own_bytes(self):
        mark = self.tee.mark()
        body = {"model": self.model, "messages": MESSAGES, "max_tokens": 8, "stream": True, "temperature": 0}
        received = sse_events(post(self.qlm.url + "/v1/chat/completions", body)[2])
        self.assertEqual(received[-1], b"data: [DONE]\n\n")
        self.assertGreaterEqual(len(received), 9)
        wait_until(lambda: b"data: [DONE]\n\n" in self.tee.since(mark), "the tee has it all")
        self.assertEqual(received, [e for e in self.tee.since(mark) if b'"choices":[]' not in e.replace(b" ", b"")])

    def test_two_choices(self):
        self.assertEqual(len(self.chat(n=2).choices), 2)
        indices = {c.choices[0].index for c in self.chat(n=2, stream=True) if c.choices}
        self.assertEqual(indices, {0, 1})

    def test_logprobs(self):
        answer = self.chat(logprobs=True, top_logprobs=2)
        self.assertEqual(len(answer.choices[0].logprobs.content), 8)

    def test_tools_are_passed_on(self):
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
        self.assertTrue(self.chat(tools=[tool], tool_choice="none").choices)

    def test_plain_completions(self):
        answer = self.client.completions.create(model=self.model, prompt="Once", max_tokens=5, temperature=0)
        self.assertTrue(answer.choices[0].text)

    def test_an_unknown_model_is_not_found_and_the_nearest_is_named(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model=self.model + "x", messages=MESSAGES)
        self.assertIn(self.model, caught.exception.message)

    def test_the_engines_own_refusal_reaches_the_client(self):
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": "word " * 200_000}], max_tokens=4)

    def test_an_absurd_objective_is_a_bad_request_that_names_the_header(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(extra_headers={"x-slo-ttft-ms": "-5"})
        self.assertEqual(caught.exception.param, "x-slo-ttft-ms")

    def test_a_client_that_leaves_frees_the_engine(self):
        stream = self.chat(stream=True, max_tokens=1500)
        next(iter(stream))
        stream.close()
        wait_until(lambda: self.busy() == 0, "the engine's slot is free")

    def test_the_request_can_be_explained(self):
        raw = self.client.chat.completions.with_raw_response.create(model=self.model, messages=MESSAGES, max_tokens=4)
        request = raw.headers["x-qlm-request-id"]
        status, body = get(f"{self.qlm.url}/v1/queue/{request}/explain")
        self.assertEqual(status, 200, body)
        self.assertIn("dispatched", body)


class EmulatedVllm(Contract, unittest.TestCase):
    model = "mistral-7b"

    @classmethod
    def start_engine(cls):
        return Emulator("--speed", "20")

    def busy(self):
        return sum(v for k, v in self.engine.metrics().items() if k.startswith("vllm:num_requests_running"))

    def test_embeddings(self):
        answer = self.client.embeddings.create(model=self.model, input=["a", "b"], encoding_format="float")
        self.assertEqual(len(answer.data), 2)


class RealLlamaCpp(Contract, unittest.TestCase):
    model = "tiny"

    @classmethod
    def start_engine(cls):
        return LlamaCpp("--slots", "2")

    def busy(self):
        return self.engine.busy_slots()


if __name__ == "__main__":
    unittest.main()

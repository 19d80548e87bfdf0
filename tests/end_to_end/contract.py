"""What every engine has to do behind QLM, whichever it is: the official OpenAI clients, Python and Node, through
`qlm serve` with no configuration. A subclass says which engine; test_contract.py has those of ./check,
contract_vllm.py and contract_llama_router.py those of tools/contract."""
import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import openai

from fleet import ROOT, Qlm, Tee, get, post, sse_events, total, wait_until

MESSAGES = [{"role": "user", "content": "Say something about queues."}]
# Allows one call only, so that even a random model, forced to call, says it right.
TOOL = {"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"at": {"type": "string", "enum": ["x"]}}, "required": ["at"],
    "additionalProperties": False}}}


class Contract:
    model = "tiny"
    slots = 2          # what the engine was started with
    context = None     # tokens of one request
    long_answer = 0    # tokens that take it seconds
    states_slots = True       # or QLM has to find its concurrency by load
    node_modules = os.environ.get("QLM_NODE_MODULES", str(ROOT / ".venv/node"))

    @classmethod
    def start_engine(cls, port=0):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.engine = cls.start_engine()
        cls.warm_up()
        cls.tee = Tee(cls.engine.address)
        cls.qlm = Qlm(cls.tee.url).wait_ready(cls.model)
        cls.client = openai.OpenAI(base_url=cls.qlm.base_url, api_key="unused", max_retries=0)

    @classmethod
    def warm_up(cls):
        """Whatever an engine puts off until it is first asked."""

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.qlm.__exit__()
        cls.tee.close()
        cls.engine.__exit__()

    def chat(self, **more):
        return self.client.chat.completions.create(
            model=self.model, messages=MESSAGES, **{"max_tokens": 8, "temperature": 0, **more})

    def raw(self, path="/v1/chat/completions", **more):
        """Status, headers, body, with no client's help."""
        return post(self.qlm.url + path, {"model": self.model, "max_tokens": 8, "temperature": 0, **more})

    # -- answers

    def test_a_whole_answer(self):
        answer = self.chat()
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertGreater(answer.usage.prompt_tokens, 0)
        self.assertEqual(answer.usage.completion_tokens, 8)

    def test_a_stream_says_what_the_whole_answer_says(self):
        whole = self.chat().choices[0].message.content
        streamed = "".join(c.choices[0].delta.content or "" for c in self.chat(stream=True) if c.choices)
        self.assertEqual(streamed, whole)

    def test_two_choices(self):
        two = {"n": 2, "temperature": 1}  # vLLM refuses the same answer twice
        self.assertEqual(len(self.chat(**two).choices), 2)
        indices = {c.choices[0].index for c in self.chat(**two, stream=True) if c.choices}
        self.assertEqual(indices, {0, 1})

    def test_logprobs(self):
        answer = self.chat(logprobs=True, top_logprobs=2)
        self.assertEqual(len(answer.choices[0].logprobs.content), 8)

    def test_a_stop_string_ends_the_answer_before_it(self):
        words = self.chat(max_tokens=24).choices[0].message.content.split()
        stop = next(w for k, w in enumerate(words) if k >= 2 and not any(w in earlier for earlier in words[:k]))
        for stream in (False, True):
            answer = self.chat(max_tokens=24, stop=[stop], stream=stream)
            if stream:
                chunks = [c.choices[0] for c in answer if c.choices]
                text, reason = "".join(c.delta.content or "" for c in chunks), chunks[-1].finish_reason
            else:
                text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
            self.assertEqual(text.split(), words[:words.index(stop)])
            self.assertEqual(reason, "stop")

    def test_plain_completions(self):
        ask = {"model": self.model, "prompt": "Once", "max_tokens": 5, "temperature": 0}
        answer = self.client.completions.create(**ask)
        self.assertTrue(answer.choices[0].text)
        streamed = "".join(c.choices[0].text for c in self.client.completions.create(**ask, stream=True) if c.choices)
        self.assertEqual(streamed, answer.choices[0].text)

    def test_tools_not_to_be_called(self):
        self.assertTrue(self.chat(tools=[TOOL], tool_choice="none").choices[0].message.content)

    # -- bytes

    def test_events_are_the_engines_own_bytes(self):
        chat = {"path": "/v1/chat/completions", "messages": MESSAGES}
        for name, ask in {
                "chat": chat, "two choices": {**chat, "n": 2, "temperature": 1}, "logprobs": {**chat, "logprobs": True, "top_logprobs": 1},
                "a tool call": {**chat, "tools": [TOOL], "tool_choice": "required", "max_tokens": 200},
                "completions": {"path": "/v1/completions", "prompt": "Once"}}.items():
            with self.subTest(name):
                mark = self.tee.mark()
                received = sse_events(self.raw(stream=True, **ask)[2])
                self.assertEqual(received[-1], b"data: [DONE]\n\n")
                wait_until(lambda mark=mark: b"data: [DONE]\n\n" in self.tee.since(mark), "the tee has it all")
                # The closed list: the usage that only QLM asked for is not passed on.
                sent = [e for e in self.tee.since(mark) if b'"choices":[]' not in e.replace(b" ", b"")]
                self.assertEqual(received, sent)

    def test_usage_comes_only_to_those_who_asked(self):
        self.assertFalse([c for c in self.chat(stream=True) if c.usage and not c.choices])
        asked = [c for c in self.chat(stream=True, stream_options={"include_usage": True}) if c.usage]
        self.assertEqual(len(asked), 1)
        self.assertEqual(asked[0].usage.completion_tokens, 8)
        self.assertFalse(asked[0].choices)

    def test_usage_that_was_asked_for_is_the_engines_own_bytes_too(self):
        mark = self.tee.mark()
        received = sse_events(self.raw(messages=MESSAGES, stream=True, stream_options={"include_usage": True})[2])
        wait_until(lambda: b"data: [DONE]\n\n" in self.tee.since(mark), "the tee has it all")
        self.assertEqual(received, self.tee.since(mark))

    # -- errors

    def test_an_unknown_model_is_not_found_and_the_nearest_is_named(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model=self.model + "x", messages=MESSAGES)
        self.assertIn(self.model, caught.exception.message)

    def test_the_engines_own_refusal_reaches_the_client(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model=self.model, messages=MESSAGES, temperature="hot")
        self.assertIn("temperature", caught.exception.message)
        self.assertTrue(caught.exception.type)

    def test_a_prompt_beyond_the_context_is_refused_at_once(self):
        for stream in (False, True):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(
                    model=self.model, messages=[{"role": "user", "content": "word " * self.context}], max_tokens=4,
                    stream=stream)
            self.assertIn("context", caught.exception.message)

    def test_an_absurd_objective_is_a_bad_request_that_names_the_header(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(extra_headers={"x-slo-ttft-ms": "-5"})
        self.assertEqual(caught.exception.param, "x-slo-ttft-ms")

    def test_bad_requests_do_not_cost_the_engine_its_place(self):
        with ThreadPoolExecutor(8) as pool:
            bad = [pool.submit(self.raw, messages=MESSAGES, tools="nonsense") for _ in range(16)]
            good = [pool.submit(self.raw, messages=MESSAGES) for _ in range(16)]
        self.assertEqual({f.result()[0] for f in bad}, {400})
        self.assertEqual({f.result()[0] for f in good}, {200})

    # -- the fleet

    def test_the_models_and_what_is_known_of_them(self):
        models = {m["id"]: m for m in json.loads(get(self.qlm.url + "/v1/models")[1])["data"]}
        self.assertEqual(models[self.model]["max_model_len"], self.context)
        self.assertTrue(models[self.model]["instances"])

    def test_the_request_can_be_explained(self):
        raw = self.client.chat.completions.with_raw_response.create(model=self.model, messages=MESSAGES, max_tokens=4)
        request = raw.headers["x-qlm-request-id"]
        status, body = get(f"{self.qlm.url}/v1/queue/{request}/explain")
        self.assertEqual(status, 200, body)
        self.assertIn("dispatched", body)

    def test_a_client_that_leaves_frees_the_engine(self):
        generated = self.engine.generated()
        stream = self.chat(stream=True, max_tokens=self.long_answer)
        next(iter(stream))
        wait_until(lambda: self.engine.busy() == 1, "the engine runs it")
        left = time.monotonic()
        stream.close()
        while self.engine.busy():
            self.assertLess(time.monotonic() - left, 60, "the engine went on for nobody")
        print(f"\n{type(self).__name__}: slot free {1000 * (time.monotonic() - left):.0f} ms after the client left")
        wait_until(lambda: self.engine.generated() > generated, "the engine counted it")
        self.assertLess(self.engine.generated() - generated, self.long_answer, "it was not cut, it ended")

    def test_the_engine_is_given_what_it_can_run(self):
        enough = threading.Event()
        waited = []

        def client():
            while not enough.is_set():
                self.assertEqual(self.raw(messages=MESSAGES, stream=True, max_tokens=200)[0], 200)

        with ThreadPoolExecutor(4 * self.slots + 1) as pool:
            clients = [pool.submit(client) for _ in range(4 * self.slots)]
            try:
                if self.states_slots:
                    wait_until(lambda: self.engine.busy() == self.slots, "every slot is used")
                    until = time.monotonic() + 3
                    while time.monotonic() < until:
                        waited.append(self.engine.waiting())
                        time.sleep(0.5)  # llama.cpp takes a question for a sign of life of all its clients
                    self.assertEqual(set(waited), {0})
                    self.assertEqual(total(self.qlm.metrics(), "qlm_instance_slots"), self.slots)
                else:
                    wait_until(lambda: total(self.qlm.metrics(), "qlm_instance_slots") <= self.slots + 2,
                               "the limit was found")
                    wait_until(lambda: self.engine.waiting() <= 2, "next to nothing waits at the engine")
            finally:
                enough.set()
            for each in clients:
                each.result()

    def test_who_came_while_the_engine_was_away_is_served_when_it_is_back(self):
        port = int(self.engine.address.rsplit(":", 1)[1])
        self.engine.__exit__()
        wait_until(lambda: total(self.qlm.metrics(), "qlm_instance_up") == 0, "QLM knows")
        with ThreadPoolExecutor(1) as pool:
            early = pool.submit(self.raw, messages=MESSAGES, stream=True)
            wait_until(lambda: total(self.qlm.metrics(), "qlm_queue_requests") == 1, "it waits")
            type(self).engine = self.start_engine(port)
            status, _, body = early.result()
        self.assertEqual(status, 200)
        self.assertEqual(sse_events(body)[-1], b"data: [DONE]\n\n")

    # -- Node

    def test_the_node_client(self):
        done = subprocess.run(
            ["node", "openai_client.mjs", self.qlm.base_url, self.model, str(self.long_answer)],
            cwd=os.path.dirname(os.path.abspath(__file__)), env={**os.environ, "QLM_NODE_MODULES": self.node_modules},
            capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertTrue(seen["whole"])
        self.assertEqual(seen["completion_tokens"], 8)
        self.assertEqual(seen["streamed"], seen["whole"])
        self.assertEqual(seen["usage_chunks"], 0)
        self.assertEqual(seen["usage_chunks_asked"], 1)
        self.assertEqual(seen["choices"], 2)
        self.assertEqual(seen["logprobs"], 8)
        if isinstance(self, ToolCalls):
            self.assertEqual(seen["tool"], "look")
        self.assertEqual(seen["unknown_model"], 404)
        self.assertIn(self.model, seen["unknown_model_message"])
        wait_until(lambda: self.engine.busy() == 0, "the slot is free")


class ToolCalls:
    """Beside Contract, for engines whose tool calls even a random model gets right when it is forced to call. llama.cpp lets
    it talk on before the call."""
    tool_arguments = {"at": "x"}

    def test_a_forced_tool_call(self):
        forced = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 200}
        call = self.chat(**forced).choices[0].message.tool_calls[0].function
        self.assertEqual(call.name, "look")
        parts = [c.choices[0].delta.tool_calls[0].function for c in self.chat(stream=True, **forced)
                 if c.choices and c.choices[0].delta.tool_calls]
        self.assertEqual("".join(p.name or "" for p in parts), "look")
        arguments = "".join(p.arguments or "" for p in parts)
        self.assertEqual(json.loads(arguments), self.tool_arguments)
        self.assertEqual(json.loads(call.arguments), self.tool_arguments)

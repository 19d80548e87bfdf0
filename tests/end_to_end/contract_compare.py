"""Asks a real vLLM and the emulated one the same, and compares the shapes of what they answer: status, content type,
and each JSON object's keys with the kinds of their values; of a stream, the sequence of different shapes.
Run by `tools/contract compare`. What is known to differ is KNOWN here and a table in docs/engines.md."""
import http.client
import json
import unittest

from fleet import Emulator, Vllm

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
TEXT = {"model": "tiny", "prompt": "hi", "max_tokens": 3}
TOOLS = {"max_tokens": 100, "tools": [{"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"at": {"type": "string", "enum": ["x"]}}, "required": ["at"],
    "additionalProperties": False}}}]}
STREAM = {"stream": True}
USAGE = {**STREAM, "stream_options": {"include_usage": True}}
CHATS, TEXTS = "/v1/chat/completions", "/v1/completions"

QUESTIONS = {
    "health": ("GET", "/health", None),
    "ping": ("POST", "/ping", None),
    "version": ("GET", "/version", None),
    "load": ("GET", "/load", None),
    "models": ("GET", "/v1/models", None),
    "no such path": ("GET", "/nothing", None),
    "wrong method": ("GET", CHATS, None),
    "HEAD": ("HEAD", "/health", None),
    "tokenize": ("POST", "/tokenize", {"model": "tiny", "prompt": "hello"}),
    "tokenize messages": ("POST", "/tokenize", {"model": "tiny", "messages": CHAT["messages"]}),
    "tokenize, with strings": ("POST", "/tokenize", {"model": "tiny", "prompt": "hello", "return_token_strs": True}),
    "detokenize": ("POST", "/detokenize", {"model": "tiny", "tokens": [300, 301]}),
    "chat": ("POST", CHATS, CHAT),
    "chat streamed": ("POST", CHATS, {**CHAT, **STREAM}),
    "chat with usage": ("POST", CHATS, {**CHAT, **USAGE}),
    "chat with continuous usage": (
        "POST", CHATS, {**CHAT, **STREAM, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
    "chat, two choices": ("POST", CHATS, {**CHAT, "n": 2}),
    "chat, two choices streamed": ("POST", CHATS, {**CHAT, **STREAM, "n": 2}),
    "chat, logprobs": ("POST", CHATS, {**CHAT, "logprobs": True, "top_logprobs": 2}),
    "chat, logprobs streamed": ("POST", CHATS, {**CHAT, **STREAM, "logprobs": True, "top_logprobs": 1}),
    "chat, token ids": ("POST", CHATS, {**CHAT, "return_token_ids": True}),
    "chat, token ids streamed": ("POST", CHATS, {**CHAT, **STREAM, "return_token_ids": True}),
    "chat beyond the context is cut": ("POST", CHATS, {**CHAT, "max_tokens": 512}),
    "text": ("POST", TEXTS, TEXT),
    "text streamed": ("POST", TEXTS, {**TEXT, **USAGE}),
    "text, logprobs": ("POST", TEXTS, {**TEXT, "max_tokens": 1, "logprobs": 1}),
    "text, echo": ("POST", TEXTS, {**TEXT, "echo": True}),
    "text, echo streamed": ("POST", TEXTS, {**TEXT, **STREAM, "echo": True}),
    "text, token ids": ("POST", TEXTS, {**TEXT, "return_token_ids": True}),
    "text, token ids streamed": ("POST", TEXTS, {**TEXT, **STREAM, "return_token_ids": True}),
    "text, two prompts": ("POST", TEXTS, {**TEXT, "prompt": ["a", "b"]}),
    "tool, any": ("POST", CHATS, {**CHAT, **TOOLS, "tool_choice": "required"}),
    "tool, named": ("POST", CHATS, {**CHAT, **TOOLS, "tool_choice": {"type": "function", "function": {"name": "look"}}}),
    "tool, streamed": ("POST", CHATS, {**CHAT, **TOOLS, **STREAM, "tool_choice": "required"}),
    "tool, none": ("POST", CHATS, {**CHAT, **TOOLS, "max_tokens": 3, "tool_choice": "none"}),
    "responses": ("POST", "/v1/responses", {"model": "tiny", "input": "hi", "max_output_tokens": 3}),
    "responses streamed": ("POST", "/v1/responses", {"model": "tiny", "input": "hi", "max_output_tokens": 3, **STREAM}),
    "embeddings": ("POST", "/v1/embeddings", {"model": "tiny", "input": "hi"}),
    "unknown model": ("POST", CHATS, {**CHAT, "model": "nothing"}),
    "not JSON": ("POST", CHATS, b'{"model":'),
    "not an object": ("POST", CHATS, b"[]"),
    "no messages": ("POST", CHATS, {"model": "tiny"}),
    "messages of a wrong type": ("POST", CHATS, {**CHAT, "messages": "hi"}),
    "empty messages": ("POST", CHATS, {**CHAT, "messages": []}),
    "no prompt": ("POST", TEXTS, {"model": "tiny"}),
    "empty prompt": ("POST", TEXTS, {**TEXT, "prompt": ""}),
    "max_tokens 0": ("POST", CHATS, {**CHAT, "max_tokens": 0}),
    "max_tokens of a wrong type": ("POST", CHATS, {**CHAT, "max_tokens": "a"}),
    "max_tokens absurd": ("POST", CHATS, {**CHAT, "max_tokens": 999_999}),
    "temperature below 0": ("POST", CHATS, {**CHAT, "temperature": -1}),
    "temperature of a wrong type": ("POST", CHATS, {**CHAT, "temperature": "hot"}),
    "tools of a wrong type": ("POST", CHATS, {**CHAT, "tools": "nonsense"}),
    "stop of a wrong type": ("POST", CHATS, {**CHAT, "stop": 5}),
    "n 0": ("POST", CHATS, {**CHAT, "n": 0}),
    "two greedy choices": ("POST", CHATS, {**CHAT, "n": 2, "temperature": 0}),
    "usage without a stream": ("POST", CHATS, {**CHAT, "stream_options": {"include_usage": True}}),
    "too many logprobs": ("POST", CHATS, {**CHAT, "logprobs": True, "top_logprobs": 50}),
    "a prompt beyond the context": ("POST", TEXTS, {**TEXT, "prompt": [5] * 600}),
    "a streamed prompt beyond the context": ("POST", TEXTS, {**TEXT, **STREAM, "prompt": [5] * 600}),
}

# Why the emulated engine answers otherwise. Nothing else may differ, and what no longer differs must leave this table.
KNOWN = {
    "embeddings": "the emulated engine serves them beside generation; a real one needs a server of their own",
    "responses": "only the members that a client of text reads",
    "responses streamed": "only the members that a client of text reads",
    "tokenize, with strings": "its token ids stand for no text of the prompt",
    "text, echo streamed": "a real one tells the prompt's token ids beside the echo, asked or not",
    "not JSON": "it does not say at which byte",
    "tool, streamed": "the name and the first piece of the arguments come in one chunk",
}


def shape(value):
    if isinstance(value, dict):
        # A key that begins with a blank is a token.
        return {"token" if key.startswith(" ") else key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if not isinstance(value, (int, float)) or isinstance(value, bool) else "number"


def shapes_of_stream(body):
    """Without repeats, so that lengths do not matter."""
    shapes = []
    for event in body.decode().split("\n\n")[:-1]:
        name, _, text = event.partition("data: ")
        made = (name, text if text == "[DONE]" else shape(json.loads(text)))
        if made not in shapes:
            shapes.append(made)
    return shapes


def ask(engine, method, path, body):
    connection = http.client.HTTPConnection(engine.address, timeout=120)
    raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    connection.request(method, path, raw, {} if raw is None else {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    kind = (response.getheader("Content-Type") or "").split(";")[0]
    if kind == "text/event-stream":
        return response.status, kind, shapes_of_stream(data)
    answer = json.loads(data) if data else None
    # What an error says in which member is its shape, more than the words are.
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        return response.status, kind, {k: v for k, v in answer["error"].items() if k != "message"}
    return response.status, kind, shape(answer)


def metric_names(engine):
    connection = http.client.HTTPConnection(engine.address, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line.startswith("vllm:")}


class EmulatedAgainstReal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.real = Vllm("--context", "512")
        cls.emulated = Emulator("--served-as", "tiny", "--max-model-len", "512", "--speed", "50", "--mean-output", "100000")

    @classmethod
    def tearDownClass(cls):
        cls.emulated.__exit__()
        cls.real.__exit__()

    def test_the_same_shapes(self):
        self.maxDiff = None
        for name, question in QUESTIONS.items():
            with self.subTest(name):
                real, emulated = ask(self.real, *question), ask(self.emulated, *question)
                if name in KNOWN:
                    self.assertNotEqual(emulated, real, "no longer: take it out of KNOWN and of docs/engines.md")
                else:
                    self.assertEqual(emulated, real)

    def test_no_metric_that_the_real_one_lacks(self):
        self.assertEqual(metric_names(self.emulated) - metric_names(self.real), set())


if __name__ == "__main__":
    unittest.main()

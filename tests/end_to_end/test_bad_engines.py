"""Engines that answer garbage: what the client is told, streaming and not, and that they are given work again once they
are well. Every case is two engines of its own, so that no breaker waits for another; all are asked at once."""
import json
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from fleet import Qlm, get, post, wait_until
from wire import HANG, Engine, Wire


def answer(status, body, *lines):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [b"HTTP/1.1 " + status, b"Content-Type: application/json", *lines, b"Content-Length: %d" % len(raw)]
    return b"\r\n".join(head) + b"\r\n\r\n" + raw


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value):
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def delta(text, finish=None):
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1, "choices": [choice]})


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END, DONE, A, STOP = b"0\r\n\r\n", event(b"[DONE]"), delta("a"), delta("", "stop")
GOOD = STREAM + chunk(A + STOP + DONE) + END
HTML = b"<html>It works!</html>"
NOT_JSON = "the engine sent something that is not JSON: "
CLOSED = "half an answer: the connection was closed before the body's end"
WRONG = {"message": "n must be 1", "type": "BadRequestError", "param": "n", "code": 400}

# Before any content: what the last of the attempts is said to have failed by.
NEVER_BEGUN = {
    "bytes that are no HTTP": (b"hello there\r\n\r\n", 'not HTTP: this is no HTTP: "hello there\\x0d\\x0a\\x0d\\x0a"'),
    "nothing": (b"", "no answer: the connection was closed"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Ty", "no answer: the connection was closed"),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", 'not HTTP: "HTTP/2" is no HTTP version'),
    "status 999": (b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", 'not HTTP: "999" is no status between 100 and 599'),
    "a huge header": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", "not HTTP: the head is longer than 65536 bytes"),
    "a thousand headers": (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n", "not HTTP: more than 128 header fields"),
    "length and chunked": (answer(b"200 OK", b"{}", b"Transfer-Encoding: chunked"),
                           "not HTTP: both Content-Length and Transfer-Encoding"),
    "an upgrade": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
                   "not HTTP: 101 to a request that asked for no upgrade"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "the engine answered with an empty body"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
                   "the engine failed with status 302 and no message"),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "the engine failed with status 304 and no message"),
    "an HTML page": (answer(b"200 OK", HTML), NOT_JSON + "<html>It works!</html>"),
    "a proxy's HTML page": (answer(b"502 Bad Gateway", HTML), "the engine, or a proxy before it, answered 502 with an HTML page"),
    "half a JSON text": (answer(b"200 OK", b'{"choices":[{'), NOT_JSON + '{"choices":[{'),
    "less than its length": (answer(b"200 OK", b"{}").replace(b"h: 2", b"h: 999"), f"the engine's answer was cut off ({CLOSED})"),
    "no choices": (answer(b"200 OK", {"id": "x"}), "the engine's answer has no choices"),
    "an error inside a 200": (answer(b"200 OK", {"error": {"message": "boom", "code": 500}}), "boom"),
    "500 in plain text": (answer(b"500 Oops", b"Internal Server Error"), "Internal Server Error"),
    "500 as Ollama says it": (answer(b"500 Oops", {"error": "out of memory"}), "out of memory"),
    "a key of QLM's refused": (answer(b"401 Unauthorized", {"error": "who are you"}),
                               "the engine refused QLM's credentials (401): who are you"),
    "a stream of nothing": (STREAM + END, "the engine's stream ended without a finish_reason"),
    "a stream that stops at once": (STREAM, f"the engine's stream was cut off ({CLOSED})"),
    "a chunk size that is none": (STREAM + b"zz\r\n", "the engine's stream was cut off (half an answer: the chunked coding is "
                                  "broken: a chunk does not begin with its size in hexadecimal)"),
    "half a chunk": (STREAM + b"ff\r\ndata: {", f"the engine's stream broke off with: data: {{ ({CLOSED})"),
    "an event that is no JSON": (STREAM + chunk(event(b"nonsense")) + END, NOT_JSON + "nonsense"),
    "text that is no event": (STREAM + chunk(b"proxy error: x\n") + END, "the engine's stream broke off with: proxy error: x"),
    "an error event": (STREAM + chunk(event({"error": {"message": "boom", "type": "server_error", "code": 500}})) + END, "boom"),
}

# After the first content: a stream is told so in the stream; a client that did not stream is told the same as above.
BROKEN_OFF = {
    "content, then a bad chunk": (STREAM + chunk(A) + b"zz\r\n", "the engine's stream was cut off (half an answer: the chunked "
                                  "coding is broken: a chunk does not begin with its size in hexadecimal)"),
    "content, then the end": (STREAM + chunk(A), f"the engine's stream was cut off ({CLOSED})"),
    "content, then no finish": (STREAM + chunk(A) + END, "the engine's stream ended without a finish_reason"),
    "content, then done": (STREAM + chunk(A + DONE) + END,
                           "the engine's stream ended with [DONE] but without a finish_reason for every choice"),
    "content, then nonsense": (STREAM + chunk(A + event(b"nonsense")) + END, NOT_JSON + "nonsense"),
    "content, then an error": (STREAM + chunk(A + event({"error": {"message": "boom", "code": 500}})) + END, "boom"),
}

# The request's own fault: the engine's words, once, and in OpenAI's shape.
REFUSED = {
    "400 as OpenAI says it": (answer(b"400 Bad Request", {"error": WRONG}), 400, {"error": WRONG}),
    "400 as an older vLLM says it": (answer(b"400 Bad Request", {"object": "error", **WRONG}), 400,
                                     {"error": {**WRONG, "code": None}}),
    "422 as FastAPI says it": (answer(b"422 Oh", {"detail": [{"msg": "bad"}]}), 422,
                               {"error": {"message": "bad", "type": "invalid_request_error", "param": None, "code": None}}),
    "400 inside a 200": (answer(b"200 OK", {"error": WRONG}), 400, {"error": {**WRONG, "code": None}}),
    "400 as a first event": (STREAM + chunk(event({"error": WRONG})) + END, 400, {"error": {**WRONG, "code": None}}),
}

FINE = {
    "other answers first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD,
    "a generic engine without done": STREAM + chunk(A + STOP) + END,
    "bytes behind the end": GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an end by closing": GOOD.replace(b"Transfer-Encoding: chunked\r\n", b"").partition(b"\r\n\r\n")[0]
                         + b"\r\n\r\n" + A + STOP + DONE,
}


class BadEngines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        replies = {name: case[0] for cases in (NEVER_BEGUN, BROKEN_OFF, REFUSED) for name, case in cases.items()} | FINE
        cls.engines = {f"{name}, {way}": Engine(f"{name}, {way}", reply)
                       for name, reply in replies.items() for way in ("whole", "streamed")}
        for engine in cls.engines.values():
            cls.addClassCleanup(engine.close)
        instances = "".join(f"  - {{name: e{k}, url: {e.url}, engine: openai}}\n" for k, e in enumerate(cls.engines.values()))
        cls.qlm = cls.enterClassContext(Qlm(config="stream_keepalive: 60s\ninstances:\n" + instances)).wait_ready(*cls.engines)
        with ThreadPoolExecutor(len(cls.engines)) as pool:
            answers = dict(zip(cls.engines, pool.map(lambda name: cls.ask(name, stream=name.endswith("streamed")), cls.engines)))
            cls.whole, cls.streamed = ({name: answers[f"{name}, {way}"] for name in replies} for way in ("whole", "streamed"))
            cls.tries = {name: tuple(len(cls.engines[f"{name}, {way}"].posts) for way in ("whole", "streamed")) for name in replies}
            for engine in cls.engines.values():
                engine.reply = (GOOD,)
            cls.mended = dict(zip(cls.engines, pool.map(cls.ask, cls.engines)))

    @classmethod
    def ask(cls, model, **more):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **more}).encode()
        with Wire(cls.qlm.address) as wire:
            return wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: q\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n%s" % (len(body), body)).answer()

    def assert_given_up(self, answer, why):
        self.assertEqual(answer.status, 502, answer)
        self.assertEqual(answer.error, {"type": "server_error", "code": "engine_failed", "param": None,
                                        "message": f"Every attempt failed before an answer began; the last one: {why}."})
        self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
        self.assertEqual(answer.headers["content-type"], "application/json")

    def test_what_fails_before_content_is_tried_four_times_and_given_up_with_a_reason(self):
        for name, (_, why) in NEVER_BEGUN.items():
            with self.subTest(name):
                self.assert_given_up(self.whole[name], why)
                self.assert_given_up(self.streamed[name], why)
                self.assertEqual(self.tries[name], (4, 4))

    def test_what_breaks_off_is_told_in_the_stream_and_hidden_from_who_does_not_stream(self):
        for name, (_, why) in BROKEN_OFF.items():
            with self.subTest(name):
                self.assert_given_up(self.whole[name], why)
                stream = self.streamed[name]
                self.assertEqual(stream.status, 200)
                self.assertTrue(stream.body.startswith(A + b"data: {"), stream)
                self.assertEqual(json.loads(stream.body.removeprefix(A + b"data: "))["error"], {
                    "type": "server_error", "code": "engine_error", "param": None,
                    "message": f"The engine failed in the middle of its answer: {why}."})
                self.assertEqual(self.tries[name], (4, 1), "what had begun is not repeated")

    def test_a_request_that_the_engine_finds_wrong_is_not_tried_again(self):
        for name, (_, status, error) in REFUSED.items():
            with self.subTest(name):
                for answer in (self.whole[name], self.streamed[name]):
                    self.assertEqual((answer.status, json.loads(answer.body)), (status, error))
                self.assertEqual(self.tries[name], (1, 1))

    def test_what_is_odd_and_allowed_is_served(self):
        for name in FINE:
            with self.subTest(name):
                self.assertEqual(json.loads(self.whole[name].body)["choices"][0]["message"]["content"], "a")
                self.assertTrue(self.streamed[name].body.startswith(A + STOP), self.streamed[name])
                self.assertEqual(self.tries[name], (1, 1))

    def test_every_engine_is_given_work_again_once_it_is_well(self):
        self.assertEqual({name: answer.status for name, answer in self.mended.items()}, dict.fromkeys(self.engines, 200))
        instances = json.loads(get(self.qlm.admin + "/instances")[1])["instances"]
        self.assertEqual({each["breaker"] for each in instances}, {"closed"})
        wait_until(lambda: not any(e["in_flight"] for e in json.loads(get(self.qlm.admin + "/instances")[1])["instances"]),
                   "no slot is held")


class Silent(unittest.TestCase):
    def test_a_generic_engine_may_think_behind_its_head_but_not_in_its_answer(self):
        whole = json.dumps({"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}).encode()
        head = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(whole))
        go_on = threading.Event()
        engines = {"thinks": Engine("thinks", head, go_on, whole), "breaks off": Engine("breaks off", head, whole[:9], HANG)}
        for engine in engines.values():
            self.addCleanup(engine.close)
        instances = "".join(f"  - {{url: {engine.url}, engine: openai}}\n" for engine in engines.values())
        with Qlm(config="instances:\n" + instances) as qlm, ThreadPoolExecutor(2) as pool:
            qlm.wait_ready(*engines)
            answers = {}
            for name, engine in engines.items():
                answers[name] = pool.submit(post, qlm.url + "/v1/embeddings", {"model": name, "input": "x"})
                wait_until(lambda e=engine: e.posts, "it is asked")
            engines["breaks off"].reply = (head, whole)
            self.assertEqual(answers["breaks off"].result()[::2], (200, whole))
            self.assertEqual(len(engines["breaks off"].posts), 2)
            # As long as that took the other has said nothing behind its head.
            go_on.set()
            self.assertEqual(answers["thinks"].result()[::2], (200, whole))
            self.assertEqual(len(engines["thinks"].posts), 1)


class Changing(unittest.TestCase):
    def test_models_that_come_and_go_at_a_running_engine_are_noticed(self):
        engine = Engine("before", GOOD)
        self.addCleanup(engine.close)
        with Qlm(config=f"instances:\n  - {{name: e, url: {engine.url}, engine: openai}}\n") as qlm:
            qlm.wait_ready("before")
            engine.model = "after"
            qlm.wait_ready("after")
            self.assertEqual([m["id"] for m in json.loads(get(qlm.url + "/v1/models")[1])["data"]], ["after"])
            status, _, _ = post(qlm.url + "/v1/chat/completions", {"model": "after", "messages": []})
            self.assertEqual(status, 200)
            status, _, body = post(qlm.url + "/v1/chat/completions", {"model": "before", "messages": []})
            self.assertEqual((status, json.loads(body)["error"]["code"]), (404, "model_not_found"))
            self.assertTrue(any("instance e now serves after" in line for line in qlm.lines), qlm.lines)


class WithoutFrame(unittest.TestCase):
    """Answers in one piece that end by the connection's closing: nothing but their text tells whether they are whole."""

    def ask(self, *reply):
        engine = Engine("m", b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", *reply)
        self.addCleanup(engine.close)
        with Qlm(config=f"instances:\n  - {{url: {engine.url}, engine: openai}}\n") as qlm:
            qlm.wait_ready("m")
            status, headers, body = post(qlm.url + "/v1/embeddings", {"model": "m", "input": "x"})
        return status, headers, body, len(engine.posts)

    def test_a_long_one_is_held_until_it_is_known_to_be_whole(self):
        whole = json.dumps({"object": "list", "data": [{"index": 0, "embedding": [0.125] * 400_000}]}).encode()
        self.assertGreater(len(whole), 2 * 2**20)
        status, headers, body, tries = self.ask(whole)
        self.assertEqual((status, tries), (200, 1))
        self.assertEqual(int(headers["content-length"]), len(whole))
        self.assertEqual(body, whole)

        status, _, body, tries = self.ask(whole[:-1])
        self.assertEqual((status, tries), (502, 4))
        self.assertIn(NOT_JSON, json.loads(body)["error"]["message"])

    def test_one_longer_than_can_be_held_fails_before_its_first_byte(self):
        status, _, body, tries = self.ask(*[b" " * 2**20] * 65)
        self.assertEqual((status, tries), (502, 4))
        self.assertIn("the engine's answer is longer than 64 MiB and has neither a length nor chunks to tell its end",
                      json.loads(body)["error"]["message"])


if __name__ == "__main__":
    unittest.main()

"""Every malformed thing a client can send has one exact answer, and the next client is served as if nothing had been.

The answers were written down before the program was asked: from the contract (statuses, error objects, which header
tells what), and so that a person who reads the message knows what was wrong, where, and what to do."""
import dataclasses
import json
import os
import tempfile
import unittest

from fleet import Emulator, Qlm, get, total, wait_until
from wire import Wire

BODY = b'{"model":"mistral-7b","messages":[{"role":"user","content":"hi"}],"max_tokens":1}'
PATH = b"/v1/chat/completions"
INVALID = "invalid_request_error"


def head(*lines, method=b"POST", target=PATH, version=b"HTTP/1.1", host=b"Host: q"):
    first = b" ".join((method, target, version))
    return b"".join(line + b"\r\n" for line in (first, *filter(None, [host]), *lines)) + b"\r\n"


def request(body=BODY, *lines, **start):
    return head(b"Content-Type: application/json", b"Content-Length: %d" % len(body), *lines, **start) + body


def fields(**more):
    return request(json.dumps({**json.loads(BODY), **more}).encode())


def extended(tail):
    """The good body with something in front of its last brace."""
    return request(BODY[:-1] + tail + b"}")


def chunked(*raw):
    return head(b"Content-Type: application/json", b"Transfer-Encoding: chunked") + b"".join(raw)


@dataclasses.dataclass
class Says:
    """A refusal. `closes`: the bytes after it cannot be trusted, so the connection ends with it. Of who only looks at the
    queue there is no line in the log."""
    status: int
    code: str
    message: str
    param: str | None = None
    type: str = INVALID
    headers: dict = dataclasses.field(default_factory=dict)
    closes: bool = False
    logged: bool = True


def http(message, status=400, code="bad_request", opening="The request is not valid HTTP"):
    return Says(status, code, f"{opening}: {message}.", closes=True)


def large(message, status, code):
    return http(message, status, code, "The request is too large")


def undone(message, status):
    return http(message, status, "not_implemented", "This is not done here")


def vllm(kind, where, message):
    """What the emulated engine, as vLLM does, says of a request it cannot read."""
    return Says(400, 400, f"1 validation error:\n  {{'type': '{kind}', 'loc': '{where}', 'msg': '{message}'}}", where,
                "Bad Request")


def json_fault(byte, what):
    return Says(400, "invalid_json", f"The request body is not valid JSON at byte {byte}: {what}.")


def typed(field, expected):
    return Says(400, "invalid_type", f"'{field}' must be {expected}.", field)


def slo(header, value, expected="a number of milliseconds above 0 and of at most 30 days"):
    return Says(400, "invalid_slo", f"'{header}' must be {expected}, not '{value}'.", header)


def deadline(value):
    return slo("x-slo-deadline", value, "a time within 30 days as RFC 3339 writes it, like 2026-11-21T14:30:00Z")


def method(path, takes, given):
    return Says(405, "method_not_allowed", f"'{path}' takes {takes}, not {given}.", headers={"allow": takes})


def plain_path(path):
    return Says(400, "bad_request", f"The path '{path}' must be written plainly: without '%' and '\\', "
                                    "and no part of it empty, '.' or '..'.")


def broken_chunks(what):
    return http(f"the chunked coding of the body is broken: {what}")


def one_chunked(value):
    return f'Transfer-Encoding is "{value}"; it must be a single chunked'


def one_number(value):
    return f'Content-Length is "{value}"; it must be one plain number'


SERVED = object()
INTEGER = "an integer of 64 bits"
TOO_LONG = large("the body is longer than the 1048576 bytes allowed (limits.body)", 413, "body_too_large")
BEYOND = large('Content-Length "99999999999999999999" is beyond counting (limits.body)', 413, "body_too_large")
EMPTY = Says(400, "invalid_json", "The request body is empty; it must be a JSON object.")
NO_OBJECT = Says(400, "invalid_type", "The request body must be a JSON object.")
SPELLING = Says(400, "misspelled_field", "The field at byte 81 is an unusual spelling of 'model'; write it plainly.", "model")
NO_MODEL = Says(400, "missing_field", "'model' is missing. GET /v1/models lists those there are.", "model")
PAST = Says(504, "deadline_passed", "The deadline was over before the request arrived. State a later one, and see that the "
                                    "client's clock is right.", "x-slo-deadline", "timeout_error")


def unknown_model(shown, advice="GET /v1/models lists those there are."):
    return Says(404, "model_not_found", f"There is no model '{shown}'. {advice}", "model")


FRAMING = {
    "length and chunked": (head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
                           http("both Content-Length and Transfer-Encoding")),
    "two equal lengths": (request(BODY, b"Content-Length: %d" % len(BODY)), http("more than one Content-Length")),
    "two different lengths": (request(BODY, b"Content-Length: 0"), http("more than one Content-Length")),
    "list of lengths": (head(b"Content-Length: 81, 81") + BODY, http(one_number("81, 81"))),
    "negative length": (head(b"Content-Length: -1"), http(one_number("-1"))),
    "length with a plus": (head(b"Content-Length: +5") + b"12345", http(one_number("+5"))),
    "hexadecimal length": (head(b"Content-Length: 0x10"), http(one_number("0x10"))),
    "empty length": (head(b"Content-Length:"), http(one_number(""))),
    "length beyond 64 bits": (head(b"Content-Length: 99999999999999999999"), BEYOND),
    "length beyond the limit": (head(b"Content-Length: 9223372036854775807"), TOO_LONG),
    "chunked twice": (head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
                      http("more than one Transfer-Encoding")),
    "chunked, gzip": (head(b"Transfer-Encoding: chunked, gzip"), http(one_chunked("chunked, gzip"))),
    "gzip, chunked": (head(b"Transfer-Encoding: gzip, chunked"), undone(one_chunked("gzip, chunked"), 501)),
    "identity": (head(b"Transfer-Encoding: identity"), http(one_chunked("identity"))),
    "chunked in disguise": (head(b"Transfer-Encoding: \x0bchunked"), http('control bytes in the field "Transfer-Encoding"')),
    "almost chunked": (head(b"Transfer-Encoding: xchunked"), http(one_chunked("xchunked"))),
    "chunked under HTTP/1.0": (head(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"),
                               http("Transfer-Encoding under HTTP/1.0, which has none")),
    "chunk size overflows": (chunked(b"ffffffffffffffff1\r\n"), broken_chunks("a chunk size of more than 15 digits")),
    "negative chunk size": (chunked(b"-5\r\n"), broken_chunks("a chunk does not begin with its size in hexadecimal")),
    "chunk size with 0x": (chunked(b"0x5\r\n"), broken_chunks("a chunk size is not followed by CR LF")),
    "chunk size ended by LF": (chunked(b"3\nabc\r\n"), broken_chunks("a chunk size is not followed by CR LF")),
    "chunk longer than its size": (chunked(b"3\r\nabcX\r\n"),
                                   broken_chunks("a chunk is longer than its size says, or not followed by CR LF")),
    "endless chunk extension": (chunked(b"5;" + b"a" * 20000), broken_chunks("extensions and trailers of more than 16 KiB")),
    "trailer that frames": (chunked(b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\nHost: evil\r\n\r\n" % (len(BODY), BODY)), SERVED),
    "body over the limit in chunks": (chunked(*[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 17), TOO_LONG),
    "body over the limit, announced": (head(b"Content-Length: 2000000", b"Expect: 100-continue"), TOO_LONG),
}

HEADS = {
    "folded line": (head(b"X-A: b", b" c"), http("a header line begins with a blank: folded lines are not accepted")),
    "blank before the colon": (head(b"Content-Length : 5"),
                               http('blank between the field name "Content-Length " and its colon')),
    "bare LF": (head().replace(b"\r\n", b"\n"), http("line 1 of the head ends in a bare LF; it must be CR LF")),
    "bare CR": (head(b"X-A: b\rContent-Length: 5"), http('control bytes in the field "X-A"')),
    "NUL in a value": (head(b"X-A: b\0c"), http('control bytes in the field "X-A"')),
    "NUL in a name": (head(b"X\0A: b"), http('"X\\x00A" is no field name')),
    "no colon": (head(b"hello"), http('no colon in the header line "hello"')),
    "no name": (head(b": x"), http("a header line without a field name")),
    "one huge field": (head(b"X: " + b"a" * 70000), large("the head is longer than 65536 bytes", 431, "head_too_large")),
    "too many fields": (head(*[b"X: a"] * 200), large("more than 128 header fields", 431, "head_too_large")),
    "huge target": (head(method=b"GET", target=b"/v1/" + b"a" * 20000),
                    large("the request target is longer than 16384 bytes", 414, "target_too_long")),
    "blank in the target": (head(target=b"/v1/mo dels"),
                            http('the request target "/v1/mo dels" holds a byte that must be percent-encoded')),
    "fragment in the target": (head(target=b"/v1/models#x"),
                               http('the request target "/v1/models#x" holds a byte that must be percent-encoded')),
    "authority as target": (head(target=b"q:80"), http('the request target "q:80" is neither a path nor an http URL')),
    "absolute URL as target": (request(target=b"http://elsewhere/v1/chat/completions"), SERVED),
    "CONNECT": (head(method=b"CONNECT", target=b"q:80"), undone("CONNECT: this server is no tunnel", 501)),
    "method that is no token": (head(method=b"PO(ST"), http('"PO(ST" is no HTTP method')),
    "method in small letters": (request(method=b"post"), method("/v1/chat/completions", "POST", "post")),
    "HTTP/1.0 without Host": (request(version=b"HTTP/1.0", host=None), SERVED),
    "HTTP/1.1 without Host": (request(host=None), http("HTTP/1.1 without a Host")),
    "two Hosts": (request(BODY, b"Host: r"), http("more than one Host")),
    "Host with a path": (request(host=b"Host: q/../"), http('"q/../" is no Host')),
    "HTTP/0.9": (b"GET /v1/models\r\n\r\n",
                 http("the request line must be a method, a target and a version, one blank between them")),
    "HTTP/1.2": (request(version=b"HTTP/1.2"), undone("HTTP/1.2 is not spoken here; use HTTP/1.1", 505)),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", undone("HTTP/2.0 is not spoken here; use HTTP/1.1", 505)),
    "HTTP/11.1": (request(version=b"HTTP/11.1"), http('"HTTP/11.1" is no HTTP version')),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", http("this looks like TLS; this port speaks plain HTTP")),
    "an expectation nobody knows": (request(BODY, b"Expect: 200-ok"), SERVED),
}

JSON = {
    "empty body": (request(b""), EMPTY),
    "no body": (head(b"Content-Type: application/json"), EMPTY),
    "cut short": (request(BODY[:-1]), json_fault(80, "expected ',' or '}'")),
    "cut in a string": (request(BODY[:20]), json_fault(20, "the text ends inside a string")),
    "something behind it": (request(BODY + b"x"), json_fault(81, "text after the end of the value")),
    "two documents": (request(BODY + BODY), json_fault(81, "text after the end of the value")),
    "1000 levels deep": (extended(b',"x":' + b"[" * 1000 + b"]" * 1000),
                         Says(400, "json_too_deep", "The request body is nested more than 128 levels deep at byte 213.")),
    "an array": (request(b"[]"), NO_OBJECT),
    "null": (request(b"null"), NO_OBJECT),
    "byte order mark": (request(b"\xef\xbb\xbf" + BODY),
                        Says(400, "invalid_json", "The request body begins with a byte order mark; JSON begins without one.")),
    "UTF-16": (request(BODY.decode().encode("utf-16")),
               Says(400, "invalid_utf8", "The request body is not valid UTF-8 near byte 0.")),
    "a byte that is no UTF-8": (request(BODY.replace(b"hi", b"h\xff")),
                                Says(400, "invalid_utf8", "The request body is not valid UTF-8 near byte 61.")),
    "overlong UTF-8": (request(BODY.replace(b"hi", b"\xc0\xaf")),
                       Says(400, "invalid_utf8", "The request body is not valid UTF-8 near byte 60.")),
    "lone surrogate": (request(BODY.replace(b"hi", b"\\ud800")), json_fault(60, "unpaired surrogate in a string")),
    "raw NUL in a string": (request(BODY.replace(b"hi", b"\0")),
                            json_fault(60, "a control character inside a string must be escaped")),
    "escaped NUL in a prompt": (request(BODY.replace(b"hi", b"\\u0000")), SERVED),
    "unknown escape": (request(BODY.replace(b"hi", b"\\q")), json_fault(60, "unknown escape in a string")),
    "trailing comma": (extended(b","), json_fault(81, "expected a string")),
    "comment": (extended(b"/*x*/"), json_fault(80, "expected ',' or '}'")),
    "NaN": (extended(b',"temperature":NaN'), json_fault(95, "expected a value")),
    "number with a leading zero": (extended(b',"temperature":01'), json_fault(96, "expected ',' or '}'")),
    "2000 fields": (fields(**{f"f{k}": 1 for k in range(2000)}),
                    Says(400, "too_many_fields", "The request body has more than 1024 fields.")),
}

FIELDS = {
    "model missing": (request(b'{"messages":[]}'), NO_MODEL),
    "model a number": (fields(model=5), typed("model", "a string")),
    "model null": (fields(model=None), typed("model", "a string")),
    "model empty": (fields(model=""), Says(400, "invalid_value", "'model' must not be empty.", "model")),
    "model misspelt": (fields(model="mistral-7c"), unknown_model("mistral-7c", "Did you mean 'mistral-7b'?")),
    "model unlike any": (fields(model="gpt-4o"), unknown_model("gpt-4o")),
    "model with a NUL": (fields(model="a\0b"), unknown_model("a\0b")),
    "model as long as a book": (fields(model="é" * 100_000), unknown_model("é" * 50 + "...")),
    "model given twice": (extended(b',"model":"x"'),
                          Says(400, "duplicate_field", "'model' is given twice, again at byte 81.", "model")),
    "model spelt with an escape": (extended(b',"mod\\u0065l":"x"'), SPELLING),
    "model in capitals": (extended(b',"Model":"x"'), SPELLING),
    "unread field given twice": (extended(b',"top_p":1,"top_p":1'), SERVED),
    "stream a string": (fields(stream="true"), typed("stream", "true or false")),
    "stream a number": (fields(stream=1), typed("stream", "true or false")),
    "max_tokens a string": (fields(max_tokens="5"), typed("max_tokens", INTEGER)),
    "max_tokens a fraction": (fields(max_tokens=1.5), typed("max_tokens", INTEGER)),
    "max_tokens beyond 64 bits": (fields(max_tokens=10**20), typed("max_tokens", INTEGER)),
    "max_tokens beyond any number": (request(BODY.replace(b":1}", b":1e400}")), typed("max_tokens", INTEGER)),
    "max_tokens negative": (fields(max_tokens=-5), Says(400, "invalid_value", "'max_tokens' must not be negative.", "max_tokens")),
    "max_completion_tokens a list": (fields(max_completion_tokens=[]), typed("max_completion_tokens", INTEGER)),
    "n zero": (fields(n=0), Says(400, "invalid_value", "'n' must be between 1 and 128.", "n")),
    "n a thousand": (fields(n=1000), Says(400, "invalid_value", "'n' must be between 1 and 128.", "n")),
    "n a string": (fields(n="2"), typed("n", INTEGER)),
    "best_of negative": (fields(best_of=-1), Says(400, "invalid_value", "'best_of' must be between 1 and 128.", "best_of")),
    "background a string": (fields(background="yes"), typed("background", "true or false")),
    "stream_options a string": (fields(stream_options="x"), typed("stream_options", "an object")),
    "include_usage a string": (fields(stream_options={"include_usage": "x"}), typed("stream_options.include_usage", "true or false")),
    "service_tier a number": (fields(service_tier=5), typed("service_tier", "a string")),
    "service_tier unknown": (fields(service_tier="gold"),
                             slo("service_tier", "gold", "one of auto, default, standard, priority, flex, background")),
    "completion_window unknown": (fields(completion_window="never"),
                                  slo("completion_window", "never", "a time like 24h or 30m of at most 30 days, or background")),
    # What QLM does not need to understand is the engine's to judge, and the engine's own words come back.
    "messages a number": (fields(messages=5), vllm("list_type", "body.messages", "Input should be a valid list")),
    "messages missing": (request(b'{"model":"mistral-7b"}'), vllm("missing", "body.messages", "Field required")),
}

SLOS = {
    "negative": (request(BODY, b"x-slo-ttft-ms: -5"), slo("x-slo-ttft-ms", "-5")),
    "a wait that is neither": (request(BODY, b"x-qlm-wait: maybe"),
                               Says(400, "invalid_slo", "'x-qlm-wait' must be 'allow', or be left out, not 'maybe'.", "x-qlm-wait")),
    "zero": (request(BODY, b"x-slo-ttft-ms: 0"), slo("x-slo-ttft-ms", "0")),
    "nan": (request(BODY, b"x-slo-e2e-ms: nan"), slo("x-slo-e2e-ms", "nan")),
    "inf": (request(BODY, b"x-slo-tpot-ms: inf"), slo("x-slo-tpot-ms", "inf")),
    "absurd": (request(BODY, b"x-slo-ttft-ms: 1e30"), slo("x-slo-ttft-ms", "1e30")),
    "overflowing": (request(BODY, b"x-slo-ttft-ms: 1e999"), slo("x-slo-ttft-ms", "1e999")),
    "below a nanosecond": (request(BODY, b"x-slo-ttft-ms: 1e-300"), slo("x-slo-ttft-ms", "1e-300")),
    "words": (request(BODY, b"x-slo-ttft-ms: soon"), slo("x-slo-ttft-ms", "soon")),
    "bytes that are no text": (request(BODY, b"x-slo-ttft-ms: \xff\xfe"), slo("x-slo-ttft-ms", "\ufffd\ufffd")),
    "empty": (request(BODY, b"x-slo-ttft-ms:"), slo("x-slo-ttft-ms", "")),
    "twice": (request(BODY, b"x-slo-ttft-ms: 5", b"x-slo-ttft-ms: 5"),
              Says(400, "invalid_slo", "'x-slo-ttft-ms' is given more than once.", "x-slo-ttft-ms")),
    "deadline in words": (request(BODY, b"x-slo-deadline: tomorrow"), deadline("tomorrow")),
    "deadline on 30 February": (request(BODY, b"x-slo-deadline: 2030-02-30T00:00:00Z"), deadline("2030-02-30T00:00:00Z")),
    "deadline without a zone": (request(BODY, b"x-slo-deadline: 2026-11-21T14:30:00"), deadline("2026-11-21T14:30:00")),
    "deadline in two centuries": (request(BODY, b"x-slo-deadline: 2226-01-01T00:00:00Z"), deadline("2226-01-01T00:00:00Z")),
    "deadline in the past": (request(BODY, b"x-slo-deadline: 2020-01-01T00:00:00Z"), PAST),
    "class unknown": (request(BODY, b"x-slo-class: fats"),
                      Says(400, "class_not_found", "There is no class 'fats'. Did you mean 'fast'? You may use: standard, fast, slow.",
                           "x-slo-class")),
    "class not allowed": (request(BODY, b"Authorization: Bearer sk-small", b"x-slo-class: fast"),
                          Says(403, "class_not_allowed", "Class 'fast' is not among those you may use: slow.", "x-slo-class",
                               "permission_error")),
    "class as long as a line": (request(BODY, b"x-slo-class: " + b"a" * 100),
                                Says(400, "invalid_slo", "'x-slo-class' must be the name of a class.", "x-slo-class")),
}

ROUTES = {
    "outside the API": (request(target=b"/chat/completions"),
                        Says(404, "path_unknown", "There is nothing at '/chat/completions'. The API is under /v1/.")),
    "unknown view": (head(method=b"GET", target=b"/v1/nothing"),
                     Says(404, "path_unknown", "There is nothing at '/v1/nothing'. The API is under /v1/.")),
    "unknown request": (head(method=b"GET", target=b"/v1/queue/req_x"),
                        Says(404, "request_not_found", "No request of yours with this id is in the system, nor was one lately.", logged=False)),
    "unknown model's page": (head(method=b"GET", target=b"/v1/models/mistral-7c"),
                             unknown_model("mistral-7c", "Did you mean 'mistral-7b'?")),
    "GET where POST is due": (head(method=b"GET"), method("/v1/chat/completions", "POST", "GET")),
    "POST where GET is due": (request(target=b"/v1/models"), method("/v1/models", "GET, HEAD", "POST")),
    "DELETE": (head(method=b"DELETE", target=b"/v1/queue"), method("/v1/queue", "GET, HEAD", "DELETE")),
    "OPTIONS": (head(method=b"OPTIONS"), method("/v1/chat/completions", "POST", "OPTIONS")),
    "path that climbs": (request(target=b"/v1/../sleep"), plain_path("/v1/../sleep")),
    "path that climbs in disguise": (request(target=b"/v1/%2e%2e/sleep"), plain_path("/v1/%2e%2e/sleep")),
    "path with an empty part": (request(target=b"/v1//sleep"), plain_path("/v1//sleep")),
    "no JSON": (head(b"Content-Type: text/plain", b"Content-Length: %d" % len(BODY)) + BODY,
                Says(415, "unsupported_media_type", "'content-type' is 'text/plain'; only application/json is read here.",
                     "content-type")),
    "packed body": (request(BODY, b"Content-Encoding: gzip"),
                    Says(415, "unsupported_media_type", "'content-encoding' is 'gzip'; send the body as it is.",
                         "content-encoding")),
}


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.log = os.path.join(cls.folder, "access.log")
        with open(os.path.join(cls.folder, "keys"), "w", encoding="utf-8") as f:
            f.write("sk-small\n")
        cls.engine = cls.enterClassContext(Emulator("--speed", "1000"))
        cls.qlm = cls.enterClassContext(Qlm(config=f"""
auth: none
limits: {{body: 1MiB, head_timeout: 1s, body_timeout: 1s}}
log: {{access: {cls.log}}}
classes:
  fast: {{ttft: 1s}}
  slow: {{e2e: 1h}}
tenants:
  small: {{keys_file: {cls.folder}/keys, class: slow, allow: [slow]}}
instances:
  - {{name: gpu, url: {cls.engine.url}}}
"""))
        cls.qlm.wait_ready("mistral-7b")

    def logged(self):
        with open(self.log, encoding="utf-8") as f:
            return [json.loads(line) for line in f.read().split("\n")[:-1]]

    def ask(self, raw=None):
        with Wire(self.qlm.address) as wire:
            return wire.send(raw or request()).answer()

    def assert_next_is_served_and_nothing_is_left(self):
        self.assertEqual(self.ask().status, 200, "the next request is served")
        wait_until(lambda: all(not each["in_flight"] for each in json.loads(get(self.qlm.admin + "/instances")[1])["instances"]),
                   "no slot is held")
        queue = json.loads(get(self.qlm.url + "/v1/queue")[1])
        self.assertEqual((queue["queued"], queue["in_flight"]), (0, 0))

    def assert_says(self, answer, says):
        self.assertEqual(answer.status, says.status, answer)
        self.assertEqual(answer.error, {"type": says.type, "code": says.code, "param": says.param, "message": says.message})
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers.get("connection"), "close" if says.closes else None)
        for name, value in says.headers.items():
            self.assertEqual(answer.headers.get(name), value, name)

    def check(self, raw, expected):
        with Wire(self.qlm.address) as wire:
            answer = wire.send(raw).answer()
            if expected is SERVED:
                self.assertEqual(answer.status, 200, answer)
            else:
                self.assert_says(answer, expected)
                if expected.closes:
                    self.assertEqual(wire.rest(), b"", "what follows is not read as a request of its own")
                else:
                    self.assertEqual(answer.headers.get("x-should-retry"), None if expected.code == 400 else "false")
                    self.assertEqual(wire.send(request()).answer().status, 200, "the connection goes on")
        self.assert_next_is_served_and_nothing_is_left()
        if expected is not SERVED and expected.code != 400 and expected.logged:
            wait_until(lambda: any(line.get("error") == expected.code and line["status"] == expected.status
                                   for line in self.logged()), "it is in the log")

    # -- what a table of bytes cannot say

    def test_a_client_that_waits_for_leave_is_told_to_go_on(self):
        with Wire(self.qlm.address) as wire:
            wire.send(head(b"Content-Type: application/json", b"Content-Length: %d" % len(BODY), b"Expect: 100-continue"))
            self.assertEqual(wire.answer().status, 100)
            self.assertEqual(wire.send(BODY).answer().status, 200)

    def test_denied_fields_are_taken_out_and_named(self):
        body = BODY[:-1] + b',"priority":5,"request_id":"x","nvext":{}}'
        answer = self.ask(request(body, b"X-Vllm-Priority: 3", b"X-Request-Id: mine"))
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["x-qlm-removed"], "priority, request_id, nvext, x-vllm-priority, x-request-id")

    def test_a_tenant_gets_no_tighter_slo_than_its_classes_have(self):
        answer = self.ask(request(BODY, b"Authorization: Bearer sk-small", b"x-slo-ttft-ms: 1", b"x-slo-e2e-ms: 5"))
        self.assertEqual(answer.status, 200)
        name = answer.headers["x-qlm-request-id"]
        wait_until(lambda: any(line.get("id") == name for line in self.logged()), "it is logged")
        line = next(line for line in self.logged() if line.get("id") == name)
        self.assertEqual((line["class"], line["slo_ttft_ms"], line["slo_e2e_ms"]), ("slow", 3_600_000, 3_600_000))

    def test_pipelined_requests_are_answered_in_order(self):
        with Wire(self.qlm.address) as wire:
            wire.send(request() + fields(model="x") + head(method=b"GET", target=b"/v1/models") + request() + head(b"no colon"))
            self.assertEqual([wire.answer().status for _ in range(5)], [200, 404, 200, 200, 400])
            self.assertEqual(wire.rest(), b"")
        self.assert_next_is_served_and_nothing_is_left()

    def test_a_head_is_answered_without_a_body(self):
        with Wire(self.qlm.address) as wire:
            wire.send(head(method=b"HEAD", target=b"/v1/nothing"))
            self.assertEqual(wire.head()[0], 404)
            self.assertEqual(wire.send(request()).answer().status, 200)

    def test_who_sends_a_head_too_slowly_is_told_so(self):
        with Wire(self.qlm.address) as wire:
            answer = wire.send(b"POST /v1/chat/compl").answer()
            self.assert_says(answer, http("its head was not there after 1 s", 408, "request_timeout", "The request came too slowly"))
            self.assertEqual(wire.rest(), b"")
        self.assert_next_is_served_and_nothing_is_left()

    def test_who_sends_a_body_too_slowly_is_told_so_however_often_a_byte_comes(self):
        slow = http("less than 64 KiB of its body came in 1 s", 408, "request_timeout", "The request came too slowly")
        for raw, drip in ((request()[:-1], b""), (chunked(), b"1\r\n{\r\n")):
            with Wire(self.qlm.address) as wire:
                wire.send(raw)
                wire.socket.settimeout(0.05)
                for _ in range(1200):
                    wire.send(drip)
                    try:
                        answer = wire.answer()
                        break
                    except TimeoutError:
                        continue
                self.assert_says(answer, slow)
        self.assert_next_is_served_and_nothing_is_left()

    def test_a_client_may_leave_at_any_byte_of_its_request(self):
        raw = request()
        for cut in range(0, len(raw), 7):
            with Wire(self.qlm.address) as wire:
                wire.send(raw[:cut])
        self.assert_next_is_served_and_nothing_is_left()

    def test_a_request_cut_short_by_the_end_of_the_connection_is_no_request(self):
        before = total(self.engine.metrics(), "vllm:request_success_total")
        for raw in (request()[:30], request()[:-1], chunked(b"5\r\n{")):
            with Wire(self.qlm.address) as wire:
                self.assertEqual(wire.send(raw).shut().rest(), b"")
        self.assertEqual(total(self.engine.metrics(), "vllm:request_success_total"), before)
        self.assert_next_is_served_and_nothing_is_left()

    def test_a_client_that_shuts_its_side_counts_as_gone(self):
        """It cannot be told from one that left, and an engine's slot is worth more (runtime/net/http_server.hpp)."""
        with Wire(self.qlm.address) as wire:
            long = json.dumps({**json.loads(BODY), "max_tokens": 8000, "ignore_eos": True, "stream": True}).encode()
            wire.send(request(long))
            wire.head()
            wire.shut()
            self.assertNotIn(b"[DONE]", wire.rest())
        wait_until(lambda: any(line["status"] == 499 for line in self.logged()), "it is logged as gone")
        self.assert_next_is_served_and_nothing_is_left()


def add_cases(group, cases):
    for name, (raw, expected) in cases.items():
        def test(self, raw=raw, expected=expected):
            self.check(raw, expected)
        setattr(BadInput, f"test_{group}_{name}".replace(" ", "_"), test)


for group, cases in {"framing": FRAMING, "head": HEADS, "json": JSON, "field": FIELDS, "slo": SLOS, "route": ROUTES}.items():
    add_cases(group, cases)

if __name__ == "__main__":
    unittest.main()

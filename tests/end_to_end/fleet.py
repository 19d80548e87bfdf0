"""Real processes for end-to-end tests: emulated engines, real ones, `qlm serve` before them, and a tee that keeps the
engine's own bytes. Loopback only; every process is ended by its own handle."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
QLM = os.environ.get("QLM_BINARY", str(ROOT / "build/release/qlm"))
PATIENCE = int(os.environ.get("QLM_TEST_PATIENCE", "60"))  # seconds; only a hang takes that long


class Process:
    def __init__(self, arguments, ready, stream="stdout", patience=PATIENCE, **kwargs):
        self.log = tempfile.TemporaryFile()
        pipes = {"stdout": self.log, "stderr": self.log}
        pipes[stream] = subprocess.PIPE
        self.popen = subprocess.Popen(arguments, stdin=subprocess.PIPE, **pipes, **kwargs)
        self.source = getattr(self.popen, stream)
        self.lines, self.matches = [], []
        deadline = time.monotonic() + patience
        selector = selectors.DefaultSelector()
        selector.register(self.source, selectors.EVENT_READ)
        buffer = b""
        while len(self.matches) < len(ready):
            if not selector.select(timeout=max(0, deadline - time.monotonic())):
                self.kill()
                raise AssertionError(f"{arguments[:2]} was not ready in {patience} s: {self.lines}")
            chunk = os.read(self.source.fileno(), 65536)
            if not chunk:
                raise AssertionError(f"{arguments[:2]} ended with {self.popen.wait()}: {self.lines} {self.output()}")
            buffer += chunk
            *whole, buffer = buffer.split(b"\n")
            for line in whole:
                self.lines.append(line.decode())
                match = re.search(ready[len(self.matches)], self.lines[-1]) if len(self.matches) < len(ready) else None
                if match:
                    self.matches.append(match)
        self.drainer = threading.Thread(target=self._drain, daemon=True)
        self.drainer.start()

    def _drain(self):
        for line in self.source:
            self.lines.append(line.decode(errors="replace").rstrip())

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def stop(self):
        """Asks it to end; its exit code."""
        if self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.popen.send_signal(signal.SIGCONT)
                self.popen.terminate()
        try:
            return self.popen.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("it did not end when asked to") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self.popen.stdin.close()


class Emulator(Process):
    def __init__(self, *flags, model="mistral-7b", gpu="a100-80", listen="127.0.0.1:0"):
        super().__init__([QLM, "emulate", "--listen", listen, "--gpu", gpu, "--model", model, *flags],
                         [r"http://([^/\s]+)"])
        self.address = self.matches[0].group(1)
        self.url = "http://" + self.address

    def metrics(self):
        return metrics(self.url + "/metrics")

    def fault(self, **fault):
        post(self.url + "/emulator/fault", fault)

    def busy(self):
        return total(self.metrics(), "vllm:num_requests_running")

    def waiting(self):
        return total(self.metrics(), "vllm:num_requests_waiting")

    def generated(self):
        return total(self.metrics(), "vllm:generation_tokens_total")


class Vllm(Process):
    """A real one; tools/contract says how it is installed."""
    metrics, busy, waiting, generated = Emulator.metrics, Emulator.busy, Emulator.waiting, Emulator.generated

    def __init__(self, *flags):
        super().__init__([str(ROOT / ".contract/vllm/bin/python"), str(ROOT / "tests/tools/real_vllm.py"), *flags],
                         [r"^http://(\S+)$"], patience=600)
        self.address = self.matches[0].group(1)
        self.url = "http://" + self.address


class LlamaCpp(Process):
    def __init__(self, *flags):
        super().__init__([sys.executable, str(ROOT / "tests/tools/real_llamacpp.py"), *flags], [r"http://(\S+)"])
        self.address = self.matches[0].group(1).rstrip("/")
        self.url = "http://" + self.address
        wait_until(lambda: get(self.url + "/health")[0] == 200, "llama.cpp is healthy")

    def metrics(self):
        return metrics(self.url + "/metrics")

    def busy(self):
        return sum(1 for s in json.loads(get(self.url + "/slots")[1]) if s["is_processing"])

    def waiting(self):
        return total(self.metrics(), "llamacpp:requests_deferred")

    def generated(self):
        return total(self.metrics(), "llamacpp:tokens_predicted_total")


class LlamaRouter(Process):
    """Debian sid's llama.cpp server over a folder of models; tools/contract says how it is installed."""

    def __init__(self, *models, slots=2, context=8192, loaded_at_once=2, port=0):
        self.folder = tempfile.TemporaryDirectory()
        for seed, model in enumerate(models):
            subprocess.run([sys.executable, str(ROOT / "tests/tools/make_gguf.py"), f"{self.folder.name}/{model}.gguf",
                            "--seed", str(seed), "--end-bias", "-30", "--context", str(context)], check=True)
        self.first = models[0]
        port = port or free_port()
        super().__init__(
            [str(ROOT / ".contract/llama-router/bin/llama-server"), "--host", "127.0.0.1", "--port", str(port),
             "--models-dir", self.folder.name, "--models-max", str(loaded_at_once), "-np", str(slots),
             "-c", str(context), "-t", "1", "--metrics", "--no-warmup"], [])
        self.address = f"127.0.0.1:{port}"
        self.url = "http://" + self.address
        wait_until(lambda: get(self.url + "/health")[0] == 200, "the router is healthy")

    def __exit__(self, *details):
        super().__exit__(*details)
        self.folder.cleanup()

    def states(self):
        return {m["id"]: m["status"]["value"] for m in json.loads(get(self.url + "/v1/models")[1])["data"]}

    def of_model(self, what):
        return get(f"{self.url}/{what}?model={self.first}&autoload=false")

    def busy(self):
        status, body = self.of_model("slots")
        return sum(1 for s in json.loads(body) if s["is_processing"]) if status == 200 else 0

    def metrics(self):
        status, body = self.of_model("metrics")
        return parse_metrics(body) if status == 200 else {}  # not loaded yet

    waiting, generated = LlamaCpp.waiting, LlamaCpp.generated


class Qlm(Process):
    def __init__(self, *urls, config=None, flags=(), **kwargs):
        self.folder = tempfile.TemporaryDirectory()
        arguments = [QLM, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
        self.config_file = None
        if config is not None:
            self.config_file = pathlib.Path(self.folder.name) / "qlm.yaml"
            self.config_file.write_text(config)
            arguments += ["--config", str(self.config_file)]
        else:
            arguments += urls
        super().__init__(arguments, [r"OpenAI API on http://(\S+)", r"admin and metrics on http://(\S+)"], stream="stderr", **kwargs)
        self.address, self.admin_address = (m.group(1) for m in self.matches)
        self.url, self.admin = "http://" + self.address, "http://" + self.admin_address
        self.base_url = self.url + "/v1"

    def wait_ready(self, *models):
        def ready():
            status, body = get(self.url + "/v1/models")
            return status == 200 and set(models) <= {m["id"] for m in json.loads(body)["data"]}
        wait_until(ready, f"{models} are served")
        wait_until(lambda: get(self.admin + "/health/ready")[0] == 200, "ready")
        return self

    def metrics(self):
        return metrics(self.admin + "/metrics")

    def __exit__(self, *details):
        super().__exit__(*details)
        self.folder.cleanup()


class Tee:
    """Stands before an engine and keeps every byte it answered."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.target = (host, int(port))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        self.url = "http://" + self.address
        self.answers = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            try:
                engine = socket.create_connection(self.target)
            except OSError:  # it is down, and so is what stands before it
                client.close()
                continue
            kept = bytearray()
            self.answers.append(kept)
            threading.Thread(target=self._pump, args=(client, engine, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(engine, client, kept), daemon=True).start()

    @staticmethod
    def _pump(source, sink, kept):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if kept is not None:
                    kept += data
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def mark(self):
        """Where every connection stands now; hand it to since()."""
        return {id(kept): len(kept) for kept in self.answers}

    def since(self, mark):
        """The SSE events answered since the mark, the chunked coding taken off."""
        return [e for kept in list(self.answers) for e in sse_events(unchunk(bytes(kept[mark.get(id(kept), 0):])))]

    def close(self):
        self.server.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def unchunk(raw):
    """Bodies of a connection's answers, one after the other."""
    out = b""
    while b"\r\n\r\n" in raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length:\s*(\d+)", head)
        if re.search(rb"(?i)transfer-encoding:\s*chunked", head):
            while raw:
                size, _, raw = raw.partition(b"\r\n")
                count = int(size.split(b";")[0], 16)
                out, raw = out + raw[:count], raw[count + 2:]
                if count == 0:
                    break
        elif length:
            count = int(length.group(1))
            out, raw = out + raw[:count], raw[count:]
    return out


def sse_events(body):
    return [e + b"\n\n" for e in body.replace(b"\r\n", b"\n").split(b"\n\n") if e.startswith(b"data:")]


def get(url, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=PATIENCE) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError) as error:
        return 0, str(error)


def post(url, value, headers=None, timeout=PATIENCE):
    """Status, headers (names in lower case), body bytes."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=timeout)
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    connection.request("POST", "/" + path, body, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, data


def metrics(url):
    return parse_metrics(get(url)[1])


def parse_metrics(text):
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


def total(values, prefix, *labels):
    return sum(v for k, v in values.items() if k.split("{")[0] == prefix and all(label in k for label in labels))


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE} s in vain: {what}")

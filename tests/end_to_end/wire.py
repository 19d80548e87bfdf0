"""Bytes on a socket: clients that speak as no HTTP library would, and engines that answer what the test says."""
import contextlib
import json
import re
import socket
import threading

from fleet import PATIENCE


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body  # names in lower case

    @property
    def error(self):
        return json.loads(self.body)["error"]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Wire:
    """One client connection. Reads with a generous limit, so that a server that says nothing fails a test."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.buffer = b""

    def send(self, *parts):
        # The far end may answer and close before it has heard everything; what it said is what counts.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                self.socket.sendall(part)
        return self

    def shut(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"closed after {self.buffer!r}")
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def rest(self):
        """All that still comes, up to the end of the connection."""
        while self._more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return int(lines[0].split(" ", 2)[1]), {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}

    def answer(self):
        status, headers = self.head()
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self.until(b"\r\n"), 16):
                body += self._exactly(size)
                self.until(b"\r\n")
            self.until(b"\r\n")
        elif status >= 200 and status != 204:
            body = self._exactly(int(headers["content-length"])) if "content-length" in headers else self.rest()
        return Answer(status, headers, body)

    def _exactly(self, size):
        while len(self.buffer) < size:
            if not self._more():
                raise EOFError(f"closed {size - len(self.buffer)} bytes early")
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return body

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


HANG = object()  # in a reply: say nothing more, and keep the connection open; a threading.Event is waited for


class Engine:
    """An engine whose answer to every POST is the bytes it was given. Its model list is in order: it is found, and
    found healthy, as engines are that break only when they are asked to work."""

    def __init__(self, model, *reply):
        self.model, self.reply, self.posts = model, reply, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            head, _, body = request.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            while length and len(body) < int(length.group(1)):
                body += connection.recv(65536)
            if head.startswith(b"POST"):
                self.posts.append((head, body))
                for part in self.reply:
                    if part is HANG:
                        connection.recv(1)
                    elif isinstance(part, threading.Event):
                        part.wait(PATIENCE)
                    else:
                        connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # not a reset: what was sent is to be read
            else:
                models = json.dumps({"object": "list", "data": [{"id": self.model, "object": "model"}]}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                   b"Content-Length: %d\r\n\r\n%s" % (len(models), models))

    def close(self):
        self.server.close()

"""A proxy in front of an object store: it notes each request, and answers some of them badly."""

import re
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

# What each service says when it wants fewer requests, denies one, or fails.
SAID = {503: "SlowDown", 429: "TooManyRequests", 500: "InternalError", 403: "AccessDenied"}


@dataclass
class Faults:
    """Which requests are answered badly.

    `kinds` are chosen from at random: a status of SAID; "reset", before anything is done; "lost",
    the request is done and its answer is not sent; "torn", half of the answer's body is sent;
    "cut", half of what is sent is read; "slow", an answer after `seconds`.  `match` is a pattern of
    "METHOD path"; at most `most` times, and not the first `but` times.
    """

    rate: float = 0.0
    kinds: tuple = ()
    match: str = "."
    seconds: float = 1.0
    most: int = -1
    but: int = 0


@dataclass
class Proxy:
    """What listens at `url`, and has seen `requests`: (method, path, status or fault).

    Each is answered after `latency` seconds; `most_at_once` is how many were, at the same time.
    """

    url: str
    faults: Faults = field(default_factory=Faults)
    requests: list = field(default_factory=list)
    latency: float = 0.0
    at_once: int = 0
    most_at_once: int = 0
    chance: Random = field(default_factory=lambda: Random(1))

    def counted(self):
        """How many requests there were, by method."""
        return Counter(method for method, _, _ in self.requests)

    def fault_of(self, method, path):
        faults = self.faults
        meant = faults.most and re.search(faults.match, f"{method} {path}")
        if not meant or self.chance.random() >= faults.rate:
            return None
        if faults.but:
            faults.but -= 1
            return None
        faults.most -= 1
        return self.chance.choice(faults.kinds)


@contextmanager
def faulty(upstream):
    """A proxy in front of the server at HOST:PORT."""
    host, port = upstream.removeprefix("http://").split(":")
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args):
            """Nothing on standard error."""

        def handle_one_request(self):
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def finish(self):
            super().finish()
            if getattr(self, "upstream", None):
                self.upstream.close()

        def _pass_on(self):
            with counting:
                proxy.at_once += 1
                proxy.most_at_once = max(proxy.most_at_once, proxy.at_once)
            try:
                self._answer_or_fail()
            finally:
                with counting:
                    proxy.at_once -= 1

        def _answer_or_fail(self):
            fault = proxy.fault_of(self.command, self.path)
            if fault == "cut":
                # Before all of what is sent has come.
                self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
                proxy.requests.append((self.command, self.path, fault))
                return self._drop()
            body = self._body()
            note = lambda said: proxy.requests.append((self.command, self.path, said))  # noqa: E731
            time.sleep(proxy.latency)
            if fault == "slow":
                time.sleep(proxy.faults.seconds)
            elif fault == "reset":
                note(fault)
                return self._drop()
            elif isinstance(fault, int):
                note(fault)
                text = f"<Error><Code>{SAID[fault]}</Code><Message>fault</Message></Error>"
                return self._answer(fault, {"Content-Type": "application/xml"}, text.encode())
            if getattr(self, "upstream", None) is None:
                self.upstream = HTTPConnection(host, int(port), timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
            self.upstream.request(self.command, self.path, body, headers)
            answer = self.upstream.getresponse()
            content = answer.read()
            note(fault or answer.status)
            if fault == "lost":
                return self._drop()
            if fault == "torn" and len(content) > 1:
                self._head(answer.status, answer.headers, len(content))
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                return self._drop()
            return self._answer(answer.status, answer.headers, content)

        def _body(self):
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _head(self, status, headers, length):
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            if self.command == "HEAD":
                length = headers.get("Content-Length", 0)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def _answer(self, status, headers, content):
            self._head(status, headers, len(content))
            if self.command != "HEAD":
                self.wfile.write(content)
            self.wfile.flush()

        def _drop(self):
            """Close the connection as a router does that forgets it."""
            self.close_connection = True
            # Once both are closed, whoever listens meets a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()

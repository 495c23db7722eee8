"""A real HTTP server that speaks OpenAI's embeddings protocol on this machine, and misbehaves where a test says so."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from crossfade import Space
from crossfade.encoder import Encoder
from support import bag_of_words

DIM, SEED = 8, 1
KEY = "sk-test-Zq81mmvT0pSecretK3y"
TEXTS = ["one fish", "two fish", "red fish", "blue fish and more"]

Body = dict[str, Any]
Behaviour = Callable[["Handler", Body], None]


class Service(ThreadingHTTPServer):
    """Embeds as `bag_of_words(dim, seed)` does.

    `script` holds what it does with the next requests instead, `always` with all that follow; `seen` holds every
    request's time, path, headers and body.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.embed = bag_of_words(dim, seed)
        self.script: deque[Behaviour] = deque()
        self.always: Behaviour = answer
        self.seen: list[tuple[float, str, dict[str, str], Body]] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.active = self.most_active = 0
        self.connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[Body]:
        return [body for _, _, _, body in self.seen]

    @property
    def sizes(self) -> list[int]:
        return [len(body["input"]) for body in self.bodies]

    @property
    def gaps(self) -> list[float]:
        """Seconds between one request and the next."""
        times = [when for when, _, _, _ in self.seen]
        return [after - before for before, after in itertools.pairwise(times)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""

    def hand_over(self, handler: Handler, body: Body) -> None:
        with self.lock:
            self.seen.append((time.monotonic(), handler.path, dict(handler.headers.items()), body))
            behaviour = self.script.popleft() if self.script else self.always
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            behaviour(handler, body)
        finally:
            with self.lock:
                self.active -= 1


class Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.server.hand_over(self, json.loads(content))
        except OSError:
            self.close_connection = True

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


def right_answer(service: Service, body: Body) -> Body:
    """As the protocol wants it, with the items in an order of their own."""
    rows = service.embed(body["input"])
    items = [{"object": "embedding", "index": index, "embedding": _form(row, body)} for index, row in enumerate(rows)]
    tokens = sum(len(text.split()) for text in body["input"])
    return {"object": "list", "data": items[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _form(row: Any, body: Body) -> Any:
    if body["encoding_format"] == "base64":
        return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode()
    return row.tolist()


def answer(handler: Handler, body: Body) -> None:
    handler.reply(200, json.dumps(right_answer(handler.server, body)).encode())


def altered(change: Callable[[Body], Any]) -> Behaviour:
    """Gives what `change` makes of the right answer."""
    return lambda handler, body: handler.reply(200, json.dumps(change(right_answer(handler.server, body))).encode())


def said(content: bytes) -> Behaviour:
    """Gives these bytes with status 200."""
    return lambda handler, body: handler.reply(200, content)


def refuse(status: int, message: str = "no", **headers: str) -> Behaviour:
    """Gives an error in OpenAI's form."""
    content = json.dumps({"error": {"message": message, "type": "some_error"}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, body: handler.reply(status, content, named)


def slowly(seconds: float) -> Behaviour:
    """Gives the right answer after a while."""

    def behave(handler: Handler, body: Body) -> None:
        if not handler.server.closing.wait(seconds):
            answer(handler, body)

    return behave


def reset(handler: Handler, body: Body) -> None:
    """Resets the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.rfile.close()
    handler.wfile.close()
    handler.connection.close()


def hang_up(handler: Handler, body: Body) -> None:
    """Ends the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True


def at_most(texts: int, otherwise: Behaviour) -> Behaviour:
    """Refuses requests of more texts."""
    return lambda handler, body: (answer if len(body["input"]) <= texts else otherwise)(handler, body)


@contextmanager
def serving(dim: int = 8, seed: int = 1) -> Iterator[Service]:
    """A running service; at the end its connections are cut."""
    with Service(dim, seed) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.closing.set()
            service.shutdown()
            thread.join()
            for connection in service.connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()


def http(service: Service, **options: Any) -> Encoder:
    """An encoder of the service that is quick to try again."""
    return Encoder.http(service.url, "bag", **{"dim": DIM, "backoff": 0.01, "attempts": 3, "timeout": 5, **options})


def change(function: Callable[[dict[str, Any]], Any]) -> Behaviour:
    """Answers, after a function has done something to the body of the answer."""

    def alter(body: dict[str, Any]) -> Any:
        function(body)
        return body

    return altered(alter)


def expected(texts: list[str]) -> Any:
    """The rows that a service of `DIM` and `SEED` should give."""
    return Encoder.wrap(bag_of_words(DIM, SEED), Space(model="bag", dim=DIM)).encode(texts)
